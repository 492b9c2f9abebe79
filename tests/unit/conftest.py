"""Hypothesis for all unit tests: a slow machine is no failure, and the same examples are tried everywhere."""

from hypothesis import HealthCheck, settings

settings.register_profile("meterlog", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("meterlog")

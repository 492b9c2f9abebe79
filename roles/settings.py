"""What every role is told by its environment. A setting that makes no sense is refused by name, before anything starts.

METERLOG_KAFKA           bootstrap servers, host:port[,host:port]
METERLOG_KAFKA_CONFIG    further librdkafka settings, key=value;key=value (TLS, SASL)
METERLOG_METRICS_PORT    where /metrics, /livez and /readyz are served; 0: a free port; not set: nowhere
METERLOG_METRICS_HOST    address they are served on; 127.0.0.1
METERLOG_STUCK_SECONDS   how long nothing may get on while all servers answer, before a role calls itself stuck; 180
METERLOG_LOG_LEVEL       debug, info, warning or error; info
METERLOG_LOG_FORMAT      json, or text for people; json
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("json", "text")
STUCK_SECONDS: Final = 180.0  # longer than any one answer is waited for


class SettingsWrong(ValueError):
    """An environment variable is missing or does not hold what it should. The message begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """The settings that all roles share; a role's own stand beside it."""

    kafka: str
    kafka_config: tuple[tuple[str, str], ...] = ()
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    stuck_seconds: float = STUCK_SECONDS
    log_level: str = "info"
    log_format: str = "json"


def read_settings(environment: Mapping[str, str] = os.environ) -> RoleSettings:
    """From the environment. Raises SettingsWrong."""
    return RoleSettings(
        kafka=text(environment, "METERLOG_KAFKA", "host:port of the broker"),
        kafka_config=pairs(environment, "METERLOG_KAFKA_CONFIG"),
        metrics_port=(
            whole(environment, "METERLOG_METRICS_PORT", 0, 0, 65_535)
            if environment.get("METERLOG_METRICS_PORT")
            else None
        ),
        metrics_host=environment.get("METERLOG_METRICS_HOST") or "127.0.0.1",
        stuck_seconds=number(environment, "METERLOG_STUCK_SECONDS", STUCK_SECONDS, 1, 86_400),
        log_level=one_of(environment, "METERLOG_LOG_LEVEL", "info", LEVELS),
        log_format=one_of(environment, "METERLOG_LOG_FORMAT", "json", FORMATS),
    )


def text(environment: Mapping[str, str], name: str, what: str) -> str:
    """A setting that has to be there; `what` tells the operator what to put in."""
    found = environment.get(name, "").strip()
    if not found:
        raise SettingsWrong(f"{name} is not set: {what}")
    return found


def one_of(environment: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    found = (environment.get(name) or default).strip().lower()
    if found not in allowed:
        raise SettingsWrong(f"{name}: {found!r} is none of {', '.join(allowed)}")
    return found


def number(environment: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    found = environment.get(name)
    if not found:
        return default
    try:
        value = float(found)
    except ValueError:
        raise SettingsWrong(f"{name}: {found!r} is not a number") from None
    if not least <= value <= most:  # also refuses nan
        raise SettingsWrong(f"{name}: {found} is not within {least:g} and {most:g}")
    return value


def whole(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = number(environment, name, default, least, most)
    if value != int(value):
        raise SettingsWrong(f"{name}: {value:g} is not a whole number")
    return int(value)


def pairs(environment: Mapping[str, str], name: str) -> tuple[tuple[str, str], ...]:
    """key=value;key=value. A value may hold further equals signs; values are never repeated in the error."""
    found: list[tuple[str, str]] = []
    for part in environment.get(name, "").split(";"):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SettingsWrong(f"{name}: entry {len(found) + 1} is not key=value")
        found.append((key.strip(), value.strip()))
    return tuple(found)

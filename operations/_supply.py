"""How many phases a meter measures: nobody registers it, so the meter is asked."""

from collections.abc import Generator
from typing import Any, Final

from operations import Meter
from operations._errors import MeterRefused
from operations._profile import Supply
from operations._steps import Get

_OF_POLY_PHASE: Final = "INSTANTANEOUS_VOLTAGE_L2"
_NOT_THERE: Final = frozenset({3, 4, 9, 11})
"""read-write-denied, object-undefined, object-class-inconsistent, object-unavailable: meters differ (meter-model 6)."""


def supply_of(meter: Meter) -> Generator[Get, Any, Supply]:
    """A single-phase meter has no L2 (meter-model 9.2). Raises MeterRefused for any other refusal."""
    try:
        yield Get(meter.profile[_OF_POLY_PHASE].at(2))
    except MeterRefused as refused:
        if refused.result not in _NOT_THERE:
            raise
        return Supply.SINGLE
    return Supply.POLY

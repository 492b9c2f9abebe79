"""Read which alarms the meter holds, whatever its alarm filters let through.

Reference operations-reading 10.2, with its advice: register 3 is read where the profile has it, and a bit nobody knows
is reported in the raw number and passed over in the names.
"""

from dataclasses import dataclass

from operations import Meter, operation
from operations._alarms import REGISTERS, Alarm, alarms_of
from operations._data import Data
from operations._errors import MeterUnusable
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Get, Steps
from operations._values import number


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: all registers of the profile are read."""


@dataclass(frozen=True, slots=True)
class Result:
    """Alarms by name, and the registers as they came (32 bits each); None: the meter's protocol has no such
    register.
    """

    alarms: tuple[Alarm, ...]
    register_1: int
    register_2: int | None = None
    register_3: int | None = None


@operation(
    "ReadAlarmRegister",
    needs=("ALARM_REGISTER_1",),
    repeatable=True,
    seconds=30,
    frames=ASSOCIATION + 3,  # three gets
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """All or nothing: MeterRefused when one is refused, MeterUnusable when one is no number of 32 bits."""
    values: dict[str, int] = {}
    alarms: list[Alarm] = []
    for register in REGISTERS:
        tag = f"ALARM_REGISTER_{register}"
        if tag not in meter.profile:
            continue
        data: Data = yield Get(meter.profile[tag].at(2))
        value = number(data, tag)
        if value is None or not 0 <= value < 1 << 32:
            raise MeterUnusable(f"{tag}: {value} is no value of 32 bits")
        values[f"register_{register}"] = value
        alarms += alarms_of(register, value)
    return Answer(Result(tuple(alarms), **values))

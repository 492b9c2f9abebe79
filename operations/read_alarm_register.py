"""Read which alarms the meter holds, whatever its alarm filters let through.

Reference operations-reading 10.2, with its advice: register 3 is read where the profile has it, and a bit nobody knows
is reported in the raw number and passed over in the names.
"""

from dataclasses import dataclass

from operations import Meter, operation
from operations._alarms import Alarm, alarms_of, read_registers
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Steps


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
    values = yield from read_registers(meter)
    alarms = [alarm for register, value in values.items() for alarm in alarms_of(register, value)]
    return Answer(Result(tuple(alarms), **{f"register_{register}": value for register, value in values.items()}))

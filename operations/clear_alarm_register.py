"""Set the alarm registers of the meter to zero.

Reference operations-reading 10.3. Registers 1, 2, 3 in this order, those the profile has; the first refusal ends it:
earlier ones stay cleared, later ones are untouched. Never repeated blindly: a repeat would destroy alarms that came
in between, unread.
"""

from dataclasses import dataclass

from operations import Meter, operation
from operations._alarms import REGISTERS, read_registers
from operations._data import Data, Tag
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, CannotTell, Set, Steps, Verifying


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: all registers of the profile are cleared."""


@dataclass(frozen=True, slots=True)
class Result:
    """The numbers of the registers that are zero now."""

    cleared: tuple[int, ...]


def verify(request: Request, meter: Meter) -> Verifying[Result]:
    """All registers zero: done. What was asked for holds, whoever brought it about, and clearing them once more would
    have changed nothing.

    A bit that is set says nothing: its alarm may have been there before, or have come after the registers were
    cleared. So it is never known that nothing was done. The meter's log of standard events could not tell either: it
    has no entry for register 3, names no client, and its times are those of a clock that may be wrong.
    """
    values = yield from read_registers(meter)
    alarmed = [f"register {register} is {value:#010x}" for register, value in values.items() if value]
    if alarmed:
        return CannotTell(f"{', '.join(alarmed)}: not cleared, or alarmed since")
    return Answer(Result(tuple(values)))


@operation(
    "ClearAlarmRegister",
    needs=("ALARM_REGISTER_1",),
    repeatable=False,
    seconds=30,
    frames=ASSOCIATION + 3,  # three sets, or three gets
    verify=verify,
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """The first refusal (MeterRefused, naming the register's attribute) passes through."""
    cleared: list[int] = []
    for register in REGISTERS:
        tag = f"ALARM_REGISTER_{register}"
        if tag in meter.profile:
            yield Set(meter.profile[tag].at(2), Data(Tag.DOUBLE_LONG_UNSIGNED, 0))
            cleared.append(register)
    return Answer(Result(tuple(cleared)))

"""Read the value of an M-Bus meter as its gateway holds it now, with the time the gateway took it.

Reference operations-reading 6.2; a hydrogen meter (SMART_METER_W) is read the same way. The conversation is with the
gateway: `meter` has the gateway's profile and the channel of the M-Bus meter. The scaler hangs on the make of the gas
meter (2.3): attribute 3 says it, unless the caller does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from operations import Meter, _gas_models, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._data import Data
from operations._errors import MeterRefused, MeterUnusable
from operations._rules import ASSOCIATION, gas_meter, needed_channel
from operations._steps import Answer, Attribute, GetList, Now, Refusal, Steps
from operations._values import MILLIONTHS, cubic_metres, number, scaler_unit
from schemas.records import CommandHeader, RegisterRead, RegisterReads

VALUE: Final = "MBUS_VALUE"  # SMR 5: the five-minute value, preferred to the hourly one (2.3)
QUANTITY: Final = "consumption"


@dataclass(frozen=True, slots=True)
class Request:
    """Gateway and channel are those of the meter's registration; `device_model_codes` as in `_gas_models`."""

    device_model_codes: str = ""  # of gateway and channels 1 to 4, commas between; not known: the meter is asked


@dataclass(frozen=True, slots=True)
class Result:
    """`log_time` is the head-end's time; `capture_time`, when the gateway took the value, in UTC."""

    log_time: datetime
    consumption: Decimal | None  # m3, exact; None when the gateway holds none
    capture_time: datetime


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[RegisterReads]:
    """The value as one record of the M-Bus meter, dated when the gateway took it."""
    value = None if result.consumption is None else int(result.consumption.scaleb(MILLIONTHS))
    register = RegisterRead(QUANTITY, "m3", value)
    captured_at = millis_of(result.capture_time)
    yield RegisterReads(header.device_id, header.correlation_id, captured_at, received_at, (register,))


@operation(
    "GetActualMeterReadsGas",
    needs=tuple(f"{VALUE}_{channel}" for channel in (1, 2, 3, 4)),
    repeatable=True,
    seconds=60,
    frames=ASSOCIATION + 8,  # three attributes one by one, or a list
    decide=gas_meter,
    bundled=False,  # the action of a bundle would have to name the M-Bus meter
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the gateway refuses an attribute (nothing on the channel: object-unavailable),
    MeterUnusable when it says no capture time or the value is no volume.
    """
    channel = needed_channel(meter)
    register = meter.profile.on_channel(VALUE, channel)
    known = register.scaler_unit or _gas_models.scaling(request.device_model_codes, channel)
    asked: list[Attribute] = [register.at(2), register.at(5)]
    if known is None:
        asked.append(register.at(3))
    answers: list[Data | Refusal] = yield GetList(tuple(asked))
    if len(answers) != len(asked):
        raise MeterUnusable(f"{len(asked)} attributes were asked for, {len(answers)} came")
    found: list[Data] = []
    for attribute, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Refusal):
            raise MeterRefused(answer.result, answer.name, str(attribute))
        found.append(answer)
    captured = instant_of(found[1], "M-Bus capture time")
    if captured is None:
        raise MeterUnusable("Unexpected null/unspecified value for M-Bus Capture Time")
    raw = number(found[0], register.tag)
    consumption = None
    if raw is not None:
        scaling = known or scaler_unit(found[2], register.tag)
        consumption = cubic_metres(raw, scaling, register.tag)
    now: datetime = yield Now()
    return Answer(Result(log_time=now, consumption=consumption, capture_time=moment_of(captured)))

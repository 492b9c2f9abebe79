"""Read how the meter's modem is doing: its operator, whether it is registered, the cell it is in and those beside it.

Reference operations-reading 14.4, meter-model 20. Which modem: the one the device is registered with, unless the
request names another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from operations import Meter, operation
from operations._cosem_time import instant_of, millis_of, moment_of
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, GetList, Refusal, Steps
from operations._values import MILLIONTHS, number
from schemas.records import CommandHeader, CommunicationMethod, RegisterRead, RegisterReads

ATTRIBUTES: Final = {
    2: "operator",
    3: "status",
    4: "cs_attachment",
    5: "ps_status",
    6: "cell_info",
    7: "adjacent_cells",
}
CAPTURE_TIME: Final = 8  # some makes have none

_REGISTRATION: Final = (
    "NOT_REGISTERED",
    "REGISTERED_HOME_NETWORK",
    "NOT_REGISTERED_CURRENT_SEARCH_OPERATOR_TO_REGISTER_TO",
    "REGISTRATION_DENIED",
    "UNKNOWN",
    "REGISTERED_ROAMING",
)
_CIRCUIT: Final = ("INACTIVE", "INCOMING_CALL", "ACTIVE")
_PACKET: Final = ("INACTIVE", "GPRS", "EDGE", "UMTS", "HSDPA", "LTE", "CDMA", "LTE_CAT_M_1", "LTE_NB_IOT")
_RESERVED: Final = "RESERVED"
_NOT_KNOWN: Final = 99
_LOUDEST: Final = 31
_CELL: Final = (  # version 0 of the class in early SMR 4.3 meters has the first four
    "cell_id",
    "location_id",
    "signal",
    "bit_error_rate",
    "mobile_country_code",
    "mobile_network_code",
    "channel_number",
)
_SHORT_CELL: Final = 4


def tag_of(method: CommunicationMethod) -> str:
    """The profile's tag of a modem's diagnostic object."""
    return f"{method}_DIAGNOSTIC"


@dataclass(frozen=True, slots=True)
class Request:
    """`communication_method`: which modem is asked; null: the one the device is registered with."""

    communication_method: CommunicationMethod | None = None


@dataclass(frozen=True, slots=True)
class CellInfo:
    """The cell the modem is in. The last three are null in early SMR 4.3 meters."""

    cell_id: int
    location_id: int
    signal_quality: str  # MINUS_87_DBM ..., MINUS_113_DBM_OR_LESS, MINUS_51_DBM_OR_GREATER, NOT_KNOWN, RESERVED
    signal_dbm: int | None  # the same as a number; null when it is not known
    bit_error_rate: int | None  # 0 to 7; null when it is not known
    mobile_country_code: int | None = None
    mobile_network_code: int | None = None
    channel_number: int | None = None


@dataclass(frozen=True, slots=True)
class AdjacentCell:
    """A cell beside it."""

    cell_id: int
    signal_quality: str  # as of the own cell
    signal_dbm: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """What the modem says of itself; a number that the standard keeps for later is RESERVED."""

    operator: str
    modem_registration_status: str  # REGISTERED_HOME_NETWORK, REGISTERED_ROAMING, NOT_REGISTERED ...
    circuit_switched_status: str  # INACTIVE, INCOMING_CALL, ACTIVE
    packet_switched_status: str  # GPRS, CDMA, LTE ...; INACTIVE
    cell_info: CellInfo
    adjacent_cells: tuple[AdjacentCell, ...]
    capture_time: datetime | None  # by the meter's clock; null when it does not say


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[RegisterReads]:
    """The numbers of the cell as one record, dated by the meter or, when it does not say, by us."""
    cell = result.cell_info
    told = (
        ("gsm_signal_strength", "dBm", cell.signal_dbm),
        ("gsm_bit_error_rate", "", cell.bit_error_rate),
        ("gsm_cell_id", "", cell.cell_id),
        ("gsm_location_id", "", cell.location_id),
        ("gsm_adjacent_cells", "", len(result.adjacent_cells)),
    )
    registers = tuple(RegisterRead(name, unit, _millionths(value)) for name, unit, value in told)
    captured_at = received_at if result.capture_time is None else millis_of(result.capture_time)
    yield RegisterReads(header.device_id, header.correlation_id, captured_at, received_at, registers)


def needs_of(request: Request) -> tuple[str, ...]:
    """The diagnostic object of the modem that the request names."""
    return () if request.communication_method is None else (tag_of(request.communication_method),)


@operation(
    "GetGsmDiagnostic",
    needs_of=needs_of,
    repeatable=True,
    seconds=60,
    frames=ASSOCIATION + 12,  # seven attributes one by one, the adjacent cells in blocks
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises Rejected 401 when nobody says which modem, 416 when the profile has no such; MeterRefused when one of the
    six attributes is refused, MeterUnusable when one is of another type.
    """
    method = request.communication_method or meter.communication_method
    if method is None:
        reason = "the device is registered without one; which modem is to be asked?"
        raise Rejected(reason, field="communication_method")
    diagnostic = meter.profile[tag_of(method)]
    asked = tuple(diagnostic.at(index) for index in (*ATTRIBUTES, CAPTURE_TIME))
    answers: list[Data | Refusal] = yield GetList(asked)
    if len(answers) != len(asked):
        raise MeterUnusable(f"{len(asked)} attributes were asked for, {len(answers)} came")
    operator, status, circuit, packet, cell, adjacent = _all(answers[:-1])
    captured = _captured(answers[-1])
    return Answer(
        Result(
            operator=_text(operator),
            modem_registration_status=_name(status, "status", _REGISTRATION),
            circuit_switched_status=_name(circuit, "cs_attachment", _CIRCUIT),
            packet_switched_status=_name(packet, "ps_status", _PACKET),
            cell_info=_cell(cell),
            adjacent_cells=tuple(_adjacent(adjacent)),
            capture_time=None if captured is None else moment_of(captured),
        )
    )


def _captured(answer: Data | Refusal) -> int | None:
    """Milliseconds since 1970 UTC; None when it is refused, or no time: a modem that never looked says zeros."""
    try:
        return None if isinstance(answer, Refusal) else instant_of(answer, "capture_time")
    except MeterUnusable:
        return None


def _all(answers: Sequence[Data | Refusal]) -> list[Data]:
    found = []
    for name, answer in zip(ATTRIBUTES.values(), answers, strict=True):
        if isinstance(answer, Refusal):
            raise MeterRefused(answer.result, answer.name, name)
        found.append(answer)
    return found


def _text(data: Data) -> str:
    if isinstance(data.value, str):
        return data.value
    if not isinstance(data.value, bytes):
        raise MeterUnusable(f"operator: a text is wanted, type {data.tag} came")
    return data.value.decode("ascii", "replace")


def _name(data: Data, what: str, names: tuple[str, ...]) -> str:
    code = _number(data, what)
    return names[code] if 0 <= code < len(names) else _RESERVED


def _number(data: Data, what: str) -> int:
    found = number(data, what)
    if found is None:
        raise MeterUnusable(f"{what}: null-data")
    return found


def _cell(data: Data) -> CellInfo:
    if data.tag != Tag.STRUCTURE or len(data.value) not in (_SHORT_CELL, len(_CELL)):
        raise MeterUnusable(f"cell_info: a structure of {_SHORT_CELL} or {len(_CELL)} is wanted, type {data.tag} came")
    told: dict[str, Any] = {
        name: _number(part, f"cell_info.{name}") for name, part in zip(_CELL, data.value, strict=False)
    }
    signal, rate = told.pop("signal"), told.pop("bit_error_rate")
    return CellInfo(
        signal_quality=_quality(signal),
        signal_dbm=_dbm(signal),
        bit_error_rate=None if rate == _NOT_KNOWN else rate,
        **told,
    )


def _adjacent(data: Data) -> Iterator[AdjacentCell]:
    if data.tag != Tag.ARRAY:
        raise MeterUnusable(f"adjacent_cells: an array is wanted, type {data.tag} came")
    for place, each in enumerate(data.value):
        what = f"adjacent_cells[{place}]"
        if each.tag != Tag.STRUCTURE or len(each.value) != 2:
            raise MeterUnusable(f"{what}: a structure of 2 is wanted, type {each.tag} came")
        cell_id, signal = (_number(part, what) for part in each.value)
        yield AdjacentCell(cell_id, _quality(signal), _dbm(signal))


def _dbm(signal: int) -> int | None:
    """0: -113 dBm or less, then 2 dBm a step, 31: -51 dBm or greater; the rest says nothing."""
    return 2 * signal - 113 if 0 <= signal <= _LOUDEST else None


def _quality(signal: int) -> str:
    dbm = _dbm(signal)
    if dbm is None:
        return "NOT_KNOWN" if signal == _NOT_KNOWN else _RESERVED
    return f"MINUS_{-dbm}_DBM" + {0: "_OR_LESS", _LOUDEST: "_OR_GREATER"}.get(signal, "")


def _millionths(value: int | None) -> int | None:
    return None if value is None else value * 10**MILLIONTHS

"""One simulated meter: the objects of its profile as a DLMS server sees them.

Everything that meters of a profile share is in one `Model`; a meter of its own is a number, its secrets, and what a
client has written or what has happened to it. Registers and profile buffers are computed (`curves`, `buffers`).
Access rights, types and result codes are the profile's and those of meter-model 6; what a client may set stays set.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from struct import Struct
from typing import Final
from zoneinfo import ZoneInfo

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import NULL, Data
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED, CosemDateTime
from connectors.dlms.cosem.errors import AccessResult, RemoteProtocolError
from connectors.dlms.cosem.names import Attribute, Method, Selection
from connectors.dlms.cosem.server_settings import MeterSecurity
from connectors.dlms.session import to_cosem
from connectors.simulator import buffers
from connectors.simulator.curves import HOUR, Household, is_night_rate, mix
from connectors.simulator.ledger import Ledger
from operations._data import Tag
from operations._profile import (
    MANAGEMENT_CLIENT,
    PUBLIC_CLIENT,
    Access,
    Column,
    CosemAttribute,
    CosemObject,
    Profile,
    profile,
)

ZONE: Final = ZoneInfo("Europe/Amsterdam")
CLOCK_STEP_SECONDS: Final = 5  # a set that moves the clock further is logged (meter-model 17)
CLOCK_OLD, CLOCK_NEW = 4, 5  # event codes of meter-model 12
CLEARED: Final = {"ALARM_REGISTER_1": 11, "ALARM_REGISTER_2": 24, "ERROR_REGISTER": 10}
CLIENTS: Final = (PUBLIC_CLIENT, MANAGEMENT_CLIENT)
STANDARD_LOG: Final = "STANDARD_EVENT_LOG"
_U32 = Struct(">BI")
_DEFAULTS: Final[Mapping[int, Data]] = {
    Tag.OCTET_STRING: axdr.octet_string(b""),
    Tag.VISIBLE_STRING: axdr.visible_string(""),
    Tag.ARRAY: axdr.array(),
    Tag.STRUCTURE: axdr.structure(),
    Tag.BOOLEAN: axdr.boolean(False),
    Tag.BIT_STRING: axdr.bit_string(""),
    Tag.NULL_DATA: NULL,
}


@dataclass(frozen=True, slots=True)
class Model:
    """What all meters of a profile share: objects by logical name, and how computed attributes are computed."""

    profile: Profile
    objects: Mapping[bytes, CosemObject]
    object_lists: Mapping[int, bytes]  # attribute 2 of the association, by client

    def find(self, client: int, class_id: int, obis: bytes) -> CosemObject | AccessResult:
        """The object, or what a client is told that asks for one it does not see (meter-model 6)."""
        found = self.objects.get(obis)
        if found is None or not any(attribute.access(client) for attribute in found.attributes.values()):
            return AccessResult.OBJECT_UNDEFINED
        return found if found.class_id == class_id else AccessResult.OBJECT_CLASS_INCONSISTENT


@cache
def model(protocol: str, version: str, *, polyphase: bool) -> Model:
    """The shared part of all meters of a profile; a single-phase one lacks the objects of the other phases."""
    shared = profile(protocol, version)
    objects = {each.obis: each for each in shared.objects.values() if polyphase or not each.polyphase}
    return Model(shared, objects, {client: _object_list(shared, objects.values(), client) for client in CLIENTS})


@dataclass(frozen=True, slots=True)
class Event:
    """One row of an event log."""

    at: float
    code: int


class Meter:
    """One meter; implements the engine's `ObjectAccess`.

    Channels 1 to `gas_meters` have a gas meter.
    """

    __slots__ = (
        "_events", "_written", "acts", "connections", "device_id", "drift", "gas_meters", "household", "ledger", "model",
        "number", "now", "open", "security",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        device_id: str,
        shared: Model,
        household: Household,
        security: MeterSecurity,
        *,
        gas_meters: int,
        ledger: Ledger,
        now: Callable[[], float],
    ) -> None:
        self.number = number
        self.device_id = device_id
        self.model = shared
        self.household = household
        self.security = security
        self.gas_meters = gas_meters
        self.ledger = ledger
        self.now = now
        self.drift = 60.0 * (mix(household.seed, 31) - 0.5)  # seconds this meter's clock is ahead
        self.open = False  # a meter serves one client at a time
        self.connections = 0
        self.acts = 0  # sets and actions carried out, ever
        self._written: dict[tuple[bytes, int], Data] | None = None
        self._events: dict[str, list[Event]] | None = None

    @property
    def clock(self) -> float:
        """The meter's own idea of now, seconds since 1970 UTC."""
        return self.now() + self.drift

    # What the engine asks

    def get(self, client: int, attribute: Attribute, selection: Selection | None) -> Data | bytes | int:
        result = self._get(client, attribute, selection)
        refused = result if isinstance(result, int) else 0
        self.ledger.note(self.device_id, "get", _name(attribute), result=refused)
        return result

    def set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> int:
        result = int(self._set(client, attribute, selection, value))
        self.acts += result == AccessResult.SUCCESS
        self.ledger.note(self.device_id, "set", _name(attribute), _text(value), result)
        return result

    def action(self, client: int, method: Method, parameters: Data | None) -> int:
        """No object of this fleet has a method that does something yet; rights and existence are answered truly."""
        found = self.model.find(client, method.class_id, method.instance_id)
        if isinstance(found, AccessResult):
            result = found
        else:
            known = found.methods.get(method.method_id)
            allowed = known is not None and Access.EXECUTE in known.access(client)
            result = AccessResult.OTHER_REASON if allowed else AccessResult.READ_WRITE_DENIED
        self.ledger.note(
            self.device_id, "action", _name(method), "" if parameters is None else _text(parameters), result
        )
        return result

    def raise_alarm(self, bits: int, register: int = 1) -> None:
        """Set bits of an alarm register, as events do."""
        found = self.model.profile.objects[f"ALARM_REGISTER_{register}"]
        held = self._held(found.obis, 2)
        self._write(found.obis, 2, axdr.double_long_unsigned((held.value if held else 0) | bits))

    def log(self, log: str, code: int, at: float | None = None) -> None:
        """Add a row to an event log of the profile, if it has it; the oldest falls out when it is full."""
        found = self.model.profile.objects.get(log)
        if found is None:
            return
        if self._events is None:
            self._events = {}
        rows = self._events.setdefault(log, [])
        rows.append(Event(self.clock if at is None else at, code))
        del rows[: -found.entries]

    # Reading

    def _get(self, client: int, attribute: Attribute, selection: Selection | None) -> Data | bytes | int:
        found = self.model.find(client, attribute.class_id, attribute.instance_id)
        if isinstance(found, AccessResult):
            return int(found)
        known = found.attributes.get(attribute.attribute_id)
        if known is None or Access.READ not in known.access(client):
            return int(AccessResult.READ_WRITE_DENIED)
        if selection is not None and selection.selector not in known.selectors:
            return int(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        if known.index == 1:
            return axdr.octet_string(found.obis)
        held = self._held(found.obis, known.index)
        if held is not None:
            return held
        try:
            return self._computed(client, found, known, selection)
        except (buffers.OutOfScope, RemoteProtocolError):
            return int(AccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def _computed(
        self, client: int, found: CosemObject, known: CosemAttribute, selection: Selection | None
    ) -> Data | bytes | int:
        match found.class_id, known.index:
            case 7, 2:
                return self._buffer(found, selection)
            case 7, 3:
                return buffers.capture_objects(found)
            case 7, 4:
                return axdr.double_long_unsigned(found.capture_period)
            case 7, 6:
                return axdr.structure(
                    axdr.long_unsigned(8), axdr.octet_string(self._clock_name), axdr.integer(2), axdr.long_unsigned(0)
                )
            case 7, 7:
                return axdr.double_long_unsigned(len(self._rows(found, None)))
            case 7, 8:
                return axdr.double_long_unsigned(found.entries)
            case ((3 | 4), 3) if found.scaler_unit is not None:
                return axdr.structure(axdr.integer(found.scaler_unit.scaler), axdr.enum(found.scaler_unit.unit))
            case 4, 3:  # the scaler of a gas meter is its own: G4 here
                return axdr.structure(axdr.integer(-3), axdr.enum(13))
            case 8, 2:
                return self._time(self.clock)
            case 8, 4:
                return axdr.unsigned(0x80 if datetime.fromtimestamp(self.clock, ZONE).dst() else 0)
            case 15, 2:
                return self.model.object_lists[client]
            case ((1 | 3 | 4), (2 | 5)):
                made = self._value(found, known.index)
                if made is not None:
                    return made
        return to_cosem(known.value) if known.value is not None else _default(known)

    def _value(self, found: CosemObject, index: int) -> Data | None:
        """Values that are measured, counted or this meter's own; None when the profile says all there is to say."""
        clock = self.clock
        match found.tag:
            case "LOGICAL_DEVICE_NAME":
                return axdr.octet_string(self.device_id[:16].encode())
            case "DEVICE_ID_1":
                return axdr.octet_string(f"{self.number:010d}".encode())
            case "DEVICE_ID_2":
                return axdr.octet_string(self.device_id.encode())
            case "INVOCATION_COUNTER":
                return axdr.double_long_unsigned(max(self.security.accepted, 0))
            case "ACTIVE_TARIFF":
                local = datetime.fromtimestamp(clock, UTC).timestamp() + HOUR
                day, rest = divmod(local, 86_400)
                night = is_night_rate((int(day) + 3) % 7, int(rest) // HOUR)
                return axdr.octet_string(b"\x00\x01" if night else b"\x00\x02")
        if found.channel is not None and found.class_id == 4:
            return self._gas(found, index, clock)
        energy = _ENERGY.get(found.tag)
        if energy is not None:
            values = self.household.energy(clock)
            return axdr.double_long_unsigned(sum(values[part] for part in energy) & 0xFFFFFFFF)
        return None

    def _gas(self, found: CosemObject, index: int, clock: float) -> Data | None:
        channel = found.channel or 0
        present = channel <= self.gas_meters
        if found.tag.startswith(("MBUS_VALUE_", "MBUS_HOURLY_VALUE_")):
            taken = clock // HOUR * HOUR
            if index == 5:
                return self._time(taken) if present else axdr.octet_string(NOT_SPECIFIED)
            if index == 2:
                return axdr.double_long_unsigned(self.household.gas(channel).at(taken) if present else 0)
        return None

    # Profile buffers

    def _buffer(self, found: CosemObject, selection: Selection | None) -> bytes:
        want = buffers.wanted(found, selection, ZONE)
        log = self._log_rows(found, want)
        if log is not None:
            at = [int(event.at) for event in log]
            codes = [bytes((Tag.UNSIGNED, event.code & 0xFF)) for event in log]
            times = [buffers.encode_time(event.at, ZONE) for event in log]
            columns = [times if index == 0 else codes if index == 1 else [b"\x00"] * len(log) for index in want.columns]
            return buffers.encode_rows(columns, compress=False, period=0, at=at)
        at = self._rows(found, want)
        encoded = [self._column(found.columns[index], at) for index in want.columns]
        compress = self.model.profile.traits.null_data_compression
        return buffers.encode_rows(encoded, compress=compress, period=found.capture_period, at=at)

    def _log_rows(self, found: CosemObject, want: buffers.Wanted) -> list[Event] | None:
        """The rows of an event log; None for a profile that is filled by time."""
        if not found.tag.endswith("_LOG"):
            return None
        rows = [event for event in (self._events or {}).get(found.tag, ()) if want.first <= event.at <= want.last]
        if want.entries is not None:
            first, last = want.entries
            rows = rows[first - 1 : last or None]
        return rows

    def _rows(self, found: CosemObject, want: buffers.Wanted | None) -> list[int]:
        everything = want or buffers.wanted(found, None, ZONE)
        log = self._log_rows(found, everything)
        if log is not None:
            return [int(event.at) for event in log]
        return buffers.stamps(found, "MONTHLY" in found.tag, self.clock, everything, ZONE)

    def _column(self, column: Column, at: Sequence[int]) -> list[bytes]:
        if column.class_id == 8:
            return [buffers.encode_time(second, ZONE) for second in at]
        energy = _ENERGY.get(column.tag)
        if energy is not None:
            values = self.household.series(energy, at)
            return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value & 0xFFFFFFFF) for value in values]
        if column.class_id == 4:
            return self._gas_column(column, at)
        if "STATUS" in column.tag:  # unsigned; bit 3 is daylight saving (meter-model 10.6)
            summer = [bool(datetime.fromtimestamp(second, ZONE).dst()) for second in at]
            return [bytes((Tag.UNSIGNED, 0x08 if each else 0)) for each in summer]
        return [b"\x00"] * len(at)

    def _gas_column(self, column: Column, at: Sequence[int]) -> list[bytes]:
        channel = column.obis[1]
        taken = [second - HOUR for second in at]  # the last hourly telegram is up to an hour older than the row
        if channel > self.gas_meters:
            nothing = _U32.pack(Tag.DOUBLE_LONG_UNSIGNED, 0)
            return [bytes((9, 12)) + NOT_SPECIFIED if column.attribute == 5 else nothing for _ in at]
        if column.attribute == 5:
            return [buffers.encode_time(second, ZONE) for second in taken]
        return [_U32.pack(Tag.DOUBLE_LONG_UNSIGNED, value) for value in self.household.gas(channel).series(taken)]

    # Writing

    def _set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> AccessResult:
        found = self.model.find(client, attribute.class_id, attribute.instance_id)
        if isinstance(found, AccessResult):
            return found
        known = found.attributes.get(attribute.attribute_id)
        if known is None or Access.WRITE not in known.access(client):
            return AccessResult.READ_WRITE_DENIED
        if selection is not None:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        if value.tag != known.type:
            return AccessResult.TYPE_UNMATCHED
        if known.length is not None and known.type == Tag.OCTET_STRING and len(value.value) != known.length:
            return AccessResult.TYPE_UNMATCHED
        if (found.class_id, known.index) == (8, 2):
            return self._set_clock(value.value)
        if found.tag in CLEARED and value.value == 0:
            self.log(STANDARD_LOG, CLEARED[found.tag])
        self._write(found.obis, known.index, value)
        return AccessResult.SUCCESS

    def _set_clock(self, octets: bytes) -> AccessResult:
        try:
            moment = CosemDateTime.from_bytes(octets).instant()
        except RemoteProtocolError:
            moment = None
        if moment is None:
            return AccessResult.OTHER_REASON
        before = self.clock
        self.drift = moment.timestamp() - self.now()
        if abs(self.clock - before) > CLOCK_STEP_SECONDS:
            self.log(STANDARD_LOG, CLOCK_OLD, before)
            self.log(STANDARD_LOG, CLOCK_NEW)
        return AccessResult.SUCCESS

    def _held(self, obis: bytes, index: int) -> Data | None:
        return None if self._written is None else self._written.get((obis, index))

    def _write(self, obis: bytes, index: int, value: Data) -> None:
        if self._written is None:  # most meters of a fleet are never written to
            self._written = {}
        self._written[obis, index] = value

    # Descriptions

    @property
    def _clock_name(self) -> bytes:
        return self.model.profile.objects["CLOCK"].obis

    def _time(self, second: float) -> Data:
        return axdr.octet_string(buffers.encode_time(second, ZONE)[2:])


_ENERGY: Final[Mapping[str, tuple[int, ...]]] = {  # parts of Household.energy
    "ACTIVE_ENERGY_IMPORT_RATE_1": (0,),
    "ACTIVE_ENERGY_IMPORT_RATE_2": (1,),
    "ACTIVE_ENERGY_IMPORT_TOTAL": (0, 1),
    "ACTIVE_ENERGY_EXPORT_RATE_1": (2,),
    "ACTIVE_ENERGY_EXPORT_RATE_2": (3,),
    "ACTIVE_ENERGY_EXPORT_TOTAL": (2, 3),
}


def _default(known: CosemAttribute) -> Data:
    """What an attribute of a type holds while nobody has set it."""
    if known.type == Tag.OCTET_STRING and known.length is not None:
        return axdr.octet_string(b"\x00" * known.length)
    if known.type == Tag.BIT_STRING and known.length is not None:
        return axdr.bit_string("0" * known.length)
    return _DEFAULTS.get(known.type, Data(int(known.type), 0))


def _object_list(profile: Profile, objects: Iterable[CosemObject], client: int) -> bytes:
    """What a client sees: one structure an object (meter-model 2.2)."""
    version = profile.objects["ASSOCIATION_LN"].version
    elements = []
    for each in objects:
        rights = [(known, known.access(client)) for known in each.attributes.values()]
        if not any(access for _, access in rights):
            continue
        attributes = axdr.array(*(_attribute_access(known, int(access)) for known, access in rights))
        methods = axdr.array(
            *(
                axdr.structure(axdr.integer(known.index), _method_access(version, bool(known.access(client))))
                for known in each.methods.values()
            )
        )
        elements.append(
            axdr.structure(
                axdr.long_unsigned(each.class_id),
                axdr.unsigned(each.version),
                axdr.octet_string(each.obis),
                axdr.structure(attributes, methods),
            )
        )
    return axdr.encode(axdr.array(*elements))


def _attribute_access(known: CosemAttribute, access: int) -> Data:
    selectors = axdr.array(*(axdr.integer(each) for each in known.selectors)) if known.selectors else NULL
    return axdr.structure(axdr.integer(known.index), axdr.enum(access), selectors)


def _method_access(version: int, allowed: bool) -> Data:
    return axdr.boolean(allowed) if version == 0 else axdr.enum(int(allowed))


def _name(member: Attribute | Method) -> str:
    a, b, c, d, e, f = member.instance_id
    return f"{member.class_id}/{a}-{b}:{c}.{d}.{e}.{f}/{member[2]}"


def _text(value: Data) -> str:
    plain = axdr.plain(value)
    return plain.hex() if isinstance(plain, bytes) else str(plain)

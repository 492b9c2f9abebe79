"""One simulated meter: the objects of its profile as a DLMS server sees them.

Everything that meters of a profile share is in one `Model`; a meter of its own is a number, its secrets, and what a
client has written or what has happened to it. Registers and profile buffers are computed (`curves`, `columns`).
Access rights, types and result codes are the profile's and those of meter-model 6; what a client may set stays set.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from connectors.dlms.cosem import Mechanism, axdr
from connectors.dlms.cosem.axdr import Data
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED, CosemDateTime
from connectors.dlms.cosem.errors import AccessResult, RemoteProtocolError
from connectors.dlms.cosem.names import Attribute, Method, Selection
from connectors.dlms.cosem.server_settings import MeterSecurity
from connectors.simulator import buffers, columns, grid, logs
from connectors.simulator.buffers import ZONE
from connectors.simulator.columns import ENERGY, REGISTER_MASK
from connectors.simulator.curves import DAY, HOUR, STANDARD_TIME, Household, is_night_rate, mix
from connectors.simulator.ledger import Ledger
from connectors.simulator.logs import Event
from connectors.simulator.model import Model, fits, initial
from connectors.simulator.nameplate import association, gas_meter, nameplate
from operations._data import Tag
from operations._profile import Access, Column, CosemAttribute, CosemObject

CLOCK_STEP_SECONDS: Final = 5  # a set that moves the clock further is logged (meter-model 17)
CLOCK_OLD, CLOCK_NEW = 4, 5  # event codes of meter-model 12
CLEARED: Final = {"ALARM_REGISTER_1": 11, "ALARM_REGISTER_2": 24, "ERROR_REGISTER": 10}
STANDARD_LOG: Final = "STANDARD_EVENT_LOG"


class Meter:
    """One meter; implements the engine's `ObjectAccess`.

    Channels 1 to `gas_meters` have a gas meter.
    """

    __slots__ = (
        "_events", "_written", "acts", "connections", "device_id", "drift", "gas_meters", "household", "ledger",
        "model", "number", "now", "open", "security",
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

    def log(self, log: str, *values: int, at: float | None = None) -> None:
        """Add a row to an event log of the profile, if it has it; the oldest falls out when it is full.

        `values` are the columns after the clock: the code, and in some logs a counter, or magnitude and duration.
        """
        found = self.model.profile.objects.get(log)
        if found is None:
            return
        if self._events is None:
            self._events = {}
        rows = self._events.setdefault(log, [])
        rows.append(Event(self.clock if at is None else at, values))
        del rows[: -found.entries]

    # Reading

    def _get(self, client: int, attribute: Attribute, selection: Selection | None) -> Data | bytes | int:
        found = self.model.find(client, attribute.class_id, attribute.instance_id)
        if isinstance(found, AccessResult):
            return int(found)
        known = found.attributes.get(attribute.attribute_id)
        if known is None or Access.READ not in known.access(client):
            return int(AccessResult.READ_WRITE_DENIED)
        if selection is not None and not self._selects(known, selection):
            return int(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        if (found.class_id, known.index) == (15, 2):
            return self.model.object_lists[client]
        if known.index == 1:
            return axdr.octet_string(found.obis)
        held = self._held(found.obis, known.index)
        if held is not None:
            return held
        try:
            return self._computed(client, found, known, selection)
        except (buffers.OutOfScope, RemoteProtocolError):
            return int(AccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def _selects(self, known: CosemAttribute, selection: Selection) -> bool:
        by_range = self.model.profile.traits.range_selection
        return selection.selector in known.selectors and (by_range or selection.selector != buffers.BY_RANGE)

    def _computed(
        self, client: int, found: CosemObject, known: CosemAttribute, selection: Selection | None
    ) -> Data | bytes:
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
                return axdr.double_long_unsigned(self._entries_in_use(found))
            case 7, 8:
                return axdr.double_long_unsigned(found.entries)
            case ((3 | 4), 3) if found.scaler_unit is not None:
                return axdr.structure(axdr.integer(found.scaler_unit.scaler), axdr.enum(found.scaler_unit.unit))
            case 8, 2:
                return self._time(self.clock)
            case 8, 4:
                return axdr.unsigned(0x80 if datetime.fromtimestamp(self.clock, ZONE).dst() else 0)
        made = self._own(client, found, known.index)
        if made is not None:
            return made
        return known.value if known.value is not None else initial(found.class_id, known)

    def _own(self, client: int, found: CosemObject, index: int) -> Data | None:
        """Values that are measured, counted or this meter's own; None when the profile says all there is to say."""
        match found.class_id, index:
            case 1, 2 if "STATUS" in found.tag and found.attributes[2].type == Tag.UNSIGNED:
                return axdr.unsigned(columns.status(self.clock))
            case 3, 2 if found.tag in ENERGY:
                values = self.household.energy(self.clock)
                return axdr.double_long_unsigned(sum(values[part] for part in ENERGY[found.tag]) & REGISTER_MASK)
            case 4, (2 | 5) if found.channel is not None:
                return self._gas(found, found.channel, index)
            case 15, _:
                pdu = self.model.profile.traits.max_pdu
                return association(index, client, self.number, self.mechanism, pdu)
            case 64, 5:
                return axdr.octet_string(self.security.system_title)
        match found.tag:
            case "INVOCATION_COUNTER" if index == 2:
                return axdr.double_long_unsigned(max(self.security.accepted, 0))
            case "ACTIVE_TARIFF" if index == 2:
                day, rest = divmod(self.clock + STANDARD_TIME, DAY)
                night = is_night_rate((int(day) + 3) % 7, int(rest) // HOUR)  # 1970-01-01 was a Thursday
                return axdr.octet_string(b"\x00\x01" if night else b"\x00\x02")
        if found.channel is not None and found.channel <= self.gas_meters:
            return gas_meter(found, index, self.number)
        return nameplate(found, index, device_id=self.device_id, number=self.number, profile=self.model.profile)

    @property
    def mechanism(self) -> Mechanism:
        """How the management client opens: by password as long as the meter uses no keys (meter-model 2)."""
        return Mechanism.HLS5 if self.security.keys is not None else Mechanism.LLS

    def _gas(self, found: CosemObject, channel: int, index: int) -> Data | None:
        present = channel <= self.gas_meters
        taken = self.clock // HOUR * HOUR
        if index == 5:
            return self._time(taken) if present else axdr.octet_string(NOT_SPECIFIED)
        if not found.tag.startswith(("MBUS_VALUE_", "MBUS_HOURLY_VALUE_")):
            return None
        return axdr.double_long_unsigned(self.household.gas(channel).at(taken) & REGISTER_MASK if present else 0)

    # Profile buffers

    def _buffer(self, found: CosemObject, selection: Selection | None) -> bytes:
        traits = self.model.profile.traits
        want = buffers.wanted(found, selection, ZONE, self._clock_name, by_column=traits.column_selection)
        if logs.is_log(found):
            rows = logs.chosen(self._logged(found), want)
            return logs.encode(self.model.profile, found, rows, want.columns)
        at = self._stamps(found, want)
        encoded = [self._column(found.columns[index], at, found.capture_period) for index in want.columns]
        clock = next((place for place, index in enumerate(want.columns) if found.columns[index].class_id == 8), None)
        period = found.capture_period
        return buffers.encode_rows(encoded, compress=traits.null_data_compression, period=period, at=at, clock=clock)

    def _column(self, column: Column, at: list[int], period: int) -> list[bytes]:
        source = self.model.profile.objects[column.tag]
        made = grid.encode(column, source, at, self.household, period, poly=self.model.polyphase)
        return columns.encode(column, at, self.household, self.gas_meters) if made is None else made

    def _logged(self, found: CosemObject) -> list[Event]:
        return (self._events or {}).get(found.tag, [])

    def _stamps(self, found: CosemObject, want: buffers.Wanted) -> list[int]:
        return buffers.stamps(found, "MONTHLY" in found.tag, self.clock, want, ZONE)

    def _entries_in_use(self, found: CosemObject) -> int:
        if logs.is_log(found):
            return len(self._logged(found))
        return len(self._stamps(found, buffers.everything(found)))

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
        if not fits(known, value):
            return AccessResult.TYPE_UNMATCHED
        if (found.class_id, known.index) == (8, 2):
            return self._set_clock(value.value)
        if found.tag in CLEARED and value.value == 0:
            self.log(STANDARD_LOG, CLEARED[found.tag])
        self._write(found.obis, known.index, value)
        return AccessResult.SUCCESS

    def _set_clock(self, octets: bytes) -> AccessResult:
        try:
            moment = buffers.instant(CosemDateTime.from_bytes(octets), ZONE)
        except RemoteProtocolError:
            moment = None
        if moment is None:
            return AccessResult.OTHER_REASON
        before = self.clock
        self.drift = moment - self.now()
        if abs(self.clock - before) > CLOCK_STEP_SECONDS:
            self.log(STANDARD_LOG, CLOCK_OLD, at=before)
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


def _name(member: Attribute | Method) -> str:
    a, b, c, d, e, f = member.instance_id
    return f"{member.class_id}/{a}-{b}:{c}.{d}.{e}.{f}/{member[2]}"


def _text(value: Data) -> str:
    plain = axdr.plain(value)
    return plain.hex() if isinstance(plain, bytes) else str(plain)

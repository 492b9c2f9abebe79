"""One simulated meter: the objects of its profile as a DLMS server sees them.

Everything that meters of a profile share is in one `Model`; a meter of its own is a number, its secrets, and what a
client has written or what has been done to it. The rest is computed: what is measured (`held`, `columns`), what has
happened (`chronicle`). Access rights, types and result codes are the profile's and those of meter-model 6; what a
client may set stays set.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.dlms.cosem import Mechanism, axdr
from connectors.dlms.cosem.axdr import Data
from connectors.dlms.cosem.cosem_time import CosemDateTime
from connectors.dlms.cosem.errors import AccessResult, RemoteProtocolError
from connectors.dlms.cosem.names import Attribute, Method, Selection
from connectors.dlms.cosem.server_settings import MeterSecurity
from connectors.simulator import buffers, chronicle, held, logs, settable
from connectors.simulator.buffers import ZONE
from connectors.simulator.chronicle import FRAUD, STANDARD, Chronicle
from connectors.simulator.columns import Columns
from connectors.simulator.curves import Household, mix
from connectors.simulator.ledger import Ledger
from connectors.simulator.model import Model, fits, initial
from connectors.simulator.nameplate import association
from connectors.simulator.premises import Premises
from operations._profile import MANAGEMENT_CLIENT, Access, Column, CosemAttribute, CosemObject

CLOCK_STEP_SECONDS: Final = 5  # a set that moves the clock further is logged (meter-model 17)
CLOCK_OLD, CLOCK_NEW = 4, 5  # event codes of meter-model 12
CLEARED: Final = {"ALARM_REGISTER_1": 11, "ALARM_REGISTER_2": 24, "ERROR_REGISTER": 10}
CONFIGURATION_CHANGED: Final = 47
PASSIVE_TARIFF_UPDATED: Final = 19
PASSIVE_CALENDAR: Final = range(6, 10)  # attributes


class Meter:
    """One meter; implements the engine's `ObjectAccess`.

    `mechanism`: how the management client opens, by password as long as the HLS flags are not set (meter-model 2).
    Channels 1 to `gas_meters` have a gas meter. `past`: its logs tell what happened before it was made; else they begin
    empty.
    """

    __slots__ = (
        "_chronicle", "_emptied", "_reason", "_written", "acts", "ciphered", "connections", "device_id", "drift",
        "ledger", "mechanism", "model", "now", "number", "open", "premises", "security",
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
        mechanism: Mechanism = Mechanism.HLS5,
        past: bool = False,
    ) -> None:
        self.number = number
        self.device_id = device_id
        self.model = shared
        self.premises = Premises(household, shared.phases, gas_meters)
        self.security = security
        self.ledger = ledger
        self.now = now
        self.drift = 60.0 * (mix(household.seed, 31) - 0.5)  # seconds this meter's clock is ahead
        self.mechanism = mechanism
        self.open = False  # a meter serves one client at a time
        self.ciphered = False  # what came last in the session that is open
        self.connections = 0
        self.acts = 0  # sets and actions carried out, ever
        self._reason = 0  # of the session log, for the session that is open
        self._written: dict[tuple[bytes, int], Data] | None = None
        self._emptied: dict[bytes, float] | None = None  # buffers a client has emptied, and when
        self._chronicle = Chronicle(shared.profile, self.premises, self.clock if past else None)

    @property
    def clock(self) -> float:
        """The meter's own idea of now, seconds since 1970 UTC."""
        return self.now() + self.drift

    @property
    def household(self) -> Household:
        return self.premises.household

    # What the engine asks

    def get(self, client: int, attribute: Attribute, selection: Selection | None) -> Data | bytes | int:
        result = self._get(client, attribute, selection)
        refused = result if isinstance(result, int) else 0
        if not refused and client == MANAGEMENT_CLIENT:
            self._reason = max(self._reason, self.model.reasons.get(attribute.instance_id, 0))
        self.ledger.note(self.device_id, "get", _name(attribute), result=refused)
        return result

    def set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> int:
        result = int(self._set(client, attribute, selection, value))
        if result == AccessResult.SUCCESS:
            self.acts += 1
            self._reason = max(self._reason, chronicle.MAINTENANCE)
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

    # What happens to it

    def raise_alarm(self, bits: int, register: int = 1) -> None:
        """Set bits of an alarm register, and log the events that do so where register 1 is concerned."""
        found = self.model.profile.objects[f"ALARM_REGISTER_{register}"]
        held_ = self._held(found.obis, 2)
        self._write(found.obis, 2, axdr.double_long_unsigned((held_.value if held_ else 0) | bits))
        for bit, (log, code) in chronicle.ALARMS.items() if register == 1 else ():
            if bits >> bit & 1:
                self.log(log, code)

    def log(self, log: str, *values: int, at: float | None = None) -> None:
        """Add a row to an event log of the profile, if it has it; the oldest falls out when it is full.

        `values` are the columns after the clock: the code, and in some logs a counter, or magnitude and duration.
        """
        self._chronicle.add(log, values, self.clock if at is None else at)

    def session_ended(self, failed_logins: int) -> None:
        """A connection is over: why it was made goes to the session log, a wrong key or password to the fraud log."""
        if self._reason:
            self._chronicle.session_ended(self._reason, self.clock)
        for _ in range(failed_logins):
            self.log(FRAUD, chronicle.FAILED_LOGIN)
        self._reason = 0
        self.open = False

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
        try:
            return self._value(client, found, known, selection)
        except (buffers.OutOfScope, RemoteProtocolError):
            return int(AccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def _selects(self, known: CosemAttribute, selection: Selection) -> bool:
        by_range = self.model.profile.traits.range_selection
        return selection.selector in known.selectors and (by_range or selection.selector != buffers.BY_RANGE)

    def _value(
        self, client: int, found: CosemObject, known: CosemAttribute, selection: Selection | None
    ) -> Data | bytes:
        written = self._held(found.obis, known.index)
        if written is not None:
            return written
        match found.class_id, known.index:
            case 7, 2:
                return self._buffer(client, self._as_set(found), selection)
            case 7, 3:
                return buffers.capture_objects(found)
            case 7, 7:
                return axdr.double_long_unsigned(self._entries_in_use(self._as_set(found)))
            case 8, 2:
                return axdr.octet_string(buffers.encode_time(self.clock, ZONE)[2:])
            case 8, 4:
                return axdr.unsigned(0x80 if datetime.fromtimestamp(self.clock, ZONE).dst() else 0)
        made = self._own(client, found, known.index)
        if made is not None:
            return made
        return known.value if known.value is not None else initial(found.class_id, known)

    def _own(self, client: int, found: CosemObject, index: int) -> Data | None:
        """Values that are measured, counted or this meter's own; None when the profile says all there is to say."""
        match found.class_id, index:
            case 15, _:
                pdu = self.model.profile.traits.max_pdu
                return association(index, client, self.number, self.mechanism, pdu, ciphered=self.ciphered)
            case 64, 5:
                return axdr.octet_string(self.security.system_title)
        if index == 2:
            if found.tag == "INVOCATION_COUNTER":
                return axdr.double_long_unsigned(max(self.security.accepted, 0))
            if found.tag == "COMMUNICATION_SESSION_COUNTER":
                return axdr.long_unsigned(self._chronicle.sessions & 0xFFFF)
            if found.tag in self.model.logged:  # what the last row of a log has captured
                log, column = self.model.logged[found.tag]
                rows = self._chronicle.rows(log, self.clock)
                return logs.value(self.model.profile, log, column, rows[-1] if rows else None)
        return held.value(
            found, index, now=self.clock, scaler=self._scaler(found), premises=self.premises,
            device_id=self.device_id, number=self.number, profile=self.model.profile,
        )  # fmt: skip

    def _scaler(self, found: CosemObject) -> int:
        known = found.attributes.get(3) if found.class_id in (3, 4) else None
        if known is None:
            return 0
        told = self._held(found.obis, 3) or known.value
        return int(told.value[0].value) if told is not None else 0

    # Profile buffers

    def _as_set(self, found: CosemObject) -> CosemObject:
        """The profile with the columns, period and size a client has given it."""
        written = {index: self._held(found.obis, index) for index in settable.EMPTYING}
        columns, period, entries = (written[index] for index in sorted(written))
        if columns is not None:
            found = replace(found, columns=settable.columns(self.model, columns) or found.columns)
        if period is not None:
            found = replace(found, capture_period=period.value)
        return found if entries is None else replace(found, entries=entries.value)

    def _buffer(self, client: int, found: CosemObject, selection: Selection | None) -> bytes:
        traits = self.model.profile.traits
        want = buffers.wanted(found, selection, ZONE, self.model.clock, by_column=traits.column_selection)
        if logs.is_log(found):
            rows = logs.chosen(self._chronicle.rows(found, self.clock), want)
            return logs.encode(self.model.profile, found, rows, want.columns)
        at = self._stamps(found, want)
        measured = Columns(self.premises, at)
        encoded = [self._column(client, measured, found.columns[index], len(at)) for index in want.columns]
        clock = next((place for place, index in enumerate(want.columns) if found.columns[index].class_id == 8), None)
        period = found.capture_period
        return buffers.encode_rows(encoded, compress=traits.null_data_compression, period=period, at=at, clock=clock)

    def _column(self, client: int, measured: Columns, column: Column, rows: int) -> list[bytes]:
        """What was measured; of anything else a client may capture, what the meter holds now."""
        source = self.model.objects[column.obis]
        found = measured.encode(column, self._scaler(source))
        if found is not None:
            return found
        value = self._value(client, source, source.attributes[column.attribute], None)
        if isinstance(value, Data) and column.data_index and value.tag in (axdr.Tag.STRUCTURE, axdr.Tag.ARRAY):
            value = value.value[column.data_index - 1] if column.data_index <= len(value.value) else axdr.NULL
        return [value if isinstance(value, bytes) else axdr.encode(value)] * rows

    def _stamps(self, found: CosemObject, want: buffers.Wanted) -> list[int]:
        since = (self._emptied or {}).get(found.obis, 0.0)
        return buffers.stamps(found, "MONTHLY" in found.tag, self.clock, want, ZONE, since)

    def _entries_in_use(self, found: CosemObject) -> int:
        if logs.is_log(found):
            return len(self._chronicle.rows(found, self.clock))
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
        if not settable.is_in_range(self.model, found, known.index, value):
            return AccessResult.OTHER_REASON
        self._write(found.obis, known.index, value)
        self._tell_of(found, known.index, value)
        return AccessResult.SUCCESS

    def _tell_of(self, found: CosemObject, index: int, value: Data) -> None:
        """What follows from a write: rows of a log, an alarm, an emptied buffer."""
        if found.tag in CLEARED and value.value == 0:
            self.log(STANDARD, CLEARED[found.tag])
        elif found.tag == "CONFIGURATION_OBJECT":
            self.log(FRAUD, CONFIGURATION_CHANGED)
        elif found.tag == "ACTIVITY_CALENDAR" and index in PASSIVE_CALENDAR:
            self.log(STANDARD, PASSIVE_TARIFF_UPDATED)
        elif found.class_id == settable.PROFILE_GENERIC:
            self._emptied = {**(self._emptied or {}), found.obis: self.clock}

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
            self.log(STANDARD, CLOCK_OLD, at=before)
            self.log(STANDARD, CLOCK_NEW)
        return AccessResult.SUCCESS

    def _held(self, obis: bytes, index: int) -> Data | None:
        return None if self._written is None else self._written.get((obis, index))

    def _write(self, obis: bytes, index: int, value: Data) -> None:
        if self._written is None:  # most meters of a fleet are never written to
            self._written = {}
        self._written[obis, index] = value


def _name(member: Attribute | Method) -> str:
    a, b, c, d, e, f = member.instance_id
    return f"{member.class_id}/{a}-{b}:{c}.{d}.{e}.{f}/{member[2]}"


def _text(value: Data) -> str:
    plain = axdr.plain(value)
    return plain.hex() if isinstance(plain, bytes) else str(plain)

"""A batch of consumed records, pure: rows by table, and an account of every record: stored, or set aside and why.

What a record is, its schema says, not its topic; so a record on the wrong topic is told by name.
"""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from connectors.clickhouse import device_rows, event_rows, read_rows, rows
from connectors.clickhouse.rows import Row, Rows, SetAside
from schemas import codec
from schemas.records import (
    EnergyReads,
    LargeResult,
    LoggedFrame,
    MeterEvents,
    MeterOutages,
    ProfileReads,
    ReadingPlan,
    RegisterReads,
)

Partition = tuple[str, int]  # topic and number

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    **rows.COLUMNS,
    **read_rows.COLUMNS,
    **device_rows.COLUMNS,
    **event_rows.COLUMNS,
    "set_aside_in": ("topic", "partition", "offset", "device_id", "reason", "at"),
    "overtaken_in": ("topic", "partition", "first_offset", "last_offset", "at"),
    "sink_batches_in": ("topic", "partition", "rows", "at", "stored_offsets", "set_aside_offsets"),
}
RESPONSES: Final = codec.RESPONSES
REASON_CHARACTERS: Final = 1_000


class Record(Protocol):
    """A consumed record, as confluent-kafka hands it out."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


@dataclass(slots=True)
class Table:
    """Rows for one table, and for each the number of the record in the batch that it comes from."""

    rows: list[Row] = field(default_factory=list)
    records: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Records in the order they were consumed. `aside` grows when the server refuses what the checks here let pass."""

    records: Sequence[Record]
    tables: dict[str, Table] = field(default_factory=lambda: defaultdict(Table))
    aside: dict[int, str] = field(default_factory=dict)  # number of the record -> reason
    expanded: Counter[int] = field(default_factory=Counter)  # number of the record -> rows it becomes, when not one

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Batch":
        """Read, check and pack every record."""
        batch = cls(records)
        for number, record in enumerate(records):
            try:
                batch._add(number, record)
            except (SetAside, codec.Unreadable) as error:
                batch.set_aside(number, error.reason)
            except Exception as error:  # a case nobody thought of must not stop the batches behind it
                batch.set_aside(number, f"not expected: {type(error).__name__} {error}")
        return batch

    def set_aside(self, number: int, reason: str) -> None:
        """This record is not stored; the first reason counts."""
        self.aside.setdefault(number, reason[:REASON_CHARACTERS])

    def _add(self, number: int, record: Record) -> None:
        data = record.value()
        if not data:
            raise SetAside("no value")
        name = codec.name_of(data)
        if name == "meterlog.EnergyReads":
            reads: EnergyReads = codec.decode(data)
            row, count = read_rows.energy(reads)
            self._append(number, "energy_reads_in", row)
            self.expanded[number] = count
        elif name == "meterlog.ProfileReads":
            profile: ProfileReads = codec.decode(data)
            row, count = read_rows.profile(profile)
            self._append(number, "profile_reads_in", row)
            self.expanded[number] = count
        elif name == "meterlog.RegisterReads":
            registers: RegisterReads = codec.decode(data)
            row, count = read_rows.registers(registers)
            self._append(number, "register_reads_in", row)
            self.expanded[number] = count
        elif name == "meterlog.MeterEvents":
            events: MeterEvents = codec.decode(data)
            row, count = event_rows.events(events)
            self._append(number, "meter_events_in", row)
            self.expanded[number] = count
        elif name == "meterlog.MeterOutages":
            outages: MeterOutages = codec.decode(data)
            row, count = event_rows.outages(outages)
            self._append(number, "meter_outages_in", row)
            self.expanded[number] = count
        elif name.startswith(RESPONSES):
            header, result = codec.decode_response(data)
            place = record.partition() or 0, record.offset() or 0
            self._append(number, "responses_in", rows.response(header, result, *place))
        elif name == "meterlog.DeviceEvents":
            _, plain = codec.decode_plain(data)
            several: Rows = device_rows.events(plain, record.partition() or 0, record.offset() or 0)
            for table, row in several:
                self._append(number, table, row)
            self.expanded[number] = len(several)
        elif name == "meterlog.LargeResult":
            large: LargeResult = codec.decode(data)
            self._append(number, "large_results_in", rows.large_result(large, record.timestamp()[1]))
        elif name == "meterlog.LoggedFrame":
            frame: LoggedFrame = codec.decode(data)
            self._append(number, "dlms_log_in", rows.logged_frame(frame))
        elif name == "meterlog.ReadingPlan":
            plan: ReadingPlan = codec.decode(data)
            self._append(number, "plan_versions_in", rows.plan(plan))
        else:
            raise SetAside(f"{name} has no table")

    def _append(self, number: int, table: str, row: Row) -> None:
        into = self.tables[table]
        into.rows.append(row)
        into.records.append(number)

    def token(self, table: str, records: Iterable[int]) -> str:
        """Names exactly these records in this table: ClickHouse drops a second insert of the same token unseen.

        Every offset counts, not the first and last: a batch of half the partitions may have the same ends.
        """
        offsets: dict[Partition, array[int]] = {}
        for number in records:
            record = self.records[number]
            place = (record.topic() or "", record.partition() or 0)
            if place not in offsets:
                offsets[place] = array("Q")
            offsets[place].append(record.offset() or 0)
        digest = hashlib.blake2b(table.encode(), digest_size=16)
        for topic, partition in sorted(offsets):
            digest.update(f"|{topic}|{partition}|".encode())
            digest.update(offsets[topic, partition].tobytes())
        return f"{table}:{digest.hexdigest()}"

    def ends(self) -> dict[Partition, int]:
        """The offset to commit of each partition: the one after its last record."""
        ends: dict[Partition, int] = {}
        for record in self.records:
            place = (record.topic() or "", record.partition() or 0)
            ends[place] = max(ends.get(place, 0), (record.offset() or 0) + 1)
        return ends

    def ledger(self, at: int) -> list[Row]:
        """Rows for `sink_batches_in`: of each partition the offsets stored and set aside. `at`: milliseconds."""
        stored: dict[Partition, array[int]] = defaultdict(lambda: array("Q"))
        aside: dict[Partition, array[int]] = defaultdict(lambda: array("Q"))
        count: Counter[Partition] = Counter()
        for number, record in enumerate(self.records):
            place = (record.topic() or "", record.partition() or 0)
            if number in self.aside:
                aside[place].append(record.offset() or 0)
            else:
                stored[place].append(record.offset() or 0)
                count[place] += self.expanded.get(number, 1)
        places = sorted(stored.keys() | aside.keys())
        return [
            (place[0].encode(), place[1], count[place], at, _bytes(stored.get(place)), _bytes(aside.get(place)))
            for place in places
        ]

    def reasons(self, at: int) -> list[Row]:
        """Rows for `set_aside_in`. `at`: milliseconds."""
        found = ((self.records[number], reason) for number, reason in sorted(self.aside.items()))
        return [
            (
                (record.topic() or "").encode(),
                record.partition() or 0,
                record.offset() or 0,
                record.key() or b"",
                reason.encode("utf-8", "backslashreplace"),
                at,
            )
            for record, reason in found
        ]


def _bytes(offsets: "array[int] | None") -> bytes:
    return b"" if offsets is None else offsets.tobytes()

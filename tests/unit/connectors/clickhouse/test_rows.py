"""Records to rows: what is let through, what is set aside and why, and what must never be told."""

import json
import struct
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clickhouse import device_rows, read_rows, rows
from connectors.clickhouse.batch import COLUMNS, Batch
from connectors.clickhouse.rows import SetAside
from schemas import codec
from schemas.records import (
    NO_VALUE,
    EnergyReads,
    Fault,
    ProfileColumn,
    ProfileReads,
    RegisterRead,
    RegisterReads,
    ResponseHeader,
    Status,
)

ID = "01234567-89ab-cdef-0123-456789abcdef"
AT = 1_793_491_200_000
READS = EnergyReads(
    device_id="EM0001",
    correlation_id=ID,
    period="INTERVAL",
    received_at=AT + 5_000,
    times=struct.pack("<2q", AT, AT + 900_000),
    statuses=b"\x00\x08",
    import_total=struct.pack("<2q", 1_000, NO_VALUE),
)


@dataclass(frozen=True)
class Given:
    """A consumed record."""

    data: bytes | None
    number: int = 0
    on: str = "reads"
    place: int = 0

    def topic(self) -> str:
        return self.on

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, AT

    def key(self) -> bytes:
        return b"EM0001"

    def value(self) -> bytes | None:
        return self.data


def test_a_uuid_is_two_little_endian_halves_the_upper_first() -> None:
    assert rows.correlation(ID).hex() == "efcdab8967452301efcdab8967452301"
    assert rows.correlation(ID.upper()) == rows.correlation(ID)


@pytest.mark.parametrize("text", ["", "nobody", ID[:-1], ID.replace("-", ""), ID + "0", "g" + ID[1:]])
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(SetAside, match="correlation_id"):
        rows.correlation(text)


def test_columns_go_on_as_they_are() -> None:
    row, count = read_rows.energy(READS)
    assert count == 2
    told = dict(zip(COLUMNS["energy_reads_in"], row, strict=True))
    assert told["times"] == READS.times
    assert told["packed_import_total"] == READS.import_total
    assert told["packed_export_rate2"] == b""


def test_a_profile_without_status_has_zeros() -> None:
    row, _ = read_rows.energy(replace(READS, statuses=b""))
    assert row[5] == b"\x00\x00"


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=20))
def test_times_pass_if_and_only_if_each_lies_between_2000_and_2100(times: list[int]) -> None:
    count = len(times)
    read = replace(READS, times=struct.pack(f"<{count}q", *times), statuses=bytes(count), import_total=b"")
    plausible = all(rows.EARLIEST_MS <= each < rows.LATEST_MS for each in times)
    if plausible:
        assert read_rows.energy(read)[1] == count
    else:
        with pytest.raises(SetAside, match="time of row"):
            read_rows.energy(read)


@given(st.integers(rows.EARLIEST_MS, rows.LATEST_MS - 1))
def test_plausible_times_pass(millis: int) -> None:
    assert read_rows.energy(replace(READS, times=struct.pack("<2q", AT, millis)))[1] == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"times": READS.times[:-1]}, "times: 15 bytes"),
        ({"statuses": b"\x00"}, "statuses: 1 rows, times have 2"),
        ({"export_rate2": bytes(8)}, "export_rate2: 8 bytes, times have 16"),
        ({"period": "interval"}, "period: 'interval'"),
        ({"device_id": ""}, "device_id: 0 bytes"),
        ({"device_id": "x" * 300}, "device_id: 300 bytes"),
        ({"received_at": -1}, "received_at: -1 ms"),
        ({"times": struct.pack("<2q", AT, 0)}, "time of row 1: 0 ms"),
    ],
)
def test_a_bad_read_is_set_aside_by_field(change: dict[str, object], reason: str) -> None:
    with pytest.raises(SetAside) as raised:
        read_rows.energy(replace(READS, **change))  # type: ignore[arg-type]
    assert reason in raised.value.reason


GAS = ProfileReads(
    device_id="GM0001",
    correlation_id=ID,
    received_at=AT + 5_000,
    logical_name="0-1:24.3.0.255",
    profile="MBUS_INTERVAL_PROFILE",
    times=struct.pack("<2q", AT, AT + 3_600_000),
    statuses=b"",
    columns=(
        ProfileColumn("consumption", "m3", struct.pack("<2q", 5, NO_VALUE), struct.pack("<2q", NO_VALUE, AT)),
        ProfileColumn("temperature", "", struct.pack("<2q", 1, 2)),
    ),
)


def test_a_profile_is_one_row_with_its_columns_side_by_side() -> None:
    row, count = read_rows.profile(GAS)
    assert count == 4
    told = dict(zip(COLUMNS["profile_reads_in"], row, strict=True))
    assert told["profile"] == b"MBUS_INTERVAL_PROFILE"
    assert told["statuses"] == b"\x00\x00"
    assert told["quantities"] == [b"consumption", b"temperature"]
    assert told["packed_value_times"] == [GAS.columns[0].value_times, b""]
    nameless = dict(zip(COLUMNS["profile_reads_in"], read_rows.profile(replace(GAS, profile=""))[0], strict=True))
    assert nameless["profile"] == nameless["logical_name"] == b"0-1:24.3.0.255"
    batch = Batch.of([Given(codec.encode(GAS))])
    assert (batch.aside, batch.tables["profile_reads_in"].rows, batch.expanded[0]) == ({}, [row], 4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"times": GAS.times[:-1]}, "times: 15 bytes"),
        ({"times": struct.pack("<2q", AT, 0)}, "time of row 1: 0 ms"),
        ({"statuses": b"\x00"}, "statuses: 1 rows, times have 2"),
        ({"columns": (replace(GAS.columns[0], values=bytes(8)),)}, "values of consumption: 8 bytes, times have 16"),
        ({"columns": (replace(GAS.columns[0], value_times=b"x"),)}, "value_times of consumption: 1 bytes"),
        ({"columns": (replace(GAS.columns[0], quantity=""),)}, "quantity: empty"),
        ({"profile": "", "logical_name": ""}, "profile, logical_name: both empty"),
        ({"device_id": ""}, "device_id: 0 bytes"),
        ({"received_at": -1}, "received_at: -1 ms"),
        ({"correlation_id": "nobody"}, "correlation_id"),
    ],
)
def test_a_bad_profile_is_set_aside_by_field(change: dict[str, object], reason: str) -> None:
    with pytest.raises(SetAside) as raised:
        read_rows.profile(replace(GAS, **change))  # type: ignore[arg-type]
    assert reason in raised.value.reason


def test_registers_are_packed_with_a_mark_for_what_is_missing() -> None:
    read = RegisterReads(
        "EM0001", ID, AT, AT, (RegisterRead("import_total", "kWh", 5), RegisterRead("gas", "m3", None))
    )
    row, count = read_rows.registers(read)
    assert (count, row[4:]) == (2, ([b"import_total", b"gas"], [b"kWh", b"m3"], struct.pack("<2q", 5, NO_VALUE)))
    with pytest.raises(SetAside, match="value of import_total"):
        read_rows.registers(replace(read, registers=(RegisterRead("import_total", "kWh", NO_VALUE),)))


def test_the_rejection_of_a_bad_correlation_id_is_kept_as_text() -> None:
    fault = Fault(401, "VALIDATION_ERROR", "METERLOG", "correlation_id: no UUID", field="correlation_id")
    header = ResponseHeader("nobody", "EM0001", "SynchronizeTime", Status.REJECTED, fault, 0, False, 1, AT, AT)
    told = dict(zip(COLUMNS["responses_in"], rows.response(header, None, 3, 7), strict=True))
    assert (told["correlation"], told["correlation_text"], told["status"]) == (bytes(16), b"nobody", b"Rejected")
    assert (told["fault_code"], told["fault_field"], told["created_at"], told["result"]) == (
        401,
        b"correlation_id",
        None,
        b"",
    )


def test_results_are_exact_json() -> None:
    value = {
        "at": datetime(2026, 11, 1, 0, 15, tzinfo=UTC),
        "value": Decimal("1234567890.000001"),
        "raw": b"\x01\xff",
        "ratio": float("nan"),
        "one": ("meterlog.Thing", {"name": "é"}),
        "many": ({"n": 1}, {"n": None}),
    }
    assert json.loads(rows.as_json(value)) == {
        "at": "2026-11-01T00:15:00.000Z",
        "value": "1234567890.000001",
        "raw": "01ff",
        "ratio": "nan",
        "one": {"type": "Thing", "name": "é"},
        "many": [{"n": 1}, {"n": None}],
    }


def test_entries_of_a_bundle_say_whose_results_they_are() -> None:
    body = codec.encode_result(
        "Bundle", {"entries": (("meterlog.operations.clear_alarm_register.Result", {"cleared": (1,)}),)}
    )
    told = json.loads(rows.as_json(codec.decode_result("Bundle", body)))
    assert told == {"entries": [{"type": "clear_alarm_register.Result", "cleared": [1]}]}


def registered() -> dict[str, object]:
    registration = {
        "device_type": "SMART_METER_E",
        "protocol": "SMR",
        "protocol_version": "5.0.0",
        "host": "127.0.0.1",
        "port": 4059,
        "client_id": 1,
        "logical_device": 1,
        "security": "hls5",
        "system_title": b"METERLOG",
        "keys": ({"kind": "master", "sealed": b"top-secret"},),
        "time_zone": "Europe/Amsterdam",
        "labels": {"street": "A"},
        "channel": None,
        "polyphase": True,
        "communication_method": "LTE",
    }
    events = (
        ("meterlog.CommandAccepted", {"correlation_id": ID, "command": b"top-secret", "digest": b"top-secret"}),
        ("meterlog.DeviceRegistered", {"registration": registration, "invocation_counter": 5}),
        ("meterlog.TimeZoneSet", {"time_zone": "UTC"}),
        ("meterlog.SomethingNew", {"what": {"anything": b"top-secret"}}),
    )
    return {"device_id": "EM0001", "version": 3, "at": AT, "cause": "commands@5", "events": events}


def test_the_log_is_stored_without_secrets_and_command_bytes() -> None:
    found = device_rows.events(registered(), 1, 9)
    tables = [table for table, _ in found]
    assert tables.count("device_events_in") == 4
    assert {"device_registrations_in", "device_time_zones_in"} < set(tables)
    assert b"top-secret" not in repr(found).encode()
    assert b"top-secret".hex() not in repr(found)
    told = {table: dict(zip(COLUMNS[table], row, strict=True)) for table, row in found}
    assert told["device_registrations_in"]["key_kinds"] == [b"master"]
    assert told["device_registrations_in"]["system_title"] == b"METERLOG".hex().encode()
    assert told["device_registrations_in"]["polyphase"] is True
    assert told["device_registrations_in"]["communication_method"] == b"LTE"
    details = [json.loads(row[6]) for table, row in found if table == "device_events_in"]
    assert details[0] == {"correlation_id": ID}
    assert "keys" not in details[1]["registration"]
    assert [row[-3:] for table, row in found if table == "device_events_in"] == [(1, 9, n) for n in range(4)]


def test_a_state_of_life_has_a_row_of_its_own() -> None:
    event = ("meterlog.LifecycleSet", {"lifecycle": "DESTROYED"})
    record = {**registered(), "events": [event]}
    (_, (table, row)) = device_rows.events(record, 1, 9)
    assert table == "device_lifecycles_in"
    assert dict(zip(COLUMNS[table], row, strict=True))["lifecycle"] == b"DESTROYED"


def test_what_is_no_log_record_is_set_aside() -> None:
    with pytest.raises(SetAside, match="devices' log: KeyError"):
        device_rows.events({"device_id": "EM0001"}, 0, 0)


def test_a_batch_accounts_for_every_record() -> None:
    good = codec.encode(READS)
    batch = Batch.of([Given(good, 5), Given(None, 6), Given(b"poison", 7), Given(good, 4, place=2)])
    assert batch.tables["energy_reads_in"].records == [0, 3]
    assert set(batch.aside) == {1, 2}
    assert batch.ends() == {("reads", 0): 8, ("reads", 2): 5}
    assert batch.ledger(AT) == [
        (b"reads", 0, 2, AT, struct.pack("<Q", 5), struct.pack("<2Q", 6, 7)),
        (b"reads", 2, 2, AT, struct.pack("<Q", 4), b""),
    ]
    assert [row[:4] for row in batch.reasons(AT)] == [(b"reads", 0, 6, b"EM0001"), (b"reads", 0, 7, b"EM0001")]


def test_a_token_names_exactly_its_records() -> None:
    good = codec.encode(READS)
    batch = Batch.of([Given(good, 1), Given(good, 2), Given(good, 3), Given(good, 1, place=1)])
    tokens = {batch.token("t", numbers) for numbers in ([0], [1], [0, 2], [0, 1, 2], [0, 1, 2, 3], [0, 3], [3])}
    assert len(tokens) == 7
    assert batch.token("t", [0]) != batch.token("u", [0])
    again = Batch.of([Given(good, 1, place=1), Given(good, 1)])
    assert again.token("t", [0, 1]) == batch.token("t", [0, 3])  # whatever the order of partitions in the batch


@given(st.binary(max_size=200))
def test_no_bytes_stop_a_batch(data: bytes) -> None:
    batch = Batch.of([Given(data), Given(codec.encode(READS), 1)])
    assert set(batch.aside) == {0}


def test_every_row_has_the_columns_of_its_table() -> None:
    header = ResponseHeader(str(uuid.uuid4()), "EM0001", "X", Status.SUCCESSFUL, None, 1, False, AT, AT, AT)
    assert len(rows.response(header, {"a": 1}, 0, 0)) == len(COLUMNS["responses_in"])
    for table, row in device_rows.events(registered(), 0, 0):
        assert len(row) == len(COLUMNS[table])

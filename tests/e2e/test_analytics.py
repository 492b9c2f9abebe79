"""The views and the queries, on a real ClickHouse: what an analyst reads is what the meters told."""

import json
import re
import uuid
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import streams.device.wire  # noqa: F401 - binds the records of the log, which only streams write
from connectors.clickhouse.queries import Queries, QueryFailed
from infra import dictionary
from infra.migrate import Migration, MigrationRefused, migrate, shipped
from schemas import codec
from schemas.records import (
    DeviceRegistered,
    Fault,
    LargeResult,
    Lifecycle,
    LifecycleSet,
    MeterEvent,
    MeterEvents,
    MeterOutage,
    MeterOutages,
    ResponseHeader,
    Status,
    TimeZoneSet,
)
from streams.device.events import CommandAccepted, DeviceEvents
from tests.e2e.sink_world import energy, millis, packed, registers
from tests.e2e.tables import AT, ZONE, Tables, registered

ALARMS = {"alarms": ["CLOCK_INVALID"], "register_1": 1, "register_2": None, "register_3": None}


@pytest.fixture
def tables(clickhouse: Any) -> Tables:
    return Tables(clickhouse.host, clickhouse.port)


def response(device: str, operation: str, seconds: float, **changes: Any) -> ResponseHeader:
    told: dict[str, Any] = {
        "correlation_id": str(uuid.uuid4()),
        "device_id": device,
        "operation": operation,
        "status": Status.SUCCESSFUL,
        "fault": None,
        "attempts": 1,
        "repeated": False,
        "created_at": AT,
        "received_at": AT,
        "settled_at": AT + int(seconds * 1_000),
    }
    return ResponseHeader(**{**told, **changes})


def test_the_data_dictionary_is_what_the_server_has(tables: Tables) -> None:
    """Every column of every table and view, with its type; `make schemas` writes it."""
    found = dictionary.tables(tables.ask, tables.database)
    assert dictionary.written(found, dictionary.shipped_words()) == dictionary.PATH.read_text("utf-8")


def test_consumption_jumps_over_no_gap(tables: Tables) -> None:
    reads = [
        energy("EM0001", "2026-11-01T00:00", [1_000, 1_250, None, 1_500, 1_600], exports=[0, 0, 0, 0, 5]),
        energy("EM0001", "2026-11-01T02:00", [3_000, 2_000, 2_100], exports=[5, 5, 6]),
        energy("EM0002", "2026-11-01T00:15", [7, 9]),
    ]
    tables.store([*reads, reads[0]])  # and one of them twice
    query = "SELECT imported_kwh, exported_kwh, quality FROM interval_consumption WHERE device_id = 'EM0001'"
    found = tables.ask(f"{query} ORDER BY captured_at")
    kwh = Decimal("0.001")
    assert found == [
        (None, None, "first"),
        (250 * kwh, 0, "ok"),
        (None, None, "missing"),
        (None, None, "missing"),
        (100 * kwh, 5 * kwh, "ok"),
        (None, None, "gap"),
        (None, None, "went down"),
        (100 * kwh, 1 * kwh, "ok"),
    ]


def test_daily_totals_add_the_tariffs_where_there_is_no_total(tables: Tables) -> None:
    tables.store([energy("EM0001", "2026-10-31T00:00", [10, 30, 70], period="DAILY", step_ms=86_400_000)])
    found = tables.ask("SELECT toDate(day_start), imported_kwh, quality FROM daily_totals ORDER BY day_end")
    assert [row[1:] for row in found] == [(None, "first"), (Decimal("0.02"), "ok"), (Decimal("0.04"), "ok")]
    assert found[1][0] == date(2026, 10, 31)


@pytest.mark.parametrize(
    ("day", "starts", "quarters"),
    [
        (date(2026, 11, 1), "2026-10-31T23:00", 96),
        (date(2026, 3, 29), "2026-03-28T23:00", 92),
        (date(2026, 10, 25), "2026-10-24T22:00", 100),
    ],
)
def test_completeness_knows_the_nights_of_daylight_saving(
    tables: Tables, day: date, starts: str, quarters: int
) -> None:
    whole = energy("EM0001", starts, list(range(quarters + 4)))  # an hour of the next day as well
    part = energy("EM0002", starts, [1, 2, 3], statuses=bytes([0, 2, 8]))
    tables.store([whole, part, whole, *(registered(f"EM000{n}") for n in (1, 2, 3)), registered("EM0004", 1, "UTC")])
    (found,) = tables.queries.completeness(day, day, ZONE)
    assert (found["devices"], found["complete"]) == (3, 1)
    assert (found["expected"], found["present"]) == (3 * quarters, quarters + 3)
    assert tables.queries.incomplete(day, ZONE) == [
        {"device_id": "EM0003", "expected": quarters, "present": 0, "missing": quarters, "flagged": 0},
        {"device_id": "EM0002", "expected": quarters, "present": 3, "missing": quarters - 3, "flagged": 1},
    ]


def test_the_load_curve_of_a_day_sums_the_meters_once(tables: Tables) -> None:
    starts = "2026-10-31T23:00"  # midnight in Amsterdam
    one = energy("EM0001", starts, [250 * n for n in range(97)], exports=[0] * 97)
    tables.store([one, one, energy("EM0002", starts, [500 * n for n in range(97)])])
    curve = tables.queries.load_curve(date(2026, 11, 1), ZONE)
    assert len(curve) == 96
    assert curve[0]["interval_start"].isoformat() == "2026-11-01T00:00:00+01:00"
    assert {(row["meters"], row["import_kw"]) for row in curve} == {(2, Decimal("3"))}
    day = tables.queries.meter_day("EM0001", date(2026, 11, 1), ZONE)
    assert [row["imported_kwh"] for row in day] == [Decimal("0.25")] * 96


def test_groups_count_a_meter_while_it_belongs_to_them(tables: Tables) -> None:
    starts = "2026-10-31T23:00"  # midnight in Amsterdam
    moved = millis("2026-11-01T11:00:00")  # noon there
    short = registered("EM0001", 4, ZONE)
    (event,) = short.events
    assert isinstance(event, DeviceRegistered)
    elsewhere = DeviceRegistered(replace(event.registration, labels={"street": "Short Street"}), 7)
    tables.store(
        [
            *(energy(f"EM000{n}", starts, [250 * n * each for each in range(97)], exports=[0] * 97) for n in (1, 2)),
            *(registered(f"EM000{n}") for n in (1, 2)),
            DeviceEvents("EM0001", 4, moved, "commands@9", (elsewhere,)),
        ]
    )
    curve = (
        "SELECT interval_start, meters, import_kw FROM group_load_curve(day = '2026-11-01', zone = 'Europe/Amsterdam',"
    )
    lane = tables.ask(f"{curve} name = 'street', value = 'Long Lane')")
    street = tables.ask(f"{curve} name = 'street', value = 'Short Street')")
    assert [row[1:] for row in lane] == [(2, Decimal(3))] * 48 + [(1, Decimal(2))] * 48
    assert [row[1:] for row in street] == [(1, Decimal(1))] * 48
    groups = "SELECT name, value, toUnixTimestamp64Milli(valid_from) FROM device_groups WHERE device_id = 'EM0001'"
    assert tables.ask(f"{groups} AND name IN ('street', 'protocol') ORDER BY name, value") == [
        ("protocol", "SMR 5.0.0", 0),
        ("protocol", "SMR 5.0.0", moved),
        ("street", "Long Lane", 0),
        ("street", "Short Street", moved),
    ]


def test_monthly_totals_by_tariff(tables: Tables) -> None:
    reads = [
        replace(
            energy("EM0001", start, [value], period="MONTHLY"),
            import_rate1=packed([value * 400]),
            import_rate2=packed([value * 600]),
        )
        for start, value in (("2026-01-31T23:00", 1_000), ("2026-02-28T23:00", 3_000), ("2026-03-31T22:00", 4_000))
    ]
    tables.store([*reads, energy("EM0001", "2026-07-31T22:00", [9_000], period="MONTHLY")])
    columns = "imported_kwh, imported_rate1_kwh, imported_rate2_kwh, quality"
    assert tables.ask(f"SELECT {columns} FROM monthly_totals ORDER BY month_end") == [
        (None, None, None, "first"),
        (Decimal(2), Decimal("0.8"), Decimal("1.2"), "ok"),
        (Decimal(1), Decimal("0.4"), Decimal("0.6"), "ok"),
        (None, None, None, "gap"),
    ]
    assert tables.ask("SELECT count() FROM daily_totals") == [(0,)]


def test_what_is_missing_and_what_is_flagged(tables: Tables) -> None:
    starts = millis("2026-10-24T22:00:00")  # the local day of 25 hours begins
    day = [starts + n * 900_000 for n in range(100)]
    there = [at for n, at in enumerate(day) if n not in {0, 40, 41, 42, 99}]
    read = replace(
        energy("EM0001", "2026-10-24T22:00", [1] * len(there), statuses=bytes([8, 2, 10, 0] + [0] * (len(there) - 4))),
        times=packed(there),
    )
    tables.store([read, read, registered("EM0001"), registered("EM0002")])
    query = "SELECT * FROM missing_intervals(zone = 'Europe/Amsterdam', from_day = '2026-10-25', to_day = '2026-10-25')"
    found = [(device, at.timestamp() * 1000, end.timestamp() * 1000, n) for device, at, end, n in tables.ask(query)]
    assert found == [
        ("EM0001", day[0], day[0], 1),
        ("EM0001", day[40], day[42], 3),
        ("EM0001", day[99], day[99], 1),
        ("EM0002", day[0], day[99], 100),
    ]
    flagged = tables.ask("SELECT toUnixTimestamp64Milli(captured_at), status_flags FROM flagged_intervals ORDER BY 1")
    assert flagged == [(there[1], ["CLOCK_INVALID"]), (there[2], ["CLOCK_INVALID", "DAYLIGHT_SAVING"])]


def test_latest_reads_do_not_believe_a_clock_that_runs_ahead(tables: Tables) -> None:
    tables.store(
        [
            registers("EM0001", "2026-11-01T10:00:00", import_total=1_000, export_total=None),
            registers("EM0001", "2026-11-01T11:00:00", import_total=2_000),
            energy("EM0001", "2090-01-01T00:00", [9_000]),
            energy("EM0001", "2026-11-01T00:00", [500, 600]),
        ]
    )
    found = tables.ask("SELECT quantity, value FROM latest_reads WHERE device_id = 'EM0001' ORDER BY quantity")
    assert found == [("import_total", Decimal("2")), ("profile_interval_import_total", Decimal("0.6"))]


def test_an_event_is_there_once_however_often_its_log_was_read(tables: Tables) -> None:
    day = millis("2026-11-01T06:00:00")
    login = MeterEvent(day, 46)
    fraud = MeterEvents(
        "EM0001", str(uuid.uuid4()), "DSMR", "FRAUD_DETECTION_LOG", AT, (login, login, MeterEvent(day, 80))
    )
    sag = MeterEvent(day + 1, 93, magnitude=207_100_000, magnitude_unit="V", duration=1_200_000)
    quality = replace(fraud, protocol="SMR", category="POWER_QUALITY_EXTENDED_EVENT_LOG", events=(sag,))
    session = replace(fraud, category="COMMUNICATION_SESSION_LOG", events=(MeterEvent(day, 71, counter=7),))
    outages = MeterOutages("EM0001", fraud.correlation_id, AT, (MeterOutage(day, 180), MeterOutage(day - 90_000, 60)))
    again = replace(fraud, received_at=AT + 9_000, correlation_id=str(uuid.uuid4()))
    tables.store([fraud, quality, session, outages])
    tables.store([again, outages, quality, session])
    columns = "log, code, event, occurrence, counter, magnitude, magnitude_unit, duration, toString(correlation_id)"
    found = tables.ask(f"SELECT {columns} FROM meter_events FINAL ORDER BY log, captured_at, code, occurrence")
    first, second = fraud.correlation_id, again.correlation_id
    assert found == [
        ("COMMUNICATION_SESSION_LOG", 71, "METROLOGICAL_MAINTENANCE", 0, 7, None, "", None, first),
        ("FRAUD_DETECTION_LOG", 46, "FAILED_LOGIN_ATTEMPT", 0, None, None, "", None, second),
        ("FRAUD_DETECTION_LOG", 46, "FAILED_LOGIN_ATTEMPT", 1, None, None, "", None, second),
        ("FRAUD_DETECTION_LOG", 80, "PV_VOLTAGE_SAG_L1", 0, None, None, "", None, second),
        (
            "POWER_QUALITY_EXTENDED_EVENT_LOG",
            93,
            "VOLTAGE_SAG_IN_PHASE_L1",
            0,
            None,
            Decimal("207.1"),
            "V",
            Decimal("1.2"),
            first,
        ),
    ]
    lasted = "toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(ended_at), duration"
    assert tables.ask(f"SELECT {lasted} FROM meter_outages FINAL ORDER BY ended_at") == [
        (day - 150_000, day - 90_000, 60),
        (day - 180_000, day, 180),
    ]
    counted = tables.queries.rows_by_table()
    assert (counted["meter_events"], counted["meter_outages"]) == (5, 2)


def bundle_of(name: str, entry: dict[str, Any]) -> bytes:
    """The body of a bundle's result with one entry."""
    return codec.encode_result("Bundle", {"entries": [(f"meterlog.operations.{name}.Result", entry)]})


def test_the_timeline_of_a_device_is_what_its_meter_and_meterlog_did(tables: Tables) -> None:
    own = str(uuid.uuid4())
    sag = MeterEvent(AT - 3_000, 93, magnitude=207_100_000, magnitude_unit="V", duration=1_200_000)
    log = MeterEvents("EM0001", own, "SMR", "POWER_QUALITY_EXTENDED_EVENT_LOG", AT, (sag,))
    outages = MeterOutages("EM0001", own, AT, (MeterOutage(AT - 1_000, 180),))
    alone = response("EM0001", "ReadAlarmRegister", 1)
    bundled = response("EM0001", "Bundle", 2)
    tables.store(
        [
            log,
            replace(log, device_id="EM0002"),
            outages,
            registered("EM0001"),
            codec.encode_response(alone.operation, alone, codec.encode_result("ReadAlarmRegister", ALARMS)),
            codec.encode_response(bundled.operation, bundled, bundle_of("read_alarm_register", ALARMS)),
        ]
    )
    columns = "toUnixTimestamp64Milli(at), source, what, detail"
    query = f"SELECT {columns} FROM event_timeline WHERE device_id = 'EM0001' ORDER BY at"
    found = tables.ask(query)
    held = "held by the meter when it was read"
    assert [row for row in found if row[1] != "meterlog"] == [
        (AT - 181_000, "meter", "LONG_POWER_FAILURE", "180 s"),
        (AT - 3_000, "meter", "VOLTAGE_SAG_IN_PHASE_L1", "POWER_QUALITY_EXTENDED_EVENT_LOG 93, 207.1 V, 1.2 s"),
        (AT + 1_000, "alarm", "CLOCK_INVALID", held),
        (AT + 2_000, "alarm", "CLOCK_INVALID", held),
    ]
    assert [row[:3] for row in found if row[1] == "meterlog"] == [(AT, "meterlog", "DeviceRegistered")]
    read = tables.ask(f"EXPLAIN indexes = 1 {query}")
    assert "Condition: (device_id in ['EM0001', 'EM0001'])" in "\n".join(line for (line,) in read)


def test_a_snapshot_of_all_attributes_is_rows_wherever_its_result_lies(tables: Tables) -> None:
    clock = {
        "class_id": 8,
        "version": 0,
        "logical_name": "0-0:1.0.0.255",
        "tag": "CLOCK",
        "note": None,
        "attributes": [
            {"attribute_id": 2, "name": "time", "access_mode": 3, "access": "READ_AND_WRITE", "value": "some text"},
            {"attribute_id": 3, "name": None, "access_mode": 1, "access": "READ_ONLY", "refused": "read-write-denied"},
        ],
    }
    plain, large, bundled, packed = (response("EM0001", name, n) for n, name in enumerate(
        ("GetAllAttributeValues", "GetAllAttributeValues", "Bundle", "Bundle")
    ))  # fmt: skip
    body = codec.encode_result("GetAllAttributeValues", {"objects": [clock]})
    tables.store(
        [
            codec.encode_response(plain.operation, plain, body),
            codec.encode_response(large.operation, large, None),
            LargeResult(large.correlation_id, "EM0001", large.operation, body),
            codec.encode_response(
                bundled.operation, bundled, bundle_of("get_all_attribute_values", {"objects": [clock]})
            ),
            LargeResult(
                packed.correlation_id, "EM0001", "Bundle", bundle_of("get_all_attribute_values", {"objects": [clock]})
            ),
        ]
    )
    for told in (plain, large, bundled, packed):
        found = tables.ask(
            f"SELECT class_id, logical_name, tag, attribute_id, name, access, value, refused FROM attribute_values "
            f"WHERE device_id = 'EM0001' AND correlation_id = '{told.correlation_id}' ORDER BY attribute_id"
        )
        assert found == [
            (8, "0-0:1.0.0.255", "CLOCK", 2, "time", "READ_AND_WRITE", "some text", None),
            (8, "0-0:1.0.0.255", "CLOCK", 3, None, "READ_ONLY", None, "read-write-denied"),
        ]


def test_devices_are_told_without_their_secrets(tables: Tables) -> None:
    accepted = CommandAccepted(str(uuid.uuid4()), "AddDevice", b"top-secret", b"d" * 16, 4, AT, AT, AT, None, False)
    zone = DeviceEvents("EM0001", 5, AT + 5, "job-results@9", (TimeZoneSet("Europe/London"),))
    tables.store([registered("EM0001", 2, ZONE, accepted), registered("EM0002", 1), zone, registered("EM0002", 1)])
    (found,) = tables.queries.devices(like="em0001")
    assert (found["time_zone"], found["key_kinds"], found["labels"]) == (
        "Europe/London",
        ["master"],
        {"street": "Long Lane"},
    )
    assert [each["device_id"] for each in tables.queries.devices()] == ["EM0001", "EM0002"]
    destroyed = DeviceEvents("EM0002", 2, AT + 6, "commands@9", (LifecycleSet(Lifecycle.DESTROYED),))
    tables.store([destroyed])
    assert [each["lifecycle"] for each in tables.queries.devices()] == ["NEW_IN_INVENTORY", "DESTROYED"]
    assert [each["kind"] for each in tables.queries.events("EM0001")] == [
        "TimeZoneSet",
        "CommandAccepted",
        "DeviceRegistered",
    ]
    everything = repr([tables.ask(f"SELECT * FROM {name}") for name in ("device_events", "device_registrations")])
    assert "top-secret" not in everything
    assert b"top-secret".hex() not in everything
    assert tables.queries.device("nobody") is None


def test_a_response_is_found_with_its_result_however_large(tables: Tables) -> None:
    plain = response("EM0001", "ReadAlarmRegister", 2.5)
    large = response("EM0001", "ReadAlarmRegister", 0.5, large_result="metering.results.large.v1:0:7")
    repeat = response("EM0001", "ReadAlarmRegister", 9, correlation_id=plain.correlation_id, repeated=True)
    fault = Fault(401, "VALIDATION_ERROR", "METERLOG", "no such thing", field="correlation_id")
    taken = response(
        "EM0001", "ReadAlarmRegister", 0.1, status=Status.REJECTED, fault=fault, correlation_id=plain.correlation_id
    )
    odd = response("EM0002", "Nonsense", 0, status=Status.REJECTED, fault=fault, correlation_id="it's me")
    body = codec.encode_result("ReadAlarmRegister", ALARMS)
    tables.store(
        [
            codec.encode_response(repeat.operation, repeat, None),
            codec.encode_response(taken.operation, taken, None),
            codec.encode_response(plain.operation, plain, body),
            codec.encode_response(large.operation, large, None),
            LargeResult(large.correlation_id, "EM0001", "ReadAlarmRegister", body),
            codec.encode_response(odd.operation, odd, None),
        ]
    )
    told = tables.queries.response(plain.correlation_id)
    assert told is not None
    assert (told["status"], told["repeated"], told["attempts"]) == ("Successful", False, 1)
    assert json.loads(told["result"]) == ALARMS
    other = tables.queries.response(large.correlation_id)
    assert other is not None
    assert other["result"] == told["result"]
    rejected = tables.queries.response("it's me")
    assert rejected is not None
    assert (rejected["fault_code"], rejected["fault_field"], rejected["result"]) == (401, "correlation_id", "")
    assert tables.queries.response(str(uuid.uuid4())) is None
    assert [each["seconds"] for each in tables.queries.slowest_commands(2)] == [2.5, 0.5]
    assert {(each["operation"], each["commands"]) for each in tables.queries.outcomes()} == {
        ("ReadAlarmRegister", 2),
        ("ReadAlarmRegister", 1),
        ("Nonsense", 1),
    }
    assert tables.queries.rows_by_table()["responses"] == 5


def test_devices_may_have_large_results_under_one_id(tables: Tables) -> None:
    """A correlation id is a device's own: it says nothing of who else used it."""
    one = response("EM0001", "ReadAlarmRegister", 0.5, large_result="metering.results.large.v1:0:7")
    two = replace(one, device_id="EM0002", large_result="metering.results.large.v1:0:8")
    alarms = {"EM0001": ALARMS, "EM0002": {**ALARMS, "alarms": [], "register_1": 0}}
    results = {device: codec.encode_result("ReadAlarmRegister", each) for device, each in alarms.items()}
    for told in (one, two, one):
        large = LargeResult(told.correlation_id, told.device_id, told.operation, results[told.device_id])
        tables.store([codec.encode_response(told.operation, told, None), large])
    for device, each in alarms.items():
        found = tables.queries.response(one.correlation_id, device)
        assert found is not None and json.loads(found["result"]) == each
    assert tables.queries.rows_by_table()["large_results"] == 2


def test_migrations_are_applied_once_and_a_changed_file_is_refused(tables: Tables) -> None:
    where = (tables.host, tables.port)
    assert migrate(*where, database=tables.database) == []
    first, *others = shipped()
    changed = Migration.read(first.name, "SELECT 1;\n")
    with pytest.raises(MigrationRefused, match=f"{first.name} was changed after it was applied"):
        migrate(*where, database=tables.database, migrations=[changed, *others])
    with pytest.raises(MigrationRefused, match=f"later release: it has {first.name}"):
        migrate(*where, database=tables.database, migrations=others)
    broken = Migration.read("900_more.sql", "CREATE TABLE more (a Int8) ENGINE = Memory;\nSELECT nothing;\n")
    with pytest.raises(MigrationRefused, match=r"900_more\.sql, statement 2 of 2"):
        migrate(*where, database=tables.database, migrations=[first, *others, broken])
    mended = Migration.read("900_more.sql", "CREATE TABLE more (a Int8) ENGINE = Memory;\nINSERT INTO more SELECT 1;\n")
    told: list[str] = []
    assert migrate(*where, told.append, database=tables.database, migrations=[first, *others, mended]) == [mended.name]
    assert told == ["applied 900_more.sql"]
    assert tables.ask("SELECT a FROM more") == [(1,)]


def test_what_cannot_be_asked_says_what_to_do(clickhouse: Any) -> None:
    with pytest.raises(QueryFailed, match="lacks a table .`meterlog migrate` creates them"):
        Queries(clickhouse.host, clickhouse.port, database="system").rows_by_table()
    with pytest.raises(QueryFailed, match="cannot be reached"):
        Queries("127.0.0.1", 1).devices()
    with pytest.raises(MigrationRefused, match="127.0.0.1:1"):
        migrate("127.0.0.1", 1)


def test_every_query_of_the_documentation_runs(tables: Tables) -> None:
    text = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text("utf-8")
    blocks = re.findall(r"^ *```sql\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    bare = "\n".join(line for block in blocks for line in block.splitlines() if not line.lstrip().startswith("--"))
    queries = [query for query in bare.split(";") if query.strip()]
    assert len(queries) >= 6
    tables.store([energy("EM0001", "2026-11-01T00:00", [1, 2, 3]), registered("EM0001")])
    answers = [tables.ask(query) for query in queries]
    assert answers[0][1][1] == Decimal("0.001")

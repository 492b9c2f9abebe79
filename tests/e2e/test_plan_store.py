"""Plans and what is stored by them, on a real ClickHouse: whom a plan reads, what is there, what became of asking."""

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.clickhouse.plan_queries import PlanQueries
from connectors.planner.calendar import DAY, HOUR
from connectors.planner.plan import plan_of, read_plan
from connectors.planner.plans import following
from connectors.planner.watching import Watched
from operations import catalogue
from schemas.records import (
    DeviceRegistered,
    Fault,
    ProfileColumn,
    ProfileReads,
    ReadingPlan,
    Registration,
    ResponseHeader,
    Security,
    Status,
)
from streams.device.events import DeviceEvents
from tests.e2e.sink_world import energy, millis, packed
from tests.e2e.tables import Tables

ZONE = "Europe/Amsterdam"
AT = millis("2026-10-01T12:00:00")
HEAD = """
name = "{name}"
zone = "Europe/Amsterdam"
window = {{ from = "01:00", to = "05:00" }}
devices = {{ {devices} }}
"""
ALL = f"""{HEAD}
reads = [
    {{{{ operation = "GetPeriodicMeterReads", profile = "INTERVAL" }}}},
    {{{{ operation = "GetPeriodicMeterReads", profile = "MONTHLY" }}}},
]
"""
GAS = f"""{HEAD}
reads = [
    {{{{ operation = "GetPeriodicMeterReads", profile = "INTERVAL" }}}},
    {{{{ operation = "GetPeriodicMeterReadsGas", profile = "INTERVAL" }}}},
    {{{{ operation = "GetPeriodicMeterReadsGas", profile = "DAILY" }}}},
]
"""


def a_plan(name: str, devices: str = "", version: int = 1, text: str = ALL, **changes: Any) -> ReadingPlan:
    made = following(read_plan(text.format(name=name, devices=devices)), None, AT)
    assert made is not None
    return ReadingPlan(**{field: getattr(made, field) for field in made.__slots__} | {"version": version} | changes)


def registered(device: str, **changes: Any) -> DeviceEvents:
    told: dict[str, Any] = {
        "device_type": "SMART_METER_E",
        "protocol": "SMR",
        "protocol_version": "5.0.0",
        "host": "127.0.0.1",
        "port": 4059,
        "client_id": 1,
        "logical_device": 1,
        "security": Security.HLS5,
        "system_title": b"",
        "keys": (),
    }
    return DeviceEvents(device, 1, AT, "commands@1", (DeviceRegistered(Registration(**told | changes)),))


def gas(
    device: str,
    first: str,
    values: Iterable[int | None],
    *,
    profile: str = "MBUS_INTERVAL_PROFILE",
    received: str = "2026-10-26T02:00",
) -> ProfileReads:
    """Hours of gas in dm3."""
    column = [None if value is None else value * 1_000 for value in values]
    times = packed(millis(first) + number * HOUR for number in range(len(column)))
    return ProfileReads(
        device_id=device,
        correlation_id=str(uuid.uuid4()),
        received_at=millis(received),
        logical_name="0-1:24.3.0.255",
        profile=profile,
        times=times,
        statuses=bytes(len(column)),
        columns=(ProfileColumn("consumption", "m3", packed(column), b""),),
    )


def response(device: str, name: str, status: Status, at: str, code: int | None = None, **changes: Any) -> bytes:
    from schemas import codec

    fault = None if code is None else Fault(code, "X", "METERLOG", "because")
    told: dict[str, Any] = {"attempts": 1, "repeated": False, "operation": "GetPeriodicMeterReads"} | changes
    header = ResponseHeader(
        name,
        device,
        told["operation"],
        status,
        fault,
        told["attempts"],
        told["repeated"],
        AT,
        millis(at),
        millis(at),
    )
    return codec.encode_response(header.operation, header, None)


@pytest.fixture(scope="module")
def tables(clickhouse: Any) -> Tables:
    found = Tables(clickhouse.host, clickhouse.port)
    found.store(
        [
            registered("EM0001", labels={"street": "Long Lane"}, cell_id="21"),
            registered("EM0002", labels={"street": "Long Lane"}, protocol_version="5.1"),
            registered("EM0003", protocol="DSMR", protocol_version="4.2.2", cell_id="21"),
            registered("GM0001", device_type="SMART_METER_G", gateway_id="EM0001", channel=1),
            registered(
                "GM0002", device_type="SMART_METER_W", gateway_id="EM0003", channel=2, labels={"street": "Quay"}
            ),
        ]
    )
    found.store(
        [
            a_plan("all"),
            a_plan("types", 'types = ["SMART_METER_E"]'),
            a_plan("profiles", 'profiles = ["SMR 5.1", "DSMR 4.2.2"]'),
            a_plan("street", 'labels = { street = "Long Lane" }, cells = ["21"]'),
            a_plan("ids", 'ids = ["EM0003", "NOBODY"]'),
            a_plan("gone"),
            a_plan("gone", version=2, deleted=True),
            a_plan("gas", text=GAS),
            a_plan("gas-of-a-street", 'labels = { street = "Long Lane" }', text=GAS),
            a_plan("gas-of-a-cell", 'types = ["SMART_METER_E"], cells = ["21"]', text=GAS),
            a_plan("gas-by-its-own-label", 'labels = { street = "Quay" }', text=GAS),
            a_plan("changed"),
            a_plan("changed", 'ids = ["EM0002"]', version=2),
        ]
    )
    # the night of 25 hours: EM0001 has all of it, EM0002 all but five quarter-hours
    found.store(
        [
            energy("EM0001", "2026-10-24T22:00", [1] * 100),
            energy("EM0002", "2026-10-24T22:00", [1] * 95),
            energy("EM0002", "2026-10-24T22:00", [1] * 95, received="2026-10-26T03:00"),  # read twice
        ]
    )
    # and of 25 hours of gas GM0001 has all, one without a value, and the day's; GM0002 has 20
    found.store(
        [
            gas("GM0001", "2026-10-24T22:00", [None, *range(24)]),
            gas("GM0001", "2026-10-24T22:00", [1], profile="MBUS_DAILY_PROFILE"),
            gas("GM0002", "2026-10-24T22:00", range(20)),
            gas("GM0002", "2026-10-24T22:00", range(20), received="2026-10-26T03:00"),
        ]
    )
    return found


@pytest.fixture
def queries(tables: Tables) -> PlanQueries:
    return PlanQueries(tables.host, tables.port, database=tables.database)


@pytest.mark.parametrize(
    ("plan", "devices"),
    [
        ("all", ["EM0001", "EM0002", "EM0003"]),
        ("types", ["EM0001", "EM0002", "EM0003"]),
        ("profiles", ["EM0002", "EM0003"]),
        ("street", ["EM0001"]),
        ("ids", ["EM0003"]),
        ("gone", []),
        ("gas", ["EM0001", "EM0002", "EM0003", "GM0001", "GM0002"]),
        ("gas-of-a-street", ["EM0001", "EM0002", "GM0001"]),
        ("gas-of-a-cell", ["EM0001", "EM0003", "GM0001", "GM0002"]),
        ("gas-by-its-own-label", ["GM0002"]),
        ("changed", ["EM0002"]),
        ("unheard-of", []),
    ],
)
def test_whom_a_plan_reads(queries: PlanQueries, plan: str, devices: list[str]) -> None:
    assert [row["device_id"] for row in queries.plan_devices(plan)] == devices


def test_rows_are_counted_by_period_each_once(queries: PlanQueries) -> None:
    starts = [millis("2026-10-23T22:00"), millis("2026-10-24T22:00")]
    end = millis("2026-10-25T23:00")
    found = queries.rows_by_period(["EM0001", "EM0002", "EM0003"], "INTERVAL", starts, end)
    assert found == {("EM0001", starts[1]): 100, ("EM0002", starts[1]): 95}
    assert queries.rows_by_period(["EM0001"], "DAILY", starts, end) == {}
    assert queries.rows_by_period([], "INTERVAL", starts, end) == {}


def test_hours_of_gas_are_counted_in_their_own_table(queries: PlanQueries) -> None:
    starts, end = [millis("2026-10-24T22:00")], millis("2026-10-25T23:00")
    found = queries.gas_rows_by_period(["GM0001", "GM0002", "EM0001"], "INTERVAL", starts, end)
    assert found == {("GM0001", starts[0]): 25, ("GM0002", starts[0]): 20}
    assert queries.gas_rows_by_period(["GM0001", "GM0002"], "DAILY", starts, end) == {("GM0001", starts[0]): 1}


def test_completeness_of_gas_is_in_the_same_view(queries: PlanQueries) -> None:
    days = queries.plan_completeness("gas", ZONE, date(2026, 10, 25), date(2026, 10, 25))
    assert [(row["read"], row["devices"], row["complete"], row["expected"], row["missing"]) for row in days] == [
        ("GetPeriodicMeterReads-INTERVAL", 3, 1, 300, 105),
        ("GetPeriodicMeterReadsGas-DAILY", 2, 1, 2, 1),
        ("GetPeriodicMeterReadsGas-INTERVAL", 2, 1, 50, 5),
    ]


def test_a_look_asks_a_gas_meter_through_its_own_name(queries: PlanQueries) -> None:
    now = millis("2026-10-26T06:00")
    watched = Watched(plan_of(a_plan("gas", text=GAS, at=now - 5 * DAY)))
    watched.refresh(queries.plan_devices("gas"), now)
    asks = watched.look(watched.due(now), queries, now)
    night = datetime(2026, 10, 24, 22, tzinfo=UTC)
    asked = {
        (ask.device_id, ask.operation, ask.request["period_type"]) for ask in asks if ask.request["begin_date"] == night
    }
    assert asked == {
        ("EM0002", "GetPeriodicMeterReads", "INTERVAL"),
        ("EM0003", "GetPeriodicMeterReads", "INTERVAL"),
        ("GM0002", "GetPeriodicMeterReadsGas", "INTERVAL"),
        ("GM0002", "GetPeriodicMeterReadsGas", "DAILY"),
    }


def test_completeness_is_a_view(queries: PlanQueries) -> None:
    days = queries.plan_completeness("types", ZONE, date(2026, 10, 25), date(2026, 10, 25))
    assert [(row["read"], row["devices"], row["complete"], row["expected"], row["missing"]) for row in days] == [
        ("GetPeriodicMeterReads-INTERVAL", 3, 1, 300, 105)
    ]
    worst = queries.plan_missing("types", ZONE, date(2026, 10, 25), date(2026, 10, 25), limit=1)
    assert [(row["device_id"], row["missing"]) for row in worst] == [("EM0003", 100)]
    month = queries.plan_completeness("types", ZONE, date(2026, 9, 30), date(2026, 10, 1))
    assert {(row["read"], str(row["day"]), row["expected"]) for row in month} >= {
        ("GetPeriodicMeterReads-MONTHLY", "2026-10-01", 3),
        ("GetPeriodicMeterReads-INTERVAL", "2026-09-30", 288),
    }


def test_what_became_of_asking(tables: Tables, queries: PlanQueries) -> None:
    names = [str(uuid.uuid4()) for _ in range(6)]
    tables.store(
        [
            response("XM0001", names[0], Status.SUCCESSFUL, "2026-11-01T02:00"),
            response("XM0001", names[1], Status.ERROR, "2026-11-02T02:00", 227),
            response("XM0001", names[2], Status.EXPIRED, "2026-11-03T02:00", 227),
            response("XM0001", names[2], Status.EXPIRED, "2026-11-03T02:00", 227, repeated=True),
            response("XM0002", names[3], Status.EXPIRED, "2026-11-03T02:00", 417, attempts=0),
            response("XM0002", names[4], Status.ERROR, "2026-11-03T02:00", 0),
            response("XM0003", names[5], Status.ERROR, "2026-11-03T02:00", 227, operation="ReadAlarmRegister"),
        ]
    )
    found = queries.outcomes_since(["XM0001", "XM0002"], ["GetPeriodicMeterReads"], millis("2026-11-01T00:00"))
    assert {row["correlation_id"]: (row["status"], bool(row["unreached"])) for row in found} == {
        names[0]: ("Successful", False),
        names[1]: ("Error", True),
        names[2]: ("Expired", True),
        names[3]: ("Expired", False),
        names[4]: ("Error", False),
    }
    heard = queries.heard(["XM0001", "XM0002", "XM0003", "GM0001"], millis("2026-10-01T00:00"))
    assert heard == {
        "XM0001": (millis("2026-11-01T02:00"), millis("2026-11-03T02:00"), 2),
        "XM0002": (millis("2026-11-03T02:00"), None, 0),
        "XM0003": (None, millis("2026-11-03T02:00"), 1),
    }
    assert "FindMessageLogs" in catalogue() and not catalogue()["FindMessageLogs"].connects, "says nothing of a meter"


def test_a_look_asks_for_what_is_missing_and_counts_it_as_asked_once_it_is_sent(queries: PlanQueries) -> None:
    now = millis("2026-10-26T06:00")
    watched = Watched(plan_of(a_plan("types", at=now - 5 * DAY)))
    watched.refresh(queries.plan_devices("types"), now)
    devices = watched.due(now)
    assert sorted(devices) == ["EM0001", "EM0002", "EM0003"] and watched.due(now) == []
    asks = watched.look(devices, queries, now)
    night = datetime(2026, 10, 24, 22, tzinfo=UTC)
    asked = {ask.device_id for ask in asks if ask.request["begin_date"] == night}
    assert asked == {"EM0002", "EM0003"}, "EM0001 has all of that day"
    watched.again(devices, now)
    assert watched.look(watched.due(now), queries, now) == asks, "nothing was sent"
    watched.sent(asks)
    watched.again(devices, now)
    more = watched.look(watched.due(now), queries, now)
    assert not {ask.correlation_id for ask in more} & {ask.correlation_id for ask in asks}

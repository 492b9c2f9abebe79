"""Gas and power quality on a real ClickHouse: from the records of a worker to what an analyst reads."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.clickhouse.sink import Refused, Target
from schemas.records import ProfileColumn, ProfileReads
from tests.e2e.sink_world import millis, packed
from tests.e2e.tables import ZONE, Tables, registered

HOUR_MS = 3_600_000
ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def tables(clickhouse: Any) -> Tables:
    return Tables(clickhouse.host, clickhouse.port)


def gas(
    device: str,
    first: str,
    litres: list[int | None],
    *,
    taken: list[int | None] | None = None,
    statuses: Iterable[int] = (),
    period: str = "INTERVAL",
    received: str = "2026-11-02T01:00:00",
) -> ProfileReads:
    """Hours of a gas meter in litres; `taken`: minutes before each row, an hour where nothing is said."""
    start = millis(first)
    times = [start + n * HOUR_MS for n in range(len(litres))]
    minutes = taken or [60] * len(litres)
    return ProfileReads(
        device_id=device,
        correlation_id=ID,
        received_at=millis(received),
        logical_name="0-1:24.3.0.255",
        profile=f"MBUS_{period}_PROFILE",
        times=packed(times),
        statuses=bytes(statuses),
        columns=(
            ProfileColumn(
                "consumption",
                "m3",
                packed(None if each is None else each * 1_000 for each in litres),
                packed(None if ago is None else at - ago * 60_000 for at, ago in zip(times, minutes, strict=True)),
            ),
        ),
    )


def voltages(
    device: str, last: str, profile: str = "POWER_QUALITY_PROFILE_2", **phases: list[int | None]
) -> ProfileReads:
    """Ten-minute averages in tenths of a volt, ending at `last`."""
    count = len(next(iter(phases.values())))
    columns = [
        ProfileColumn(f"average_voltage_{phase}", "V", packed(None if v is None else v * 100_000 for v in values))
        for phase, values in phases.items()
    ]
    times = [millis(last) - 600_000 * (count - 1 - n) for n in range(count)]
    return ProfileReads(device, ID, millis(last) + 1, "1-0:99.1.2.255", profile, packed(times), b"", tuple(columns))


def test_a_record_becomes_a_row_a_quantity_and_time(tables: Tables) -> None:
    own = ProfileReads(
        *(
            "EM0001",
            ID,
            millis("2026-11-02T00:00"),
            "1-0:99.9.9.255",
            "",
            packed([millis("2026-11-01"), millis("2026-11-02")]),
        ),
        bytes([0, 0x84]),
        (ProfileColumn("active_power", "W", packed([-5, None])), ProfileColumn("voltage_sags_l1", "", packed([0, 7]))),
    )
    empty = ProfileReads(
        "EM0001", ID, millis("2026-11-02"), "1-0:99.9.9.255", "X", b"", b"", (ProfileColumn("a", "", b""),)
    )
    tables.store([own, empty, gas("GM0001", "2026-11-01T01:00", [1, None], taken=[60, None]), own])
    found = tables.ask(
        "SELECT device_id, profile, logical_name, quantity, toHour(captured_at), value, unit, value_at IS NULL, "
        "status_flags, toString(correlation_id) FROM profile_values ORDER BY device_id, quantity, captured_at"
    )
    flags = ["DATA_NOT_VALID", "POWER_DOWN"]
    name, hourly = "1-0:99.9.9.255", ("GM0001", "MBUS_INTERVAL_PROFILE", "0-1:24.3.0.255", "consumption")
    assert found == [
        ("EM0001", name, name, "active_power", 0, Decimal("-0.000005"), "W", 1, [], ID),
        ("EM0001", name, name, "active_power", 0, None, "W", 1, flags, ID),
        ("EM0001", name, name, "voltage_sags_l1", 0, 0, "", 1, [], ID),
        ("EM0001", name, name, "voltage_sags_l1", 0, Decimal("0.000007"), "", 1, flags, ID),
        (*hourly, 1, Decimal("0.001"), "m3", 0, [], ID),
        (*hourly, 2, None, "m3", 1, [], ID),
    ]


def test_a_gas_meters_clock_may_say_anything(tables: Tables) -> None:
    reads = gas("GM0001", "2026-11-01T01:00", [1, 2, 3], taken=[-60 * 24 * 365 * 3_000, 60 * 24 * 365 * 500, 0])
    tables.store([reads])
    assert tables.ask("SELECT value_at IS NULL FROM profile_reads ORDER BY captured_at") == [(1,), (1,), (0,)]


def test_a_ragged_record_is_refused_whole(tables: Tables) -> None:
    target = Target(tables.host, tables.port, database=tables.database)
    row = [b"EM1", b"P", b"1", millis("2026-11-01"), bytes(16), packed([millis("2026-11-01")]), b"\0", [b"a"], [b"V"]]
    with pytest.raises(Refused):
        target.insert("profile_reads_in", [(*row, [bytes(16)], [b""])], "token")
    target.close()
    assert tables.ask("SELECT count() FROM profile_reads") == [(0,)]


def test_of_an_hour_read_twice_the_later_read_counts(tables: Tables) -> None:
    first = gas("GM0001", "2026-11-01T01:00", [100, 200], received="2026-11-01T05:00:00")
    again = gas("GM0001", "2026-11-01T02:00", [201, 300], received="2026-11-01T06:00:00")
    tables.store([again])
    tables.store([first])
    found = tables.ask("SELECT value FROM profile_values ORDER BY captured_at")
    assert [value for (value,) in found] == [Decimal("0.1"), Decimal("0.201"), Decimal("0.3")]


def test_gas_per_hour_goes_by_the_gas_meters_own_times(tables: Tables) -> None:
    reads = gas(
        "GM0001",
        "2026-11-01T01:00",
        [1_000, 1_250, 1_250, None, 1_600, 1_700, 1_800, 1_750, 1_900],
        taken=[60, 57, 117, None, 60, 60, 60, 60, 60],
        statuses=[0, 8, 8, 4, 4, 0, 0, 0, 0x80],
    )
    tables.store(
        [reads, reads, gas("GM0001", "2026-11-02T01:00", [9_000, 9_100]), gas("GM0002", "2026-11-01T01:00", [1, 2])]
    )
    found = tables.ask(
        "SELECT quality, consumed_m3, interval_end FROM gas_consumption WHERE device_id = 'GM0001' ORDER BY captured_at"
    )
    assert [(quality, used) for quality, used, _ in found] == [
        ("first", None),
        ("ok", Decimal("0.25")),
        ("repeated", None),  # the same telegram once more
        ("not valid", None),
        ("not valid", None),
        ("not valid", None),
        ("ok", Decimal("0.1")),
        ("went down", None),
        ("ok", Decimal("0.15")),
        ("gap", None),
        ("ok", Decimal("0.1")),
    ]
    assert found[1][2].isoformat() == "2026-11-01T01:03:00+00:00"


DAYS = pytest.mark.parametrize(
    ("day", "starts", "hours"),
    [
        (date(2026, 11, 1), "2026-10-31T23:00", 24),
        (date(2026, 3, 29), "2026-03-28T23:00", 23),
        (date(2026, 10, 25), "2026-10-24T22:00", 25),
    ],
)


@DAYS
def test_the_fleets_gas_of_a_day_is_the_sum_of_its_meters_hours(
    tables: Tables, day: date, starts: str, hours: int
) -> None:
    """Whichever way a meter's clock differs; and without reading the gas of other months."""
    rows = hours + 3
    late, early = [57] * rows, [62] * rows
    at_once: list[int | None] = [0] * rows
    flags = [0] * 5 + [4] + [0] * (rows - 6)
    tables.store(
        [
            gas("GM0001", starts, [100 * n for n in range(rows)], taken=[*late]),
            gas("GM0002", starts, [200 * n for n in range(rows)], taken=[*early], statuses=flags),
            gas("GM0003", starts, [None if n == 7 else 300 * n for n in range(rows)], taken=at_once),
            gas("GM0001", "2026-06-01T00:00", [100 * n for n in range(500)]),
        ]
    )
    view = f"gas_curve(day = '{day}', zone = '{ZONE}')"
    found = tables.ask(f"SELECT hour, meters, consumed_m3 FROM {view} ORDER BY hour")
    singly = tables.ask(
        f"SELECT toStartOfHour(interval_start + INTERVAL 30 MINUTE, '{ZONE}') AS hour, count(), sum(consumed_m3) "
        "FROM gas_consumption WHERE quality = 'ok' "
        f"AND toDate(interval_start + INTERVAL 30 MINUTE, '{ZONE}') = '{day}' "
        "GROUP BY hour ORDER BY hour"
    )
    assert found == singly and len(found) == hours
    assert sorted({meters for _, meters, _ in found}) == [2, 3], "an hour is missing of two of them"
    read = sum(row[3] for row in tables.ask(f"EXPLAIN ESTIMATE SELECT * FROM {view}"))
    assert 0 < read <= 3 * rows


@DAYS
def test_missing_hours_of_gas_know_the_nights_of_daylight_saving(
    tables: Tables, day: date, starts: str, hours: int
) -> None:
    kinds = {"GM0001": "SMART_METER_G", "WM0002": "SMART_METER_W", "GM0003": "SMART_METER_G", "EM0004": "SMART_METER_E"}
    tables.store(
        [
            gas("GM0001", starts, list(range(hours + 2))),
            gas("WM0002", starts, [1, None, 3], statuses=[0, 4, 8]),
            *(registered(device, device_type=kind) for device, kind in kinds.items()),
            registered("GM0005", 1, "UTC", device_type="SMART_METER_G"),
        ]
    )
    asked = f"(zone = '{ZONE}', from_day = '{day}', to_day = '{day}')"
    found = tables.ask(f"SELECT device_id, expected, present, flagged, missing FROM gas_completeness{asked} ORDER BY 1")
    assert found == [
        ("GM0001", hours, hours, 0, 0),
        ("GM0003", hours, 0, 0, hours),
        ("WM0002", hours, 2, 1, hours - 2),
    ]
    missing = tables.ask(f"SELECT device_id, captured_at FROM gas_missing{asked} ORDER BY ALL")
    first = tables.ask(f"SELECT toDateTime64('{starts.replace('T', ' ')}:00', 3, 'UTC')")[0][0]
    all_hours = [first + timedelta(hours=n) for n in range(hours)]
    assert missing == [("GM0003", at) for at in all_hours] + [("WM0002", at) for at in all_hours[1:2] + all_hours[3:]]


def test_voltages_of_a_local_day_by_phase(tables: Tables) -> None:
    midnight = "2026-11-01T23:00"  # in Amsterdam, and so the end of 1 November
    tables.store(
        [
            voltages("EM0001", midnight, l1=[2_300, 2_069, 2_531, 2_310], l2=[2_300, None, 2_070, 2_530]),
            voltages("EM0001", "2026-11-02T23:00", l1=[2_300]),
            voltages("EM0001", midnight, "DEFINABLE_LOAD_PROFILE", l1=[2_200]),
        ]
    )
    found = tables.ask(
        "SELECT phase, profile, samples, lowest_v, mean_v, highest_v, below, above, percent_within "
        f"FROM voltage_quality(zone = '{ZONE}', from_day = '2026-11-01', to_day = '2026-11-01') ORDER BY profile, phase"
    )
    own = "POWER_QUALITY_PROFILE_2"
    assert found == [
        ("L1", "DEFINABLE_LOAD_PROFILE", 1, 220, 220, 220, 0, 0, 100),
        ("L1", own, 4, Decimal("206.9"), Decimal("230.25"), Decimal("253.1"), 1, 1, 50),
        ("L2", own, 3, 207, 230, 253, 0, 0, 100),
    ]


def test_latest_reads_have_the_last_valid_value_of_gas(tables: Tables) -> None:
    tables.store(
        [
            gas("GM0001", "2026-11-01T01:00", [1_000, 1_100, 0], statuses=[0, 0, 4]),
            gas("GM0001", "2026-11-01T00:00", [900], period="DAILY"),
            gas("GM0001", "2090-11-01T00:00", [1], received="2026-11-02T01:00:00"),
        ]
    )
    found = tables.ask("SELECT quantity, value, unit FROM latest_reads WHERE device_id = 'GM0001' ORDER BY quantity")
    assert found == [
        ("profile_daily_consumption", Decimal("0.9"), "m3"),
        ("profile_interval_consumption", Decimal("1.1"), "m3"),
    ]

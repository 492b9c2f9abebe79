"""GetPeriodicMeterReads of electricity: operations-reading 7 and 3.6, and their worked cases."""

from array import array
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import profile
from operations._steps import Attribute, Get, Range, ReadRows
from schemas.records import NO_VALUE, CommandHeader, EnergyReads
from tests.unit.operations.conversation import (
    AMSTERDAM,
    CUBIC_METRES,
    DEVICE,
    VERSIONS,
    WATT_HOURS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    octets,
    play,
    utc,
)

NAME = "GetPeriodicMeterReads"
PERIODS = ("INTERVAL", "DAILY", "MONTHLY")
ANY = bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")
COMBINED = [version for version in VERSIONS if not version[1].startswith("5")]  # daily and monthly profiles with gas
RATES = ["IMPORT_RATE_1", "IMPORT_RATE_2", "EXPORT_RATE_1", "EXPORT_RATE_2"]


def asked(period: str, begin: str = "2019-01-01", end: str = "2019-02-02") -> dict[str, Any]:
    return {"period_type": period, "begin_date": begin, "end_date": end}


def played(rows: list[tuple[Any, ...]], scaler: Data = WATT_HOURS) -> PlayedMeter:
    """A meter with scaler_units of all energy registers and no M-Bus meters."""
    energy = [bytes((1, 0, c, 8, e, 255)) for c in (1, 2) for e in (0, 1, 2)]
    return PlayedMeter({Attribute(3, obis, 3): scaler for obis in energy}, rows=rows)


def row(
    period: str, version: tuple[str, str], time: bytes | Data | None, value: Any, status: Any = 8
) -> tuple[Any, ...]:
    """One row of the electricity columns of that profile."""
    statuses = () if period == "MONTHLY" and version in COMBINED else (status,)
    return (time, *statuses, *[value] * (2 if period == "INTERVAL" else 4))


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("version", VERSIONS)
def test_two_rows(version: tuple[str, str], period: str) -> None:
    first, second = clock(utc("2019-01-01")), clock(utc("2019-01-02"))
    meter = played([row(period, version, first, 1000), row(period, version, second, 1500)])
    result = play(NAME, asked(period), meter_of(*version), meter.answer).result
    assert result.log_times == (millis("2019-01-01"), millis("2019-01-02"))
    total, rates = (result.active_energy_import, result.active_energy_export), _rates(result)
    kilowatt_hours = (1_000_000, 1_500_000)
    assert total == ((kilowatt_hours,) * 2 if period == "INTERVAL" else ((), ()))
    assert rates == (((),) * 4 if period == "INTERVAL" else (kilowatt_hours,) * 4)
    assert result.amr_profile_statuses == (() if period == "MONTHLY" and version in COMBINED else (8, 8))


def _rates(result: Any) -> tuple[Any, ...]:
    return (
        result.active_energy_import_tariff_one,
        result.active_energy_import_tariff_two,
        result.active_energy_export_tariff_one,
        result.active_energy_export_tariff_two,
    )


def _plan(version: tuple[str, str], period: str, **settings: Any) -> tuple[ReadRows, list[Attribute]]:
    """The buffer read and the scalers read of an empty answer."""
    meter = played([])
    meter.attributes |= {Attribute(4, bytes((0, c, 24, 2, 1, 255)), 3): CUBIC_METRES for c in (1, 2, 3, 4)}
    assert play(NAME, asked(period), meter_of(*version, **settings), meter.answer).result.log_times == ()
    buffer, *scalers = meter.steps
    assert isinstance(buffer, ReadRows)
    return buffer, [step.attribute for step in scalers if isinstance(step, Get)]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("version", VERSIONS)
def test_requests_made(version: tuple[str, str], period: str) -> None:
    """7.2: one buffer and a scaler for each register; columns are named in the combined profiles only."""
    buffer, scalers = _plan(version, period, time_zone=AMSTERDAM)
    old_months = version in COMBINED
    obis = {"INTERVAL": (1, 0, 99, 1, 0, 255), "DAILY": (1, 0, 99, 2, 0, 255)}.get(
        period, (0 if old_months else 1, 0, 98, 1, 0, 255)
    )
    assert buffer.buffer == Attribute(7, bytes(obis), 2)
    assert len(scalers) == (2 if period == "INTERVAL" else 4)
    assert {scaler.index for scaler in scalers} == {3}
    selection = buffer.selection
    assert selection is not None
    assert selection.start == utc("2019-01-01")
    assert selection.start.utcoffset() == timedelta(hours=1)
    assert selection.end == utc("2019-02-02")
    if version in COMBINED and period != "INTERVAL":
        rates = [(3, bytes((1, 0, c, 8, e, 255)), 2, 0) for c in (1, 2) for e in (1, 2)]
        status = [(1, bytes((0, 0, 96, 10, 2, 255)), 2, 0)] if period == "DAILY" else []
        assert list(selection.columns) == [(8, bytes((0, 0, 1, 0, 0, 255)), 2, 0), *status, *rates]
    else:
        assert selection.columns == ()


def test_without_column_selection_all_columns_come() -> None:
    buffer, scalers = _plan(("DSMR", "4.2.2"), "DAILY", selective_access=False)
    assert isinstance(buffer.selection, Range)
    assert buffer.selection.columns == ()
    assert len(scalers) == 8
    version = ("DSMR", "4.2.2")
    gas = (500, clock(utc("2019-01-01")), *[None, ANY] * 3)
    meter = played([(*row("DAILY", version, clock(utc("2019-01-02")), 1000), *gas)])
    result = play(NAME, asked("DAILY"), meter_of(*version, selective_access=False), meter.answer).result
    assert _rates(result) == ((1_000_000,),) * 4  # refused scalers of channels without a meter do no harm


@pytest.mark.parametrize(
    ("period", "second", "zone"),
    [
        ("INTERVAL", "2019-01-01T00:15", None),
        ("DAILY", "2019-01-02", None),
        ("MONTHLY", "2019-02-01", None),
        ("INTERVAL", "2019-01-01T00:15", AMSTERDAM),
    ],
)
def test_a_missing_clock_is_one_period_later(period: str, second: str, zone: str | None) -> None:
    version = ("SMR", "5.0.0")
    for missing in (None, ANY, Data(Tag.NULL_DATA, None)):
        meter = played([row(period, version, clock(utc("2019-01-01")), 1000), row(period, version, missing, 1500)])
        result = play(NAME, asked(period), meter_of(*version, time_zone=zone), meter.answer).result
        assert result.log_times == (millis("2019-01-01"), millis(second))


@pytest.mark.parametrize(
    ("period", "first", "second"),
    [
        ("DAILY", "2024-03-30T23:00", "2024-03-31T22:00"),  # a day of 23 hours
        ("DAILY", "2024-10-26T22:00", "2024-10-27T23:00"),  # 25 hours
        ("MONTHLY", "2024-02-29T23:00", "2024-03-31T22:00"),  # 1 March to 1 April, local
        ("MONTHLY", "2024-11-30T23:00", "2024-12-31T23:00"),  # into the next year
        ("INTERVAL", "2024-03-31T00:45", "2024-03-31T01:00"),
    ],
)
def test_days_and_months_are_local(period: str, first: str, second: str) -> None:
    version = ("SMR", "5.5")
    meter = played([row(period, version, clock(utc(first), AMSTERDAM), 1), row(period, version, None, 2)])
    request = asked(period, "2024-01-01", "2025-01-31")
    result = play(NAME, request, meter_of(*version, time_zone=AMSTERDAM), meter.answer).result
    assert result.log_times == (millis(first), millis(second))


def test_a_whole_compressed_month_follows_its_first_row() -> None:
    version = ("SMR", "5.0.0")
    rows = [row("DAILY", version, None, n) for n in range(31)]
    rows[0] = row("DAILY", version, clock(utc("2024-02-29T23:00"), AMSTERDAM), 0)
    request = asked("DAILY", "2024-01-01", "2024-12-31")
    result = play(NAME, request, meter_of(*version, time_zone=AMSTERDAM), played(rows).answer).result
    assert len(result.log_times) == 31
    assert result.log_times[-1] == millis("2024-03-30T23:00")


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    version = ("SMR", "5.0.0")
    times = [utc("2024-10-27T00:00") + timedelta(minutes=15 * n) for n in range(8)]
    rows = [row("INTERVAL", version, clock(time, AMSTERDAM), n) for n, time in enumerate(times)]
    assert rows[0][0][4:8] == rows[4][0][4:8]  # the same hour on the wall
    request = asked("INTERVAL", "2024-10-26", "2024-10-28")
    result = play(NAME, request, meter_of(*version, time_zone=AMSTERDAM), played(rows).answer).result
    assert result.log_times == tuple(millis("2024-10-27T00:00") + 900_000 * n for n in range(8))


def test_rows_before_the_first_clock_are_dropped() -> None:
    version = ("SMR", "5.0.0")
    rows = [row("INTERVAL", version, None, n) for n in range(2)]
    rows += [row("INTERVAL", version, clock(utc("2019-01-05")), 7), row("INTERVAL", version, None, 8)]
    result = play(NAME, asked("INTERVAL"), meter_of(*version), played(rows).answer).result
    assert result.log_times == (millis("2019-01-05"), millis("2019-01-05T00:15"))
    assert result.active_energy_import == (7_000_000 // 1000, 8_000_000 // 1000)
    rows = [row("INTERVAL", version, None, n) for n in range(2)]
    assert play(NAME, asked("INTERVAL"), meter_of(*version), played(rows).answer).result.log_times == ()


def test_both_ends_belong_to_the_range() -> None:
    version = ("SMR", "5.0.0")
    days = ["2018-12-31T23:59:59", "2019-01-01", "2019-02-02", "2019-02-02T00:00:01"]
    rows = [row("INTERVAL", version, clock(utc(day)), n, n) for n, day in enumerate(days)]
    result = play(NAME, asked("INTERVAL"), meter_of(*version), played(rows).answer).result
    assert result.log_times == (millis(days[1]), millis(days[2]))
    assert result.active_energy_import == (1000, 2000)
    assert result.amr_profile_statuses == (1, 2)


def test_begin_may_be_end() -> None:
    version = ("DSMR", "4.2.2")
    meter = played([row("DAILY", version, clock(utc("2022-05-02")), 1000)])
    request = asked("DAILY", "2022-05-02", "2022-05-02")
    assert len(play(NAME, request, meter_of(*version), meter.answer).result.log_times) == 1


def test_begin_after_end_is_rejected() -> None:
    with pytest.raises(Rejected) as caught:
        play(NAME, asked("DAILY", "2022-05-03", "2022-05-02"), meter_of("SMR", "5.0.0"), played([]).answer)
    assert (caught.value.field, caught.value.code) == ("begin_date", 401)


@pytest.mark.parametrize(("scaler", "value", "expected"), [(-2, 123_456, 1_234_560), (3, 5, 5_000_000), (-3, 7, 7)])
def test_the_scaler_is_the_meters(scaler: int, value: int, expected: int) -> None:
    scaling = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, 30)))
    meter = played([row("INTERVAL", ("SMR", "5.0.0"), clock(utc("2019-01-05")), value)], scaling)
    result = play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), meter.answer).result
    assert result.active_energy_import == (expected,)


def test_finer_than_a_millionth_is_exact_or_unusable() -> None:
    scaling = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -4), Data(Tag.ENUMERATE, 30)))
    meter = played([row("INTERVAL", ("SMR", "5.0.0"), clock(utc("2019-01-05")), 120)], scaling)
    assert play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), meter.answer).result.active_energy_import == (12,)
    meter.rows = [row("INTERVAL", ("SMR", "5.0.0"), clock(utc("2019-01-05")), 125)]
    with pytest.raises(MeterUnusable, match="finer than a millionth"):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), meter.answer)


@pytest.mark.parametrize(
    "scaling",
    [
        Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0), Data(Tag.ENUMERATE, 0))),
        Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0),)),
        Data(Tag.DOUBLE_LONG_UNSIGNED, 0),
        CUBIC_METRES,
    ],
)
def test_a_scaler_nobody_can_use(scaling: Data) -> None:
    with pytest.raises(MeterUnusable):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), played([], scaling).answer)


@pytest.mark.parametrize(("scaler", "value"), [(0, 1 << 63), (127, 1), (3, (1 << 63) // 10**6 + 1), (0, -(1 << 62))])
def test_more_than_63_bits_are_unusable(scaler: int, value: int) -> None:
    scaling = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, 30)))
    meter = played([row("INTERVAL", ("SMR", "5.0.0"), clock(utc("2019-01-05")), value)], scaling)
    with pytest.raises(MeterUnusable, match="63 bits"):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), meter.answer)


def test_months_beyond_the_calendar_are_unusable() -> None:
    rows = [row("MONTHLY", ("SMR", "5.0.0"), None, 1) for _ in range(30)]
    rows[0] = row("MONTHLY", ("SMR", "5.0.0"), clock(utc("9998-12-01")), 1)
    with pytest.raises(MeterUnusable, match="no period comes after"):
        play(NAME, asked("MONTHLY"), meter_of("SMR", "5.0.0"), played(rows).answer)


_cells = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.booleans(),
    st.floats(),
    st.binary(min_size=12, max_size=12),
    st.binary(max_size=14),
    st.builds(Data, st.integers(0, 30), st.none() | st.integers() | st.binary()),
)
_clocks = st.datetimes(timezones=st.just(UTC), min_value=datetime(1971, 1, 1)).map(clock) | _cells  # noqa: DTZ001
_rows = st.lists(st.tuples(_clocks, _cells, _cells, _cells) | st.lists(_cells).map(tuple), max_size=8)


@given(_rows, st.sampled_from(["INTERVAL", "DAILY", "MONTHLY"]), st.integers(-128, 127))
def test_any_rows_are_columns_of_one_length_or_unusable(rows: list[Any], period: str, scaler: int) -> None:
    scaling = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, 30)))
    request = asked(period, "1971-01-01", "9998-01-01")
    try:
        result = play(NAME, request, meter_of("SMR", "5.0.0", time_zone=AMSTERDAM), played(rows, scaling).answer).result
    except MeterUnusable:
        return
    columns = [*_rates(result), result.active_energy_import, result.active_energy_export, result.amr_profile_statuses]
    assert {len(column) for column in columns} <= {0, len(result.log_times)}
    _records(result)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 1 << 32), st.integers(0, 1 << 32)), min_size=1, max_size=40),
    st.integers(0, 400_000),
)
def test_a_compressed_clock_says_the_same(values: list[tuple[int, int, int]], quarter: int) -> None:
    start = utc("2024-01-01") + timedelta(minutes=15 * quarter)
    whole = [(clock(start + timedelta(minutes=15 * n), AMSTERDAM), *each) for n, each in enumerate(values)]
    compressed = [whole[0], *((None, *each) for each in values[1:])]
    request = asked("INTERVAL", "2024-01-01", "2050-01-01")
    meter = meter_of("SMR", "5.0.0", time_zone=AMSTERDAM)
    assert play(NAME, request, meter, played(whole).answer) == play(NAME, request, meter, played(compressed).answer)


def test_missing_values_and_statuses() -> None:
    version = ("SMR", "5.0.0")
    rows = [row("INTERVAL", version, clock(utc("2019-01-05")), None, None), row("INTERVAL", version, None, 5, 0)]
    result = play(NAME, asked("INTERVAL"), meter_of(*version), played(rows).answer).result
    assert result.active_energy_import == (None, 5000)
    assert result.amr_profile_statuses == (None, 0)


def test_a_meter_that_compresses_repeats_what_stands_above() -> None:
    shipped = profile("SMR", "5.0.0")
    compressing = replace(shipped, traits=replace(shipped.traits, null_data_compression=True))
    rows = [(None, 1, 1, None), (clock(utc("2019-01-05")), 8, 7, None), (None, None, None, 2), (None, 0, 8, None)]
    result = play(NAME, asked("INTERVAL"), Meter(DEVICE, compressing), played(rows).answer).result
    assert result.log_times == tuple(millis("2019-01-05") + 900_000 * n for n in range(3))
    assert result.active_energy_import == (7000, 7000, 8000)
    assert result.active_energy_export == (None, 2000, 2000)
    assert result.amr_profile_statuses == (8, 8, 0)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((b"", 8, 1, 1), "date-time of 0 bytes"),
        ((octets(b"\0"), 8, 1, 1), "date-time of 1 bytes"),
        ((5, 8, 1, 1), "date-time came as int"),
        ((clock(utc("2019-01-05")), b"\0", 1, 1), "status"),
        ((clock(utc("2019-01-05")), 256, 1, 1), "status"),
        ((clock(utc("2019-01-05")), 8, b"x", 1), "ACTIVE_ENERGY_IMPORT_TOTAL"),
        ((clock(utc("2019-01-05")), 8, 1), r"rows have \[3, 4\] columns, 4 were asked for"),
    ],
)
def test_cells_nobody_can_use(cells: tuple[Any, ...], reason: str) -> None:
    good = row("INTERVAL", ("SMR", "5.0.0"), clock(utc("2019-01-05")), 1)
    with pytest.raises(MeterUnusable, match=reason):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), played([good, cells]).answer)


def test_a_refused_buffer_and_a_refused_scaler_are_refusals() -> None:
    meter = played([])
    meter.refusals[profile("SMR", "5.0.0")["INTERVAL_PROFILE"].at(2)] = (13, "data-block-unavailable")
    with pytest.raises(MeterRefused):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), meter.answer)
    with pytest.raises(MeterRefused):
        play(NAME, asked("INTERVAL"), meter_of("SMR", "5.0.0"), PlayedMeter().answer)


def _records(result: Any) -> list[EnergyReads]:
    declared = catalogue()[NAME].reads
    assert declared is not None
    found = list(declared(CommandHeader("id", DEVICE, 0), result, 99))
    assert all(isinstance(each, EnergyReads) for each in found)
    return found  # type: ignore[return-value]


def _unpacked(column: bytes) -> list[int]:
    return array("q", column).tolist()


def test_reads_are_packed_columns() -> None:
    version = ("SMR", "5.0.0")
    rows = [row("DAILY", version, clock(utc("2019-01-05")), None, None), row("DAILY", version, None, 5, 0x88)]
    (record,) = _records(play(NAME, asked("DAILY"), meter_of(*version), played(rows).answer).result)
    assert (record.device_id, record.correlation_id, record.period, record.received_at) == (DEVICE, "id", "DAILY", 99)
    assert _unpacked(record.times) == [millis("2019-01-05"), millis("2019-01-06")]
    assert record.statuses == b"\0\x88"
    assert _unpacked(record.import_rate1) == [NO_VALUE, 5000]
    assert record.export_rate2 == record.import_rate1
    assert record.import_total == record.export_total == b""


def test_reads_without_status_column_say_zero() -> None:
    version = ("DSMR", "4.2.2")
    meter = played([row("MONTHLY", version, clock(utc("2019-02-01")), 5)])
    (record,) = _records(play(NAME, asked("MONTHLY"), meter_of(*version), meter.answer).result)
    assert record.statuses == b"\0"


def test_no_rows_no_record() -> None:
    assert _records(play(NAME, asked("DAILY"), meter_of("SMR", "5.0.0"), played([]).answer).result) == []


def test_ten_days_of_quarter_hours() -> None:
    version = ("SMR", "5.2")
    start = utc("2024-06-01")
    rows = [row("INTERVAL", version, clock(start + timedelta(minutes=15 * n), AMSTERDAM), n) for n in range(960)]
    request = asked("INTERVAL", "2024-06-01", "2024-06-30")
    result = play(NAME, request, meter_of(*version, time_zone=AMSTERDAM), played(rows).answer).result
    assert result.log_times == tuple(millis("2024-06-01") + 900_000 * n for n in range(960))
    assert result.active_energy_export == tuple(1000 * n for n in range(960))

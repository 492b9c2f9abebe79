"""GetPeriodicMeterReadsGas: operations-reading 7.4 to 7.8, the scalers of 2.3 and the columns of 2.5."""

from array import array
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import Device, Meter, _gas_models, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import Column, Profile, ScalerUnit, profile
from operations._steps import Attribute, Get, ReadRows
from schemas.records import NO_VALUE, CommandHeader, ProfileColumn, ProfileReads
from tests.unit.operations.conversation import (
    AMSTERDAM,
    CUBIC_METRES,
    VERSIONS,
    WATT_HOURS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    play,
    utc,
)

NAME = "GetPeriodicMeterReadsGas"
PERIODS = ("INTERVAL", "DAILY", "MONTHLY")
GAS = "TESTG101205673117"
NEVER = bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")
CLOCK = (8, bytes((0, 0, 1, 0, 0, 255)), 2, 0)
OLD, NEW = ("DSMR", "4.2.2"), ("SMR", "5.0.0")
Version = tuple[str, str]


def asked(period: str, begin: str = "2019-01-01", end: str = "2019-02-02", **more: str) -> dict[str, Any]:
    return {"period_type": period, "begin_date": begin, "end_date": end, **more}


def of_channel(version: Version, channel: int = 1, **settings: Any) -> Meter:
    return replace(meter_of(*version, channel=channel, **settings), device_id=GAS)


def is_old(version: Version) -> bool:
    return version[0] == "DSMR" or version[1] == "4.3"


def dated(version: Version) -> bool:
    """Whether the profile has the capture time of each value."""
    return version != ("DSMR", "2.2")


def has_status(version: Version, period: str) -> bool:
    return not (is_old(version) and period == "MONTHLY")


def value_object(version: Version, channel: int) -> bytes:
    return bytes((0, channel, 24, 2, 1 if is_old(version) else 2, 255))


def played(
    rows: list[tuple[Any, ...]], version: Version = NEW, channel: int = 1, scaler: Data = CUBIC_METRES
) -> PlayedMeter:
    return PlayedMeter({Attribute(4, value_object(version, channel), 3): scaler}, rows=rows)


def row(version: Version, period: str, time: bytes | None, value: Any, taken: Any, status: Any = 8) -> tuple[Any, ...]:
    """One row of the columns that are asked for."""
    return (time, *((status,) if has_status(version, period) else ()), value, *((taken,) if dated(version) else ()))


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("version", VERSIONS)
def test_two_rows(version: Version, period: str) -> None:
    first, second = clock(utc("2019-01-01")), clock(utc("2019-01-02"))
    before = clock(utc("2018-12-31T23:00"))
    rows = [row(version, period, first, 12345, before), row(version, period, second, 12400, first)]
    result = play(NAME, asked(period), of_channel(version), played(rows, version).answer).result
    assert result.log_times == (millis("2019-01-01"), millis("2019-01-02"))
    assert result.consumption == (12_345_000, 12_400_000)
    taken = (millis("2018-12-31T23:00"), millis("2019-01-01"))
    assert result.capture_times == (taken if dated(version) else ())
    assert result.amr_profile_statuses == ((8, 8) if has_status(version, period) else ())


@pytest.mark.parametrize("channel", [1, 2, 3, 4])
@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("version", VERSIONS)
def test_requests_made(version: Version, period: str, channel: int) -> None:
    """The profile of 2.5 with its columns, and one scaler, of the value object inside profiles (2.3)."""
    meter = played([], version, channel)
    result = play(NAME, asked(period), of_channel(version, channel, time_zone=AMSTERDAM), meter.answer).result
    assert result.log_times == ()
    buffer, scaler = meter.steps
    assert isinstance(buffer, ReadRows) and buffer.selection is not None
    assert scaler == Get(Attribute(4, value_object(version, channel), 3))
    assert buffer.selection.start == utc("2019-01-01")
    assert buffer.selection.start.utcoffset() == timedelta(hours=1)
    if is_old(version) and period != "INTERVAL":
        obis = (1, 0, 99, 2, 0, 255) if period == "DAILY" else (0, 0, 98, 1, 0, 255)
        status = [(1, bytes((0, 0, 96, 10, 2, 255)), 2, 0)] if period == "DAILY" else []
        value = (4, value_object(version, channel))
        taken = [(*value, 5, 0)] if dated(version) else []
        assert list(buffer.selection.columns) == [CLOCK, *status, (*value, 2, 0), *taken]
    else:
        obis = (0, channel, 24, 3, PERIODS.index(period), 255)
        assert buffer.selection.columns == ()
    assert buffer.buffer == Attribute(7, bytes(obis), 2)
    assert result.logical_name == "{}-{}:{}.{}.{}.{}".format(*obis)


def combined(channel: int, value: Any, taken: Any, time: bytes | None) -> tuple[Any, ...]:
    """A row of the daily profile of DSMR 4.2.2 as the meter keeps it: 14 columns."""
    others: list[Any] = [0, NEVER] * 4
    others[2 * channel - 2 : 2 * channel] = [value, taken]
    return (time, 8, 1, 2, 3, 4, *others)


@pytest.mark.parametrize("channel", [1, 2, 3, 4])
def test_without_column_selection_the_channel_is_found_among_all_columns(channel: int) -> None:
    days = [clock(utc(day), AMSTERDAM) for day in ("2019-01-01", "2019-01-02", "2019-01-03")]
    meter = played([combined(channel, 100 + n, day, day) for n, day in enumerate(days)], OLD, channel)
    result = play(NAME, asked("DAILY"), of_channel(OLD, channel, selective_access=False), meter.answer).result
    assert meter.steps[0].selection.columns == ()  # type: ignore[union-attr]
    assert result.consumption == (100_000, 101_000, 102_000)
    assert result.capture_times == result.log_times == tuple(millis(f"2019-01-0{n}") for n in (1, 2, 3))


@pytest.mark.parametrize("ignored", [True, False])
def test_a_meter_that_ignores_or_refuses_the_selection_of_columns(ignored: bool) -> None:
    day = clock(utc("2019-01-02"))
    meter = played([combined(2, 77, day, day)], OLD, 2)

    def answer(step: Any) -> Any:
        if isinstance(step, ReadRows) and step.selection is not None and step.selection.columns and not ignored:
            meter.steps.append(step)
            raise MeterRefused(13, "scope-of-access-violated", str(step.buffer))
        return meter.answer(step)

    assert play(NAME, asked("DAILY"), of_channel(OLD, 2), answer).result.consumption == (77_000,)
    assert len([step for step in meter.steps if isinstance(step, ReadRows)]) == (1 if ignored else 2)


def test_a_meter_without_any_selective_access_is_read_whole_and_filtered_here() -> None:
    days = [clock(utc(f"2019-{month}-01")) for month in ("01", "02", "03")]
    meter = played([row(NEW, "INTERVAL", day, n, day) for n, day in enumerate(days)])

    def answer(step: Any) -> Any:
        if isinstance(step, ReadRows) and step.selection is not None:
            raise MeterRefused(13, "scope-of-access-violated", str(step.buffer))
        return meter.answer(step)

    result = play(NAME, asked("INTERVAL"), of_channel(NEW), answer).result
    assert result.log_times == (millis("2019-01-01"), millis("2019-02-01"))


def test_any_other_refusal_of_the_buffer_is_one() -> None:
    meter = played([])
    meter.refusals[profile(*NEW)["MBUS_INTERVAL_PROFILE_1"].at(2)] = (11, "object-unavailable")
    with pytest.raises(MeterRefused, match="object-unavailable"):
        play(NAME, asked("INTERVAL"), of_channel(NEW), meter.answer)
    with pytest.raises(MeterRefused, match="object-undefined"):
        play(NAME, asked("INTERVAL"), of_channel(NEW), PlayedMeter().answer)


@pytest.mark.parametrize(
    ("period", "second"),
    [("INTERVAL", "2019-01-01T01:00"), ("DAILY", "2019-01-02"), ("MONTHLY", "2019-02-01")],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_clock_is_one_period_later(version: Version, period: str, second: str) -> None:
    time = clock(utc("2019-01-01"))
    rows = [row(version, period, time, 1000, time), row(version, period, None, 1500, None)]
    result = play(NAME, asked(period), of_channel(version), played(rows, version).answer).result
    assert result.log_times == (millis("2019-01-01"), millis(second))
    assert result.capture_times == (result.log_times if dated(version) else ())


@pytest.mark.parametrize(
    ("period", "first", "second"),
    [
        ("DAILY", "2024-03-30T23:00", "2024-03-31T22:00"),  # a day of 23 hours
        ("DAILY", "2024-10-26T22:00", "2024-10-27T23:00"),  # 25 hours
        ("MONTHLY", "2024-10-31T23:00", "2024-11-30T23:00"),
        ("MONTHLY", "2024-02-29T23:00", "2024-03-31T22:00"),  # 1 March to 1 April, local
        ("INTERVAL", "2024-10-27T00:00", "2024-10-27T01:00"),  # the hour that comes twice
    ],
)
@pytest.mark.parametrize("version", [OLD, NEW])
def test_days_and_months_are_local(version: Version, period: str, first: str, second: str) -> None:
    time = clock(utc(first), AMSTERDAM)
    rows = [row(version, period, time, 1, time), row(version, period, None, 2, None)]
    request = asked(period, "2024-01-01", "2025-01-31")
    meter = of_channel(version, time_zone=AMSTERDAM)
    result = play(NAME, request, meter, played(rows, version).answer).result
    assert result.log_times == result.capture_times == (millis(first), millis(second))


@pytest.mark.parametrize(("night", "hours"), [("2024-03-30T23:00", 23), ("2024-10-26T22:00", 25), ("2024-06-01", 24)])
def test_a_day_has_23_to_25_hours(night: str, hours: int) -> None:
    times = [utc(night) + timedelta(hours=n) for n in range(hours)]
    rows = [row(NEW, "INTERVAL", clock(time, AMSTERDAM), n, clock(time, AMSTERDAM)) for n, time in enumerate(times)]
    end = (utc(night) + timedelta(hours=hours - 1)).isoformat()
    meter = of_channel(NEW, time_zone=AMSTERDAM)
    result = play(NAME, asked("INTERVAL", night, end), meter, played(rows).answer).result
    assert result.log_times == tuple(millis(night) + 3_600_000 * n for n in range(hours))
    assert result.consumption == tuple(1_000 * n for n in range(hours))


def test_rows_without_a_time_above_them_are_dropped() -> None:
    time = clock(utc("2019-01-05"))
    rows = [
        row(NEW, "INTERVAL", None, 1, None),
        row(NEW, "INTERVAL", time, 2, None),  # no capture time, and none above it
        row(NEW, "INTERVAL", None, 3, time),
        row(NEW, "INTERVAL", None, 4, None),
    ]
    result = play(NAME, asked("INTERVAL"), of_channel(NEW), played(rows[:2]).answer).result
    assert result.log_times == result.consumption == result.capture_times == ()
    result = play(NAME, asked("INTERVAL"), of_channel(NEW), played(rows).answer).result
    assert result.consumption == (3_000, 4_000)
    assert result.log_times == (millis("2019-01-05T01:00"), millis("2019-01-05T02:00"))
    assert result.capture_times == (millis("2019-01-05"), millis("2019-01-05T01:00"))


def test_an_hour_without_a_telegram_hides_no_other() -> None:
    """The meter stores no value, or all ones, a time of all FF and status bit 2 (meter-model 11)."""
    time = clock(utc("2019-01-05"))
    rows = [
        row(NEW, "INTERVAL", time, 5, time, 0),
        row(NEW, "INTERVAL", None, 0xFFFFFFFF, NEVER, 4),
        row(NEW, "INTERVAL", None, 0, NEVER, 12),
        row(NEW, "INTERVAL", None, None, None, None),
        row(NEW, "INTERVAL", None, 9, time, 0),
    ]
    result = play(NAME, asked("INTERVAL"), of_channel(NEW), played(rows).answer).result
    assert result.log_times == tuple(millis("2019-01-05") + 3_600_000 * n for n in range(5))
    assert result.consumption == (5_000, None, 0, None, 9_000)
    assert result.capture_times == (millis("2019-01-05"), None, None, None, millis("2019-01-05"))
    assert result.amr_profile_statuses == (0, 4, 12, None, 0)
    (record,) = _records(result)
    assert record.statuses == bytes((0, 4, 12, 0, 0))
    (column,) = record.columns
    assert array("q", column.values).tolist() == [5_000, NO_VALUE, 0, NO_VALUE, 9_000]
    at = millis("2019-01-05")
    assert array("q", column.value_times).tolist() == [at, NO_VALUE, NO_VALUE, NO_VALUE, at]


def test_a_meter_that_compresses_repeats_values_and_goes_on_with_times() -> None:
    shipped = profile(*NEW)
    compressing = replace(shipped, traits=replace(shipped.traits, null_data_compression=True))
    time = clock(utc("2019-01-05"))
    rows = [(time, 8, 7, time), (None, None, None, None), (None, 0, 8, None)]
    meter = Meter(GAS, compressing, channel=1)
    result = play(NAME, asked("INTERVAL"), meter, played(rows).answer).result
    assert result.consumption == (7_000, 7_000, 8_000)
    assert result.amr_profile_statuses == (8, 8, 0)
    assert result.capture_times == result.log_times


def test_both_ends_belong_to_the_range_and_may_be_one_moment() -> None:
    days = ["2018-12-31T23:59:59", "2019-01-01", "2019-02-02", "2019-02-02T00:00:01"]
    rows = [row(NEW, "INTERVAL", clock(utc(day)), n, clock(utc(day))) for n, day in enumerate(days)]
    result = play(NAME, asked("INTERVAL"), of_channel(NEW), played(rows).answer).result
    assert result.log_times == (millis(days[1]), millis(days[2]))
    day = clock(utc("2022-05-02"))
    one = asked("DAILY", "2022-05-02", "2022-05-02")
    meter = played([row(NEW, "DAILY", day, 1, day)])
    assert len(play(NAME, one, of_channel(NEW), meter.answer).result.log_times) == 1
    with pytest.raises(Rejected) as caught:
        play(NAME, asked("DAILY", "2022-05-03", "2022-05-02"), of_channel(NEW), meter.answer)
    assert (caught.value.field, caught.value.code) == ("begin_date", 401)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("G4", -3),
        ("BK-G6 A", -3),
        ("G10", -2),
        ("G16", -2),
        ("RF1-G25", -2),
        ("G4SRT 1.2L", None),  # contains G4, but the last matching row wins
        ("G10-16SRT_SMR55", None),
        ("G25SRT_SMR55", None),
        ("elster-instromet", None),
        ("flonidan-gasmeter", None),
        ("flonidan-gasmeter G4", None),
        ("", None),
        ("X9", None),
        ("g4", None),
    ],
)
def test_the_scaler_of_a_model(code: str, expected: int | None) -> None:
    found = _gas_models.scaling(f"E-meter,G16,{code},G16,G16", 2)
    assert found == (None if expected is None else ScalerUnit(expected, 13))


@pytest.mark.parametrize("codes", ["", "G4", "E,G4,G4,G4", "E,G4,G4,G4,G4,G4"])
def test_a_text_without_four_commas_names_no_model(codes: str) -> None:
    assert _gas_models.scaling(codes, 1) is None


def test_who_names_the_model_saves_the_question() -> None:
    time = clock(utc("2019-01-05"))
    meter = PlayedMeter(rows=[row(NEW, "INTERVAL", time, 12345, time)])
    request = asked("INTERVAL", device_model_codes="E,G16,G4,,")
    assert play(NAME, request, of_channel(NEW), meter.answer).result.consumption == (123_450_000,)
    assert play(NAME, request, of_channel(NEW, 2), meter.answer).result.consumption == (12_345_000,)
    with pytest.raises(MeterRefused):  # channel 3: not known, so it is asked, and says nothing
        play(NAME, request, of_channel(NEW, 3), meter.answer)


@pytest.mark.parametrize(
    "scaling",
    [
        Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0), Data(Tag.ENUMERATE, 0))),
        Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0),)),
        WATT_HOURS,
    ],
)
def test_a_scaler_nobody_can_use(scaling: Data) -> None:
    with pytest.raises(MeterUnusable):
        play(NAME, asked("INTERVAL"), of_channel(NEW), played([], scaler=scaling).answer)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((5, 8, 1, NEVER), "clock of a row"),
        ((clock(utc("2019-01-05")), 256, 1, NEVER), "status"),
        ((clock(utc("2019-01-05")), 8, "x", NEVER), "MBUS_HOURLY_VALUE_1"),
        ((clock(utc("2019-01-05")), 8, 1, 17), "capture time of a row"),
        ((clock(utc("2019-01-05")), 8, 1, b"bogus"), "date-time of 5 bytes"),
        ((clock(utc("2019-01-05")), 8, 1, bytes.fromhex("07E30D010100000000000000")), "no such day"),
        ((clock(utc("2019-01-05")), 8, 1), r"rows have \[3\] columns, 4 were asked for"),
    ],
)
def test_cells_nobody_can_use(cells: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(MeterUnusable, match=reason):
        play(NAME, asked("INTERVAL"), of_channel(NEW), played([cells]).answer)


def test_a_gateway_that_keeps_no_such_profile_refuses_before_anything_is_sent() -> None:
    shipped = profile(*NEW)
    kept = {tag: each for tag, each in shipped.objects.items() if not tag.startswith("MBUS_DAILY")}
    meter = Meter(GAS, Profile("SMR", "maker", kept), channel=1)
    with pytest.raises(Rejected, match="Can't find profile object in SMR maker config for DAILY values") as caught:
        play(NAME, asked("DAILY"), meter, PlayedMeter().answer)
    assert caught.value.code == 416
    with pytest.raises(Rejected, match="channel"):
        play(NAME, asked("DAILY"), meter_of(*NEW), PlayedMeter().answer)


@pytest.mark.parametrize("device_type", ["SMART_METER_G", "SMART_METER_W"])
def test_it_is_asked_of_gas_and_hydrogen_meters_with_channel_and_gateway(device_type: str) -> None:
    decide = catalogue()[NAME].decide
    assert decide is not None
    device = Device(GAS, registered=True, device_type=device_type, gateway_id="E" * 17, channel=1)
    assert decide(None, device) is None
    for without in ({"gateway_id": None}, {"channel": None}):
        with pytest.raises(Rejected) as caught:
            decide(None, replace(device, **without))  # type: ignore[arg-type]
        assert caught.value.code == 401


_times = (
    st.none()
    | st.just(NEVER)
    | st.integers(0, 400_000).map(lambda hour: clock(utc("1990-01-01") + timedelta(hours=hour)))
)
_cells = st.one_of(st.none(), st.integers(-1, 1 << 64), st.binary(max_size=13), st.text(max_size=3), st.booleans())
_rows = st.lists(st.tuples(_times, st.none() | st.integers(0, 255), st.none() | st.integers(0, 1 << 32), _times))


@given(_rows | st.lists(st.tuples(_times | _cells, _cells, _cells, _times | _cells)), st.booleans())
def test_any_rows_are_columns_of_one_length_or_unusable(rows: list[Any], repeats: bool) -> None:
    shipped = profile(*NEW)
    whose = replace(shipped, traits=replace(shipped.traits, null_data_compression=repeats))
    request = asked("INTERVAL", "1971-01-01", "9998-01-01")
    try:
        result = play(NAME, request, Meter(GAS, whose, channel=1), played(rows).answer).result
    except MeterUnusable:
        return
    columns = (result.consumption, result.capture_times, result.amr_profile_statuses)
    assert {len(column) for column in columns} == {len(result.log_times)}
    assert len(result.log_times) <= len(rows)
    assert len(_records(result)) == bool(result.log_times)


def _records(result: Any) -> list[ProfileReads]:
    declared = catalogue()[NAME].reads
    assert declared is not None
    return [each for each in declared(CommandHeader("id", GAS, 0), result, 99) if isinstance(each, ProfileReads)]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_reads_are_the_gas_meters_under_one_name_of_the_profile(version: Version) -> None:
    time, at = clock(utc("2019-01-05")), millis("2019-01-05")
    meter = played([row(version, "DAILY", time, 12345, time)], version)
    (record,) = _records(play(NAME, asked("DAILY"), of_channel(version), meter.answer).result)
    packed = array("q", [12_345_000]).tobytes()
    times = array("q", [at]).tobytes()
    name = "1-0:99.2.0.255" if version == OLD else "0-1:24.3.1.255"
    column = ProfileColumn("consumption", "m3", packed, times)
    assert record == ProfileReads(GAS, "id", 99, name, "MBUS_DAILY_PROFILE", times, b"\x08", (column,))


def test_columns_without_capture_time_are_those_of_dsmr_2_2() -> None:
    """A profile of clock, status and value: the answer has no capture times, the record none either."""
    shipped = profile(*OLD)
    hourly = shipped["MBUS_INTERVAL_PROFILE_1"]
    undated = replace(hourly, columns=tuple(each for each in hourly.columns if each.attribute != 5))
    assert undated.columns[-1] == Column("MBUS_VALUE_1", 4, value_object(OLD, 1), 2)
    meter = Meter(GAS, Profile("DSMR", "2.2", {**shipped.objects, undated.tag: undated}), channel=1)
    rows = [(clock(utc("2019-01-05")), 8, 5), (None, 0, 6)]
    result = play(NAME, asked("INTERVAL"), meter, played(rows, OLD).answer).result
    assert (result.consumption, result.capture_times) == ((5_000, 6_000), ())
    (record,) = _records(result)
    assert record.columns[0].value_times == b""

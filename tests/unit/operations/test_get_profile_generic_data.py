"""GetProfileGenericData: operations-reading 8, with the rules of 3.5 and 3.6 and the profiles of 2.5 and 2.6."""

from array import array
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._profile import CosemObject, profile
from operations._steps import Attribute, Get, GetList, ReadRows
from schemas.records import NO_VALUE, CommandHeader, ProfileReads
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
    play,
    u32,
    utc,
)

NAME = "GetProfileGenericData"
NEW, OLD = ("SMR", "5.2"), ("DSMR", "4.2.2")
CLOCK = (8, bytes((0, 0, 1, 0, 0, 255)), 2, 0)
STATUS = (1, bytes((0, 0, 96, 10, 2, 255)), 2, 0)
IMPORT, EXPORT = ((3, bytes((1, 0, c, 8, 0, 255)), 2, 0) for c in (1, 2))
STRANGE = bytes((1, 0, 99, 9, 9, 255))
JANUARY = {"begin_date": "2019-01-01", "end_date": "2019-02-02"}
Definition = tuple[int, bytes, int, int]
Row = tuple[Any, ...]


def captured(*definitions: Definition) -> Data:
    tags = (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)
    each = [Data(Tag.STRUCTURE, tuple(map(Data, tags, definition))) for definition in definitions]
    return Data(Tag.ARRAY, tuple(each))


def scaled(scaler: int, unit: int) -> Data:
    return Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, unit)))


def played(
    definitions: list[Definition],
    rows: list[tuple[Any, ...]],
    obis: bytes = STRANGE,
    period: int = 900,
    **scalers: Data,
) -> PlayedMeter:
    """A meter with one profile; registers have the scaler of their place in it (`at3`), or watt-hours."""
    attributes = {Attribute(7, obis, 3): captured(*definitions), Attribute(7, obis, 4): u32(period)}
    for place, (class_id, name, attribute, _) in enumerate(definitions):
        if class_id in (3, 4) and attribute == 2:
            attributes[Attribute(class_id, name, 3)] = scalers.get(f"at{place}", WATT_HOURS)
    return PlayedMeter(attributes, rows=rows)


def read(meter: PlayedMeter, whose: Meter | None = None, obis: str = "1.0.99.9.9.255", **request: Any) -> Any:
    return play(NAME, {"obis_code": obis, **JANUARY, **request}, whose or meter_of(*NEW), meter.answer).result.rows


def value_of(class_id: int, obis: bytes, attribute: int = 2, index: int = 0) -> dict[str, Any]:
    return {
        "class_id": class_id,
        "logical_name": ".".join(map(str, obis)),
        "attribute_index": attribute,
        "data_index": index,
    }


def everything_of(version: tuple[str, str]) -> list[CosemObject]:
    return [each for each in profile(*version).objects.values() if each.class_id == 7]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_profile_of_every_version(version: tuple[str, str]) -> None:
    """All columns of a full row, whatever the meter captures; the clock is the time of the row."""
    for each in everything_of(version):
        definitions = [column.definition for column in each.columns]
        row = tuple(
            clock(utc("2019-01-05")) if column.class_id == 8 or column.attribute == 5 else place
            for place, column in enumerate(each.columns)
        )
        meter = played(definitions, [row], each.obis, each.capture_period)
        rows = read(meter, meter_of(*version), each.name)
        assert (rows.logical_name, rows.profile, rows.capture_period) == (each.name, each.tag, each.capture_period)
        assert rows.log_times == (millis("2019-01-05"),)
        assert [(one.class_id, one.logical_name, one.attribute_index, one.data_index) for one in rows.columns] == [
            (c, "{}-{}:{}.{}.{}.{}".format(*obis), a, i) for c, obis, a, i in definitions if c != 8
        ]
        assert len({one.quantity for one in rows.columns}) == len(rows.columns), "names tell columns apart"
        for one in rows.columns:
            assert [len(part) for part in (one.numbers, one.times, one.texts, one.octets)].count(1) == 1
            assert one.kind == ("TIME" if one.attribute_index == 5 else "NUMBER")


def test_what_is_asked_of_the_meter() -> None:
    """8, work: capture objects, capture period, the buffer by range, scalers of registers only."""
    meter = played([CLOCK, STATUS, IMPORT, EXPORT], [])
    rows = read(meter, meter_of(*NEW, time_zone=AMSTERDAM))
    assert (rows.log_times, [column.quantity for column in rows.columns]) == (
        (), ["amr_status_interval", "active_energy_import_total", "active_energy_export_total"],
    )  # fmt: skip
    objects, period, buffer, scalers = meter.steps
    assert (objects, period) == (Get(Attribute(7, STRANGE, 3)), Get(Attribute(7, STRANGE, 4)))
    assert isinstance(buffer, ReadRows) and buffer.selection is not None
    assert (buffer.buffer, buffer.selection.columns) == (Attribute(7, STRANGE, 2), ())
    assert buffer.selection.start.utcoffset() == timedelta(hours=1)
    assert scalers == GetList((Attribute(3, IMPORT[1], 3), Attribute(3, EXPORT[1], 3)))


def test_some_columns_come_with_the_clock_in_the_order_of_the_profile() -> None:
    time = clock(utc("2019-01-05"))
    meter = played([CLOCK, STATUS, IMPORT, EXPORT], [(time, 8, 7)])
    selected = [value_of(*EXPORT), value_of(*STATUS)]
    rows = read(meter, selected_values=selected)
    assert meter.steps[2].selection.columns == (CLOCK, STATUS, EXPORT)  # type: ignore[union-attr]
    assert [(one.quantity, one.numbers) for one in rows.columns] == [
        ("amr_status_interval", (8_000_000,)),
        ("active_energy_export_total", (7_000,)),
    ]
    meter = played([CLOCK, STATUS, IMPORT, EXPORT], [(time, 8, 6, 7)])
    whole = read(meter, meter_of(*NEW, selective_access=False), selected_values=selected)
    assert meter.steps[2].selection.columns == ()  # type: ignore[union-attr]
    assert whole == rows, "filtered here"


def test_a_column_is_found_by_its_attribute_and_data_index_too() -> None:
    gas, modem = bytes((0, 1, 24, 2, 2, 255)), bytes((0, 1, 25, 6, 0, 255))
    definitions = [CLOCK, (4, gas, 2, 0), (4, gas, 5, 0), (47, modem, 6, 3), (47, modem, 6, 4)]
    time = clock(utc("2019-01-05"))
    meter = played(definitions, [(time, 12345, time, 20, 6)], at1=CUBIC_METRES)
    rows = read(meter)
    assert [one.quantity for one in rows.columns] == [
        "mbus_hourly_value_1", "mbus_hourly_value_1_capture_time", "cdma_diagnostic_signal_quality",
        "cdma_diagnostic_bit_error_rate",
    ]  # fmt: skip
    assert [one.unit for one in rows.columns] == ["m3", "", "", ""]
    assert [one.numbers or one.times for one in rows.columns] == [
        (12_345_000,), (millis("2019-01-05"),), (20_000_000,), (6_000_000,),
    ]  # fmt: skip
    selected = [value_of(47, modem, 6, 4), value_of(4, gas, 5)]
    (time_column, rate) = read(played(definitions, [(time, time, 6)]), selected_values=selected).columns
    assert (time_column.times, rate.numbers) == ((millis("2019-01-05"),), (6_000_000,))


@pytest.mark.parametrize(
    ("selected", "field"),
    [
        (value_of(3, bytes((1, 0, 9, 8, 0, 255))), "selected_values[0]"),
        (value_of(3, IMPORT[1], 3), "selected_values[0]"),
        (value_of(3, IMPORT[1], 2, 1), "selected_values[0]"),
        (value_of(4, IMPORT[1]), "selected_values[0]"),
        (value_of(*CLOCK), "selected_values[0].class_id"),
        (value_of(70_000, IMPORT[1]), "selected_values[0].class_id"),
        (value_of(3, IMPORT[1], 128), "selected_values[0].attribute_index"),
        (value_of(3, IMPORT[1], 2, -1), "selected_values[0].data_index"),
        ({**value_of(*IMPORT), "logical_name": "1.0.1.8"}, "selected_values[0].logical_name"),
    ],
)
def test_a_selected_value_has_to_be_captured_and_is_never_the_clock(selected: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(played([CLOCK, IMPORT], []), selected_values=[selected])
    assert (caught.value.field, caught.value.code) == (field, 401)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"obis_code": "1.0.99.1.0"}, "obis_code"),
        ({"begin_date": "2019-03-01"}, "begin_date"),
        ({"selected_values": [value_of(*IMPORT)] * 129}, "selected_values"),
    ],
)
def test_a_bad_request_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        play(NAME, {"obis_code": "1.0.99.1.0.255", **JANUARY, **change}, meter_of(*NEW), PlayedMeter().answer)
    assert caught.value.field == field


def test_an_unknown_profile_is_refused_with_the_meters_word() -> None:
    with pytest.raises(MeterRefused, match="object-undefined"):
        read(PlayedMeter())


@pytest.mark.parametrize(
    ("scaling", "raw", "unit", "number"),
    [
        (scaled(0, 30), 1500, "kWh", 1_500_000),
        (scaled(3, 30), 1500, "kWh", 1_500_000_000),
        (scaled(-1, 35), 2301, "V", 230_100_000),
        (scaled(-2, 33), 1, "A", 10_000),
        (scaled(0, 27), -5, "W", -5_000_000),
        (scaled(0, 29), 7, "var", 7_000_000),
        (scaled(0, 32), 7, "kvarh", 7_000),
        (scaled(-2, 13), 12345, "m3", 123_450_000),
        (scaled(-3, 14), 12345, "m3", 12_345_000),
        (scaled(0, 56), 99, "%", 99_000_000),
        (scaled(0, 7), 99, "s", 99_000_000),
        (scaled(0, 255), 99, "", 99_000_000),
        (scaled(0, 44), 50, "unit 44", 50_000_000),
    ],
)
def test_units_and_scalers_are_the_meters(scaling: Data, raw: int, unit: str, number: int) -> None:
    (column,) = read(played([CLOCK, IMPORT], [(clock(utc("2019-01-05")), raw)], at1=scaling)).columns
    assert (column.kind, column.unit, column.numbers) == ("NUMBER", unit, (number,))


@pytest.mark.parametrize(
    ("scaling", "raw", "text"),
    [
        (scaled(-9, 35), 1, "0.000000001"),
        (scaled(0, 255), 1 << 63, "9223372036854775808"),
        (scaled(20, 30), 5, "500000000000000000"),
    ],
)
def test_what_is_finer_than_a_millionth_or_too_large_stands_as_exact_text(scaling: Data, raw: int, text: str) -> None:
    meter = played([CLOCK, IMPORT], [(clock(utc("2019-01-05")), raw), (None, None)], at1=scaling)
    rows = read(meter)
    assert (rows.columns[0].kind, rows.columns[0].texts) == ("TEXT", (text, None))
    assert _records(rows) == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "object-undefined (4)"),
        (scaled(0, 0), "unit of the scaler_unit is undefined"),
        (u32(5), "scaler_unit is a structure"),
    ],
)
def test_a_scaler_that_is_not_said_leaves_the_meters_own_numbers(answer: Data | None, why: str) -> None:
    """A combined profile has columns of channels without a meter."""
    meter = played([CLOCK, IMPORT, EXPORT], [(clock(utc("2019-01-05")), 5, 6)])
    if answer is None:
        del meter.attributes[Attribute(3, IMPORT[1], 3)]
    else:
        meter.attributes[Attribute(3, IMPORT[1], 3)] = answer
    rows = read(meter)
    assert rows.columns[0].numbers == (5_000_000,)
    assert why in rows.columns[0].unscaled
    assert (rows.columns[1].numbers, rows.columns[1].unscaled) == ((6_000,), "")
    (record,) = _records(rows)
    assert [column.quantity for column in record.columns] == ["active_energy_export_total"]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ((None, None), "NUMBER", (None, None)),
        ((b"\x01\xff", None), "OCTETS", (b"\x01\xff", None)),
        (("M57", None), "TEXT", ("M57", None)),
        ((1, b"\x01"), "TEXT", ("1", "01")),
        ((True, None), "TEXT", ("true", None)),
        ((1.5, 2), "TEXT", ("1.5", "2")),
        (((1, (b"\x02", None)), None), "TEXT", ("(1, (02, null))", None)),
    ],
)
def test_cells_have_the_type_of_what_is_in_them(cells: tuple[Any, ...], kind: str, values: tuple[Any, ...]) -> None:
    plain = (1, bytes((0, 0, 96, 1, 0, 255)), 2, 0)
    rows = [(clock(utc("2019-01-05")), cells[0]), (None, cells[1])]
    (column,) = read(played([CLOCK, plain], rows)).columns
    assert column.kind == kind
    assert (column.numbers or column.texts or column.octets) == values


def test_m_bus_status_bits_are_the_whole_32() -> None:
    status = (4, bytes((0, 1, 24, 2, 6, 255)), 2, 0)
    meter = played([CLOCK, status], [(clock(utc("2019-01-05")), 0xFFFFFFFF), (None, 1 << 19)], at1=scaled(0, 255))
    (column,) = read(meter).columns
    assert column.quantity == "mbus_status_1"
    assert column.numbers == (0xFFFFFFFF * 1_000_000, (1 << 19) * 1_000_000)


@pytest.mark.parametrize(
    ("period", "zone", "first", "second"),
    [
        (900, None, "2019-01-05", "2019-01-05T00:15"),
        (600, None, "2019-01-05", "2019-01-05T00:10"),
        (3600, None, "2019-01-05", "2019-01-05T01:00"),
        (86_400, AMSTERDAM, "2024-03-30T23:00", "2024-03-31T22:00"),
        (86_400, AMSTERDAM, "2024-10-26T22:00", "2024-10-27T23:00"),
        (0, None, "2019-01-05", "2019-01-05"),  # not by time: the same moment as the row above
    ],
)
def test_a_missing_clock_is_one_capture_period_later(period: int, zone: str | None, first: str, second: str) -> None:
    meter = played([CLOCK, IMPORT], [(clock(utc(first), zone or "UTC"), 1), (None, 2)], period=period)
    request = {"begin_date": "2019-01-01", "end_date": "2024-12-31"}
    rows = read(meter, meter_of(*NEW, time_zone=zone), **request)
    assert rows.log_times == (millis(first), millis(second))


def test_a_monthly_profile_goes_on_by_months_although_its_period_is_none() -> None:
    months = profile(*OLD)["MONTHLY_PROFILE"]
    definitions = [column.definition for column in months.columns[:2]]
    meter = played(definitions, [(clock(utc("2019-01-01")), 1), (None, 2)], months.obis, 0)
    assert read(meter, meter_of(*OLD), "0-0:98.1.0.255").log_times == (millis("2019-01-01"), millis("2019-02-01"))


def test_a_night_of_25_hours_and_a_meter_that_compresses() -> None:
    shipped = profile(*NEW)
    compressing = replace(shipped, traits=replace(shipped.traits, null_data_compression=True))
    whose = Meter(DEVICE, compressing, time_zone=AMSTERDAM)
    rows: list[tuple[Any, ...]] = [(None, 8, None)] * 100
    rows[0] = (clock(utc("2024-10-26T22:00"), AMSTERDAM), 8, 5)
    meter = played([CLOCK, STATUS, IMPORT], rows)
    found = read(meter, whose, begin_date="2024-10-26T22:00", end_date="2024-10-27T22:45")
    assert found.log_times == tuple(millis("2024-10-26T22:00") + 900_000 * n for n in range(100))
    assert found.columns[1].numbers == (5_000,) * 100


def test_both_ends_belong_to_the_range_and_rows_without_a_time_are_dropped() -> None:
    days = ["2018-12-31T23:59:59", "2019-01-01", "2019-02-02", "2019-02-02T00:00:01"]
    rows = [(None, 9), *((clock(utc(day)), n) for n, day in enumerate(days))]
    found = read(played([CLOCK, IMPORT], rows))
    assert found.log_times == (millis(days[1]), millis(days[2]))
    assert found.columns[0].numbers == (1_000, 2_000)


def test_a_meter_without_selective_access_is_read_whole() -> None:
    time = clock(utc("2019-01-05"))
    meter = played([CLOCK, IMPORT, EXPORT], [(clock(utc("2018-01-05")), 4, 5), (time, 6, 7)])

    def answer(step: Any) -> Any:
        if isinstance(step, ReadRows) and step.selection is not None:
            meter.steps.append(step)
            raise MeterRefused(13, "scope-of-access-violated", str(step.buffer))
        return meter.answer(step)

    request = {"obis_code": "1.0.99.9.9.255", **JANUARY, "selected_values": [value_of(*EXPORT)]}
    rows = play(NAME, request, meter_of(*NEW), answer).result.rows
    assert rows.log_times == (millis("2019-01-05"),)
    assert [(column.quantity, column.numbers) for column in rows.columns] == [("active_energy_export_total", (7_000,))]
    asked = [step.selection for step in meter.steps if isinstance(step, ReadRows)]
    assert [each and len(each.columns) for each in asked] == [2, 0, None]


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        (u32(5), "an array is wanted"),
        (Data(Tag.ARRAY, (u32(5),)), r"capture_objects\[0\]"),
        (Data(Tag.ARRAY, (Data(Tag.STRUCTURE, (u32(1),) * 3),)), r"capture_objects\[0\]"),
        (captured(CLOCK, (3, b"\x01\x00", 2, 0)), r"capture_objects\[1\]"),
        (captured(IMPORT), "does not capture the clock"),
    ],
)
def test_capture_objects_nobody_can_use(objects: Data, reason: str) -> None:
    meter = played([CLOCK, IMPORT], [])
    meter.attributes[Attribute(7, STRANGE, 3)] = objects
    with pytest.raises(MeterUnusable, match=reason):
        read(meter)


def test_a_profile_that_captures_nothing_says_so() -> None:
    with pytest.raises(Rejected, match="captures nothing"):
        read(played([], []))


def test_rows_of_another_width_are_unusable() -> None:
    with pytest.raises(MeterUnusable, match=r"rows have \[2\] columns, 3 were asked for"):
        read(played([CLOCK, IMPORT, EXPORT], [(clock(utc("2019-01-05")), 1)]))


def test_reads_are_the_numbers_with_the_status_and_the_values_own_time() -> None:
    gas, text = bytes((0, 1, 24, 2, 2, 255)), (1, bytes((0, 0, 96, 1, 0, 255)), 2, 0)
    time, taken = clock(utc("2019-01-05")), clock(utc("2019-01-04T23:00"))
    definitions = [CLOCK, STATUS, (4, gas, 2, 0), (4, gas, 5, 0), text, IMPORT]
    rows = [(time, 0x88, 12345, taken, b"x", 1), (None, None, None, None, b"y", 2)]
    (record,) = _records(read(played(definitions, rows, at2=CUBIC_METRES)))
    assert (record.device_id, record.logical_name, record.profile) == (DEVICE, "1-0:99.9.9.255", "")
    assert record.statuses == b"\x88\x00"
    assert [(column.quantity, column.unit) for column in record.columns] == [
        ("mbus_hourly_value_1", "m3"),
        ("active_energy_import_total", "kWh"),
    ]
    assert array("q", record.columns[0].values).tolist() == [12_345_000, NO_VALUE]
    assert array("q", record.columns[0].value_times).tolist() == [
        millis("2019-01-04T23:00"),
        millis("2019-01-04T23:15"),
    ]
    assert record.columns[1].value_times == b""
    assert _records(read(played([CLOCK, IMPORT], []))) == []


def _records(rows: Any) -> list[ProfileReads]:
    operation = catalogue()[NAME]
    assert operation.reads is not None
    found = operation.reads(CommandHeader("id", DEVICE, 0), operation.result(rows), 99)
    return [each for each in found if isinstance(each, ProfileReads)]


_cells = st.none() | st.integers(-(1 << 63), 1 << 64) | st.binary(max_size=12) | st.text(max_size=3) | st.booleans()
_definitions = st.tuples(
    st.sampled_from([1, 3, 4, 5, 7, 47, 72, 77]),
    st.binary(min_size=6, max_size=6),
    st.integers(1, 9),
    st.integers(0, 9),
)


@given(st.data(), st.lists(_definitions, max_size=4, unique=True), st.sampled_from([0, 600, 86_400, 1 << 31]))
def test_any_profile_becomes_columns_of_one_length_or_is_unusable(
    data: st.DataObject, definitions: list[Definition], period: int
) -> None:
    times = st.none() | st.integers(0, 4_000).map(lambda day: clock(utc("2019-01-01") + timedelta(days=day)))
    rows = data.draw(st.lists(st.tuples(times, *[times | _cells for _ in definitions]), max_size=6))
    scaling = scaled(data.draw(st.integers(-128, 127)), data.draw(st.integers(0, 255)))
    scalers = {f"at{place + 1}": scaling for place in range(len(definitions))}
    meter = played([CLOCK, *definitions], rows, STRANGE, period, **scalers)
    try:
        found = read(meter, begin_date="1990-01-01", end_date="9998-01-01")
    except MeterUnusable:
        return
    for column in found.columns:
        values = {"NUMBER": column.numbers, "TIME": column.times, "TEXT": column.texts, "OCTETS": column.octets}
        assert {kind: len(part) for kind, part in values.items() if part} == (
            {str(column.kind): len(found.log_times)} if found.log_times else {}
        )
    for record in _records(found):
        assert {len(column.values) for column in record.columns} == {len(record.times)}

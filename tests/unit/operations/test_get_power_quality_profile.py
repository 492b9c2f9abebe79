"""GetPowerQualityProfile: operations-reading 14.3 and its worked cases, on meters of one and of three phases."""

from array import array
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from operations import Meter, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, Rejected
from operations._profile import Column, CosemObject, profile
from operations._steps import Attribute, Get, ReadRows, Step
from schemas.records import CommandHeader, ProfileReads
from tests.unit.operations.conversation import (
    AMSTERDAM,
    DEVICE,
    VERSIONS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    play,
    u32,
    utc,
)

NAME = "GetPowerQualityProfile"
LOAD, FIRST, SECOND = "DEFINABLE_LOAD_PROFILE", "POWER_QUALITY_PROFILE_1", "POWER_QUALITY_PROFILE_2"
SMR_5 = [version for version in VERSIONS if version[1].startswith("5")]
DSMR_4 = [("DSMR", "4.2.2"), ("SMR", "4.3")]
NEW = ("SMR", "5.2")
START = utc("2019-01-01")
L2 = Attribute(3, bytes((1, 0, 52, 7, 0, 255)), 2)
VALUES = {"V": (-1, 35, 2301, 230_100_000), "A": (-2, 33, 512, 5_120_000), "W": (0, 27, 480, 480_000_000)}
VALUES["var"] = (0, 29, 51, 51_000_000)


def unit_of(column: Column) -> str | None:
    """What a register of power quality is measured in, by its value group C (meter-model 9.2)."""
    if column.class_id != 3:
        return None
    c = column.obis[2]
    return "V" if c in (32, 52, 72) else "A" if c in (31, 51, 71, 90) else "W" if c % 20 in (1, 2) else "var"


class Recorder(PlayedMeter):
    """A meter whose buffers are the profile's; a single-phase one has no object and no column of L2 and L3."""

    def __init__(self, version: tuple[str, str], *, poly: bool, count: int = 2) -> None:
        super().__init__()
        self.of: dict[Attribute, list[tuple[Any, ...]]] = {}
        known = profile(*version)
        if poly:
            self.attributes[L2] = Data(Tag.LONG_UNSIGNED, 2300)
        for tag in (LOAD, FIRST, SECOND):
            if tag in known:
                self.keep(known[tag], [c for c in known[tag].columns if poly or not known[c.tag].polyphase], count)

    def keep(self, buffer: CosemObject, columns: list[Column], count: int) -> None:
        """Let this buffer have these columns, and `count` rows of them."""
        tags = (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)
        definitions = tuple(Data(Tag.STRUCTURE, tuple(map(Data, tags, each.definition))) for each in columns)
        self.attributes[buffer.at(3)] = Data(Tag.ARRAY, definitions)
        self.attributes[buffer.at(4)] = u32(buffer.capture_period)
        for column in columns:
            unit = unit_of(column)
            if unit is not None:
                scaler, code, _, _ = VALUES[unit]
                scaling = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, scaler), Data(Tag.ENUMERATE, code)))
                self.attributes[Attribute(3, column.obis, 3)] = scaling
        step = timedelta(seconds=buffer.capture_period)
        self.of[buffer.at(2)] = [tuple(_cell(each, START + n * step, n) for each in columns) for n in range(count)]
        self.columns = {**getattr(self, "columns", {}), buffer.at(2): columns}

    def answer(self, step: Step) -> Any:
        if isinstance(step, ReadRows):
            self.rows = self.of[step.buffer]
            if step.selection is not None and step.selection.columns:
                kept = [
                    place
                    for place, each in enumerate(self.columns[step.buffer])
                    if each.definition in step.selection.columns
                ]
                self.rows = [tuple(row[place] for place in kept) for row in self.rows]
        return super().answer(step)


def _cell(column: Column, time: datetime, number: int) -> Any:
    """The time, a register's raw value, or of anything else the number of the row."""
    unit = unit_of(column)
    return clock(time, AMSTERDAM) if column.class_id == 8 else VALUES[unit][2] if unit else number


def read(meter: Recorder, version: tuple[str, str], kind: str, **settings: Any) -> Any:
    request = {"profile_type": kind, "begin_date": "2015-01-01", "end_date": "2030-01-10"}
    return play(NAME, request, meter_of(*version, time_zone=AMSTERDAM, **settings), meter.answer).result


COUNTED = ("number_of_voltage_swells_l1", "number_of_voltage_sags_l1", "number_of_power_failures")
VOLTAGE = ("instantaneous_voltage_l1", "average_voltage_l1")
CURRENT = ("instantaneous_current_l1", "average_current_l1")
POWERS = tuple(f"average_{kind}_power_{way}" for kind in ("active", "reactive") for way in ("import", "export"))
RADIO = (
    "cdma_diagnostic_signal_quality", "gprs_diagnostic_signal_quality", "cdma_diagnostic_bit_error_rate",
    "gprs_diagnostic_bit_error_rate", "mbus_client_1_status", "mbus_client_2_status",
)  # fmt: skip


def of_phases(names: tuple[str, ...], phases: tuple[str, ...] = ("l1", "l2", "l3")) -> set[str]:
    return {f"{name}_{phase}" for name in names for phase in phases}


@pytest.mark.parametrize(
    ("versions", "kind", "poly", "wanted"),
    [
        (DSMR_4, "PUBLIC", False, {LOAD: {*COUNTED, *VOLTAGE}}),
        (DSMR_4, "PUBLIC", True, {LOAD: of_phases(("instantaneous_voltage", "average_voltage"))}),
        (DSMR_4, "PRIVATE", False, {LOAD: {*CURRENT, *of_phases(POWERS, ("l1",))}}),
        (DSMR_4, "PRIVATE", True, {LOAD: {"instantaneous_current_total", *of_phases(POWERS)}}),
        (SMR_5, "PUBLIC", False, {LOAD: {*COUNTED, *RADIO}, SECOND: set(VOLTAGE)}),
        (SMR_5, "PUBLIC", True, {
            LOAD: {*of_phases(("number_of_voltage_sags", "number_of_voltage_swells")), COUNTED[2], *RADIO},
            SECOND: of_phases(("average_voltage",))}),
        (SMR_5, "PRIVATE", False, {
            FIRST: of_phases(POWERS, ("l1",)), SECOND: set(CURRENT)}),
        (SMR_5, "PRIVATE", True, {FIRST: of_phases(POWERS), SECOND: of_phases(("average_current",))}),
    ],
)  # fmt: skip
def test_the_worked_cases(versions: list[tuple[str, str]], kind: str, poly: bool, wanted: dict[str, set[str]]) -> None:
    """Which profiles and columns come; the diagnostics of M-Bus channels beside those named in `wanted`."""
    for version in versions:
        result = read(Recorder(version, poly=poly), version, kind)
        found = {
            rows.profile: {each.quantity for each in rows.columns if not each.quantity.startswith("mbus_diagnostic")}
            for rows in result.profiles
        }
        signal = {"cdma_diagnostic_signal_quality"} if version == ("SMR", "4.3") and kind == "PUBLIC" else set()
        assert found == {tag: names | (signal if tag == LOAD else set()) for tag, names in wanted.items()}
        radio = [each for rows in result.profiles for each in rows.columns if each.class_id == 77]
        expected = [(c, a) for a in (2, 8) for c in (1, 2)] if version in SMR_5 and kind == "PUBLIC" else []
        assert [(int(each.logical_name[2]), each.attribute_index) for each in radio] == expected


@pytest.mark.parametrize("poly", [False, True])
@pytest.mark.parametrize("kind", ["PUBLIC", "PRIVATE"])
@pytest.mark.parametrize("version", [*DSMR_4, *SMR_5])
def test_full_buffers_with_their_units(version: tuple[str, str], kind: str, poly: bool) -> None:
    """960 rows of the quarter-hour profiles, 1,440 of the ten-minute one: larger than any PDU."""
    result = read(Recorder(version, poly=poly, count=1440), version, kind)
    for rows in result.profiles:
        period = {LOAD: 900, FIRST: 900, SECOND: 600}[rows.profile]
        assert rows.capture_period == period
        assert rows.log_times == tuple(millis("2019-01-01") + n * period * 1_000 for n in range(1440))
        for each in rows.columns:
            if each.class_id == 3:
                assert each.numbers == (VALUES[each.unit][3],) * 1440
            else:
                assert (each.unit, each.numbers) == ("", tuple(n * 1_000_000 for n in range(1440)))


def test_dsmr_22_has_no_profile_of_power_quality() -> None:
    with pytest.raises(Rejected, match="No address found for DEFINABLE_LOAD_PROFILE in protocol DSMR 2.2") as caught:
        catalogue()[NAME].check(profile("DSMR", "2.2"))
    assert caught.value.code == 416


def test_profiles_with_the_clock_alone_left_are_not_read() -> None:
    meter = Recorder(NEW, poly=False)
    known = profile(*NEW)
    for tag in (LOAD, SECOND):  # a client may have chosen other columns
        meter.keep(known[tag], [known[FIRST].columns[0], known[FIRST].columns[1]], 1)
    with pytest.raises(Rejected, match="No PQ profile found in profile SMR version 5.2") as caught:
        read(meter, NEW, "PUBLIC")
    assert caught.value.code == 416
    assert not [step for step in meter.steps if isinstance(step, ReadRows)]


def test_columns_are_selected_where_the_meter_can_and_taken_out_here_where_it_cannot() -> None:
    meter = Recorder(NEW, poly=False)
    selected = read(meter, NEW, "PUBLIC")
    asked = [step.selection for step in meter.steps if isinstance(step, ReadRows)]
    assert [each and len(each.columns) for each in asked] == [0, 3], "the load profile has nothing else"
    whole = Recorder(NEW, poly=False)
    assert read(whole, NEW, "PUBLIC", selective_access=False) == selected
    assert all(
        step.selection is not None and not step.selection.columns for step in whole.steps if isinstance(step, ReadRows)
    )


@pytest.mark.parametrize("refusal", [(3, "read-write-denied"), (4, "object-undefined"), (11, "object-unavailable")])
def test_a_meter_without_a_second_phase_is_single_phase(refusal: tuple[int, str]) -> None:
    meter = Recorder(NEW, poly=True)
    meter.refusals[L2] = refusal
    assert {rows.profile for rows in read(meter, NEW, "PRIVATE").profiles} == {FIRST, SECOND}
    assert meter.steps[0] == Get(L2)
    meter.refusals[L2] = (2, "temporary-failure")
    with pytest.raises(MeterRefused, match="temporary-failure"):
        read(meter, NEW, "PRIVATE")


def test_a_missing_clock_is_one_capture_period_later_and_a_signal_nobody_knows_is_99() -> None:
    meter = Recorder(NEW, poly=False)
    buffer = profile(*NEW)[LOAD]
    (first, *_) = meter.of[buffer.at(2)]
    width = len(first)
    meter.of[buffer.at(2)] = [(None,) * width, first, (None,) * width, (None,) * width]
    rows = next(each for each in read(meter, NEW, "PUBLIC").profiles if each.profile == LOAD)
    assert rows.log_times == tuple(millis("2019-01-01") + n * 900_000 for n in range(3))
    for each in rows.columns:
        missing = 99_000_000 if each.class_id == 47 else None
        assert each.numbers == (0, missing, missing)


@pytest.mark.parametrize(("start", "rows"), [("2024-03-30T23:00", 138), ("2024-10-26T22:00", 150)])
def test_the_nights_of_daylight_saving(start: str, rows: int) -> None:
    """A local day of 23 or 25 hours has as many ten minutes more or less."""
    meter = Recorder(NEW, poly=False)
    buffer = profile(*NEW)[SECOND]
    (_, *values) = meter.of[buffer.at(2)][0]
    times = [utc(start) + timedelta(minutes=10 * n) for n in range(rows)]
    meter.of[buffer.at(2)] = [(clock(time, AMSTERDAM), *values) for time in times]
    found = next(each for each in read(meter, NEW, "PRIVATE").profiles if each.profile == SECOND)
    assert found.log_times == tuple(millis(start) + 600_000 * n for n in range(rows))


def test_a_begin_after_the_end_and_an_unknown_type_are_rejected() -> None:
    for change, field in (({"begin_date": "2031-01-01"}, "begin_date"), ({"profile_type": "SECRET"}, "profile_type")):
        request = {"profile_type": "PUBLIC", "begin_date": "2015-01-01", "end_date": "2030-01-10", **change}
        with pytest.raises(Rejected) as caught:
            play(NAME, request, meter_of(*NEW), Recorder(NEW, poly=False).answer)
        assert caught.value.field == field


def test_reads_are_a_record_a_profile() -> None:
    operation = catalogue()[NAME]
    assert operation.reads is not None
    result = read(Recorder(NEW, poly=True), NEW, "PUBLIC")
    found = list(operation.reads(CommandHeader("id", DEVICE, 0), result, 99))
    records = {each.profile: each for each in found if isinstance(each, ProfileReads)}
    assert records.keys() == {LOAD, SECOND}
    volts = records[SECOND]
    assert (volts.logical_name, volts.statuses) == ("1-0:99.1.2.255", b"")
    assert [(each.quantity, each.unit) for each in volts.columns] == [
        ("average_voltage_l1", "V"), ("average_voltage_l2", "V"), ("average_voltage_l3", "V"),
    ]  # fmt: skip
    assert array("q", volts.columns[0].values).tolist() == [230_100_000] * 2
    empty = replace(result, profiles=tuple(replace(each, log_times=()) for each in result.profiles))
    assert list(operation.reads(CommandHeader("id", DEVICE, 0), empty, 99)) == []


def test_the_clock_is_captured_and_the_meter_is_asked_for_nothing_it_has_not() -> None:
    meter = Recorder(("DSMR", "4.2.2"), poly=False)
    read(meter, ("DSMR", "4.2.2"), "PUBLIC")
    known: Meter = meter_of("DSMR", "4.2.2")
    buffers = [step.buffer for step in meter.steps if isinstance(step, ReadRows)]
    assert buffers == [known.profile[LOAD].at(2)]

"""Power quality in the profiles: which registers a meter has, how they are scaled, and which of them each read takes
(operations-reading 14.2 and 14.3, meter-model 9.2 to 9.4 and 10.4).
"""

import pytest

from operations._data import Data, Tag
from operations._profile import Access, Audience, Profile, Supply, profile, profiles
from tests.unit.operations.conversation import VERSIONS

DSMR_22 = [("DSMR", "2.2")]
DSMR_4 = [("DSMR", "4.2.2"), ("SMR", "4.3")]
SMR_5 = [version for version in VERSIONS if version[1].startswith("5")]
BUFFERS = ("DEFINABLE_LOAD_PROFILE", "POWER_QUALITY_PROFILE_1", "POWER_QUALITY_PROFILE_2")
PUBLIC, PRIVATE, SINGLE, POLY = Audience.PUBLIC, Audience.PRIVATE, Supply.SINGLE, Supply.POLY


@pytest.mark.parametrize(
    ("versions", "counts"),
    [(DSMR_22, [7, 15, 3, 5]), (DSMR_4, [7, 15, 12, 28]), (SMR_5, [7, 15, 12, 28])],
)
def test_how_much_an_actual_read_takes(versions: list[tuple[str, str]], counts: list[int]) -> None:
    """The clock counts as one (operations-reading 14.2)."""
    for version in versions:
        made = profile(*version)
        assert [
            1 + len(made.actual_power_quality(audience, supply)) for audience in Audience for supply in Supply
        ] == counts


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_actual_read_of_a_single_phase_meter_is_for_everybody(version: tuple[str, str]) -> None:
    assert {each.tag for each in profile(*version).actual_power_quality(PUBLIC, SINGLE)} == {
        "INSTANTANEOUS_VOLTAGE_L1", "AVERAGE_VOLTAGE_L1", "NUMBER_OF_POWER_FAILURES", "NUMBER_OF_LONG_POWER_FAILURES",
        "NUMBER_OF_VOLTAGE_SAGS_L1", "NUMBER_OF_VOLTAGE_SWELLS_L1",
    }  # fmt: skip


@pytest.mark.parametrize("made", profiles().values(), ids=lambda made: f"{made.protocol} {made.version}")
def test_a_single_phase_meter_is_asked_for_what_it_has(made: Profile) -> None:
    """Registers and counters only (class 3 and 1), and nothing of L2 and L3."""
    for audience in Audience:
        single = made.actual_power_quality(audience, SINGLE)
        assert {each.tag for each in single} < {each.tag for each in made.actual_power_quality(audience, POLY)}
        assert not [each.tag for each in single if each.polyphase]
        assert {each.class_id for each in made.actual_power_quality(audience, POLY)} <= {1, 3}
        for tag in BUFFERS:
            if tag in made:
                assert not [each for each in made.periodic_power_quality(made[tag], audience, SINGLE) if each.polyphase]


def taken(version: tuple[str, str], audience: Audience, supply: Supply) -> dict[str, str]:
    """The columns a periodic read takes of the buffers as shipped, besides the clock; buffers without any left out."""
    made, found = profile(*version), {}
    for tag in BUFFERS:
        if tag in made:
            chosen = {each.tag for each in made.periodic_power_quality(made[tag], audience, supply)}
            found[tag] = " ".join(
                f"{column.class_id}/{'.'.join(map(str, column.obis[:5]))}/{column.attribute}/{column.data_index}"
                for column in made[tag].columns
                if column.tag in chosen
            )
    return {tag: columns for tag, columns in found.items() if columns}


def of(class_id: int, *names: str) -> str:
    return " ".join(f"{class_id}/{name}/2/0" for name in names)


COUNTED_L1 = of(1, "1.0.32.36.0", "1.0.32.32.0", "0.0.96.7.21")
VOLTAGE_L1 = of(3, "1.0.32.7.0", "1.0.32.24.0")
VOLTAGES = of(3, *(f"1.0.{c}.{d}.0" for c in (32, 52, 72) for d in (7, 24)))
SIGNAL = "47/0.1.25.6.0/6/3"
RADIO = (
    "47/0.1.25.6.0/6/3 47/0.0.25.6.0/6/3 47/0.1.25.6.0/6/4 47/0.0.25.6.0/6/4 72/0.1.24.1.0/11/0 72/0.2.24.1.0/11/0 "
    "77/0.1.24.9.0/2/0 77/0.2.24.9.0/2/0 77/0.1.24.9.0/8/0 77/0.2.24.9.0/8/0"
)


def powers(group: int, phases: int) -> str:
    return of(3, *(f"1.0.{c + 20 * phase}.{group}.0" for c in (21, 22, 23, 24) for phase in range(phases)))


@pytest.mark.parametrize(
    ("version", "audience", "supply", "columns"),
    [
        (DSMR_4[0], PUBLIC, SINGLE, [f"{COUNTED_L1} {VOLTAGE_L1}"]),
        (DSMR_4[1], PUBLIC, SINGLE, [f"{COUNTED_L1} {VOLTAGE_L1} {SIGNAL}"]),
        (DSMR_4[0], PUBLIC, POLY, [VOLTAGES]),
        (DSMR_4[1], PUBLIC, POLY, [f"{VOLTAGES} {SIGNAL}"]),
        *[
            (version, PRIVATE, SINGLE, [f"{of(3, '1.0.31.7.0', '1.0.31.24.0')} {powers(24, 1)}"])
            for version in DSMR_4
        ],
        *[(version, PRIVATE, POLY, [f"{of(3, '1.0.90.7.0')} {powers(24, 3)}"]) for version in DSMR_4],
        *[
            (version, PUBLIC, SINGLE,
             [f"{of(1, '1.0.32.32.0', '1.0.32.36.0', '0.0.96.7.21')} {RADIO}", of(3, "1.0.32.24.0", "1.0.32.7.0")])
            for version in SMR_5
        ],
        *[
            (version, PUBLIC, POLY,
             [of(1, *(f"1.0.{c}.{d}.0" for d in (32, 36) for c in (32, 52, 72)), "0.0.96.7.21") + f" {RADIO}",
              of(3, "1.0.32.24.0", "1.0.52.24.0", "1.0.72.24.0")])
            for version in SMR_5
        ],
        *[
            (version, PRIVATE, SINGLE, [powers(4, 1), of(3, "1.0.31.24.0", "1.0.31.7.0")])
            for version in SMR_5
        ],
        *[
            (version, PRIVATE, POLY, [powers(4, 3), of(3, "1.0.31.24.0", "1.0.51.24.0", "1.0.71.24.0")])
            for version in SMR_5
        ],
    ],
)  # fmt: skip
def test_what_a_periodic_read_takes_of_the_buffers_as_shipped(
    version: tuple[str, str], audience: Audience, supply: Supply, columns: list[str]
) -> None:
    """The worked cases of operations-reading 14.3."""
    assert list(taken(version, audience, supply).values()) == columns


def test_dsmr_22_has_no_buffer_of_power_quality() -> None:
    assert not any(taken(DSMR_22[0], audience, supply) for audience in Audience for supply in Supply)
    assert not set(BUFFERS) & set(profile("DSMR", "2.2").objects)


@pytest.mark.parametrize("version", SMR_5)
def test_buffers_of_power_quality(version: tuple[str, str]) -> None:
    made = profile(*version)
    assert [(made[tag].name, made[tag].capture_period, made[tag].entries) for tag in BUFFERS] == [
        ("0-1:94.31.6.255", 900, 960), ("1-0:99.1.1.255", 900, 960), ("1-0:99.1.2.255", 600, 1440),
    ]  # fmt: skip
    writable = [
        {index for index, each in made[tag].attributes.items() if Access.WRITE in each.management} for tag in BUFFERS
    ]
    assert writable == [{3, 4, 8}, {3}, {3}]
    assert len(made["POWER_QUALITY_PROFILE_1"].columns) == 13
    assert ("LTE_DIAGNOSTIC" in made["DEFINABLE_LOAD_PROFILE"].selectable) is (version[1] in ("5.2", "5.5"))


@pytest.mark.parametrize(
    ("versions", "voltage", "current", "group"),
    [(DSMR_22, 0, 0, None), (DSMR_4, 0, 0, 24), (SMR_5, -1, -2, 4)],
)
def test_scalers_by_protocol(versions: list[tuple[str, str]], voltage: int, current: int, group: int | None) -> None:
    for version in versions:
        made = profile(*version)
        assert scaling(made, "AVERAGE_VOLTAGE_L3") == (voltage, 35)
        assert (
            scaling(made, "INSTANTANEOUS_CURRENT_L2") == scaling(made, "INSTANTANEOUS_CURRENT_TOTAL") == (current, 33)
        )
        if group is not None:
            assert scaling(made, "AVERAGE_CURRENT_L1") == (current, 33)
            assert made["AVERAGE_CURRENT_L1"].name == "1-0:31.24.0.255"
            assert made["AVERAGE_ACTIVE_POWER_EXPORT_L2"].name == f"1-0:42.{group}.0.255"
            assert made["AVERAGE_REACTIVE_POWER_IMPORT_L3"].name == f"1-0:63.{group}.0.255"
            assert scaling(made, "AVERAGE_REACTIVE_POWER_IMPORT_L1") == (0, 29)
            assert scaling(made, "INSTANTANEOUS_ACTIVE_POWER_EXPORT_L1") == (0, 27)


def scaling(made: Profile, tag: str) -> tuple[int, int]:
    fixed = made[tag].scaler_unit
    assert fixed is not None, tag
    return fixed.scaler, fixed.unit


@pytest.mark.parametrize("version", VERSIONS)
def test_only_dsmr_4_leaves_the_scaler_of_a_voltage_to_the_meter(version: tuple[str, str]) -> None:
    """Some makers ship -1, and a client may set it (meter-model 9.2): read attribute 3."""
    voltage = profile(*version)["INSTANTANEOUS_VOLTAGE_L1"]
    assert (voltage.scaler_unit is None) is (version in DSMR_4)
    assert (Access.WRITE in voltage.attributes[3].management) is (version in DSMR_4)
    if version in DSMR_4:
        assert voltage.attributes[3].value == Data(Tag.STRUCTURE, (Data(Tag.INTEGER, 0), Data(Tag.ENUMERATE, 35)))


@pytest.mark.parametrize(
    ("tag", "name", "kind", "unit"),
    [
        ("THD_VALUE_THRESHOLD", "1-0:11.35.124.255", Tag.LONG_UNSIGNED, (0, 56)),
        ("THD_VALUE_HYSTERESIS", "0-1:94.31.21.255", Tag.LONG_UNSIGNED, (0, 56)),
        ("THD_MIN_DURATION_NORMAL_TO_OVER", "0-1:94.31.22.255", Tag.DOUBLE_LONG_UNSIGNED, (0, 7)),
        ("THD_MIN_DURATION_OVER_TO_NORMAL", "0-1:94.31.23.255", Tag.DOUBLE_LONG_UNSIGNED, (0, 7)),
        ("THD_TIME_THRESHOLD", "1-0:11.44.124.255", Tag.DOUBLE_LONG_UNSIGNED, (0, 7)),
        ("THD_INSTANTANEOUS_CURRENT_L2", "1-0:51.7.124.255", Tag.LONG_UNSIGNED, (0, 56)),
        ("THD_OVER_LIMIT_COUNTER_L3", "1-0:71.36.124.255", Tag.LONG_UNSIGNED, (0, 255)),
        ("MAGNITUDE_OF_LAST_THD_OVER_LIMIT_L1", "1-0:31.38.124.255", Tag.LONG_UNSIGNED, (0, 56)),
        ("MAGNITUDE_OF_LAST_VOLTAGE_SAG_L2", "1-0:52.34.0.255", Tag.LONG_UNSIGNED, (-1, 35)),
        ("DURATION_OF_LAST_VOLTAGE_SAG_L3", "1-0:72.33.0.255", Tag.LONG_UNSIGNED, (-1, 7)),
        ("MAGNITUDE_OF_LAST_VOLTAGE_SWELL_L1", "1-0:32.38.0.255", Tag.LONG_UNSIGNED, (-1, 35)),
        ("DURATION_OF_LAST_VOLTAGE_SWELL_L1", "1-0:32.37.0.255", Tag.LONG_UNSIGNED, (-1, 7)),
    ],
)
def test_distortion_and_the_last_sag_and_swell(tag: str, name: str, kind: Tag, unit: tuple[int, int]) -> None:
    made = profile("SMR", "5.2")
    assert (made[tag].name, made[tag].attributes[2].type, scaling(made, tag)) == (name, kind, unit)
    settable = tag.startswith(("THD_VALUE", "THD_MIN", "THD_TIME"))
    assert (Access.WRITE in made[tag].attributes[2].management) is settable


def test_a_fingerprint_has_fifteen_harmonics() -> None:
    made = [profile("SMR", "5.2")[f"THD_FINGERPRINT_L{phase}"] for phase in (1, 2, 3)]
    assert [(each.name, each.class_id, each.attributes[2].length) for each in made] == [
        ("0-1:94.31.24.255", 1, 15), ("0-1:94.31.25.255", 1, 15), ("0-1:94.31.26.255", 1, 15),
    ]  # fmt: skip


def test_modem_diagnostics() -> None:
    names = {
        "GPRS_DIAGNOSTIC": "0-0:25.6.0.255",
        "CDMA_DIAGNOSTIC": "0-1:25.6.0.255",
        "LTE_DIAGNOSTIC": "0-2:25.6.0.255",
    }
    made = profile("SMR", "5.5")
    assert {tag: made[tag].name for tag in names} == names
    assert {index: each.type for index, each in made["LTE_DIAGNOSTIC"].attributes.items() if index > 1} == {
        2: Tag.VISIBLE_STRING, 3: Tag.ENUMERATE, 4: Tag.ENUMERATE, 5: Tag.ENUMERATE, 6: Tag.STRUCTURE, 7: Tag.ARRAY,
        8: Tag.OCTET_STRING,
    }  # fmt: skip

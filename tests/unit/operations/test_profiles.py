"""The shipped profiles: what the tables of operations-reading 2 and meter-model 8 to 17 and 21 say of each version."""

import pytest

from operations._data import Data, Tag
from operations._errors import Rejected
from operations._profile import Access, CosemObject, Profile, profile, profiles
from tests.unit.operations.conversation import VERSIONS

DSMR = ("DSMR", "4.2.2")
DSMR_4 = [DSMR, ("SMR", "4.3")]
SMR_5 = [version for version in VERSIONS if version[1].startswith("5")]
RATES = ["3/1.0.1.8.1/2", "3/1.0.1.8.2/2", "3/1.0.2.8.1/2", "3/1.0.2.8.2/2"]


def columns(made: CosemObject) -> list[str]:
    return [f"{c.class_id}/{'.'.join(map(str, c.obis[:5]))}/{c.attribute}" for c in made.columns]


def test_the_versions_there_are() -> None:
    assert [" ".join(version) for version in VERSIONS] == [
        "DSMR 2.2", "DSMR 4.2.2", "SMR 4.3", "SMR 5.0.0", "SMR 5.1", "SMR 5.2", "SMR 5.5",
    ]  # fmt: skip


@pytest.mark.parametrize("pair", [("SMR", "5.0"), ("smr", "5.0.0"), ("DSMR", "14"), ("", "")])
def test_look_up_is_exact(pair: tuple[str, str]) -> None:
    with pytest.raises(KeyError):
        profile(*pair)


@pytest.mark.parametrize(
    ("tag", "class_id", "name"),
    [
        ("CLOCK", 8, "0-0:1.0.0.255"),
        ("LOGICAL_DEVICE_NAME", 1, "0-0:42.0.0.255"),
        ("SAP_ASSIGNMENT", 17, "0-0:41.0.0.255"),
        ("ASSOCIATION_LN", 15, "0-0:40.0.0.255"),
        ("SECURITY_SETUP", 64, "0-0:43.0.0.255"),
        ("DEVICE_ID_1", 1, "0-0:96.1.0.255"),
        ("DEVICE_ID_2", 1, "0-0:96.1.1.255"),
        ("ACTIVE_FIRMWARE_IDENTIFIER", 1, "1-0:0.2.0.255"),
        ("MODULE_ACTIVE_FIRMWARE_IDENTIFIER", 1, "1-1:0.2.0.255"),
        ("COMMUNICATION_MODULE_ACTIVE_FIRMWARE_IDENTIFIER", 1, "1-2:0.2.0.255"),
        ("ACTIVE_FIRMWARE_SIGNATURE", 1, "1-0:0.2.8.255"),
        ("ACTIVITY_CALENDAR", 20, "0-0:13.0.0.255"),
        ("SPECIAL_DAYS", 11, "0-0:11.0.0.255"),
        ("TARIFF_SCRIPT_TABLE", 9, "0-0:10.0.100.255"),
        ("PUSH_SCRIPT_TABLE", 9, "0-0:10.0.108.255"),
        ("PUSH_SETUP_SCHEDULER", 40, "0-0:25.9.0.255"),
        ("PUSH_SCHEDULER", 22, "0-0:15.0.4.255"),
        ("ALARM_MONITOR", 21, "0-0:16.1.0.255"),
        ("TCP_UDP_SETUP", 41, "0-0:25.0.0.255"),
        ("IPV4_SETUP", 42, "0-0:25.1.0.255"),
        ("PPP_SETUP", 44, "0-0:25.3.0.255"),
        ("GPRS_MODEM_SETUP", 45, "0-0:25.4.0.255"),
        ("AUTO_CONNECT", 29, "0-0:2.1.0.255"),
        ("NUMBER_OF_POWER_FAILURES", 1, "0-0:96.7.21.255"),
        ("NUMBER_OF_LONG_POWER_FAILURES", 1, "0-0:96.7.9.255"),
        ("NUMBER_OF_VOLTAGE_SAGS_L2", 1, "1-0:52.32.0.255"),
        ("NUMBER_OF_VOLTAGE_SWELLS_L3", 1, "1-0:72.36.0.255"),
        ("INSTANTANEOUS_VOLTAGE_L1", 3, "1-0:32.7.0.255"),
        ("AVERAGE_VOLTAGE_L2", 3, "1-0:52.24.0.255"),
        ("INSTANTANEOUS_CURRENT_L3", 3, "1-0:71.7.0.255"),
        ("INSTANTANEOUS_CURRENT_TOTAL", 3, "1-0:90.7.0.255"),
        ("ACTIVE_TARIFF", 1, "0-0:96.14.0.255"),
        ("ACTIVE_ENERGY_IMPORT_TOTAL", 3, "1-0:1.8.0.255"),
        ("ACTIVE_ENERGY_IMPORT_RATE_1", 3, "1-0:1.8.1.255"),
        ("ACTIVE_ENERGY_IMPORT_RATE_2", 3, "1-0:1.8.2.255"),
        ("ACTIVE_ENERGY_EXPORT_TOTAL", 3, "1-0:2.8.0.255"),
        ("ACTIVE_ENERGY_EXPORT_RATE_1", 3, "1-0:2.8.1.255"),
        ("ACTIVE_ENERGY_EXPORT_RATE_2", 3, "1-0:2.8.2.255"),
        ("ALARM_REGISTER_1", 1, "0-0:97.98.0.255"),
        ("ALARM_FILTER_1", 1, "0-0:97.98.10.255"),
        ("MBUS_CLIENT_3", 72, "0-3:24.1.0.255"),
        ("MBUS_DEVICE_ID_4", 1, "0-4:96.1.1.255"),
        ("STANDARD_EVENT_LOG", 7, "0-0:99.98.0.255"),
        ("LONG_POWER_FAILURE_LOG", 7, "1-0:99.97.0.255"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_of_every_version(version: tuple[str, str], tag: str, class_id: int, name: str) -> None:
    made = profile(*version)[tag]
    assert (made.class_id, made.name) == (class_id, name)


@pytest.mark.parametrize(
    ("tag", "where"),
    [
        ("INSTANTANEOUS_ACTIVE_POWER_TOTAL", "2.2"),
        ("P1_PORT_VERSION", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("ADMINISTRATIVE_IN_OUT", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("CONFIGURATION_OBJECT", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("RANDOMISATION_SETTINGS", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("IMAGE_TRANSFER", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("DEFINABLE_LOAD_PROFILE", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("COMMUNICATION_SESSION_EVENT_LOG", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("PUSH_SETUP_ALARM", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("PUSH_SETUP_SMS", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("AVERAGE_CURRENT_L1", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("AVERAGE_REACTIVE_POWER_EXPORT_L3", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("INSTANTANEOUS_ACTIVE_POWER_IMPORT_TOTAL", "4.2.2 4.3 5.0.0 5.1 5.2 5.5"),
        ("EXTERNAL_TRIGGER_CSD", "4.2.2 4.3"),
        ("EXTERNAL_TRIGGER_SMS", "4.2.2 4.3"),
        ("EXTERNAL_TRIGGER_SMS_OR_CSD", "5.0.0 5.1 5.2 5.5"),
        ("CDMA_DIAGNOSTIC", "4.3 5.0.0 5.1 5.2 5.5"),
        ("INVOCATION_COUNTER", "4.3 5.0.0 5.1 5.2 5.5"),
        ("GPRS_DIAGNOSTIC", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_DRIVER_ACTIVE_FIRMWARE_IDENTIFIER", "5.0.0 5.1 5.2 5.5"),
        ("POWER_QUALITY_EVENT_LOG", "5.0.0 5.1 5.2 5.5"),
        ("POWER_QUALITY_PROFILE_1", "5.0.0 5.1 5.2 5.5"),
        ("POWER_QUALITY_PROFILE_2", "5.0.0 5.1 5.2 5.5"),
        ("LONG_POWER_FAILURE_THRESHOLD", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_STATUS_1", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_DIAGNOSTIC_2", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_DEVICE_MODEL_4", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_VERSION_INFO_1", "5.0.0 5.1 5.2 5.5"),
        ("MBUS_CLEAR_STATUS_1", "5.1 5.2 5.5"),
        ("PHASE_OUTAGE_TEST", "5.1 5.2 5.5"),
        ("AUXILIARY_EVENT_LOG", "5.1 5.2 5.5"),
        ("ALARM_REGISTER_2", "5.2 5.5"),
        ("ALARM_FILTER_2", "5.2 5.5"),
        ("POWER_QUALITY_EXTENDED_EVENT_LOG", "5.2 5.5"),
        ("POWER_QUALITY_THD_EVENT_LOG", "5.2 5.5"),
        ("MAGNITUDE_OF_LAST_VOLTAGE_SAG_L1", "5.2 5.5"),
        ("THD_FINGERPRINT_L3", "5.2 5.5"),
        ("LTE_DIAGNOSTIC", "5.2 5.5"),
        ("ALARM_REGISTER_3", "5.5"),
        ("ALARM_FILTER_3", "5.5"),
        ("PUSH_SETUP_UDP", "5.5"),
        ("LAST_GASP_TEST", "5.5"),
        ("LAST_GASP_MONITOR", "5.5"),
    ],
)
def test_objects_of_some_versions(tag: str, where: str) -> None:
    assert " ".join(each.version for each in profiles().values() if tag in each) == where


def declared(version: tuple[str, str], parent: tuple[str, str]) -> tuple[set[str], set[str]]:
    """Tags a child adds to its parent, and those it replaces; an object of the M-Bus channels counts once."""
    child, above = profile(*version).objects, profile(*parent).objects
    added = {tag for tag in child.keys() - above.keys() if child[tag].channel in (None, 1)}
    return added, {tag for tag in child.keys() & above.keys() if child[tag] != above[tag]}


@pytest.mark.parametrize(
    ("child", "parent", "count", "replaced", "besides"),
    [
        (("SMR", "4.3"), DSMR, 2, {"DEFINABLE_LOAD_PROFILE"}, {"INVOCATION_COUNTER"}),
        (("SMR", "5.1"), ("SMR", "5.0.0"), 4, set(), set()),
        (("SMR", "5.2"), ("SMR", "5.1"), 40, {"DEFINABLE_LOAD_PROFILE"}, set()),
        (("SMR", "5.5"), ("SMR", "5.2"), 4, set(), {"LAST_GASP_MONITOR"}),
    ],
)
def test_a_child_adds_what_the_reference_says(
    child: tuple[str, str], parent: tuple[str, str], count: int, replaced: set[str], besides: set[str]
) -> None:
    """The counts are those of GXF's profile files (meter-model 21). They leave out the invocation counter, which GXF
    asks for by a fixed name (operations-managing 0.3), and the monitor of the last gasp (operations-reading 2.7).
    """
    added, changed = declared(child, parent)
    assert changed == replaced
    assert len(added | changed) - len(besides) == count
    assert besides <= added


def test_object_sets_in_numbers() -> None:
    """Each object counted, the four channels and three phases too: what a poly-phase meter shows."""
    assert {" ".join(key): len(each.objects) for key, each in profiles().items()} == {
        "DSMR 2.2": 90, "DSMR 4.2.2": 125, "SMR 4.3": 127, "SMR 5.0.0": 184, "SMR 5.1": 191, "SMR 5.2": 230,
        "SMR 5.5": 235,
    }  # fmt: skip


def test_interval_profile() -> None:
    for each in profiles().values():
        made = each["INTERVAL_PROFILE"]
        assert (made.name, made.capture_period, made.entries) == ("1-0:99.1.0.255", 900, 960)
        assert columns(made) == ["8/0.0.1.0.0/2", "1/0.0.96.10.2/2", "3/1.0.1.8.0/2", "3/1.0.2.8.0/2"]


@pytest.mark.parametrize("version", [("DSMR", "2.2"), *DSMR_4])
def test_combined_profiles_of_dsmr(version: tuple[str, str]) -> None:
    """Clock, status, rates, and per channel value and capture time; DSMR 2.2 has no capture time."""
    daily, monthly = profile(*version)["DAILY_PROFILE"], profile(*version)["MONTHLY_PROFILE"]
    gas = [f"4/0.{c}.24.2.1/{a}" for c in (1, 2, 3, 4) for a in ((2,) if version[1] == "2.2" else (2, 5))]
    assert (daily.name, daily.capture_period, daily.entries) == ("1-0:99.2.0.255", 86_400, 40)
    assert columns(daily) == ["8/0.0.1.0.0/2", "1/0.0.96.10.2/2", *RATES, *gas]
    assert (monthly.name, monthly.capture_period, monthly.entries) == ("0-0:98.1.0.255", 0, 13)
    assert columns(monthly) == ["8/0.0.1.0.0/2", *RATES, *gas]


@pytest.mark.parametrize("version", SMR_5)
def test_own_profiles_of_smr_5(version: tuple[str, str]) -> None:
    daily, monthly = profile(*version)["DAILY_PROFILE"], profile(*version)["MONTHLY_PROFILE"]
    assert columns(daily) == ["8/0.0.1.0.0/2", "1/0.0.96.10.4/2", *RATES]
    assert (monthly.name, monthly.entries) == ("1-0:98.1.0.255", 13)
    assert columns(monthly) == ["8/0.0.1.0.0/2", "1/0.0.96.10.6/2", *RATES]


@pytest.mark.parametrize(
    ("version", "tag", "period", "entries", "status", "value"),
    [
        *[(version, "MBUS_INTERVAL_PROFILE", 3600, 240, 3, "24.2.1") for version in DSMR_4],
        *[
            (version, f"MBUS_{name}_PROFILE", period, entries, status, "24.2.2")
            for version in SMR_5
            for name, period, entries, status in [
                ("INTERVAL", 3600, 240, 3),
                ("DAILY", 86_400, 40, 5),
                ("MONTHLY", 0, 13, 7),
            ]
        ],
    ],
)
def test_gas_profiles(version: tuple[str, str], tag: str, period: int, entries: int, status: int, value: str) -> None:
    for channel in (1, 2, 3, 4):
        made = profile(*version).on_channel(tag, channel)
        assert (made.channel, made.capture_period, made.entries) == (channel, period, entries)
        assert columns(made) == [
            "8/0.0.1.0.0/2",
            f"1/0.{channel}.96.10.{status}/2",
            f"4/0.{channel}.{value}/2",
            f"4/0.{channel}.{value}/5",
        ]


def test_gas_profile_of_dsmr_22_has_no_capture_time() -> None:
    made = profile("DSMR", "2.2")["MBUS_INTERVAL_PROFILE_2"]
    assert columns(made) == ["8/0.0.1.0.0/2", "1/0.2.96.10.3/2", "4/0.2.24.2.1/2"]


@pytest.mark.parametrize(
    ("version", "association", "attributes", "mbus", "log"),
    [
        (("DSMR", "2.2"), 0, 8, 0, 0),
        *[(version, 1, 9, 0, 1) for version in DSMR_4],
        *[(version, 3, 11, 1, 1) for version in SMR_5],
    ],
)
def test_class_versions(version: tuple[str, str], association: int, attributes: int, mbus: int, log: int) -> None:
    made = profile(*version)
    assert (made["ASSOCIATION_LN"].version, max(made["ASSOCIATION_LN"].attributes)) == (association, attributes)
    assert (made["MBUS_CLIENT_1"].version, made["STANDARD_EVENT_LOG"].version) == (mbus, log)
    assert made["INTERVAL_PROFILE"].version == 1


def test_configuration_object_per_family() -> None:
    assert profile(*DSMR)["CONFIGURATION_OBJECT"].attributes[2].value == Data(
        Tag.STRUCTURE, (Data(Tag.ENUMERATE, 1), Data(Tag.BIT_STRING, "0101001000000000"))
    )
    assert profile("SMR", "5.1")["CONFIGURATION_OBJECT"].attributes[2].type is Tag.BIT_STRING
    assert [each.traits.configuration_object for each in profiles().values()] == [
        "none", *["structure"] * 2, *["bit-string"] * 4,
    ]  # fmt: skip


EVENT_LOGS = [  # operations-reading 2.6, meter-model 12
    ("STANDARD", "2.2", 0, "11.0", [17], 100),
    ("FRAUD_DETECTION", "2.2", 1, "11.1", [17], 30),
    ("MBUS", "2.2", 3, "11.3", [17], 30),
    ("COMMUNICATION_SESSION", "4.2.2", 4, "11.4 15.4", [17, 18], 2190),
    ("POWER_QUALITY", "5.0.0", 5, "11.5", [17], 100),
    ("AUXILIARY", "5.1", 6, "11.6", [18], 80),
    ("POWER_QUALITY_EXTENDED", "5.2", 7, "11.7 11.20 11.21", [17, 18, 18], 20),
    ("POWER_QUALITY_THD", "5.2", 8, "11.8 11.22", [17, 18], 100),
]


@pytest.mark.parametrize(("log", "since", "number", "captured", "types", "entries"), EVENT_LOGS)
def test_event_logs(log: str, since: str, number: int, captured: str, types: list[int], entries: int) -> None:
    having = [each for each in profiles().values() if f"{log}_EVENT_LOG" in each]
    assert [each.version for each in having] == [version for _, version in VERSIONS if version >= since]
    for each in having:
        made = each[f"{log}_EVENT_LOG"]
        assert (made.name, made.entries, made.capture_period) == (f"0-0:99.98.{number}.255", entries, 0)
        assert columns(made) == ["8/0.0.1.0.0/2", *[f"1/0.0.96.{part}/2" for part in captured.split()]]
        assert [each[column.tag].attributes[2].type for column in made.columns[1:]] == types


@pytest.mark.parametrize(
    ("tag", "public"),
    [
        ("LOGICAL_DEVICE_NAME", {2}),
        ("DEVICE_ID_2", {2}),
        ("INVOCATION_COUNTER", {2}),
        ("CLOCK", {2}),
        ("DEVICE_ID_1", set()),
        ("SECURITY_SETUP", set()),
        ("ACTIVE_ENERGY_IMPORT_TOTAL", set()),
        ("INTERVAL_PROFILE", set()),
        ("ALARM_REGISTER_1", set()),
    ],
)
def test_what_the_public_client_sees(tag: str, public: set[int]) -> None:
    made = profile("SMR", "5.0.0")[tag]
    seen = {index for index, each in made.attributes.items() if each.access(16)}
    assert seen == (public | {1} if public else set())
    assert all(each.access(102) is Access.NONE for each in made.attributes.values())


def test_what_the_management_client_may_write() -> None:
    five = profile("SMR", "5.5")
    writable = {tag for tag, each in five.objects.items() if Access.WRITE in each.attributes[2].access(1)}
    assert {"CLOCK", "ALARM_REGISTER_1", "ALARM_REGISTER_2", "ALARM_REGISTER_3", "ADMINISTRATIVE_IN_OUT"} <= writable
    assert not {"ACTIVE_ENERGY_IMPORT_TOTAL", "INTERVAL_PROFILE", "LOGICAL_DEVICE_NAME"} & writable
    assert five["ASSOCIATION_LN"].attributes[7].management == Access.WRITE  # a secret is never read


def test_fixed_scalers_and_typical_ones() -> None:
    five = profile("SMR", "5.0.0")
    watt_hours, gas = five["ACTIVE_ENERGY_IMPORT_TOTAL"], five["MBUS_VALUE_1"]
    assert watt_hours.scaler_unit is not None
    assert (watt_hours.scaler_unit.scaler, watt_hours.scaler_unit.unit) == (0, 30)
    assert gas.scaler_unit is None
    assert gas.attributes[3].value == Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -3), Data(Tag.ENUMERATE, 13)))


def test_a_profiles_own_attributes() -> None:
    made = profile("SMR", "5.0.0")["INTERVAL_PROFILE"]
    captured, sort_object = made.attributes[3].value, made.attributes[6].value
    assert captured is not None and len(captured.value) == 4
    assert (
        captured.value[0]
        == sort_object
        == Data(
            Tag.STRUCTURE,
            (
                Data(Tag.LONG_UNSIGNED, 8),
                Data(Tag.OCTET_STRING, bytes((0, 0, 1, 0, 0, 255))),
                Data(Tag.INTEGER, 2),
                Data(Tag.LONG_UNSIGNED, 0),
            ),
        )
    )
    assert made.attributes[4].value == Data(Tag.DOUBLE_LONG_UNSIGNED, 900)
    assert made.attributes[8].value == Data(Tag.DOUBLE_LONG_UNSIGNED, 960)
    assert made.attributes[2].selectors == (1, 2)


@pytest.mark.parametrize("each", profiles().values(), ids=lambda each: f"{each.protocol} {each.version}")
def test_every_object_is_sound(each: Profile) -> None:
    names = [(made.class_id, made.obis) for made in each.objects.values()]
    assert len(names) == len(set(names))
    for tag, made in each.objects.items():
        assert made.tag == tag
        assert len(made.obis) == 6
        assert made.clause
        assert each.find(made.class_id, made.obis) is made
        assert made.attributes[1].value == Data(Tag.OCTET_STRING, made.obis)
        assert any(part.management for part in made.attributes.values())
        for column in made.columns:
            source = each[column.tag]
            assert (source.class_id, source.obis) == (column.class_id, column.obis)
            assert column.attribute in source.attributes


def test_what_is_not_there_is_a_416() -> None:
    with pytest.raises(Rejected, match="No address found for ALARM_REGISTER_3 in protocol SMR 5.2") as caught:
        profile("SMR", "5.2")["ALARM_REGISTER_3"]
    assert (caught.value.code, caught.value.name) == (416, "OPERATION_NOT_SUPPORTED_BY_PLATFORM_FOR_PROTOCOL")
    with pytest.raises(Rejected, match="MBUS_DAILY_PROFILE_1 in protocol DSMR 4.2.2"):
        profile(*DSMR).on_channel("MBUS_DAILY_PROFILE", 1)
    assert profile("SMR", "5.2").find(1, bytes((0, 0, 97, 98, 2, 255))) is None

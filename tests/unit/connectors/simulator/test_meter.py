"""What a meter answers: objects, rights and result codes of its profile (meter-model 6, 8, 12, 13, 15, 17)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.dlms.cosem import Data, Mechanism, Method, axdr
from connectors.dlms.cosem.axdr import Tag
from connectors.dlms.cosem.names import Attribute
from connectors.simulator import ledger
from operations._profile import MANAGEMENT_CLIENT, PUBLIC_CLIENT, Access, CosemAttribute, CosemObject, profiles

from .stand import NOW, TITLE, Stand

TOTAL, CLOCK, UNKNOWN = bytes((1, 0, 1, 8, 0, 255)), bytes((0, 0, 1, 0, 0, 255)), bytes((1, 1, 1, 1, 1, 1))


def readable() -> Iterator[Any]:
    """Every attribute that some client may read, of every profile."""
    for (protocol, version), profile in profiles().items():
        yield pytest.param(protocol, version, list(profile.objects.values()), id=f"{protocol}-{version}")


@pytest.mark.parametrize(("protocol", "version", "objects"), [*readable()])
@pytest.mark.parametrize("client", [PUBLIC_CLIENT, MANAGEMENT_CLIENT])
def test_every_readable_attribute_has_the_type_its_profile_says(
    protocol: str, version: str, objects: list[CosemObject], client: int
) -> None:
    stand = Stand(protocol, version, gas_meters=2)
    seen = 0
    for found in objects:
        for known in found.attributes.values():
            answer = stand.get(found.tag, known.index, client=client)
            if Access.READ not in known.access(client):
                hidden = not any(each.access(client) for each in found.attributes.values())
                assert answer == (4 if hidden else 3), (found.tag, known.index)
                continue
            assert isinstance(answer, Data), (found.tag, known.index, answer)
            assert answer.tag == known.type, (found.tag, known.index)
            assert _length(known, answer), (found.tag, known.index, answer)
            axdr.encode(answer)
            seen += 1
    assert seen > (5 if client == PUBLIC_CLIENT else 100)


def _length(known: CosemAttribute, answer: Data) -> bool:
    return known.length is None or len(answer.value) == known.length


@pytest.mark.parametrize(
    ("client", "attribute", "code"),
    [
        pytest.param(1, Attribute(3, UNKNOWN, 2), 4, id="object-undefined"),
        pytest.param(1, Attribute(1, TOTAL, 2), 9, id="object-class-inconsistent"),
        pytest.param(1, Attribute(3, TOTAL, 9), 3, id="unknown-attribute"),
        pytest.param(16, Attribute(3, TOTAL, 2), 4, id="not-in-the-public-list"),
        pytest.param(16, Attribute(8, CLOCK, 3), 3, id="not-for-the-public"),
        pytest.param(1, Attribute(15, bytes((0, 0, 40, 0, 0, 255)), 7), 3, id="never-readable"),
        pytest.param(102, Attribute(8, CLOCK, 2), 4, id="unknown-client"),
    ],
)
def test_what_nobody_may_read_is_refused(client: int, attribute: Attribute, code: int) -> None:
    assert Stand().meter.get(client, attribute, None) == code


@pytest.mark.parametrize(
    ("tag", "index", "value", "code"),
    [
        pytest.param("ALARM_FILTER_1", 2, axdr.double_long_unsigned(6), 0, id="as-it-should-be"),
        pytest.param("ALARM_FILTER_1", 2, axdr.long_unsigned(6), 12, id="wrong-type"),
        pytest.param("ALARM_FILTER_1", 1, axdr.octet_string(bytes(6)), 3, id="read-only"),
        pytest.param("DEVICE_ID_1", 2, axdr.octet_string(b"7"), 3, id="read-only-object"),
        pytest.param("CONFIGURATION_OBJECT", 2, axdr.bit_string("0" * 15), 12, id="too-few-bits"),
        pytest.param("CONFIGURATION_OBJECT", 2, axdr.bit_string("0" * 16), 0, id="bits"),
        pytest.param("RANDOMISATION_SETTINGS", 2, axdr.structure(axdr.double_long_unsigned(1)), 12, id="one-of-three"),
        pytest.param("CLOCK", 2, axdr.octet_string(bytes(11)), 12, id="eleven-octets"),
        pytest.param("CLOCK", 2, axdr.octet_string(b"\xff" * 9 + b"\x80\x00\xff"), 250, id="no-date"),
    ],
)
def test_a_written_value_is_checked(tag: str, index: int, value: Data, code: int) -> None:
    stand = Stand()
    before = stand.get(tag, index)
    assert stand.set(tag, value, index) == code
    assert stand.get(tag, index) == (value if code == 0 else before)
    assert stand.meter.acts == (code == 0)
    assert stand.set(tag, value, index, client=PUBLIC_CLIENT) in (3, 4)


def test_a_range_is_not_written() -> None:
    stand = Stand()
    selection = Stand().at("CLOCK")
    assert stand.meter.set(1, selection, object(), axdr.octet_string(bytes(12))) == 13  # type: ignore[arg-type]


def test_methods_are_known_or_refused(tmp_path: Path) -> None:
    stand = Stand(ledger=tmp_path / "ledger")
    assert stand.meter.action(1, Method(3, TOTAL, 1), axdr.integer(0)) == 3  # reset is not for the client
    assert stand.meter.action(1, Method(3, UNKNOWN, 1), axdr.integer(0)) == 4
    assert stand.meter.action(1, Method(8, TOTAL, 1), None) == 9
    assert stand.meter.acts == 0
    told = [(entry["did"], entry.get("value"), entry["result"]) for entry in ledger.read(tmp_path / "ledger")]
    assert told == [("action", "0", 3), ("action", "0", 4), ("action", None, 9)]


def test_single_phase_meters_lack_the_objects_of_the_others() -> None:
    assert isinstance(Stand("SMR", "5.1", polyphase=True).get("PHASE_OUTAGE_TEST"), Data)
    assert Stand("SMR", "5.1", polyphase=False).get("PHASE_OUTAGE_TEST") == 4


def test_the_meters_own_values() -> None:
    stand = Stand()
    assert stand.get("DEVICE_ID_2") == axdr.octet_string(b"ML500000000000007")
    assert stand.get("LOGICAL_DEVICE_NAME") == axdr.octet_string(b"ML50000000000000")
    assert stand.get("INVOCATION_COUNTER", client=PUBLIC_CLIENT) == axdr.double_long_unsigned(41)
    assert stand.get("SECURITY_SETUP", 5) == axdr.octet_string(TITLE)
    assert stand.get("ACTIVE_TARIFF") == axdr.octet_string(b"\x00\x02")  # a Wednesday at eleven
    rates = [stand.get(f"ACTIVE_ENERGY_IMPORT_RATE_{rate}") for rate in (1, 2)]
    total = stand.get("ACTIVE_ENERGY_IMPORT_TOTAL")
    assert isinstance(total, Data)
    assert total.value == sum(rate.value for rate in rates if isinstance(rate, Data)) > 0
    assert axdr.plain(stand.get("ACTIVE_ENERGY_IMPORT_TOTAL", 3)) == (0, 30)  # type: ignore[arg-type]


def test_the_association_says_how_it_was_opened() -> None:
    def last(stand: Stand, index: int, client: int, *, ciphered: bool = False) -> int:
        stand.meter.ciphered = ciphered  # as the connection tells
        answer = stand.get("ASSOCIATION_LN", index, client=client)
        assert isinstance(answer, Data)
        return int(answer.value[-1])

    hls, lls = Stand(), Stand(mechanism=Mechanism.LLS)
    assert [(last(stand, 4, 1, ciphered=True), last(stand, 6, 1)) for stand in (hls, lls)] == [(3, 5), (3, 1)]
    assert [(last(stand, 4, 16), last(stand, 6, 16)) for stand in (hls, lls)] == [(1, 0), (1, 0)]
    assert last(lls, 4, 1) == 1
    assert axdr.plain(hls.get("ASSOCIATION_LN", 3)) == (1, 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("client", [PUBLIC_CLIENT, MANAGEMENT_CLIENT])
def test_the_object_list_is_what_the_client_sees(client: int) -> None:
    """Every object of it answers, none that is missing there does."""
    stand = Stand("SMR", "5.1", polyphase=False)
    answer = stand.get("ASSOCIATION_LN", 2, client=client)
    assert isinstance(answer, Data)
    listed = {(class_id, bytes(obis)) for class_id, _, obis, _ in axdr.plain(answer)}
    assert len(listed) == len(answer.value)
    for found in stand.meter.model.profile.objects.values():
        there = stand.meter.get(client, Attribute(found.class_id, found.obis, 1), None)
        assert ((found.class_id, found.obis) in listed) is isinstance(there, Data), found.tag
        if isinstance(there, Data):
            assert there.value == found.obis


def test_gas_meters_stand_on_their_channels() -> None:
    stand = Stand(gas_meters=2)
    values = [stand.get(f"MBUS_VALUE_{channel}") for channel in (1, 2, 3)]
    assert [isinstance(value, Data) and value.value > 0 for value in values] == [True, True, False]
    absent = stand.get("MBUS_VALUE_3", 5)
    assert isinstance(absent, Data)
    assert absent.value == bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")
    there = stand.get("MBUS_VALUE_1", 5)
    assert isinstance(there, Data)
    assert there.value == bytes.fromhex("07E60B17030B050000FFC400")  # the last five minutes (operations-reading 2.3)
    hourly = stand.get("MBUS_HOURLY_VALUE_1", 5)
    assert isinstance(hourly, Data)
    assert hourly.value == bytes.fromhex("07E60B17030B000000FFC400")  # the full hour
    assert axdr.plain(stand.get("MBUS_VALUE_1", 3)) == (-3, 13)  # type: ignore[arg-type]
    assert stand.get("MBUS_CLIENT_2", 5) == axdr.unsigned(2)
    assert stand.get("MBUS_CLIENT_2", 6) == axdr.double_long_unsigned(0x00000007)
    assert stand.get("MBUS_CLIENT_3", 5) == axdr.unsigned(0)


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        pytest.param("07E60B17030B071E00FFC400", [], id="to-the-second"),
        pytest.param("07E60B17FF0B0721FFFFC400", [], id="three-seconds"),
        pytest.param("07E60B17FF0C0721FFFFC400", [4, 5], id="an-hour"),
        pytest.param("07E60B17FF0B0821FF8000FF", [4, 5], id="a-minute-local"),
    ],
)
def test_a_clock_set_far_is_logged_with_both_times(written: str, logged: list[int]) -> None:
    stand = Stand()
    octets = bytes.fromhex(written)
    assert stand.set("CLOCK", axdr.octet_string(octets)) == 0
    rows = stand.rows("STANDARD_EVENT_LOG")
    assert [code for _, code in rows] == logged
    if logged:
        times = [bytes(clock) for clock, _ in rows]  # type: ignore[call-overload]
        assert times[0] == bytes.fromhex("07E60B17030B071E00FFC400")
        assert times[1][:4] + times[1][5:8] == octets[:4] + octets[5:8]
    shown = stand.get("CLOCK")
    assert isinstance(shown, Data)
    assert shown.value[5:8] == octets[5:8]
    assert stand.get("STANDARD_EVENT_LOG", 7) == axdr.double_long_unsigned(len(logged))


def test_a_cleared_register_is_logged() -> None:
    stand = Stand("SMR", "5.2")
    stand.meter.raise_alarm(2)
    stand.meter.raise_alarm(4)
    assert stand.get("ALARM_REGISTER_1") == axdr.double_long_unsigned(6)
    for tag in ("ALARM_REGISTER_1", "ALARM_REGISTER_2", "ERROR_REGISTER"):
        assert stand.set(tag, axdr.double_long_unsigned(0)) == 0
    assert [code for _, code in stand.rows("STANDARD_EVENT_LOG")] == [7, 2, 11, 24, 10]  # battery, power up, cleared


def test_logs_have_the_types_of_their_columns() -> None:
    stand = Stand("SMR", "5.2")
    at = NOW.timestamp()
    stand.meter.log("COMMUNICATION_SESSION_EVENT_LOG", 71, 513, at=at)
    stand.meter.log("AUXILIARY_EVENT_LOG", 0x1000, at=at)
    stand.meter.log("POWER_QUALITY_EXTENDED_EVENT_LOG", 93, 2071, 12, at=at)
    expected = {
        "COMMUNICATION_SESSION_EVENT_LOG": [(Tag.UNSIGNED, 71), (Tag.LONG_UNSIGNED, 513)],
        "AUXILIARY_EVENT_LOG": [(Tag.LONG_UNSIGNED, 0x1000)],
        "POWER_QUALITY_EXTENDED_EVENT_LOG": [(Tag.UNSIGNED, 93), (Tag.LONG_UNSIGNED, 2071), (Tag.LONG_UNSIGNED, 12)],
    }
    for log, values in expected.items():
        answer = stand.get(log)
        assert isinstance(answer, Data)
        (row,) = answer.value
        assert row.value[0].value == bytes.fromhex("07E60B17030B071E00FFC400")
        assert [tuple(value) for value in row.value[1:]] == values


def test_a_full_log_forgets_its_oldest_rows() -> None:
    stand = Stand()
    for code in range(130):
        stand.meter.log("STANDARD_EVENT_LOG", code, at=NOW.timestamp() + code)
    rows = stand.rows("STANDARD_EVENT_LOG")
    assert [code for _, code in rows] == list(range(30, 130))
    assert stand.get("STANDARD_EVENT_LOG", 7) == stand.get("STANDARD_EVENT_LOG", 8) == axdr.double_long_unsigned(100)


def test_the_ledger_tells_what_was_done_and_refused(tmp_path: Path) -> None:
    stand = Stand(ledger=tmp_path / "ledger")
    stand.get("CLOCK")
    stand.set("ALARM_REGISTER_1", axdr.double_long_unsigned(0))
    stand.set("ALARM_REGISTER_1", axdr.long_unsigned(0))
    stand.meter.get(1, Attribute(3, UNKNOWN, 2), None)
    entries = [{key: entry[key] for key in entry if key != "at"} for entry in ledger.read(tmp_path / "ledger")]
    name = "ML500000000000007"
    assert entries == [
        {"meter": name, "did": "get", "what": "8/0-0:1.0.0.255/2"},
        {"meter": name, "did": "set", "what": "1/0-0:97.98.0.255/2", "value": "0"},
        {"meter": name, "did": "set", "what": "1/0-0:97.98.0.255/2", "value": "0", "result": 12},
        {"meter": name, "did": "get", "what": "3/1-1:1.1.1.1/2", "result": 4},
    ]


def test_a_ledger_cut_off_by_a_kill_is_read_up_to_there(tmp_path: Path) -> None:
    stand = Stand(ledger=tmp_path / "ledger")
    stand.get("CLOCK")
    with (tmp_path / "ledger").open("a") as text:
        text.write('{"at": 1, "meter"')
    assert len(list(ledger.read(tmp_path / "ledger"))) == 1

"""AddDevice: operations-managing 1.1 and the fields of a shipment file."""

from typing import Any

import pytest

from operations import Device, Meter, build_request, catalogue
from operations._errors import Rejected
from operations._profile import Profile
from operations._steps import Answer, Reseal, Step
from schemas.records import DeviceRegistered, KeyKind, Registration, SealedKey, Security
from tests.unit.operations.conversation import AMSTERDAM, DEVICE, VERSIONS, play

NAME = "AddDevice"
GAS = "TESTG101205673117"
NO_METER = Meter(DEVICE, Profile("", "", {}))
ELECTRICITY: dict[str, Any] = {
    "device_type": "SMART_METER_E",
    "protocol": "SMR",
    "protocol_version": "5.0.0",
    "host": "10.0.0.1",
    "security": "hls5",
    "master_key": b"M",
    "authentication_key": b"A",
    "encryption_key": b"E",
}
GAS_METER: dict[str, Any] = {
    "device_type": "SMART_METER_G",
    "protocol": "SMR",
    "protocol_version": "5.0.0",
    "mbus_key": b"B",
    "gateway_id": DEVICE,
    "channel": 1,
    "mbus_identification": "12056731",
}


def sealing(step: Step) -> bytes:
    assert isinstance(step, Reseal)
    assert step.device_id == DEVICE
    return b"sealed " + step.encrypted


def registered(request: dict[str, Any]) -> Registration:
    (fact,) = play(NAME, request, NO_METER, sealing).facts
    assert isinstance(fact, DeviceRegistered)
    return fact.registration


def refused(request: dict[str, Any], device: Device | None = None) -> tuple[str | None, int]:
    """Field and code of the refusal, at building or by `decide`."""
    with pytest.raises(Rejected) as caught:
        built = build_request(NAME, request)
        decide = catalogue()[NAME].decide
        assert decide is not None
        decide(built, device or Device(DEVICE, registered=False))
    return caught.value.field, caught.value.code


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
def test_an_electricity_meter_of_each_version(protocol: str, version: str) -> None:
    request = ELECTRICITY | {"protocol": protocol, "protocol_version": version, "time_zone": AMSTERDAM}
    made = registered(request)
    assert (made.protocol, made.protocol_version, made.time_zone) == (protocol, version, AMSTERDAM)
    assert (made.port, made.client_id, made.logical_device, made.with_list_max) == (4059, 1, 1, 1)
    assert made.security is Security.HLS5
    assert made.keys == (
        SealedKey(KeyKind.MASTER, b"sealed M"),
        SealedKey(KeyKind.AUTHENTICATION, b"sealed A"),
        SealedKey(KeyKind.ENCRYPTION, b"sealed E"),
    )
    decide = catalogue()[NAME].decide
    assert decide is not None
    decide(build_request(NAME, request), Device(DEVICE, registered=False))


def test_every_field_of_a_shipment_file_arrives() -> None:
    request = ELECTRICITY | {
        "port": "4060",
        "client_id": "2",
        "logical_device": "3",
        "security": "lls",
        "system_title": "4D4D4D0000BC614E",
        "password": b"P",
        "invocation_counter": "1000",
        "cell_id": "A1",
        "labels": "street=Dorpsstraat; feeder=12",
        "time_zone": AMSTERDAM,
        "with_list_max": "32",
        "selective_access": "false",
    }
    answer: Answer[Any] = play(NAME, request, NO_METER, sealing)
    (fact,) = answer.facts
    assert isinstance(fact, DeviceRegistered)
    made = fact.registration
    assert fact.invocation_counter == 1000
    assert (made.port, made.client_id, made.logical_device) == (4060, 2, 3)
    assert made.security is Security.LLS
    assert made.system_title == bytes.fromhex("4D4D4D0000BC614E")
    assert made.keys[-1] == SealedKey(KeyKind.PASSWORD, b"sealed P")
    assert (made.cell_id, made.labels) == ("A1", {"street": "Dorpsstraat", "feeder": "12"})
    assert (made.with_list_max, made.selective_access) == (32, False)
    assert answer.result.keys == (KeyKind.MASTER, KeyKind.AUTHENTICATION, KeyKind.ENCRYPTION, KeyKind.PASSWORD)


def test_a_gas_meter_has_one_key_and_its_place() -> None:
    made = registered(GAS_METER)
    assert made.keys == (SealedKey(KeyKind.MBUS, b"sealed B"),)
    assert (made.gateway_id, made.channel, made.mbus_identification) == (DEVICE, 1, "12056731")


def test_no_security_needs_no_keys_and_the_public_client() -> None:
    request = {k: v for k, v in ELECTRICITY.items() if not k.endswith("_key")} | {"security": "none"}
    made = registered(request)
    assert made.keys == ()
    assert made.client_id == 16


def test_with_list_max_below_one_counts_as_one() -> None:
    assert registered(ELECTRICITY | {"with_list_max": 0}).with_list_max == 1


def test_secrets_are_asked_for_one_by_one_and_never_kept_open() -> None:
    steps: list[Step] = []

    def answer(step: Step) -> bytes:
        steps.append(step)
        return sealing(step)

    play(NAME, ELECTRICITY, NO_METER, answer)
    assert steps == [
        Reseal(KeyKind.MASTER, DEVICE, b"M"),
        Reseal(KeyKind.AUTHENTICATION, DEVICE, b"A"),
        Reseal(KeyKind.ENCRYPTION, DEVICE, b"E"),
    ]


def test_a_key_that_cannot_be_opened_passes_through() -> None:
    begin = catalogue()[NAME].steps
    assert begin is not None
    steps = begin(build_request(NAME, ELECTRICITY), NO_METER)
    next(steps)
    with pytest.raises(Rejected) as caught:
        steps.throw(Rejected("cannot be opened", field="master_key", code=804, name="DECRYPTION_EXCEPTION"))
    assert caught.value.code == 804


@pytest.mark.parametrize("key", ["master_key", "authentication_key", "encryption_key"])
@pytest.mark.parametrize("security", ["hls5", "lls"])
def test_a_missing_key_is_806(key: str, security: str) -> None:
    request = ELECTRICITY | {"security": security, "password": b"P"}
    assert refused({k: v for k, v in request.items() if k != key}) == (key, 806)
    assert refused(request | {key: b""}) == (key, 806)


def test_lls_needs_a_password() -> None:
    assert refused(ELECTRICITY | {"security": "lls"}) == ("password", 806)


def test_a_gas_meter_needs_its_key() -> None:
    assert refused({k: v for k, v in GAS_METER.items() if k != "mbus_key"}) == ("mbus_key", 806)


def test_keys_are_not_mixed() -> None:
    assert refused(ELECTRICITY | {"mbus_key": b"B"}) == ("mbus_key", 401)
    assert refused(GAS_METER | {"encryption_key": b"E"}) == ("encryption_key", 401)


def test_an_existing_device_is_204() -> None:
    assert refused(ELECTRICITY, Device(DEVICE, registered=True)) == ("device_id", 204)


@pytest.mark.parametrize(("protocol", "version"), [("DSMR", "14"), ("SMR", "5.0"), ("", ""), ("smr", "5.0.0")])
def test_an_unknown_protocol_is_206(protocol: str, version: str) -> None:
    request = ELECTRICITY | {"protocol": protocol, "protocol_version": version}
    assert refused(request) == ("protocol_version", 206)


@pytest.mark.parametrize("device_id", ["", "E004900746958", "E00490074695842!9", "E" * 41])
def test_the_identification_has_rules(device_id: str) -> None:
    assert refused(ELECTRICITY, Device(device_id, registered=False)) == ("device_id", 401)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device_type", "SMART_METER_X"),
        ("host", ""),
        ("port", 0),
        ("port", 65_536),
        ("port", "http"),
        ("client_id", 0),
        ("client_id", 128),
        ("logical_device", 0),
        ("logical_device", 16_384),
        ("security", "hls3"),
        ("system_title", b"1234567"),
        ("system_title", "zz"),
        ("invocation_counter", -1),
        ("invocation_counter", 1 << 32),
        ("channel", 5),
        ("mbus_identification", "1205673"),
        ("gateway_id", "short"),
        ("cell_id", ""),
        ("cell_id", "\x007"),
        ("cell_id", "7" * 65),
        ("labels", "street"),
        ("time_zone", "Mars/Olympus"),
        ("selective_access", "perhaps"),
        ("colour", "red"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    assert refused(ELECTRICITY | {field: value}) == (field, 401)


@pytest.mark.parametrize("field", ["device_type", "protocol", "protocol_version"])
def test_a_missing_field_is_named(field: str) -> None:
    assert refused({k: v for k, v in ELECTRICITY.items() if k != field}) == (field, 401)


def test_refusals_never_quote_a_key() -> None:
    with pytest.raises(Rejected) as caught:
        build_request(NAME, ELECTRICITY | {"master_key": "00112233445566778899AABBCCDDEEFX"})
    assert caught.value.field == "master_key"
    assert "0011" not in str(caught.value)

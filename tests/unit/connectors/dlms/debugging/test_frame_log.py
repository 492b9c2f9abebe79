"""What a frame log tells: everything that may be shown, and no secret in any form, whatever carried it."""

import asyncio
import base64
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms import cosem
from connectors.dlms.cosem import CosemError, Data, Keys, Mechanism, axdr
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.security import wrap_key
from connectors.dlms.cosem.wrapper import wrap
from connectors.dlms.debugging.frame_log import FrameLog
from connectors.dlms.debugging.redaction import Conversation, hidden
from connectors.dlms.debugging.whitelist import attribute_shown, method_shown
from operations._profile import profiles
from schemas import codec
from schemas.records import LoggedFrame
from tests.unit.connectors.dlms.cosem.meter import CLOCK, KEYS, METER_TITLE, MOMENT, NOTE, PROFILE, REGISTER, Joined

MASTER = bytes(range(0x40, 0x50))
PASSWORD = b"S3cr3t-9"  # eight zeros would be found in any text of zeros
NEW_KEY = bytes.fromhex("5ec7e70000aa11bb22cc33dd44ee55ff")
SECRETS = {
    "encryption": KEYS.encryption,
    "authentication": KEYS.authentication,
    "password": PASSWORD,
    "new key": NEW_KEY,
    "new key, wrapped": wrap_key(MASTER, NEW_KEY),
    "old key, wrapped": wrap_key(MASTER, KEYS.encryption),
}
# Nobody has heard of it, so nobody knows that it holds no key.
VENDOR = cosem.attribute(1, "1.2.3.4.5.6", 2)
WAYS: list[Any] = [
    pytest.param(
        (mechanism, {"max_receive_pdu": pdu, **more}, {"max_receive_pdu": pdu}), id=f"{mechanism.name}{more}{pdu}"
    )
    for mechanism, more in [
        (Mechanism.NONE, {}),
        (Mechanism.LLS, {}),
        (Mechanism.HLS5, {}),
        (Mechanism.HLS5, {"general": True}),
    ]
    for pdu in (64 + 64, 0)
]


def join(mechanism: Mechanism, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> Joined:
    """A client and a meter with the password above."""
    settings = {**(client or {}), **({"password": PASSWORD} if mechanism == Mechanism.LLS else {})}
    return Joined(mechanism, settings, server, security=cosem.MeterSecurity(METER_TITLE, KEYS, PASSWORD))


def logged(
    wire: Iterable[tuple[bool, bytes]], client: cosem.ClientAssociation, pieces: int = 65_535
) -> list[LoggedFrame]:
    """What is told of a conversation, its answers cut into pieces as TCP may."""
    told: list[LoggedFrame] = []

    async def tell(frame: LoggedFrame) -> None:
        told.append(frame)

    async def play() -> None:
        log = FrameLog("TEST1024000000001", 7, tell)
        watch = log.watch(client)
        for from_client, data in wire:
            if from_client:
                watch.sent(data)
                continue
            for start in range(0, len(data), pieces):
                watch.received(data[start : start + pieces])
        watch.over()
        await log.close()

    asyncio.run(play())
    return told


def ask(joined: Joined, request: Callable[[cosem.ClientAssociation], bytes]) -> None:
    """Whatever the meter says to it."""
    try:
        joined.run(request(joined.client))
    except CosemError:
        joined.client._flow = None


def forms(secret: bytes) -> list[bytes]:
    plain = [secret, secret.hex().encode(), secret.hex().upper().encode(), secret.hex(" ").encode()]
    return [*plain, secret.hex(" ").upper().encode(), base64.b64encode(secret)]


def leaks(frames: Iterable[LoggedFrame]) -> list[str]:
    """Secrets that can be found in what was told, in any form."""
    everything = b"\0".join(codec.encode(frame) for frame in frames)
    return [name for name, secret in SECRETS.items() if any(form in everything for form in forms(secret))]


TRANSFERS: dict[str, Callable[[cosem.ClientAssociation], bytes]] = {
    "global_key_transfer": lambda client: client.action(
        cosem.method(64, "0.0.43.0.0.255", 2),
        axdr.array(axdr.structure(axdr.enum(0), axdr.octet_string(SECRETS["new key, wrapped"]))),
    ),
    "many keys, in blocks": lambda client: client.action(
        cosem.method(64, "0.0.43.0.0.255", 2),
        axdr.array(*[axdr.structure(axdr.enum(n), axdr.octet_string(wrap_key(MASTER, NEW_KEY))) for n in range(9)]),
    ),
    "set_encryption_key": lambda client: client.action(
        cosem.method(72, "0.1.24.1.0.255", 7), axdr.octet_string(NEW_KEY)
    ),
    "transfer_key": lambda client: client.action(
        cosem.method(72, "0.1.24.1.0.255", 8), axdr.octet_string(SECRETS["new key, wrapped"])
    ),
    "data_send": lambda client: client.action(cosem.method(72, "0.1.24.1.0.255", 6), axdr.octet_string(NEW_KEY)),
    "change_HLS_secret": lambda client: client.action(
        cosem.method(15, "0.0.40.0.0.255", 2), axdr.octet_string(NEW_KEY)
    ),
    "an unknown method": lambda client: client.action(
        cosem.method(9_999, "1.2.3.4.5.6", 1), axdr.octet_string(NEW_KEY)
    ),
    "the password": lambda client: client.set(cosem.attribute(15, "0.0.40.0.0.255", 7), axdr.octet_string(PASSWORD)),
    "an unknown object": lambda client: client.set(
        VENDOR, axdr.structure(axdr.unsigned(1), axdr.octet_string(NEW_KEY))
    ),
    "an unknown object, in blocks": lambda client: client.set(
        VENDOR, axdr.array(*[axdr.octet_string(NEW_KEY) for _ in range(20)])
    ),
    "an unknown object, read": lambda client: client.get(VENDOR),
    "a list with an unknown object": lambda client: client.get_list([CLOCK, VENDOR]),
    "a list with an unknown object, set": lambda client: client.set_list(
        [(NOTE, axdr.octet_string(b"note")), (VENDOR, axdr.octet_string(NEW_KEY))]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_is_told_in_any_form(way: Any) -> None:
    joined = join(*way)
    joined.objects.values[VENDOR] = axdr.array(*[axdr.octet_string(NEW_KEY) for _ in range(12)])
    joined.opened()
    for transfer in TRANSFERS.values():
        ask(joined, transfer)
    ask(joined, lambda client: client.release())
    frames = logged(joined.wire, joined.client)
    assert leaks(frames) == []
    assert len(frames) == len(joined.wire) and all(frame.valid for frame in frames)
    assert sum(frame.withheld > 0 for frame in frames) >= len(TRANSFERS)


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_secret_that_goes_in_the_clear_would_be_found(name: str) -> None:
    """The search itself works: without the redaction the same conversation leaks."""
    joined = join(Mechanism.NONE)
    joined.objects.values[VENDOR] = axdr.octet_string(NEW_KEY)
    ask(joined.opened(), TRANSFERS[name])
    raw = b"".join(data for _, data in joined.wire)
    assert any(form in raw for secret in SECRETS.values() for form in forms(secret))
    assert leaks(logged(joined.wire, joined.client)) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pieces", [1, 7, 65_535])
def test_everything_else_is_shown_in_order(way: Any, pieces: int) -> None:
    joined = join(*way).opened()
    joined.run(joined.client.get(CLOCK))
    joined.run(joined.client.get_rows(PROFILE))
    joined.run(joined.client.release())
    frames = logged(joined.wire, joined.client, pieces)
    assert [(not frame.incoming) for frame in frames] == [sent for sent, _ in joined.wire]
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    asked = next(n for n, frame in enumerate(frames) if "8/0.0.1.0.0.255/2" in frame.summary)
    assert MOMENT.hex() in frames[asked + 1].summary and MOMENT.hex().upper() in frames[asked + 1].text
    assert frames[0].summary.startswith("Aarq") and "GET" in frames[1].summary
    secret = way[0] == Mechanism.LLS
    for frame, (_, data) in zip(frames, joined.wire, strict=True):
        assert len(frame.frame) == len(data)
        if frame is not frames[0] or not secret:
            assert frame.frame == data


def test_the_answers_to_the_challenges_are_not_shown() -> None:
    joined = Joined().opened()
    frames = logged(joined.wire, joined.client)
    assert [bool(frame.withheld) for frame in frames] == [False, False, True, True]
    assert "ActionRequestNormal 15/0.0.40.0.0.255/1" in frames[2].summary


def test_keys_that_change_in_the_middle_are_followed() -> None:
    joined = Joined().opened()
    before = list(joined.wire)
    told = logged(before, joined.client)
    joined.security.keys = new = Keys(NEW_KEY, KEYS.authentication)
    joined.security.accepted = -1
    joined.client.use_keys(new, cosem.InvocationCounter(1, 100))
    joined.run(joined.client.get(REGISTER))
    after = logged([*before[:2], *joined.wire[len(before) :]], joined.client)[2:]
    assert all(frame.valid for frame in [*told, *after]) and "12345" in after[-1].summary
    assert leaks([*told, *after]) == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1] + bytes((data[-1] ^ 1,)), id="wrong tag"),
        pytest.param(lambda data: data[:-3], id="cut off"),
        pytest.param(lambda data: b"\0\2" + data[2:], id="another version"),
        pytest.param(lambda data: data[:6] + b"\0\3\xc4\1\xff", id="plain and malformed"),
        pytest.param(lambda data: data[:6] + b"\0\x12" + NEW_KEY + b"\0\0", id="a key instead"),
        pytest.param(lambda data: data + NEW_KEY * 2, id="a key behind it"),
    ],
)
def test_what_cannot_be_read_is_told_as_that(spoil: Callable[[bytes], bytes]) -> None:
    joined = Joined().opened()
    joined.run(joined.client.get(CLOCK))
    wire = [*joined.wire[:-1], (False, spoil(joined.wire[-1][1]))]
    frames = logged(wire, joined.client)
    assert not frames[-1].valid and frames[-1].incoming and "unread" in frames[-1].summary and frames[-1].text == ""
    assert leaks(frames) == []


def test_a_frame_that_is_authenticated_only_is_not_harmless() -> None:
    """A meter that does not encipher what it should: its bytes are plain text."""
    joined = Joined().opened()
    plain = apdus.GetResponseNormal(0xC1, axdr.encode(axdr.octet_string(NEW_KEY))).encode()
    content = KEYS.protect(b"KFM00001", 9, plain, 0x10)
    frame = wrap(1, 1, b"\xcc" + axdr.encode_length(len(content)) + content)
    assert leaks(logged([*joined.wire, (False, frame)], joined.client)) == []


@given(st.binary(max_size=300))
def test_a_hidden_value_takes_as_many_bytes(value: bytes) -> None:
    told = hidden(value)
    assert len(told) == len(value)
    if value:
        assert not any(axdr.decode(told).value or b"")


@given(st.binary(max_size=60), st.booleans())
def test_whatever_bytes_arrive_nothing_is_raised(data: bytes, incoming: bool) -> None:
    joined = Joined()
    logged([(not incoming, data), (not incoming, wrap(1, 1, data))], joined.client)


def test_each_request_is_judged_by_itself() -> None:
    """A value that may be shown does not make the next one so, nor the other way round."""
    conversation = Conversation()
    key = axdr.encode(axdr.octet_string(NEW_KEY))
    for attribute, shown in ((CLOCK, True), (VENDOR, False), (CLOCK, True)):
        conversation.redacted(apdus.GetRequestNormal(0xC1, attribute))
        told = conversation.redacted(apdus.GetResponseNormal(0xC1, key))
        assert (told == apdus.GetResponseNormal(0xC1, key)) is shown
    assert conversation.redacted(apdus.GetResponseWithList(0xC1, (key, key))) == apdus.GetResponseWithList(
        0xC1, (hidden(key), hidden(key))
    )


def test_an_answer_nobody_asked_for_is_hidden() -> None:
    key = axdr.encode(axdr.octet_string(NEW_KEY))
    assert Conversation().redacted(apdus.GetResponseNormal(0xC1, key)) == apdus.GetResponseNormal(0xC1, hidden(key))
    assert NEW_KEY not in Conversation().redacted(apdus.DataNotification(1, b"", Data(9, NEW_KEY))).encode()


def test_no_secret_of_a_profile_is_on_the_whitelist() -> None:
    """By the names the standard gives them."""
    suspicious = (
        "secret",
        "key_transfer",
        "encryption_key",
        "transfer_key",
        "data_send",
        "HLS",
        "image_block_transfer",
    )
    for profile in profiles().values():
        for found in profile.objects.values():
            for index, attribute in found.attributes.items():
                if any(word in attribute.name for word in suspicious) and attribute.name != "encryption_key_status":
                    assert not attribute_shown(found.class_id, found.obis, index), (found.tag, attribute.name)
            for index, method in found.methods.items():
                if any(word in method.name for word in suspicious):
                    assert not method_shown(found.class_id, index), (found.tag, method.name)


def test_every_other_attribute_of_the_profiles_is_shown() -> None:
    hidden_names = {
        (found.class_id, attribute.name)
        for profile in profiles().values()
        for found in profile.objects.values()
        for index, attribute in found.attributes.items()
        if not attribute_shown(found.class_id, found.obis, index)
    }
    of_association = {name for class_id, name in hidden_names if class_id == 15}
    assert of_association == {"secret", "user_list", "current_user"}
    # Who is called, PPP with its password, the modem with its PIN, whom a message is taken from.
    assert {class_id for class_id, _ in hidden_names} <= {15, 29, 44, 45, 60}


def test_a_translator_that_breaks_costs_the_text_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> str:
        raise KeyError("gurux_dlms")  # seen: its first import by two threads

    joined = join(Mechanism.HLS5).opened()
    joined.run(joined.client.get(CLOCK))
    assert all(frame.text for frame in logged(joined.wire, joined.client))
    monkeypatch.setattr("connectors.dlms.frames.readable", broken)
    told = logged(joined.wire, joined.client)
    assert told and [frame.sequence for frame in told] == list(range(len(told)))
    assert {frame.text for frame in told} == {""}

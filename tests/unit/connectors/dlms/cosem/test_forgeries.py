"""What the client must never take, the seven forgeries of platform-facts first; after each the association is dead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.dlms.cosem import (
    AssociationRefused,
    ExceptionResponse,
    Got,
    InvocationCounter,
    LocalProtocolError,
    Mechanism,
    RemoteProtocolError,
    SecurityViolation,
    Send,
    ServiceError,
    axdr,
)
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.apdu import Aare, ActionResponseNormal, GetResponseNormal, InitiateResponse
from connectors.dlms.cosem.channel import seal
from connectors.dlms.cosem.security import AUTHENTICATED, ENCRYPTED
from connectors.dlms.cosem.wrapper import wrap

from .meter import CLIENT_TITLE, CLOCK, KEYS, METER_TITLE, PROFILE, REGISTER, Joined


def asked(joined: Joined) -> tuple[int, bytes]:
    """The invoke id of a request for the register, and the meter's true answer to it."""
    out = joined.client.get(REGISTER)
    answer = joined.server.receive(out)
    return 0xC0 | joined.client._invoke, answer


def refused(joined: Joined, wpdu: bytes, match: str) -> None:
    """The client takes these bytes for a breach of security, and is dead."""
    with pytest.raises(SecurityViolation, match=match):
        joined.client.receive(wpdu)
    assert joined.client.dead
    with pytest.raises(LocalProtocolError, match="over"):
        joined.client.get(CLOCK)


def sealed_answer(joined: Joined, plain: bytes, control: int | None = None, counter: int | None = None) -> bytes:
    """An answer as the meter would seal it, but for what is given."""
    own = joined.security.next_counter() if counter is None else counter
    if control is None:
        return wrap(1, 1, seal(KEYS, METER_TITLE, own, plain, False))
    content = KEYS.protect(METER_TITLE, own, plain, control)
    return wrap(1, 1, b"\xcc" + axdr.encode_length(len(content)) + content)


def test_1_an_altered_ciphertext() -> None:
    joined = Joined().opened()
    _, answer = asked(joined)
    refused(joined, answer[:-13] + bytes((answer[-13] ^ 1,)) + answer[-12:], "tag is wrong")


def test_2_an_altered_tag() -> None:
    joined = Joined().opened()
    _, answer = asked(joined)
    refused(joined, answer[:-1] + bytes((answer[-1] ^ 1,)), "tag is wrong")


def test_3_a_replayed_answer() -> None:
    joined = Joined().opened()
    _, answer = asked(joined)
    assert joined.client.receive(answer) == Got(axdr.double_long_unsigned(12_345))
    joined.client.get(REGISTER)
    refused(joined, answer, "does not rise")


def test_3_an_answer_recorded_in_an_earlier_session() -> None:
    first = Joined().opened()
    _, recorded = asked(first)
    first.client.receive(recorded)
    later = Joined(
        client={"peer_counter": first.client.peer_counter},
        counter=InvocationCounter(20_000, 20_100),
        security=first.security,
    ).opened()
    later.client.get(REGISTER)
    refused(later, recorded, "does not rise")


@pytest.mark.parametrize("control", [ENCRYPTED, AUTHENTICATED, 0x00, 0x31, 0x70, 0xB0])
def test_4_a_downgrade_of_the_security_control(control: int) -> None:
    joined = Joined().opened()
    invoke, answer = asked(joined)
    if control in (ENCRYPTED, AUTHENTICATED):
        plain = GetResponseNormal(invoke, axdr.encode(axdr.double_long_unsigned(0))).encode()
        forged = sealed_answer(joined, plain, control)
    else:
        forged = answer[:10] + bytes((control,)) + answer[11:]
    refused(joined, forged, "security control")


def test_5_a_plain_answer_on_a_ciphered_association() -> None:
    joined = Joined().opened()
    invoke, _ = asked(joined)
    plain = GetResponseNormal(invoke, axdr.encode(axdr.double_long_unsigned(0))).encode()
    refused(joined, wrap(1, 1, plain), "not ciphered")


def handshake(joined: Joined, forge: Callable[[ActionResponseNormal], ActionResponseNormal]) -> bytes:
    """The meter's answer to reply_to_HLS, opened, forged, and sealed again as the meter would."""
    step = joined.client.receive(joined.server.receive(joined.client.open()))
    assert isinstance(step, Send)
    answer = joined.server.receive(step.data)
    counter, plain = KEYS.unprotect(METER_TITLE, answer[10:])
    response = apdus.decode(plain)
    assert isinstance(response, ActionResponseNormal)
    return sealed_answer_cf(counter, forge(response).encode())


def sealed_answer_cf(counter: int, plain: bytes) -> bytes:
    return wrap(1, 1, seal(KEYS, METER_TITLE, counter, plain, False))


@pytest.mark.parametrize("answer", [b"", b"\x10", bytes.fromhex("1000000001"), bytes(16), bytes(18)])
def test_6_a_short_hls_answer(answer: bytes) -> None:
    joined = Joined()
    returned = axdr.encode(axdr.octet_string(answer))
    refused(joined, handshake(joined, lambda r: ActionResponseNormal(r.invoke, 0, returned)), "HLS answer")


@pytest.mark.parametrize("returned", [None, 0, axdr.encode(axdr.null()), axdr.encode(axdr.visible_string("x"))])
def test_6_no_hls_answer_at_all(returned: bytes | int | None) -> None:
    joined = Joined()
    refused(joined, handshake(joined, lambda r: ActionResponseNormal(r.invoke, 0, returned)), "challenge")


def test_7_a_wrong_hls_answer() -> None:
    joined = Joined()

    def wrong(response: ActionResponseNormal) -> ActionResponseNormal:
        assert isinstance(response.returned, bytes)
        altered = response.returned[:-1] + bytes((response.returned[-1] ^ 1,))
        return ActionResponseNormal(response.invoke, 0, altered)

    refused(joined, handshake(joined, wrong), "HLS answer is wrong")


def test_the_meter_may_refuse_our_answer() -> None:
    joined = Joined()
    with pytest.raises(AssociationRefused) as refusal:
        joined.client.receive(handshake(joined, lambda r: ActionResponseNormal(r.invoke, 250)))
    assert (refusal.value.result, refusal.value.diagnostic) == (1, 13)
    assert joined.client.dead


def forged_aare(joined: Joined, **changes: object) -> bytes:
    """The AARE of the meter with fields replaced."""
    answer = joined.server.receive(joined.client.open())
    aare = apdus.decode(answer[8:])
    assert isinstance(aare, Aare)
    fields = {name: getattr(aare, name) for name in Aare.__dataclass_fields__}
    return wrap(1, 1, Aare(**{**fields, **changes}).encode())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"context": 1}, "application context"),
        ({"diagnostic": 0}, "without"),
        ({"mechanism": 1}, "without"),
        ({"mechanism": None}, "without"),
        ({"authentication": None}, "challenge is missing"),
        ({"authentication": b"short"}, "challenge is missing"),
        ({"authentication": bytes(65)}, "challenge is missing"),
        ({"responding_title": None}, "system title is missing"),
        ({"responding_title": bytes(7)}, "system title is missing"),
        ({"responding_title": CLIENT_TITLE}, "our own"),
        ({"responding_title": b"KFM00002"}, "tag is wrong"),
        ({"user_information": InitiateResponse(0x1E1D, 1024).encode()}, "not ciphered"),
    ],
)
def test_a_forged_aare(changes: dict[str, object], match: str) -> None:
    joined = Joined()
    refused(joined, forged_aare(joined, **changes), match)


def test_our_own_challenge_sent_back() -> None:
    joined = Joined()
    answer = joined.server.receive(joined.client.open())
    aare = apdus.decode(answer[8:])
    assert isinstance(aare, Aare)
    fields = {name: getattr(aare, name) for name in Aare.__dataclass_fields__}
    fields["authentication"] = joined.server._answer_due
    refused(joined, wrap(1, 1, Aare(**fields).encode()), "own challenge")


def test_another_meter_than_the_one_expected() -> None:
    joined = Joined(client={"server_title": b"KFM99999"})
    refused(joined, joined.server.receive(joined.client.open()), "expected 4b464d3939393939")


def test_a_foreign_title_in_the_general_form() -> None:
    joined = Joined(client={"general": True}).opened()
    _, answer = asked(joined)
    assert answer[8:18] == b"\xdb\x08" + METER_TITLE
    refused(joined, answer[:10] + b"KFM99999" + answer[18:], "expected")


def test_the_other_ciphered_form_than_asked() -> None:
    joined = Joined().opened()
    invoke, _ = asked(joined)
    plain = GetResponseNormal(invoke, b"\x00").encode()
    refused(joined, wrap(1, 1, seal(KEYS, METER_TITLE, joined.security.next_counter(), plain, True)), "another form")


def test_another_service_inside_than_outside() -> None:
    joined = Joined().opened()
    invoke, _ = asked(joined)
    plain = GetResponseNormal(invoke, b"\x00").encode()
    content = KEYS.protect(METER_TITLE, joined.security.next_counter(), plain)
    refused(joined, wrap(1, 1, b"\xcd" + axdr.encode_length(len(content)) + content), "announced")


def test_our_own_request_reflected() -> None:
    joined = Joined().opened()
    out = joined.client.get(REGISTER)
    with pytest.raises(SecurityViolation):
        joined.client.receive(wrap(1, 1, out[8:]))


@pytest.mark.parametrize(
    "answer",
    [
        GetResponseNormal(0xC9, b"\x00").encode(),  # another invoke id
        apdus.SetResponseNormal(0xC2, 0).encode(),  # another service
        apdus.GetResponseWithList(0xC2, (b"\x00",)).encode(),  # another form of the service
        GetResponseNormal(0xC2, b"\x11").encode(),  # value cut off
        GetResponseNormal(0xC2, b"\x00\x00").encode(),  # bytes left over
        apdus.GetResponseWithDatablock(0xC2, False, 2, b"\x00").encode(),  # begins with block 2
        apdus.GetResponseWithDatablock(0xC2, False, 1, b"").encode(),  # an empty block
        apdus.DataNotification(1, b"", axdr.null()).encode(),
        b"\xc4\x09\xc2",
        b"\xc4",
    ],
)
def test_answers_that_do_not_belong_to_the_request(answer: bytes) -> None:
    joined = Joined(Mechanism.LLS).opened()
    assert joined.run(joined.client.get(REGISTER)) == Got(axdr.double_long_unsigned(12_345))
    joined.client.get(REGISTER)
    assert joined.client._invoke == 2
    with pytest.raises(RemoteProtocolError):
        joined.client.receive(wrap(1, 1, answer))
    assert joined.client.dead


def test_a_wrong_block_number_within_a_transfer() -> None:
    joined = Joined(Mechanism.LLS, client={"max_receive_pdu": 256}).opened()
    step = joined.client.receive(joined.server.receive(joined.client.get(PROFILE)))
    assert isinstance(step, Send)
    answer = bytearray(joined.server.receive(step.data))
    assert answer[8:12].hex() == "c402c100"
    answer[15] ^= 1
    with pytest.raises(RemoteProtocolError, match="where 2 was due"):
        joined.client.receive(bytes(answer))


def test_a_transfer_without_end_is_bounded() -> None:
    joined = Joined(Mechanism.LLS, client={"max_result": 1000}).opened()
    out: bytes | None = joined.client.get(PROFILE)
    with pytest.raises(RemoteProtocolError, match="more than 1000 bytes"):
        for number in range(1, 100):
            assert out is not None
            block = apdus.GetResponseWithDatablock(0xC1, False, number, bytes(90)).encode()
            step = joined.client.receive(wrap(1, 1, block))
            assert isinstance(step, Send)


FORGERIES: list[Callable[[bytes], bytes]] = [
    lambda answer: answer[:2] + b"\0\2" + answer[4:],
    lambda answer: answer[:4] + b"\0\2" + answer[6:],
    lambda answer: answer + answer,
]


def test_answers_that_are_not_for_us_or_not_asked() -> None:
    for forge in FORGERIES:
        joined = Joined().opened()
        _, answer = asked(joined)
        with pytest.raises(RemoteProtocolError):
            joined.client.receive(forge(answer))
        assert joined.client.dead
    joined = Joined().opened()
    with pytest.raises(RemoteProtocolError, match="nothing was asked"):
        joined.client.receive(wrap(1, 1, b"\xd8\x01\x01"))


def test_refusals_in_clear_are_errors_and_the_association_goes_on() -> None:
    joined = Joined().opened()
    joined.client.get(REGISTER)
    with pytest.raises(ExceptionResponse) as refusal:
        joined.client.receive(wrap(1, 1, bytes.fromhex("D8010600000400")))
    assert (refusal.value.state, refusal.value.service, refusal.value.counter) == (1, 6, 0x400)
    joined.client.get(REGISTER)
    with pytest.raises(ServiceError) as error:
        joined.client.receive(wrap(1, 1, bytes.fromhex("0E010603")))
    assert (error.value.service, error.value.kind, error.value.value) == (1, 6, 3)
    assert isinstance(joined.run(joined.client.get(REGISTER)), Got)

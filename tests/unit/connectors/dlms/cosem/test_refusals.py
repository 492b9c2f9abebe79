"""What the meter's side refuses, and how: meter-model 4.4, 3.2, 5.3, 6."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from connectors.dlms.cosem import (
    AccessRefused,
    AssociationRefused,
    CosemError,
    ExceptionResponse,
    Got,
    InvocationCounter,
    Keys,
    Mechanism,
    MeterSecurity,
    OnRefusal,
    Send,
    ServerAssociation,
    ServerSettings,
    axdr,
)
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.apdu import Aare, Aarq, InitiateRequest
from connectors.dlms.cosem.server import State
from connectors.dlms.cosem.wrapper import wrap

from .meter import CLIENT_TITLE, CLOCK, ECHO, KEYS, METER_TITLE, MOMENT, NOTE, PASSWORD, PROFILE, REGISTER, Joined

INITIATE = InitiateRequest(apdus.CORE_CONFORMANCE, 1024).encode()
LLS_CIPHERED = {"context": 3, "calling_title": CLIENT_TITLE, "mechanism": 1, "authentication": PASSWORD}
HLS_AARQ = {"context": 3, "calling_title": CLIENT_TITLE, "mechanism": 5, "authentication": bytes(16)}


def sealed_initiate(keys: Keys = KEYS, counter: int = 500, initiate: bytes = INITIATE) -> bytes:
    content = keys.protect(CLIENT_TITLE, counter, initiate)
    return b"\x21" + axdr.encode_length(len(content)) + content


def answered(server: ServerAssociation, client: int, apdu: bytes) -> Any:
    """The decoded plain answer to an APDU of a client; None for silence."""
    answer = server.receive(wrap(client, 1, apdu))
    return apdus.decode(answer[8:]) if answer else None


def refusal(server: ServerAssociation, client: int, **fields: Any) -> tuple[int, int] | None:
    """Result and diagnostic of the AARE for an AARQ."""
    aarq = Aarq(**{"context": 1, "user_information": INITIATE, **fields})
    aare = answered(server, client, aarq.encode())
    if aare is None:
        return None
    assert isinstance(aare, Aare)
    assert server.state is State.NONE
    return aare.result, aare.diagnostic


@pytest.mark.parametrize(
    ("mechanism", "fields", "diagnostic"),
    [
        (Mechanism.HLS5, {**HLS_AARQ, "context": 1}, 2),
        (Mechanism.HLS5, {**HLS_AARQ, "context": 2}, 2),
        (Mechanism.HLS5, {**HLS_AARQ, "mechanism": 7}, 11),
        (Mechanism.HLS5, {**HLS_AARQ, "mechanism": None}, 12),
        (Mechanism.HLS5, {**HLS_AARQ, "authentication": bytes(7)}, 13),
        (Mechanism.HLS5, {**HLS_AARQ, "authentication": bytes(65)}, 13),
        (Mechanism.HLS5, {**HLS_AARQ, "authentication": None}, 13),
        (Mechanism.HLS5, {**HLS_AARQ, "calling_title": None}, 13),
        (Mechanism.HLS5, {**HLS_AARQ, "calling_title": bytes(7)}, 13),
        (Mechanism.HLS5, {**HLS_AARQ, "calling_title": METER_TITLE}, 13),
        (Mechanism.HLS5, HLS_AARQ, 13),  # initiate in clear
        (Mechanism.HLS5, {**HLS_AARQ, "user_information": sealed_initiate(Keys(bytes(16), bytes(16)))}, 13),
        (Mechanism.LLS, {"mechanism": 1, "authentication": b"11111111"}, 13),
        (Mechanism.LLS, {"mechanism": 1}, 13),
        (Mechanism.LLS, {}, 12),
        (Mechanism.LLS, {"mechanism": 5, "authentication": bytes(16)}, 11),
        (Mechanism.LLS, {"mechanism": 1, "authentication": PASSWORD, "context": 2}, 2),
        (Mechanism.LLS, {"mechanism": 1, "authentication": PASSWORD, "context": 3}, 13),  # no title
        (Mechanism.LLS, {**LLS_CIPHERED, "user_information": sealed_initiate(Keys(bytes(16), bytes(16)))}, 13),
        (Mechanism.LLS, {**LLS_CIPHERED, "authentication": b"11111111"}, 13),
        (Mechanism.NONE, {"context": 3}, 2),
    ],
)
def test_openings_that_are_refused(mechanism: Mechanism, fields: dict[str, Any], diagnostic: int) -> None:
    server = Joined(mechanism, server={"bad_key": OnRefusal.REJECT}).server
    assert refusal(server, 16 if mechanism is Mechanism.NONE else 1, **fields) == (1, diagnostic)
    assert not server.closed
    assert server.failed_logins == (diagnostic == 13)


def test_a_password_alone_may_be_asked_for() -> None:
    server = Joined(Mechanism.LLS, server={"bad_key": OnRefusal.REJECT}, ciphered=False).server
    assert refusal(server, 1, **LLS_CIPHERED) == (1, 2)


@pytest.mark.parametrize(
    ("initiate", "error"),
    [
        (InitiateRequest(0x001E1D, 11), "0e010603"),
        (InitiateRequest(0x001E1D, 1024, version=5), "0e010601"),
        (InitiateRequest(0x180000, 1024), "0e010602"),
    ],
)
def test_nothing_in_common(initiate: InitiateRequest, error: str) -> None:
    server = Joined().server
    aare = answered(server, 16, Aarq(1, initiate.encode()).encode())
    assert (aare.result, aare.diagnostic, aare.user_information.hex()) == (1, 1, error)


@pytest.mark.parametrize(("how", "closed"), [(OnRefusal.CLOSE, True), (OnRefusal.SILENCE, False)])
def test_bad_keys_close_or_silence(how: OnRefusal, closed: bool) -> None:
    server = Joined(server={"bad_key": how}).server
    wrong = sealed_initiate(Keys(bytes(16), bytes(16)))
    assert refusal(server, 1, **{**HLS_AARQ, "user_information": wrong}) is None
    assert server.closed is closed


def test_unknown_clients() -> None:
    assert refusal(Joined().server, 77) == (1, 1)
    server = Joined(server={"unknown_client": OnRefusal.CLOSE}).server
    assert refusal(server, 77) is None
    assert server.closed
    server = Joined().server
    assert server.receive(wrap(16, 2, b"\x60")) == b""
    assert server.closed


def test_the_client_tells_a_refusal() -> None:
    joined = Joined(Mechanism.LLS, client={"password": b"wrong"})
    with pytest.raises(AssociationRefused, match="authentication failure") as refused:
        joined.run(joined.client.open())
    assert (refused.value.result, refused.value.diagnostic, refused.value.source) == (1, 13, "user")
    assert joined.client.dead


def stale(how: OnRefusal) -> Joined:
    security = MeterSecurity(METER_TITLE, KEYS, accepted=1_000)
    return Joined(server={"stale_counter": how}, counter=InvocationCounter(1_000), security=security)


def test_a_stale_counter_while_opening() -> None:
    joined = stale(OnRefusal.CLOSE)
    assert joined.server.receive(joined.client.open()) == b""
    assert joined.server.closed
    joined = stale(OnRefusal.SILENCE)
    assert joined.server.receive(joined.client.open()) == b""
    assert not joined.server.closed
    joined = stale(OnRefusal.REJECT)
    with pytest.raises(AssociationRefused) as refused:
        joined.run(joined.client.open())
    assert (refused.value.result, refused.value.source) == (1, "user")
    joined = stale(OnRefusal.EXCEPTION)
    with pytest.raises(ExceptionResponse) as exception:
        joined.run(joined.client.open())
    assert (exception.value.service, exception.value.counter) == (6, 1_001)
    joined = stale(OnRefusal.TOLERATE).opened()
    assert joined.security.accepted == 1_002


@pytest.mark.parametrize("how", list(OnRefusal))
def test_a_replayed_request(how: OnRefusal) -> None:
    joined = Joined(server={"stale_counter": how}).opened()
    request = joined.client.get(REGISTER)
    assert joined.server.receive(request)
    again = joined.server.receive(request)
    assert joined.server.closed is (how is OnRefusal.CLOSE)
    if how in (OnRefusal.CLOSE, OnRefusal.SILENCE):
        assert again == b""
    elif how is OnRefusal.EXCEPTION:
        assert again[8:] == bytes.fromhex("D80106") + (joined.security.accepted + 1).to_bytes(4, "big")
    elif how is OnRefusal.REJECT:
        assert again[8:] == bytes.fromhex("D80103")
    else:
        assert again[8] == 0xCC


def test_a_forged_counter_does_not_raise_the_accepted_one() -> None:
    joined = Joined(server={"bad_key": OnRefusal.REJECT}).opened()
    before = joined.security.accepted
    request = bytearray(joined.client.get(REGISTER))
    request[11] = 0x7F
    assert joined.server.receive(bytes(request))[8:] == bytes.fromhex("D80105")
    assert joined.security.accepted == before


@pytest.mark.parametrize("control", [0x10, 0x20])
def test_a_downgraded_request(control: int) -> None:
    joined = Joined(server={"bad_key": OnRefusal.REJECT}).opened()
    plain = apdus.SetRequestNormal(0xC1, NOTE, axdr.encode(axdr.octet_string(bytes(20)))).encode()
    content = KEYS.protect(CLIENT_TITLE, 500, plain, control)
    answer = joined.server.receive(wrap(1, 1, b"\xc9" + axdr.encode_length(len(content)) + content))
    assert answer[8:] == bytes.fromhex("D80105")
    assert joined.objects.written == []


def test_an_association_is_small() -> None:
    servers = Joined().server, Joined().opened().server
    for server in servers:
        own = [server, server.services, server._reader]
        assert sum(sys.getsizeof(part) for part in own) < 600
        assert not any(hasattr(part, "__dict__") for part in own)


def test_plain_requests_on_a_ciphered_association() -> None:
    joined = Joined().opened()
    for apdu in (apdus.GetRequestNormal(0xC1, REGISTER).encode(), b"\xc0", b"\x00"):
        assert answered(joined.server, 1, apdu) == apdus.ExceptionApdu(1, 1)
    assert isinstance(joined.run(joined.client.get(REGISTER)), Got)


def test_nothing_is_served_before_the_association() -> None:
    server = Joined().server
    assert answered(server, 1, apdus.GetRequestNormal(0xC1, REGISTER).encode()) == apdus.ExceptionApdu(1, 1)
    assert answered(server, 1, apdus.Rlrq(0).encode()) == apdus.ExceptionApdu(1, 1)


def test_nothing_but_the_hls_answer_is_served_while_pending() -> None:
    joined = Joined()
    step = joined.client.receive(joined.server.receive(joined.client.open()))
    assert isinstance(step, Send)
    assert joined.server.state is State.PENDING
    get = apdus.GetRequestNormal(0xC1, REGISTER).encode()
    content = KEYS.protect(CLIENT_TITLE, 500, get)
    answer = joined.server.receive(wrap(1, 1, b"\xc8" + axdr.encode_length(len(content)) + content))
    assert answer[8:] == bytes.fromhex("D80101")
    assert joined.server.state is State.PENDING


def test_a_wrong_hls_answer_ends_the_opening() -> None:
    joined = Joined()
    step = joined.client.receive(joined.server.receive(joined.client.open()))
    assert isinstance(step, Send)
    joined.server._challenge = bytes(16)
    with pytest.raises(AssociationRefused):
        joined.client.receive(joined.server.receive(step.data))
    assert joined.server.state is State.NONE


def test_another_client_on_the_same_connection() -> None:
    joined = Joined().opened()
    assert answered(joined.server, 16, apdus.GetRequestNormal(0xC1, CLOCK).encode()) == apdus.ExceptionApdu(1, 1)
    assert answered(joined.server, 16, Aarq(1, INITIATE).encode()).result == 0
    assert answered(joined.server, 16, apdus.GetRequestNormal(0xC1, CLOCK).encode()) == apdus.GetResponseNormal(
        0xC1, axdr.encode(axdr.octet_string(MOMENT))
    )


@pytest.fixture
def lls() -> ServerAssociation:
    return Joined(Mechanism.LLS, client={"max_receive_pdu": 256}).opened().server


def test_get_next_errors(lls: ServerAssociation) -> None:
    assert answered(lls, 1, apdus.GetRequestNext(0xC1, 1).encode()).result == 16
    first = answered(lls, 1, apdus.GetRequestNormal(0xC1, PROFILE).encode())
    assert (first.last, first.number) == (False, 1)
    wrong = answered(lls, 1, apdus.GetRequestNext(0xC1, 9).encode())
    assert (wrong.last, wrong.number, wrong.result) == (True, 9, 19)
    assert answered(lls, 1, apdus.GetRequestNext(0xC1, 1).encode()).result == 16  # the transfer is over
    block = answered(lls, 1, apdus.GetRequestNormal(0xC1, PROFILE).encode())
    while not block.last:
        block = answered(lls, 1, apdus.GetRequestNext(0xC1, block.number).encode())
    assert answered(lls, 1, apdus.GetRequestNext(0xC1, block.number).encode()).result == 14
    answered(lls, 1, apdus.GetRequestNormal(0xC1, PROFILE).encode())
    answered(lls, 1, apdus.GetRequestNormal(0xC1, CLOCK).encode())  # a new request aborts
    assert answered(lls, 1, apdus.GetRequestNext(0xC1, 1).encode()).result == 16


def test_set_block_errors(lls: ServerAssociation) -> None:
    block, first = apdus.Block, apdus.SetRequestWithFirstDatablock
    last = apdus.SetResponseLastDatablock
    more = apdus.SetRequestWithDatablock(0xC1, block(True, 2, b"\x00")).encode()
    assert answered(lls, 1, more) == last(0xC1, 18, 2)
    assert answered(lls, 1, first(0xC1, NOTE, block(False, 2, b"\x09")).encode()) == last(0xC1, 19, 2)
    assert answered(lls, 1, more) == last(0xC1, 18, 2)
    assert answered(lls, 1, first(0xC1, NOTE, block(False, 1, b"")).encode()) == last(0xC1, 17, 1)
    assert answered(lls, 1, first(0xC1, NOTE, block(True, 1, b"\x09")).encode()) == last(0xC1, 12, 1)
    assert answered(lls, 1, first(0xC1, NOTE, block(False, 1, b"\x09")).encode()) == apdus.SetResponseDatablock(0xC1, 1)
    assert answered(lls, 1, more) == last(0xC1, 0, 2)


def test_action_block_errors(lls: ServerAssociation) -> None:
    block = apdus.Block
    normal = apdus.ActionResponseNormal
    assert answered(lls, 1, apdus.ActionRequestWithPblock(0xC1, block(True, 2, b"\0")).encode()) == normal(0xC1, 16)
    assert answered(lls, 1, apdus.ActionRequestNextPblock(0xC1, 1).encode()) == normal(0xC1, 16)
    first = apdus.ActionRequestWithFirstPblock(0xC1, ECHO, block(False, 3, b"\0")).encode()
    assert answered(lls, 1, first) == normal(0xC1, 15)
    long = axdr.encode(axdr.octet_string(bytes(300)))
    answer = answered(lls, 1, apdus.ActionRequestNormal(0xC1, ECHO, long).encode())
    assert isinstance(answer, apdus.ActionResponseWithPblock)
    assert answered(lls, 1, apdus.ActionRequestNextPblock(0xC1, 5).encode()) == normal(0xC1, 15)


def test_action_with_list(lls: ServerAssociation) -> None:
    request = apdus.ActionRequestWithList(0xC1, (ECHO, ECHO), (b"\x11\x05", b"\x00"))
    assert answered(lls, 1, request.encode()) == apdus.ActionResponseWithList(0xC1, ((0, b"\x11\x05"), (0, b"\x00")))
    uneven = apdus.ActionRequestWithList(0xC1, (ECHO, ECHO), (b"\x00",))
    assert answered(lls, 1, uneven.encode()) == apdus.ExceptionApdu(2, 2)


def test_services_outside_the_negotiated_block() -> None:
    joined = Joined(Mechanism.LLS, server={"conformance": apdus.Conformance.GET.value}, client={"max_receive_pdu": 128})
    joined.opened()
    for request in (
        apdus.SetRequestNormal(0xC1, NOTE, b"\x00"),
        apdus.ActionRequestNormal(0xC1, ECHO),
        apdus.GetRequestWithList(0xC1, (apdus.Selected(CLOCK),)),
        apdus.GetRequestNext(0xC1, 1),
        apdus.GetResponseNormal(0xC1, 0),
    ):
        assert answered(joined.server, 1, request.encode()) == apdus.ExceptionApdu(2, 2)
    with pytest.raises(ExceptionResponse) as refused:
        joined.run(joined.client.get(PROFILE))
    assert refused.value.service == 4  # pdu-too-long: no blocks were negotiated
    selected = apdus.GetRequestNormal(0xC1, CLOCK, apdus.Selected(CLOCK, None).selection)
    assert answered(joined.server, 1, selected.encode()).result == axdr.encode(axdr.octet_string(MOMENT))


def test_an_apdu_above_the_announced_size_ends_the_connection() -> None:
    joined = Joined(Mechanism.LLS, server={"max_receive_pdu": 128}).opened()
    request = apdus.SetRequestNormal(0xC1, NOTE, b"\x09\x78" + bytes(120)).encode()
    assert joined.server.receive(wrap(1, 1, request)) == b""
    assert joined.server.closed


def test_a_released_association_can_be_opened_again() -> None:
    joined = Joined().opened()
    joined.run(joined.client.release())
    assert refusal(joined.server, 77) == (1, 1)
    again = Joined(counter=InvocationCounter(5_000), security=joined.security)
    again.server = joined.server
    again.opened()
    assert isinstance(again.run(again.client.get(CLOCK)), Got)


def test_errors_say_what_happened() -> None:
    assert str(AccessRefused(3)) == "get refused: read-write-denied (3)"
    assert str(AccessRefused(16, "action")) == "action refused: no-long-action-in-progress (16)"
    assert str(AccessRefused(99)) == "get refused: unknown-result-99 (99)"
    assert str(ExceptionResponse(1, 6, 7)) == (
        "exception response: service not allowed, invocation counter error, expected counter 7"
    )
    assert issubclass(AccessRefused, CosemError)
    with pytest.raises(ValueError, match="system_title"):
        MeterSecurity(b"short")
    assert ServerSettings({}).max_receive_pdu == 1024

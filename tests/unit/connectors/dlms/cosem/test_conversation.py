"""Client and meter, joined: every way to open, every service, with and without blocks and ciphering."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.dlms.cosem import (
    AccessRefused,
    Associated,
    Attribute,
    Called,
    ClientAssociation,
    ClientRule,
    ClientSettings,
    Conformance,
    CounterExhausted,
    Data,
    Got,
    GotList,
    GotRows,
    InvocationCounter,
    Keys,
    LocalProtocolError,
    Mechanism,
    Method,
    Released,
    Selected,
    Written,
    WrittenList,
    axdr,
    by_range,
    method,
)
from connectors.dlms.cosem import apdu as apdus

from .meter import (
    CLIENT_TITLE,
    CLOCK,
    DENIED,
    ECHO,
    KEYS,
    LOCKED,
    METER_TITLE,
    MOMENT,
    NOTE,
    PASSWORD,
    PROFILE,
    REGISTER,
    UNKNOWN,
    Joined,
)

WAYS: list[Any] = [
    pytest.param(
        (mechanism, {"max_receive_pdu": pdu, **more}, {"max_receive_pdu": pdu}), id=f"{mechanism.name}-{pdu}{name}"
    )
    for mechanism, more, name in [
        (Mechanism.NONE, {}, ""),
        (Mechanism.LLS, {}, ""),
        (Mechanism.HLS5, {}, ""),
        (Mechanism.HLS5, {"general": True}, "-general"),
    ]
    for pdu in (128, 512, 0)
]


@pytest.fixture(params=WAYS)
def joined(request: pytest.FixtureRequest) -> Joined:
    return Joined(*request.param).opened()


def test_opening_and_releasing(joined: Joined) -> None:
    hls = joined.client.settings.mechanism == Mechanism.HLS5
    assert joined.server.state.name == "ASSOCIATED"
    assert joined.client.server_title == (METER_TITLE if hls else b"")
    assert joined.client.conformance == 0x1E1D
    assert joined.client.counters_used == (3 if hls else 0)
    assert joined.run(joined.client.release()) == Released()
    assert joined.server.state.name == "NONE"
    with pytest.raises(LocalProtocolError, match="over"):
        joined.client.get(CLOCK)
    assert all(len(wpdu) - 8 <= (joined.client.settings.max_receive_pdu or 65_535) for _, wpdu in joined.wire[4:])


def test_lls_over_a_ciphered_context() -> None:
    joined = Joined(Mechanism.LLS, ciphered=True).opened()
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    assert joined.client.counters_used == 2
    assert joined.wire[-1][1][8] == 0xCC


@pytest.mark.parametrize("ciphered", [False, True])
def test_a_meter_with_a_password_takes_either_context(ciphered: bool) -> None:
    joined = Joined(Mechanism.LLS, ciphered=ciphered)
    joined.server.settings = replace(joined.server.settings, clients={1: ClientRule(Mechanism.LLS)})
    joined.opened()
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    assert joined.wire[-1][1][8] == (0xCC if ciphered else 0xC4)


def test_a_password_may_open_a_ciphered_context_with_the_initiate_in_clear() -> None:
    """Some stacks leave it so (meter-model 4.3); what follows is ciphered all the same."""
    server = Joined(Mechanism.LLS).server
    initiate = apdus.InitiateRequest(apdus.CORE_CONFORMANCE, 1024).encode()
    aarq = apdus.Aarq(3, initiate, CLIENT_TITLE, Mechanism.LLS.value, PASSWORD)
    aare = apdus.decode(server.answer(1, aarq.encode()) or b"")
    assert isinstance(aare, apdus.Aare) and (aare.context, aare.result, aare.responding_title) == (3, 0, METER_TITLE)
    assert isinstance(apdus.decode(aare.user_information or b""), apdus.InitiateResponse)
    get = apdus.GetRequestNormal(0xC1, CLOCK).encode()
    assert server.answer(1, get) == apdus.ExceptionApdu(1, 1).encode()
    content = KEYS.protect(CLIENT_TITLE, 7, get)
    answer = server.answer(1, b"\xc8" + axdr.encode_length(len(content)) + content)
    assert answer is not None and answer[0] == 0xCC


def test_hls5_over_a_plain_context() -> None:
    joined = Joined(Mechanism.HLS5, ciphered=False).opened()
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    assert joined.client.counters_used == 1
    assert joined.wire[-1][1][8] == 0xC4


def test_get(joined: Joined) -> None:
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    with pytest.raises(AccessRefused) as refused:
        joined.run(joined.client.get(UNKNOWN))
    assert (refused.value.code, refused.value.name) == (4, "object-undefined")
    assert joined.run(joined.client.get(REGISTER)) == Got(axdr.double_long_unsigned(12_345))


def test_a_profile_range(joined: Joined) -> None:
    selection = by_range(MOMENT, MOMENT)
    outcome = joined.run(joined.client.get_rows(PROFILE, selection))
    assert outcome == GotRows([(MOMENT, 8, n, 7) for n in range(96)])
    assert joined.objects.selections == [selection]
    generic = joined.run(joined.client.get(PROFILE))
    assert isinstance(generic, Got)
    assert axdr.plain(generic.data)[95] == (MOMENT, 8, 95, 7)


def test_get_list(joined: Joined) -> None:
    wanted: list[Attribute | Selected] = [CLOCK, Selected(PROFILE, by_range(MOMENT, MOMENT)), UNKNOWN]
    outcome = joined.run(joined.client.get_list(wanted[:1] + wanted[2:]))
    assert outcome == GotList((axdr.octet_string(MOMENT), AccessRefused(4)))
    if joined.client.max_send_pdu == 128:
        with pytest.raises(LocalProtocolError, match="the meter takes"):
            joined.client.get_list(wanted * 3)
        return
    outcome = joined.run(joined.client.get_list(wanted))
    assert isinstance(outcome, GotList)
    assert outcome.items[0] == axdr.octet_string(MOMENT)
    assert isinstance(outcome.items[1], Data)
    assert len(outcome.items[1].value) == 96
    assert outcome.items[2] == AccessRefused(4)


@pytest.mark.parametrize("size", [0, 60, 95, 100, 5_000])
def test_set(joined: Joined, size: int) -> None:
    value = axdr.octet_string(bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert joined.run(joined.client.set(NOTE, value)) == Written()
    assert joined.run(joined.client.get(NOTE)) == Got(value)
    assert joined.objects.written == [NOTE]
    with pytest.raises(AccessRefused) as refused:
        joined.run(joined.client.set(LOCKED, value))
    assert (refused.value.code, refused.value.service) == (3, "set")


@pytest.mark.parametrize("size", [0, 1_000])
def test_set_list(joined: Joined, size: int) -> None:
    value = axdr.octet_string(bytes(size))
    outcome = joined.run(joined.client.set_list([(NOTE, value), (LOCKED, value), (UNKNOWN, value)]))
    assert outcome == WrittenList((0, 3, 4))


@pytest.mark.parametrize("size", [0, 60, 90, 95, 100, 5_000])
def test_action(joined: Joined, size: int) -> None:
    value = axdr.octet_string(bytes(size))
    assert joined.run(joined.client.action(ECHO, value)) == Called(value)
    assert joined.run(joined.client.action(ECHO)) == Called(None)
    with pytest.raises(AccessRefused) as refused:
        joined.run(joined.client.action(DENIED, value))
    assert (refused.value.code, refused.value.service) == (3, "action")


def test_answers_may_come_byte_by_byte() -> None:
    joined = Joined().opened()
    answer = joined.server.receive(joined.client.get(CLOCK))
    assert all(joined.client.receive(answer[at : at + 1]) is None for at in range(len(answer) - 1))
    assert joined.client.receive(answer[-1:]) == Got(axdr.octet_string(MOMENT))
    request = joined.client.get(CLOCK)
    assert all(not joined.server.receive(request[at : at + 1]) for at in range(len(request) - 1))
    assert joined.server.receive(request[-1:])


def test_associated_tells_what_was_negotiated() -> None:
    joined = Joined(server={"conformance": Conformance.GET.value | Conformance.ACTION.value, "max_receive_pdu": 300})
    assert joined.run(joined.client.open()) == Associated(METER_TITLE, 0x11, 300)
    with pytest.raises(LocalProtocolError, match="get with list was not negotiated"):
        joined.client.get_list([CLOCK])
    with pytest.raises(LocalProtocolError, match="set was not negotiated"):
        joined.client.set(NOTE, axdr.null())
    with pytest.raises(LocalProtocolError, match="get was not negotiated"):
        joined.client.get(PROFILE, by_range(MOMENT, MOMENT))
    with pytest.raises(LocalProtocolError, match="action in blocks was not negotiated"):
        joined.client.action(ECHO, axdr.octet_string(bytes(400)))
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))


def test_one_request_at_a_time_and_in_order() -> None:
    joined = Joined()
    with pytest.raises(LocalProtocolError, match="not open"):
        joined.client.get(CLOCK)
    joined.opened()
    with pytest.raises(LocalProtocolError, match="open already"):
        joined.client.open()
    joined.client.get(CLOCK)
    with pytest.raises(LocalProtocolError, match="still awaited"):
        joined.client.get(CLOCK)
    with pytest.raises(LocalProtocolError, match="awaited"):
        joined.client.use_keys(KEYS)


def test_counters_are_used_once_and_reported() -> None:
    joined = Joined(counter=InvocationCounter(7, 11)).opened()
    assert joined.security.accepted == 9
    joined.run(joined.client.get(CLOCK))
    joined.run(joined.client.get(CLOCK))
    assert joined.security.accepted == 11
    assert joined.client.counters_used == 5
    assert joined.client.peer_counter == joined.security.sent
    with pytest.raises(CounterExhausted):
        joined.client.get(CLOCK)


def test_a_counter_range_that_ends_inside_a_transfer() -> None:
    joined = Joined(counter=InvocationCounter(1, 5), client={"max_receive_pdu": 256}).opened()
    with pytest.raises(CounterExhausted):
        joined.run(joined.client.get(PROFILE))


def test_new_keys_hold_from_the_request_after_the_action() -> None:
    joined = Joined().opened()
    transfer = method(64, "0.0.43.0.0.255", 2)
    new = Keys(bytes(range(50, 66)), bytes(range(70, 86)))

    def change(client: int, method: Method, parameters: Data | None) -> int:
        joined.security.change_keys(new)
        return 0

    joined.objects.action = change  # type: ignore[method-assign]
    assert joined.run(joined.client.action(transfer, axdr.null())) == Called(None)
    with pytest.raises(LocalProtocolError, match="counter range"):
        joined.client.use_keys(new)
    joined.client.use_keys(new, InvocationCounter(0))
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    assert (joined.security.accepted, joined.security.sent, joined.client.peer_counter) == (0, 1, 1)
    only_ak = Keys(new.encryption, bytes(16))
    joined.client.use_keys(only_ak)
    joined.security.change_keys(only_ak)
    assert joined.run(joined.client.get(CLOCK)) == Got(axdr.octet_string(MOMENT))
    assert (joined.security.accepted, joined.client.peer_counter) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mechanism": Mechanism.HLS5}, "keys are missing"),
        ({"ciphered": True}, "keys are missing"),
        ({"keys": KEYS}, "system_title"),
        ({"challenge_length": 7}, "challenge_length"),
        ({"max_receive_pdu": 12}, "max_receive_pdu"),
        ({"client_id": 70_000}, "client_id"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(LocalProtocolError, match=match):
        ClientSettings(**changes)


def test_ciphering_needs_counters() -> None:
    with pytest.raises(LocalProtocolError, match="invocation counters"):
        ClientAssociation(ClientSettings(keys=KEYS, system_title=b"MLG00001"))


def test_the_observer_sees_every_request_with_its_counter() -> None:
    joined = Joined()
    seen: list[tuple[int, int | None, int]] = []
    joined.server.observe = lambda client, counter, apdu: seen.append((client, counter, apdu[0]))
    joined.opened()
    joined.run(joined.client.get(CLOCK))
    joined.run(joined.client.release())
    assert seen == [(1, 100, 0x01), (1, 102, 0xC3), (1, 103, 0xC0), (1, 104, 0x01)]

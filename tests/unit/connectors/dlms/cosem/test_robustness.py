"""Whatever bytes arrive: the client raises the engine's errors only, the meter nothing at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dlms.cosem import (
    ClientAssociation,
    CosemError,
    Keys,
    Mechanism,
    SecurityViolation,
    Selected,
    Send,
    axdr,
    by_range,
)
from connectors.dlms.cosem.apdu import Apdu
from connectors.dlms.cosem.channel import seal
from connectors.dlms.cosem.wrapper import wrap

from .meter import CLIENT_TITLE, CLOCK, ECHO, KEYS, METER_TITLE, MOMENT, NOTE, PROFILE, Joined
from .test_apdus import ANY_APDU

MUTATION = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5)
VALUE = axdr.octet_string(bytes(700))
REQUESTS = ["open", "get", "rows", "list", "set", "action", "release"]


def ask(client: ClientAssociation, request: str) -> bytes:
    match request:
        case "open":
            return client.open()
        case "get":
            return client.get(CLOCK)
        case "rows":
            return client.get_rows(PROFILE, by_range(MOMENT, MOMENT))
        case "list":
            return client.get_list([CLOCK, Selected(PROFILE, by_range(MOMENT, MOMENT))])
        case "set":
            return client.set(NOTE, VALUE)
        case "action":
            return client.action(ECHO, VALUE)
        case _:
            return client.release()


def mutate(raw: bytes, changes: list[tuple[int, int]], cut: int | None) -> bytes:
    altered = bytearray(raw)
    for at, byte in changes:
        altered[at % len(altered)] = byte
    return bytes(altered if cut is None else altered[: cut % (len(altered) + 1)])


def feed(client: ClientAssociation, raw: bytes) -> None:
    """Let a client take bytes; nothing but the engine's own errors may come out."""
    with contextlib.suppress(CosemError):
        client.receive(raw)


@given(
    st.sampled_from(list(Mechanism)), st.sampled_from(REQUESTS), st.integers(0, 3), MUTATION, st.none() | st.integers(0)
)
def test_altered_answers(
    mechanism: Mechanism, request: str, after: int, changes: list[tuple[int, int]], cut: int | None
) -> None:
    joined = Joined(mechanism, client={"max_receive_pdu": 512})
    if request != "open":
        joined.opened()
    out = ask(joined.client, request)
    for _ in range(after):
        step = joined.client.receive(joined.server.receive(out))
        if not isinstance(step, Send):
            return
        out = step.data
    feed(joined.client, mutate(joined.server.receive(out), changes, cut))


@given(st.sampled_from(list(Mechanism)), st.sampled_from(REQUESTS), MUTATION, st.none() | st.integers(0))
def test_altered_requests(mechanism: Mechanism, request: str, changes: list[tuple[int, int]], cut: int | None) -> None:
    joined = Joined(mechanism, client={"max_receive_pdu": 512})
    if request != "open":
        joined.opened()
    joined.server.receive(mutate(ask(joined.client, request), changes, cut))


@given(st.sampled_from(REQUESTS), ANY_APDU)
def test_any_apdu_as_an_answer_even_rightly_sealed(request: str, apdu: Apdu) -> None:
    plain = apdu.encode()
    for mechanism in (Mechanism.LLS, Mechanism.HLS5):
        joined = Joined(mechanism)
        if request != "open":
            joined.opened()
        ask(joined.client, request)
        feed(joined.client, wrap(1, 1, plain))
    joined = Joined().opened()
    ask(joined.client, "get" if request == "open" else request)
    try:
        sealed = seal(KEYS, METER_TITLE, joined.security.next_counter(), plain, False)
    except CosemError:
        return
    feed(joined.client, wrap(1, 1, sealed))


@given(ANY_APDU)
def test_any_apdu_as_a_request_even_rightly_sealed(apdu: Apdu) -> None:
    plain = apdu.encode()
    for mechanism in (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS5):
        joined = Joined(mechanism)
        client = joined.client.settings.client_id
        joined.server.receive(wrap(client, 1, plain))
        joined = Joined(mechanism).opened()
        joined.server.receive(wrap(client, 1, plain))
    joined = Joined().opened()
    joined.server.receive(wrap(1, 1, seal(KEYS, CLIENT_TITLE, 9_999, plain, True)))


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_arbitrary_streams(chunks: list[bytes]) -> None:
    joined = Joined().opened()
    joined.client.get(CLOCK)
    for chunk in chunks:
        joined.server.receive(chunk)
        feed(joined.client, chunk)
        joined.server.receive(wrap(1, 1, chunk))


@settings(max_examples=30)
@given(st.data())
def test_no_altered_bit_of_a_ciphered_answer_passes(draw: st.DataObject) -> None:
    joined = Joined().opened()
    answer = joined.server.receive(joined.client.get(CLOCK))
    bit = draw.draw(st.integers(10 * 8, len(answer) * 8 - 1))
    altered = bytearray(answer)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecurityViolation):
        joined.client.receive(bytes(altered))


def test_answers_under_other_keys_do_not_pass() -> None:
    joined = Joined().opened()
    joined.client.get(CLOCK)
    other = Keys(bytes(16), bytes(16))
    with pytest.raises(SecurityViolation):
        joined.client.receive(wrap(1, 1, seal(other, METER_TITLE, 100, bytes.fromhex("C401C10011FF"), False)))

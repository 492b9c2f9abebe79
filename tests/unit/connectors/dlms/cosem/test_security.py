"""Suite 0 by the check values of the Green Book (meter-model 3.3), and everything that must not open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import CounterExhausted, InvocationCounter, Keys, LocalProtocolError, SecurityViolation
from connectors.dlms.cosem.security import AUTHENTICATED, BOTH, ENCRYPTED, unwrap_key, wrap_key

KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT = bytes.fromhex("4D4D4D0000000001")
METER = bytes.fromhex("4D4D4D0000BC614E")
GET = bytes.fromhex("C0010000080000010000FF0200")


def test_challenge_answers() -> None:
    f_stoc = KEYS.answer_challenge(CLIENT, 1, b"P6wRJ21F")
    f_ctos = KEYS.answer_challenge(METER, 0x01234567, b"K56iVagY")
    assert f_stoc.hex().upper() == "10000000011A52FE7DD3E72748973C1E28"
    assert f_ctos.hex().upper() == "1001234567FE1466AFB3DBCD4F9389E2B7"
    assert KEYS.check_answer(CLIENT, b"P6wRJ21F", f_stoc) == 1
    assert KEYS.check_answer(METER, b"K56iVagY", f_ctos) == 0x01234567


@pytest.mark.parametrize("at", range(17))
def test_an_altered_challenge_answer_is_refused(at: int) -> None:
    answer = bytearray(KEYS.answer_challenge(METER, 7, b"K56iVagY"))
    answer[at] ^= 1
    with pytest.raises(SecurityViolation):
        KEYS.check_answer(METER, b"K56iVagY", bytes(answer))


@pytest.mark.parametrize("length", [0, 5, 16, 18])
def test_a_challenge_answer_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SecurityViolation):
        KEYS.check_answer(METER, b"K56iVagY", (KEYS.answer_challenge(METER, 7, b"K56iVagY") + b"\0")[:length])


def test_ciphered_get() -> None:
    sealed = KEYS.protect(METER, 0x01234567, GET)
    assert sealed.hex().upper() == "3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"
    assert KEYS.unprotect(METER, sealed) == (0x01234567, GET)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.sampled_from([BOTH, ENCRYPTED, AUTHENTICATED]))
def test_what_is_sealed_opens(plain: bytes, counter: int, control: int) -> None:
    assert KEYS.unprotect(METER, KEYS.protect(METER, counter, plain, control), control) == (counter, plain)


@given(st.binary(max_size=50), st.data())
def test_no_altered_bit_opens(plain: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(KEYS.protect(METER, 5, plain))
    bit = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecurityViolation):
        KEYS.unprotect(METER, bytes(sealed))


@given(st.binary(max_size=40))
def test_arbitrary_bytes_do_not_open(raw: bytes) -> None:
    with pytest.raises(SecurityViolation):
        KEYS.unprotect(METER, raw)


def test_another_title_or_key_does_not_open() -> None:
    sealed = KEYS.protect(METER, 5, GET)
    with pytest.raises(SecurityViolation):
        KEYS.unprotect(CLIENT, sealed)
    with pytest.raises(SecurityViolation):
        Keys(KEYS.encryption, bytes(16)).unprotect(METER, sealed)
    with pytest.raises(SecurityViolation):
        Keys(bytes(16), KEYS.authentication).unprotect(METER, sealed)


def test_key_wrap() -> None:
    master = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    wrapped = wrap_key(master, bytes(range(0xA0, 0xB0)))
    assert wrapped.hex().upper() == "77C00A662BB701613D60F762B02C0610A2DDBF87236AEE8C"
    assert unwrap_key(master, wrapped) == bytes(range(0xA0, 0xB0))
    for wrong in (wrapped[:-1] + b"\0", b"", wrapped[:7]):
        with pytest.raises(SecurityViolation):
            unwrap_key(master, wrong)
    with pytest.raises(LocalProtocolError):
        wrap_key(b"short", bytes(16))


def test_keys_have_sixteen_bytes_and_are_not_shown() -> None:
    with pytest.raises(LocalProtocolError, match="encryption key has 15 bytes"):
        Keys(bytes(15), bytes(16))
    with pytest.raises(LocalProtocolError, match="authentication key"):
        Keys(bytes(16), b"")
    assert repr(KEYS) == "Keys()"
    assert Keys(KEYS.encryption, KEYS.authentication) == KEYS


def test_a_counter_range_is_used_once_and_ends() -> None:
    counter = InvocationCounter(10, 12)
    assert [counter.take() for _ in range(3)] == [10, 11, 12]
    assert counter.used == 3
    with pytest.raises(CounterExhausted, match=r"10\.\.12"):
        counter.take()
    assert counter.used == 3
    for start, end in ((-1, 5), (6, 5), (0, 2**32)):
        with pytest.raises(LocalProtocolError):
            InvocationCounter(start, end)

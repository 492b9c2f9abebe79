"""What is set aside can be sent, however large it came."""

from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from schemas.dead_letter import CUT, HEADERS, KEY, letter
from schemas.topics import DEAD_LETTERS

ABOUT = headers.DeadLetter(reason="bad " * 500, topic="t", partition=3, offset=9, at=1_790_000_000_123, role="sink")
MIB = 1024 * 1024


@given(
    st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=50), st.lists(st.tuples(st.text(), st.binary()))
)
def test_what_fits_is_whole(key: bytes | None, value: bytes | None, own: headers.Headers) -> None:
    own = [(name, content) for name, content in own if not name.startswith(headers.DEAD_LETTER_PREFIX)]
    sent = letter(key, value, own, ABOUT)
    assert (sent.key, sent.value) == (key, value or b"")
    assert headers.without_dead_letter(sent.headers) == own
    assert headers.dead_letter(sent.headers).offset == 9
    assert CUT not in dict(sent.headers)


def test_what_does_not_fit_is_cut_and_says_how_large_it_was() -> None:
    own = [(f"n{number}", bytes(100_000)) for number in range(30)]
    sent = letter(b"k" * MIB, b"v" * 9 * MIB, own, ABOUT)
    assert dict(sent.headers)[CUT] == b"%d" % (10 * MIB + 30 * 100_000 + 10 * 2 + 20 * 3)
    assert (sent.key, sent.headers[:2]) == (b"k" * KEY, own[:2])
    assert len(headers.without_dead_letter(sent.headers)) == HEADERS // 100_000
    size = KEY + len(sent.value) + sum(len(name) + len(content) for name, content in sent.headers)
    assert DEAD_LETTERS.max_bytes - 64 * 1024 <= size < DEAD_LETTERS.max_bytes

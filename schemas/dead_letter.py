"""A dead letter as it is sent: the original bytes as far as any broker of ours takes them.

A record may be larger where it is read than any record that can be written again: compressed it met the limit of its
topic, and it may have been nothing but key or headers. What could not be sent would stop its reader for good, each time
it is started again.
"""

from typing import Final, NamedTuple

from schemas import headers
from schemas.topics import DEAD_LETTERS

CUT: Final = "dead-letter-cut"  # header: bytes of key, value and headers as they came, when not all of them fit
KEY: Final = 64 * 1024  # bytes kept of a key
HEADERS: Final = 256 * 1024  # ... and of headers: the first that fit together
_OURS: Final = 64 * 1024  # for our headers and the frame of the record


class Letter(NamedTuple):
    """What goes to `dead-letters`."""

    key: bytes | None
    value: bytes
    headers: headers.Headers


def letter(key: bytes | None, value: bytes | None, told: headers.Raw, about: headers.DeadLetter) -> Letter:
    """The record to send for one that is set aside. Whole, unless it is larger than `dead-letters` takes."""
    own = headers.without_dead_letter(told)
    whole = value or b""
    size = len(key or b"") + len(whole) + _size(own)
    kept, room = [], HEADERS
    for name, content in own:
        room -= len(name.encode(errors="replace")) + len(content)
        if room < 0:
            break
        kept.append((name, content))
    kept_key = key if key is None else key[:KEY]
    kept_value = whole[: DEAD_LETTERS.max_bytes - _OURS - len(kept_key or b"") - _size(kept)]
    written = headers.write_dead_letter(kept, about)
    if len(kept_key or b"") + len(kept_value) + _size(kept) < size:
        written.append((CUT, b"%d" % size))
    return Letter(kept_key, kept_value, written)


def _size(told: headers.Headers) -> int:
    return sum(len(name.encode(errors="replace")) + len(content) for name, content in told)

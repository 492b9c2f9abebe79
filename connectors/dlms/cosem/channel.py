"""One direction-aware secure channel: seals what is sent, opens what comes, and refuses anything weaker than
negotiated.

Used by both sides of an association; what differs between them (what a refusal leads to) is not decided here.
"""

from __future__ import annotations

from .ciphering import GENERAL_OVERHEAD, SPECIFIC_OVERHEAD, check_service, frame, unframe
from .errors import LocalProtocolError, SecurityViolation, StaleCounter
from .security import TITLE_LENGTH, Keys


def check_title(title: bytes | None, own: bytes, expected: bytes | None) -> bytes:
    """The peer's system title, or SecurityViolation: missing, of wrong length, our own (a reflection), or not the
    expected one."""
    if title is None or len(title) != TITLE_LENGTH:
        raise SecurityViolation("the peer's system title is missing, or not 8 bytes")
    if title == own:
        raise SecurityViolation("the peer uses our own system title")
    if expected is not None and title != expected:
        raise SecurityViolation(f"system title {title.hex()}, expected {expected.hex()}")
    return title


def seal(keys: Keys, title: bytes, counter: int, plain: bytes, general: bool) -> bytes:
    """The ciphered APDU of a plain one."""
    return frame(plain[0], keys.protect(title, counter, plain), title if general else None)


def unseal(keys: Keys, title: bytes, last_counter: int, apdu: bytes, general: bool | None) -> tuple[int, bytes]:
    """Counter and plain APDU of a ciphered one from the peer with `title`.

    `general` is the form it must have, None for either. Raises SecurityViolation for a plain APDU, the other form, a
    foreign title, a weaker security control, a wrong tag or another service inside; StaleCounter, after the tag was
    found right, when the counter is not above `last_counter`.
    """
    sealed = unframe(apdu)
    if general is not None and (sealed.title is not None) is not general:
        raise SecurityViolation("ciphered APDU comes in another form than it was asked for")
    if sealed.title is not None and sealed.title != title:
        raise SecurityViolation(f"ciphered APDU of system title {sealed.title.hex()}, expected {title.hex()}")
    counter, plain = keys.unprotect(title, sealed.content)
    check_service(sealed, plain)
    if counter <= last_counter:
        raise StaleCounter(counter, last_counter)
    return counter, plain


def room(max_pdu: int, ciphered: bool, general: bool) -> int:
    """Bytes of plain APDU that fit a PDU of `max_pdu`; 0 there means no limit but the wrapper's (meter-model 5.2)."""
    limit = max_pdu or 65_535
    if not ciphered:
        return limit
    space = limit - (GENERAL_OVERHEAD if general else SPECIFIC_OVERHEAD)
    if space < 32:
        raise LocalProtocolError(f"a PDU of {max_pdu} bytes leaves no room for a ciphered block")
    return space

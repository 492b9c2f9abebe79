"""Ciphered APDUs on the wire: which tag protects which service, and the service-specific and general forms (meter-model
3.1).

    glo-xxx ::= OCTET STRING                                         -- tag, length, SC, IC, ciphertext, tag
    general-glo-ciphering ::= SEQUENCE { system-title OCTET STRING, ciphered-content OCTET STRING }   -- DB
"""

from __future__ import annotations

from typing import NamedTuple

from .apdu._reader import Reader
from .axdr import encode_length
from .errors import LocalProtocolError, SecurityViolation
from .security import TAG_LENGTH

GENERAL_GLO = 0xDB
GLO_OF = {
    0x01: 0x21,
    0x08: 0x28,
    0xC0: 0xC8,
    0xC1: 0xC9,
    0xC2: 0xCA,
    0xC3: 0xCB,
    0xC4: 0xCC,
    0xC5: 0xCD,
    0xC7: 0xCF,
}
PLAIN_OF = {glo: plain for plain, glo in GLO_OF.items()}
# tag and longest length of a service-specific APDU, SC, IC, authentication tag
SPECIFIC_OVERHEAD = 1 + 3 + 5 + TAG_LENGTH
GENERAL_OVERHEAD = SPECIFIC_OVERHEAD + 9


class Sealed(NamedTuple):
    """A ciphered APDU: `plain_tag` of the service it must hold (None in the general form), the title it names, SC to
    tag."""

    plain_tag: int | None
    title: bytes | None
    content: bytes


def is_ciphered(apdu: bytes) -> bool:
    """Whether the first byte is that of a ciphered APDU this engine reads."""
    return bool(apdu) and (apdu[0] in PLAIN_OF or apdu[0] == GENERAL_GLO)


def frame(plain_tag: int, content: bytes, title: bytes | None = None) -> bytes:
    """The ciphered APDU of `content` (SC to tag): general when a title is given, else service-specific."""
    if title is not None:
        return bytes((GENERAL_GLO, len(title))) + title + encode_length(len(content)) + content
    tag = GLO_OF.get(plain_tag)
    if tag is None:
        raise LocalProtocolError(f"APDU {plain_tag:02X} has no service-specific ciphered form")
    return bytes((tag,)) + encode_length(len(content)) + content


def unframe(apdu: bytes) -> Sealed:
    """What a ciphered APDU carries, not yet opened. Raises RemoteProtocolError when malformed, SecurityViolation when
    not ciphered."""
    reader = Reader(apdu)
    tag = reader.u8()
    if tag == GENERAL_GLO:
        sealed = Sealed(None, reader.octets(), reader.octets())
    elif tag in PLAIN_OF:
        sealed = Sealed(PLAIN_OF[tag], None, reader.octets())
    else:
        raise SecurityViolation(f"APDU {tag:02X} is not ciphered")
    reader.end()
    return sealed


def check_service(sealed: Sealed, plain: bytes) -> None:
    """Raises SecurityViolation when the opened APDU is of another service than its tag said, or is not there."""
    if not plain or (sealed.plain_tag is not None and plain[0] != sealed.plain_tag):
        raise SecurityViolation(
            f"ciphered APDU holds {plain[:1].hex() or 'nothing'}, its tag announced {sealed.plain_tag}"
        )

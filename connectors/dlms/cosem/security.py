"""Security suite 0: AES-GCM-128 with 12-byte tags, GMAC for HLS5, RFC 3394 key wrap, invocation counters (meter-model
3).

`cryptography`'s AESGCM keeps the key schedule but knows only 16-byte tags. GCM enciphers with a counter stream, so
enciphering the ciphertext gives the plaintext back, and enciphering that again gives the tag to compare: two calls on a
kept context take a third of the time of one on a new `Cipher`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from .errors import CounterExhausted, LocalProtocolError, SecurityViolation

AUTHENTICATED = 0x10
ENCRYPTED = 0x20
BOTH = 0x30
TAG_LENGTH = 12
TITLE_LENGTH = 8
MAX_COUNTER = 0xFFFF_FFFF
_BOTH = b"\x30"


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The keys of one meter: global unicast encryption key and authentication key, 16 bytes each.

    Never shown by repr. Raises LocalProtocolError for another length.
    """

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)
    _gcm: AESGCM = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("encryption", "authentication"):
            if len(getattr(self, name)) != 16:
                raise LocalProtocolError(f"{name} key has {len(getattr(self, name))} bytes, suite 0 takes 16")
        object.__setattr__(self, "_gcm", AESGCM(self.encryption))

    def __eq__(self, other: object) -> bool:
        if type(other) is not Keys:
            return NotImplemented
        return (self.encryption, self.authentication) == (other.encryption, other.authentication)

    def __hash__(self) -> int:
        return hash((self.encryption, self.authentication))

    def protect(self, title: bytes, counter: int, plaintext: bytes, control: int = BOTH) -> bytes:
        """SC, IC, then ciphertext and tag as the security control byte asks; `title` is the sender's.

        AAD (meter-model 3): SC and AK when enciphered, and the plaintext as well when only authenticated.
        """
        head = bytes((control,)) + counter.to_bytes(4, "big")
        nonce = title + head[1:]
        if control & BOTH == BOTH:
            sealed = self._gcm.encrypt(nonce, plaintext, head[:1] + self.authentication)
            return head + sealed[:-4]
        if control & ENCRYPTED:
            return head + self._gcm.encrypt(nonce, plaintext, None)[:-16]
        if control & AUTHENTICATED:
            return head + plaintext + self._tag(nonce, head[:1] + self.authentication + plaintext)
        raise LocalProtocolError(f"security control {control:02X} protects nothing")

    def unprotect(self, title: bytes, sealed: bytes, control: int = BOTH) -> tuple[int, bytes]:
        """Counter and plaintext of what the sender with `title` sealed.

        Raises SecurityViolation when it is shorter than its parts, its security control is not exactly `control`, or
        its tag is wrong. Whether the counter rises is the caller's to check.
        """
        if sealed and sealed[0] != control:
            raise SecurityViolation(f"security control {sealed[0]:02X}, negotiated {control:02X}")
        if len(sealed) < 5 + (TAG_LENGTH if control & AUTHENTICATED else 0):
            raise SecurityViolation(f"ciphered APDU of {len(sealed)} bytes is too short")
        nonce = title + sealed[1:5]
        if control & BOTH == BOTH:
            ciphertext = sealed[5:-12]
            plaintext = self._gcm.encrypt(nonce, ciphertext, None)[:-16]
            expected = self._gcm.encrypt(nonce, plaintext, sealed[:1] + self.authentication)[-16:-4]
        elif control & ENCRYPTED:
            return int.from_bytes(sealed[1:5], "big"), self._gcm.encrypt(nonce, sealed[5:], None)[:-16]
        else:
            plaintext = sealed[5:-12]
            expected = self._tag(nonce, sealed[:1] + self.authentication + plaintext)
        if not hmac.compare_digest(expected, sealed[-12:]):
            raise SecurityViolation("authentication tag is wrong")
        return int.from_bytes(sealed[1:5], "big"), plaintext

    def answer_challenge(self, title: bytes, counter: int, challenge: bytes) -> bytes:
        """f(challenge) of HLS5: SC 10, IC, GMAC over SC, AK and challenge; 17 bytes (meter-model 3.3)."""
        nonce = title + counter.to_bytes(4, "big")
        return b"\x10" + nonce[8:] + self._tag(nonce, b"\x10" + self.authentication + challenge)

    def check_answer(self, title: bytes, challenge: bytes, answer: bytes) -> int:
        """The counter of a right f(challenge) from the holder of `title`. Raises SecurityViolation for any other."""
        if len(answer) != 17 or answer[0] != 0x10:
            raise SecurityViolation(f"HLS answer of {len(answer)} bytes: 17 with security control 10 are expected")
        counter = int.from_bytes(answer[1:5], "big")
        if not hmac.compare_digest(self.answer_challenge(title, counter, challenge), answer):
            raise SecurityViolation("HLS answer is wrong")
        return counter

    def _tag(self, nonce: bytes, associated: bytes) -> bytes:
        return self._gcm.encrypt(nonce, b"", associated)[:TAG_LENGTH]


class InvocationCounter:
    """A range of invocation counters, `start` to `end` inclusive, of which each value is used once.

    `used` counts values taken, `next` is the first unused one. Raises LocalProtocolError for a range that is none.
    """

    __slots__ = ("end", "next", "start")

    def __init__(self, start: int, end: int = MAX_COUNTER) -> None:
        if not 0 <= start <= end <= MAX_COUNTER:
            raise LocalProtocolError(f"counter range {start}..{end} does not lie in 0..{MAX_COUNTER}")
        self.start = start
        self.end = end
        self.next = start

    def take(self) -> int:
        """The next value. Raises CounterExhausted when the range is used up."""
        value = self.next
        if value > self.end:
            raise CounterExhausted(f"counters {self.start}..{self.end} are used up")
        self.next = value + 1
        return value

    @property
    def used(self) -> int:
        """How many values were taken."""
        return self.next - self.start


def wrap_key(master: bytes, key: bytes) -> bytes:
    """The key wrapped under the master key, 8 bytes longer (RFC 3394). Raises LocalProtocolError for a wrong length."""
    try:
        return aes_key_wrap(master, key)
    except ValueError as error:
        raise LocalProtocolError(f"key cannot be wrapped: {error}") from None


def unwrap_key(master: bytes, wrapped: bytes) -> bytes:
    """What `wrap_key` wrapped. Raises SecurityViolation when it is not intact or wrapped under another key."""
    try:
        return aes_key_unwrap(master, wrapped)
    except (InvalidUnwrap, ValueError) as error:
        raise SecurityViolation(f"wrapped key is not intact: {error or 'wrong master key'}") from None

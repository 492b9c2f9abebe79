"""ACSE: AARQ, AARE, RLRQ, RLRE in BER (meter-model 4). User information stays as it is: it may be ciphered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..axdr import encode_length
from ..errors import RemoteProtocolError
from ._reader import Reader

_CONTEXT_OID = bytes.fromhex("608574050801")
_MECHANISM_OID = bytes.fromhex("608574050802")
_REQUIREMENTS = bytes.fromhex("0780")  # BIT STRING, one bit: authentication
MAX_FIELDS = 32

LN = 1
LN_CIPHERED = 3


class Mechanism(IntEnum):
    """Authentication mechanisms this engine speaks; last byte of 2.16.756.5.8.2.n."""

    NONE = 0
    LLS = 1
    HLS5 = 5


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + encode_length(len(content)) + content


def _fields(reader: Reader) -> dict[int, bytes]:
    """The fields of an ACSE APDU by tag. The APDU's own length must be right, no field may come twice."""
    content = Reader(reader.octets())
    fields: dict[int, bytes] = {}
    while content.at < len(content.buffer):
        tag = content.u8()
        if tag in fields or len(fields) == MAX_FIELDS:
            raise RemoteProtocolError(f"field {tag:02X} of an ACSE APDU comes twice, or there are too many")
        fields[tag] = content.octets()
    return fields


def _inner(field: bytes | None, tag: int) -> bytes | None:
    """The content of the one TLV with `tag` that fills an explicitly tagged field."""
    if field is None:
        return None
    reader = Reader(field)
    found = reader.u8()
    if found != tag:
        raise RemoteProtocolError(f"tag {found:02X} in an ACSE field, expected {tag:02X}")
    content = reader.octets()
    reader.end()
    return content


def _named(oid: bytes | None, prefix: bytes) -> int | None:
    """The last byte of an object identifier with `prefix`; -1 for any other."""
    if oid is None:
        return None
    return oid[-1] if len(oid) == 7 and oid[:6] == prefix else -1


def _number(content: bytes | None, name: str) -> int:
    if content is None or len(content) != 1:
        raise RemoteProtocolError(f"{name} of the ACSE APDU is missing, or not one byte")
    return content[0]


@dataclass(frozen=True, slots=True)
class Aarq:
    """AARQ-apdu ::= [APPLICATION 0] IMPLICIT SEQUENCE {
        application-context-name [1], calling-AP-title [6] OPTIONAL, sender-acse-requirements [10] IMPLICIT OPTIONAL,
        mechanism-name [11] IMPLICIT OPTIONAL, calling-authentication-value [12] EXPLICIT OPTIONAL,
        user-information [30] EXPLICIT OCTET STRING OPTIONAL
        -- fields no meter of the reference uses are passed over
    }

    `context` and `mechanism` are the last byte of the names, -1 for an unknown name, mechanism None when there is none.
    """

    context: int
    user_information: bytes | None
    calling_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None

    def encode(self) -> bytes:
        parts = [_tlv(0xA1, _tlv(6, _CONTEXT_OID + bytes((self.context,))))]
        if self.calling_title is not None:
            parts.append(_tlv(0xA6, _tlv(4, self.calling_title)))
        if self.mechanism is not None:
            parts.append(_tlv(0x8A, _REQUIREMENTS))
            parts.append(_tlv(0x8B, _MECHANISM_OID + bytes((self.mechanism,))))
        if self.authentication is not None:
            parts.append(_tlv(0xAC, _tlv(0x80, self.authentication)))
        if self.user_information is not None:
            parts.append(_tlv(0xBE, _tlv(4, self.user_information)))
        return _tlv(0x60, b"".join(parts))

    @classmethod
    def read(cls, reader: Reader) -> Aarq:
        fields = _fields(reader)
        context = _named(_inner(fields.get(0xA1), 6), _CONTEXT_OID)
        return cls(
            -1 if context is None else context,
            _inner(fields.get(0xBE), 4),
            _inner(fields.get(0xA6), 4),
            _named(fields.get(0x8B), _MECHANISM_OID),
            _inner(fields.get(0xAC), 0x80),
        )


@dataclass(frozen=True, slots=True)
class Aare:
    """AARE-apdu ::= [APPLICATION 1] IMPLICIT SEQUENCE {
        application-context-name [1], result [2] INTEGER,
        result-source-diagnostic [3] CHOICE { acse-service-user [1] INTEGER, acse-service-provider [2] INTEGER },
        responding-AP-title [4] OPTIONAL, responder-acse-requirements [8] IMPLICIT OPTIONAL,
        mechanism-name [9] IMPLICIT OPTIONAL, responding-authentication-value [10] EXPLICIT OPTIONAL,
        user-information [30] EXPLICIT OCTET STRING OPTIONAL
    }

    `source` is "user" or "provider"; names as in Aarq.
    """

    context: int
    result: int
    diagnostic: int
    user_information: bytes | None
    responding_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None
    source: str = "user"

    def encode(self) -> bytes:
        diagnostic = _tlv(0xA1 if self.source == "user" else 0xA2, bytes((2, 1, self.diagnostic)))
        parts = [
            _tlv(0xA1, _tlv(6, _CONTEXT_OID + bytes((self.context,)))),
            bytes((0xA2, 3, 2, 1, self.result)),
            _tlv(0xA3, diagnostic),
        ]
        if self.responding_title is not None:
            parts.append(_tlv(0xA4, _tlv(4, self.responding_title)))
        if self.mechanism is not None:
            parts.append(_tlv(0x88, _REQUIREMENTS))
            parts.append(_tlv(0x89, _MECHANISM_OID + bytes((self.mechanism,))))
        if self.authentication is not None:
            parts.append(_tlv(0xAA, _tlv(0x80, self.authentication)))
        if self.user_information is not None:
            parts.append(_tlv(0xBE, _tlv(4, self.user_information)))
        return _tlv(0x61, b"".join(parts))

    @classmethod
    def read(cls, reader: Reader) -> Aare:
        fields = _fields(reader)
        context = _named(_inner(fields.get(0xA1), 6), _CONTEXT_OID)
        source = "user" if fields.get(0xA3, b"\xa1")[:1] == b"\xa1" else "provider"
        diagnostic = _inner(_inner(fields.get(0xA3), 0xA1 if source == "user" else 0xA2), 2)
        return cls(
            -1 if context is None else context,
            _number(_inner(fields.get(0xA2), 2), "result"),
            _number(diagnostic, "result-source-diagnostic"),
            _inner(fields.get(0xBE), 4),
            _inner(fields.get(0xA4), 4),
            _named(fields.get(0x89), _MECHANISM_OID),
            _inner(fields.get(0xAA), 0x80),
            source,
        )


@dataclass(frozen=True, slots=True)
class Rlrq:
    """RLRQ-apdu ::= [APPLICATION 2] IMPLICIT SEQUENCE {
        reason [0] IMPLICIT INTEGER OPTIONAL, user-information [30] EXPLICIT OCTET STRING OPTIONAL
    }"""

    reason: int | None = 0
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return _tlv(0x62, _release(self.reason, self.user_information))

    @classmethod
    def read(cls, reader: Reader) -> Rlrq:
        fields = _fields(reader)
        return cls(_number(fields[0x80], "reason") if 0x80 in fields else None, _inner(fields.get(0xBE), 4))


@dataclass(frozen=True, slots=True)
class Rlre:
    """RLRE-apdu ::= [APPLICATION 3] IMPLICIT SEQUENCE {
        reason [0] IMPLICIT INTEGER OPTIONAL, user-information [30] EXPLICIT OCTET STRING OPTIONAL
    }"""

    reason: int | None = 0
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return _tlv(0x63, _release(self.reason, self.user_information))

    @classmethod
    def read(cls, reader: Reader) -> Rlre:
        fields = _fields(reader)
        return cls(_number(fields[0x80], "reason") if 0x80 in fields else None, _inner(fields.get(0xBE), 4))


def _release(reason: int | None, user_information: bytes | None) -> bytes:
    parts = b"" if reason is None else bytes((0x80, 1, reason))
    return parts if user_information is None else parts + _tlv(0xBE, _tlv(4, user_information))

"""xDLMS InitiateRequest and InitiateResponse: what both sides can do (meter-model 4.1, 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from ..errors import RemoteProtocolError
from ._reader import Reader

DLMS_VERSION = 6
VAA_NAME_LN = 7
# [APPLICATION 31] BIT STRING (SIZE(24)): tag, four bytes, no unused bits
_CONFORMANCE_HEAD = bytes.fromhex("5F1F0400")


class Conformance(IntFlag):
    """Conformance block, 24 bits; bit 0 of the standard is the top bit of the first byte."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    ATTRIBUTE0_WITH_SET = 1 << 15
    PRIORITY_MGMT = 1 << 14
    ATTRIBUTE0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


# bits 11-14, 19-21 and 23: what both the client and the meters of the reference need (meter-model 5.1)
CORE_CONFORMANCE = 0x001E1D


def _read_conformance(reader: Reader) -> int:
    head = reader.take(4)
    if head != _CONFORMANCE_HEAD:
        raise RemoteProtocolError(f"conformance block begins with {head.hex()}, expected {_CONFORMANCE_HEAD.hex()}")
    return reader.number(3)


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """InitiateRequest ::= SEQUENCE {
        dedicated-key OCTET STRING OPTIONAL,
        response-allowed BOOLEAN DEFAULT TRUE,
        proposed-quality-of-service [0] IMPLICIT Integer8 OPTIONAL,
        proposed-dlms-version-number Unsigned8,
        proposed-conformance Conformance,
        client-max-receive-pdu-size Unsigned16
    }"""

    conformance: int
    max_receive_pdu: int
    dedicated_key: bytes | None = None
    version: int = DLMS_VERSION

    def encode(self) -> bytes:
        key = b"\x00" if self.dedicated_key is None else bytes((1, len(self.dedicated_key))) + self.dedicated_key
        head = b"\x01" + key + bytes((0, 0, self.version)) + _CONFORMANCE_HEAD
        return head + self.conformance.to_bytes(3, "big") + self.max_receive_pdu.to_bytes(2, "big")

    @classmethod
    def read(cls, reader: Reader) -> InitiateRequest:
        key = reader.octets() if reader.flag() else None
        if reader.flag():
            reader.u8()  # response-allowed
        if reader.flag():
            reader.u8()  # quality of service: never used by any meter
        version = reader.u8()
        return cls(_read_conformance(reader), reader.number(2), key, version)


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """InitiateResponse ::= SEQUENCE {
        negotiated-quality-of-service [0] IMPLICIT Integer8 OPTIONAL,
        negotiated-dlms-version-number Unsigned8,
        negotiated-conformance Conformance,
        server-max-receive-pdu-size Unsigned16,
        vaa-name ObjectName
    }"""

    conformance: int
    max_receive_pdu: int
    version: int = DLMS_VERSION
    vaa_name: int = VAA_NAME_LN

    def encode(self) -> bytes:
        head = bytes((8, 0, self.version)) + _CONFORMANCE_HEAD + self.conformance.to_bytes(3, "big")
        return head + self.max_receive_pdu.to_bytes(2, "big") + self.vaa_name.to_bytes(2, "big")

    @classmethod
    def read(cls, reader: Reader) -> InitiateResponse:
        if reader.flag():
            reader.u8()
        version = reader.u8()
        return cls(_read_conformance(reader), reader.number(2), version, reader.number(2))

"""The ACTION service (meter-model 5.3). Parameters stay encoded."""

from __future__ import annotations

from dataclasses import dataclass

from ..axdr import encode_length
from ..names import Method
from ._blocks import Block
from ._reader import Reader
from .get import GetDataResult, encode_result
from .set import encode_values, read_values


@dataclass(frozen=True, slots=True)
class ActionRequestNormal:
    """Action-Request-Normal ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-method-descriptor Cosem-Method-Descriptor,
        method-invocation-parameters Data OPTIONAL
    }"""

    invoke: int
    method: Method
    parameters: bytes | None = None

    def encode(self) -> bytes:
        head = bytes((0xC3, 1, self.invoke)) + self.method.encode()
        return head + (b"\x00" if self.parameters is None else b"\x01" + self.parameters)

    @classmethod
    def read(cls, reader: Reader) -> ActionRequestNormal:
        return cls(reader.u8(), reader.method(), reader.encoded() if reader.flag() else None)


@dataclass(frozen=True, slots=True)
class ActionRequestNextPblock:
    """Action-Request-Next-Pblock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, block-number Unsigned32
    }"""

    invoke: int
    number: int

    def encode(self) -> bytes:
        return bytes((0xC3, 2, self.invoke)) + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> ActionRequestNextPblock:
        return cls(reader.u8(), reader.number(4))


@dataclass(frozen=True, slots=True)
class ActionRequestWithList:
    """Action-Request-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-method-descriptor-list SEQUENCE OF Cosem-Method-Descriptor,
        method-invocation-parameters SEQUENCE OF Data
    }"""

    invoke: int
    methods: tuple[Method, ...]
    parameters: tuple[bytes, ...]

    def encode(self) -> bytes:
        methods = encode_length(len(self.methods)) + b"".join([method.encode() for method in self.methods])
        return bytes((0xC3, 3, self.invoke)) + methods + encode_values(self.parameters)

    @classmethod
    def read(cls, reader: Reader) -> ActionRequestWithList:
        invoke = reader.u8()
        return cls(invoke, tuple([reader.method() for _ in range(reader.count())]), read_values(reader))


@dataclass(frozen=True, slots=True)
class ActionRequestWithFirstPblock:
    """Action-Request-With-First-Pblock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-method-descriptor Cosem-Method-Descriptor,
        pblock DataBlock-SA
    }"""

    invoke: int
    method: Method
    block: Block

    def encode(self) -> bytes:
        return bytes((0xC3, 4, self.invoke)) + self.method.encode() + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> ActionRequestWithFirstPblock:
        return cls(reader.u8(), reader.method(), Block.read(reader))


@dataclass(frozen=True, slots=True)
class ActionRequestWithPblock:
    """Action-Request-With-Pblock ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, pblock DataBlock-SA }"""

    invoke: int
    block: Block

    def encode(self) -> bytes:
        return bytes((0xC3, 6, self.invoke)) + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> ActionRequestWithPblock:
        return cls(reader.u8(), Block.read(reader))


@dataclass(frozen=True, slots=True)
class ActionResponseNormal:
    """Action-Response-Normal ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        single-response SEQUENCE { result Action-Result, return-parameters Get-Data-Result OPTIONAL }
    }"""

    invoke: int
    result: int
    returned: GetDataResult | None = None

    def encode(self) -> bytes:
        return bytes((0xC7, 1, self.invoke)) + encode_response(self.result, self.returned)

    @classmethod
    def read(cls, reader: Reader) -> ActionResponseNormal:
        return cls(reader.u8(), *read_response(reader))


@dataclass(frozen=True, slots=True)
class ActionResponseWithPblock:
    """Action-Response-With-Pblock ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, pblock DataBlock-SA }

    As with get, the blocks together are taken for the returned Data alone; there is no result code among them.
    """

    invoke: int
    block: Block

    def encode(self) -> bytes:
        return bytes((0xC7, 2, self.invoke)) + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> ActionResponseWithPblock:
        return cls(reader.u8(), Block.read(reader))


@dataclass(frozen=True, slots=True)
class ActionResponseWithList:
    """Action-Response-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        list-of-responses SEQUENCE OF SEQUENCE { result Action-Result, return-parameters Get-Data-Result OPTIONAL }
    }"""

    invoke: int
    responses: tuple[tuple[int, GetDataResult | None], ...]

    def encode(self) -> bytes:
        parts = b"".join([encode_response(*response) for response in self.responses])
        return bytes((0xC7, 3, self.invoke)) + encode_length(len(self.responses)) + parts

    @classmethod
    def read(cls, reader: Reader) -> ActionResponseWithList:
        return cls(reader.u8(), tuple([read_response(reader) for _ in range(reader.count())]))


@dataclass(frozen=True, slots=True)
class ActionResponseNextPblock:
    """Action-Response-Next-Pblock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, block-number Unsigned32
    }"""

    invoke: int
    number: int

    def encode(self) -> bytes:
        return bytes((0xC7, 4, self.invoke)) + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> ActionResponseNextPblock:
        return cls(reader.u8(), reader.number(4))


def encode_response(result: int, returned: GetDataResult | None) -> bytes:
    """Action-Response-With-Optional-Data"""
    return bytes((result,)) + (b"\x00" if returned is None else b"\x01" + encode_result(returned))


def read_response(reader: Reader) -> tuple[int, GetDataResult | None]:
    """Action-Response-With-Optional-Data at the reader's position."""
    result = reader.u8()
    if not reader.flag():
        return result, None
    return result, reader.u8() if reader.flag() else reader.encoded()

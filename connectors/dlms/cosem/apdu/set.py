"""The SET service (meter-model 5.3). Values stay encoded; the server decodes them when it knows the attribute."""

from __future__ import annotations

from dataclasses import dataclass

from ..axdr import encode_length
from ..names import Attribute, Selection
from ._blocks import Block, Selected, encode_selection
from ._reader import Reader


def encode_list(attributes: tuple[Selected, ...]) -> bytes:
    """SEQUENCE OF Cosem-Attribute-Descriptor-With-Selection"""
    return encode_length(len(attributes)) + b"".join([item.encode() for item in attributes])


def encode_values(values: tuple[bytes, ...]) -> bytes:
    """SEQUENCE OF Data"""
    return encode_length(len(values)) + b"".join(values)


def read_values(reader: Reader) -> tuple[bytes, ...]:
    """SEQUENCE OF Data at the reader's position, each left encoded."""
    return tuple([reader.encoded() for _ in range(reader.count())])


@dataclass(frozen=True, slots=True)
class SetRequestNormal:
    """Set-Request-Normal ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-attribute-descriptor Cosem-Attribute-Descriptor,
        access-selection Selective-Access-Descriptor OPTIONAL,
        value Data
    }"""

    invoke: int
    attribute: Attribute
    value: bytes
    selection: Selection | None = None

    def encode(self) -> bytes:
        return bytes((0xC1, 1, self.invoke)) + self.attribute.encode() + encode_selection(self.selection) + self.value

    @classmethod
    def read(cls, reader: Reader) -> SetRequestNormal:
        invoke, attribute, selection = reader.u8(), reader.attribute(), reader.selection()
        return cls(invoke, attribute, reader.encoded(), selection)


@dataclass(frozen=True, slots=True)
class SetRequestWithFirstDatablock:
    """Set-Request-With-First-Datablock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-attribute-descriptor Cosem-Attribute-Descriptor,
        access-selection Selective-Access-Descriptor OPTIONAL,
        datablock DataBlock-SA
    }"""

    invoke: int
    attribute: Attribute
    block: Block
    selection: Selection | None = None

    def encode(self) -> bytes:
        head = bytes((0xC1, 2, self.invoke)) + self.attribute.encode()
        return head + encode_selection(self.selection) + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> SetRequestWithFirstDatablock:
        invoke, attribute, selection = reader.u8(), reader.attribute(), reader.selection()
        return cls(invoke, attribute, Block.read(reader), selection)


@dataclass(frozen=True, slots=True)
class SetRequestWithDatablock:
    """Set-Request-With-Datablock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, datablock DataBlock-SA
    }"""

    invoke: int
    block: Block

    def encode(self) -> bytes:
        return bytes((0xC1, 3, self.invoke)) + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> SetRequestWithDatablock:
        return cls(reader.u8(), Block.read(reader))


@dataclass(frozen=True, slots=True)
class SetRequestWithList:
    """Set-Request-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        attribute-descriptor-list SEQUENCE OF Cosem-Attribute-Descriptor-With-Selection,
        value-list SEQUENCE OF Data
    }"""

    invoke: int
    attributes: tuple[Selected, ...]
    values: tuple[bytes, ...]

    def encode(self) -> bytes:
        return bytes((0xC1, 4, self.invoke)) + encode_list(self.attributes) + encode_values(self.values)

    @classmethod
    def read(cls, reader: Reader) -> SetRequestWithList:
        invoke = reader.u8()
        attributes = tuple([Selected.read(reader) for _ in range(reader.count())])
        return cls(invoke, attributes, read_values(reader))


@dataclass(frozen=True, slots=True)
class SetRequestWithListAndFirstDatablock:
    """Set-Request-With-List-And-First-Datablock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        attribute-descriptor-list SEQUENCE OF Cosem-Attribute-Descriptor-With-Selection,
        datablock DataBlock-SA
    }"""

    invoke: int
    attributes: tuple[Selected, ...]
    block: Block

    def encode(self) -> bytes:
        return bytes((0xC1, 5, self.invoke)) + encode_list(self.attributes) + self.block.encode()

    @classmethod
    def read(cls, reader: Reader) -> SetRequestWithListAndFirstDatablock:
        invoke = reader.u8()
        return cls(invoke, tuple([Selected.read(reader) for _ in range(reader.count())]), Block.read(reader))


@dataclass(frozen=True, slots=True)
class SetResponseNormal:
    """Set-Response-Normal ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, result Data-Access-Result }"""

    invoke: int
    result: int

    def encode(self) -> bytes:
        return bytes((0xC5, 1, self.invoke, self.result))

    @classmethod
    def read(cls, reader: Reader) -> SetResponseNormal:
        return cls(reader.u8(), reader.u8())


@dataclass(frozen=True, slots=True)
class SetResponseDatablock:
    """Set-Response-Datablock ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, block-number Unsigned32 }"""

    invoke: int
    number: int

    def encode(self) -> bytes:
        return bytes((0xC5, 2, self.invoke)) + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> SetResponseDatablock:
        return cls(reader.u8(), reader.number(4))


@dataclass(frozen=True, slots=True)
class SetResponseLastDatablock:
    """Set-Response-Last-Datablock ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, result Data-Access-Result, block-number Unsigned32
    }"""

    invoke: int
    result: int
    number: int

    def encode(self) -> bytes:
        return bytes((0xC5, 3, self.invoke, self.result)) + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> SetResponseLastDatablock:
        return cls(reader.u8(), reader.u8(), reader.number(4))


@dataclass(frozen=True, slots=True)
class SetResponseLastDatablockWithList:
    """Set-Response-Last-Datablock-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, result SEQUENCE OF Data-Access-Result, block-number Unsigned32
    }"""

    invoke: int
    results: tuple[int, ...]
    number: int

    def encode(self) -> bytes:
        results = encode_length(len(self.results)) + bytes(self.results)
        return bytes((0xC5, 4, self.invoke)) + results + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> SetResponseLastDatablockWithList:
        return cls(reader.u8(), tuple(reader.octets()), reader.number(4))


@dataclass(frozen=True, slots=True)
class SetResponseWithList:
    """Set-Response-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, result SEQUENCE OF Data-Access-Result
    }"""

    invoke: int
    results: tuple[int, ...]

    def encode(self) -> bytes:
        return bytes((0xC5, 5, self.invoke)) + encode_length(len(self.results)) + bytes(self.results)

    @classmethod
    def read(cls, reader: Reader) -> SetResponseWithList:
        return cls(reader.u8(), tuple(reader.octets()))

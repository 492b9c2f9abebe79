"""The GET service (meter-model 5.3). Values stay encoded here: a profile buffer goes to `rows`, the rest to `axdr`."""

from __future__ import annotations

from dataclasses import dataclass

from ..axdr import encode_length
from ..names import Attribute, Selection
from ._blocks import Selected, encode_selection
from ._reader import Reader

# Get-Data-Result ::= CHOICE { data [0] Data, data-access-result [1] IMPLICIT Data-Access-Result }
GetDataResult = bytes | int


def encode_result(result: GetDataResult) -> bytes:
    """The bytes of a Get-Data-Result."""
    return bytes((1, result)) if isinstance(result, int) else b"\x00" + result


def read_results(reader: Reader) -> tuple[GetDataResult, ...]:
    """SEQUENCE OF Get-Data-Result at the reader's position."""
    return tuple([reader.u8() if reader.flag() else reader.encoded() for _ in range(reader.count())])


@dataclass(frozen=True, slots=True)
class GetRequestNormal:
    """Get-Request-Normal ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        cosem-attribute-descriptor Cosem-Attribute-Descriptor,
        access-selection Selective-Access-Descriptor OPTIONAL
    }"""

    invoke: int
    attribute: Attribute
    selection: Selection | None = None

    def encode(self) -> bytes:
        return bytes((0xC0, 1, self.invoke)) + self.attribute.encode() + encode_selection(self.selection)

    @classmethod
    def read(cls, reader: Reader) -> GetRequestNormal:
        return cls(reader.u8(), reader.attribute(), reader.selection())


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """Get-Request-Next ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, block-number Unsigned32 }"""

    invoke: int
    number: int

    def encode(self) -> bytes:
        return bytes((0xC0, 2, self.invoke)) + self.number.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> GetRequestNext:
        return cls(reader.u8(), reader.number(4))


@dataclass(frozen=True, slots=True)
class GetRequestWithList:
    """Get-Request-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority,
        attribute-descriptor-list SEQUENCE OF Cosem-Attribute-Descriptor-With-Selection
    }"""

    invoke: int
    attributes: tuple[Selected, ...]

    def encode(self) -> bytes:
        items = b"".join([item.encode() for item in self.attributes])
        return bytes((0xC0, 3, self.invoke)) + encode_length(len(self.attributes)) + items

    @classmethod
    def read(cls, reader: Reader) -> GetRequestWithList:
        return cls(reader.u8(), tuple([Selected.read(reader) for _ in range(reader.count())]))


@dataclass(frozen=True, slots=True)
class GetResponseNormal:
    """Get-Response-Normal ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, result Get-Data-Result }

    The encoded data is the rest of the APDU: whoever decodes it checks that nothing is left over.
    """

    invoke: int
    result: GetDataResult

    def encode(self) -> bytes:
        return bytes((0xC4, 1, self.invoke)) + encode_result(self.result)

    @classmethod
    def read(cls, reader: Reader) -> GetResponseNormal:
        return cls(reader.u8(), reader.u8() if reader.flag() else reader.rest())


@dataclass(frozen=True, slots=True)
class GetResponseWithDatablock:
    """Get-Response-With-Datablock ::= SEQUENCE { invoke-id-and-priority Invoke-Id-And-Priority, result DataBlock-G }

    DataBlock-G ::= SEQUENCE {
        last-block BOOLEAN, block-number Unsigned32,
        result CHOICE { raw-data [0] IMPLICIT OCTET STRING, data-access-result [1] IMPLICIT Data-Access-Result }
    }"""

    invoke: int
    last: bool
    number: int
    result: GetDataResult

    def encode(self) -> bytes:
        head = bytes((0xC4, 2, self.invoke, self.last)) + self.number.to_bytes(4, "big")
        if isinstance(self.result, int):
            return head + bytes((1, self.result))
        return head + b"\x00" + encode_length(len(self.result)) + self.result

    @classmethod
    def read(cls, reader: Reader) -> GetResponseWithDatablock:
        invoke, last, number = reader.u8(), reader.flag(), reader.number(4)
        return cls(invoke, last, number, reader.u8() if reader.flag() else reader.octets())


@dataclass(frozen=True, slots=True)
class GetResponseWithList:
    """Get-Response-With-List ::= SEQUENCE {
        invoke-id-and-priority Invoke-Id-And-Priority, result SEQUENCE OF Get-Data-Result
    }"""

    invoke: int
    results: tuple[GetDataResult, ...]

    def encode(self) -> bytes:
        return bytes((0xC4, 3, self.invoke)) + encode_results(self.results)

    @classmethod
    def read(cls, reader: Reader) -> GetResponseWithList:
        return cls(reader.u8(), read_results(reader))


def encode_results(results: tuple[GetDataResult, ...]) -> bytes:
    """SEQUENCE OF Get-Data-Result: also what the blocks of a long answer to a list form together."""
    return encode_length(len(results)) + b"".join([encode_result(result) for result in results])

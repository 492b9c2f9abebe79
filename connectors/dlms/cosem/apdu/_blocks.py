"""What get, set and action share: blocks, selections, and encoding of a selection."""

from __future__ import annotations

from typing import NamedTuple

from ..axdr import encode, encode_length
from ..names import Attribute, Selection
from ._reader import Reader


class Block(NamedTuple):
    """DataBlock-SA ::= SEQUENCE { last-block BOOLEAN, block-number Unsigned32, raw-data OCTET STRING }"""

    last: bool
    number: int
    raw: bytes

    def encode(self) -> bytes:
        """Its bytes."""
        return bytes((self.last,)) + self.number.to_bytes(4, "big") + encode_length(len(self.raw)) + self.raw

    @classmethod
    def read(cls, reader: Reader) -> Block:
        """The block at the reader's position."""
        return cls(reader.flag(), reader.number(4), reader.octets())


class Selected(NamedTuple):
    """Cosem-Attribute-Descriptor-With-Selection ::= SEQUENCE {
        cosem-attribute-descriptor Cosem-Attribute-Descriptor, access-selection Selective-Access-Descriptor OPTIONAL
    }"""

    attribute: Attribute
    selection: Selection | None = None

    def encode(self) -> bytes:
        """Its bytes."""
        return self.attribute.encode() + encode_selection(self.selection)

    @classmethod
    def read(cls, reader: Reader) -> Selected:
        """The descriptor at the reader's position."""
        return cls(reader.attribute(), reader.selection())


def encode_selection(selection: Selection | None) -> bytes:
    """The OPTIONAL flag, and the selection when there is one."""
    if selection is None:
        return b"\x00"
    return bytes((1, selection.selector)) + encode(selection.parameters)

"""Reads the fields of an APDU in order; runs into the end with the engine's own error."""

from __future__ import annotations

from ..axdr import Data, decode_from, read_length
from ..errors import RemoteProtocolError
from ..names import Attribute, Method, Selection


class Reader:
    """A position in the bytes of one APDU. Every method raises RemoteProtocolError when the bytes do not hold what is
    read."""

    __slots__ = ("_spent", "at", "buffer")

    def __init__(self, buffer: bytes, at: int = 0) -> None:
        self.buffer = buffer
        self.at = at
        self._spent = [0]  # elements of all values in it

    def u8(self) -> int:
        at = self.at
        if at >= len(self.buffer):
            raise self._cut_off()
        self.at = at + 1
        return self.buffer[at]

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.buffer):
            raise self._cut_off()
        taken = self.buffer[self.at : end]
        self.at = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def flag(self) -> bool:
        return self.u8() != 0

    def length(self) -> int:
        try:
            length, self.at = read_length(self.buffer, self.at)
        except IndexError:
            raise self._cut_off() from None
        return length

    def octets(self) -> bytes:
        return self.take(self.length())

    def count(self) -> int:
        """Number of elements of a SEQUENCE OF, each of which takes a byte at least."""
        count = self.length()
        if count > len(self.buffer) - self.at:
            raise self._cut_off()
        return count

    def rest(self) -> bytes:
        taken = self.buffer[self.at :]
        self.at = len(self.buffer)
        return taken

    def end(self) -> None:
        if self.at != len(self.buffer):
            raise RemoteProtocolError(
                f"{len(self.buffer) - self.at} bytes left over at the end of APDU {self.buffer[:2].hex()}"
            )

    def data(self) -> Data:
        data, self.at = decode_from(self.buffer, self.at, self._spent)
        return data

    def encoded(self) -> bytes:
        """The bytes of one Data, left encoded but known to be well formed."""
        start = self.at
        _, self.at = decode_from(self.buffer, start, self._spent)
        return self.buffer[start : self.at]

    def attribute(self) -> Attribute:
        raw = self.take(9)
        return Attribute(raw[0] << 8 | raw[1], raw[2:8], raw[8] - 256 if raw[8] > 127 else raw[8])

    def method(self) -> Method:
        return Method(*self.attribute())

    def selection(self) -> Selection | None:
        return Selection(self.u8(), self.data()) if self.flag() else None

    def _cut_off(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"APDU {self.buffer[:2].hex()} of {len(self.buffer)} bytes is cut off")

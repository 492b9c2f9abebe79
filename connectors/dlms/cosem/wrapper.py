"""The DLMS wrapper for TCP: cuts a byte stream into WPDUs, and puts the header before an APDU (meter-model 1.2)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from .errors import RemoteProtocolError

VERSION = 1
_HEADER = Struct(">HHHH")  # version, source wPort, destination wPort, length of the APDU


class Wpdu(NamedTuple):
    """One wrapper PDU: `source` and `destination` wPort, and the APDU."""

    source: int
    destination: int
    apdu: bytes


def wrap(source: int, destination: int, apdu: bytes) -> bytes:
    """The WPDU of one APDU of at most 65535 bytes."""
    return _HEADER.pack(VERSION, source, destination, len(apdu)) + apdu


class WpduReader:
    """Collects bytes as TCP delivers them; holds at most one WPDU of `limit` bytes and what came behind it."""

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int = 65535) -> None:
        self._buffer = b""
        self.limit = limit

    def feed(self, chunk: bytes) -> None:
        """Add what was received."""
        self._buffer = self._buffer + chunk if self._buffer else chunk

    def next(self) -> Wpdu | None:
        """The next whole WPDU, or None while it is incomplete.

        Raises RemoteProtocolError for another version or an APDU above `limit`; the stream cannot be read any further
        then.
        """
        buffer = self._buffer
        if len(buffer) < 8:
            return None
        version, source, destination, length = _HEADER.unpack_from(buffer)
        if version != VERSION:
            raise RemoteProtocolError(f"wrapper version {version}, expected {VERSION}")
        if length > self.limit:
            raise RemoteProtocolError(f"wrapper announces {length} bytes, at most {self.limit} are accepted")
        end = 8 + length
        if len(buffer) < end:
            return None
        self._buffer = buffer[end:]
        return Wpdu(source, destination, buffer[8:end])

    @property
    def pending(self) -> int:
        """Bytes received and not yet handed out."""
        return len(self._buffer)

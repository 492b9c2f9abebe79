"""Values longer than a PDU: cut into numbered blocks on one side, collected on the other (meter-model 5.3)."""

from __future__ import annotations

from .apdu import Block, Selected
from .errors import LocalProtocolError, RemoteProtocolError
from .names import Method

# a block's own fields: last-block, number, length of at most three bytes
BLOCK_HEADER = 1 + 4 + 3


def cut(content: bytes, first: int, rest: int) -> list[Block]:
    """The blocks of `content`, numbered from 1: at most `first` bytes in the first, `rest` in each other."""
    if first < 0 or rest < 1:
        raise LocalProtocolError("the meter's PDU size leaves no room for a block")
    blocks = [Block(first >= len(content), 1, content[:first])]
    for at in range(first, len(content), rest):
        blocks.append(Block(at + rest >= len(content), len(blocks) + 1, content[at : at + rest]))
    return blocks


class Blocks:
    """Collects the blocks of one long value; each must follow the last, none may be empty, together they stay within
    `limit` bytes."""

    __slots__ = ("limit", "parts", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, number: int, last: bool, raw: bytes) -> None:
        """Take one block. Raises RemoteProtocolError."""
        if number != len(self.parts) + 1:
            raise RemoteProtocolError(f"block {number} where {len(self.parts) + 1} was due")
        if not raw and not last:  # would let a peer go on for ever
            raise RemoteProtocolError(f"block {number} is empty")
        self.size += len(raw)
        if self.size > self.limit:
            raise RemoteProtocolError(f"more than {self.limit} bytes in blocks")
        self.parts.append(raw)

    def joined(self) -> bytes:
        """The whole value."""
        return b"".join(self.parts)


class Outgoing:
    """A long answer on its way: what is left of it, and the number of the block sent last."""

    __slots__ = ("at", "content", "number")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.number = 0

    def next(self, size: int) -> Block:
        """The next block, of at most `size` bytes."""
        raw = self.content[self.at : self.at + size]
        self.at += len(raw)
        self.number += 1
        return Block(self.at >= len(self.content), self.number, raw)

    @property
    def done(self) -> bool:
        """Whether the last block was sent."""
        return self.at >= len(self.content)


class Incoming:
    """A long request on its way: what it is about, and the blocks so far."""

    __slots__ = ("blocks", "target")

    def __init__(self, target: Selected | tuple[Selected, ...] | Method, limit: int) -> None:
        self.target = target
        self.blocks = Blocks(limit)

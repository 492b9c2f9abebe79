"""Where a partition stands in each inbox topic, as one value of its table.

The position is written in the same transaction as everything that follows from the inputs up to it, so it is the
only truth about what is done; the consumer group's offset is a hint. It shares the table's topic, under a key no device
can have (it begins with NUL), and never reaches the keeper.

Layout of the value, big endian: version (1 byte, 1), number of topics (2), and for each topic in alphabetical order
the length of its name (2), its name (UTF-8), the offset of the last input done (8).
"""

import struct
from collections.abc import Mapping

_PREFIX = b"\x00position/"
_VERSION = 1
_HEAD = struct.Struct(">BH")
_NAME = struct.Struct(">H")
_OFFSET = struct.Struct(">q")


def position_key(partition: int) -> bytes:
    return _PREFIX + str(partition).encode()


def rebuild_key(partition: int) -> bytes:
    """In the table as long as a rebuild of the partition is under way (`streams/rebuild.py`)."""
    return b"\x00rebuild/" + str(partition).encode()


def is_reserved(key: bytes) -> bool:
    """Whether a key of the table's topic belongs to the shell and not to a device."""
    return key.startswith(_PREFIX)


def encode(positions: Mapping[str, int]) -> bytes:
    """{topic: offset of the last input done} -> value."""
    parts = [_HEAD.pack(_VERSION, len(positions))]
    for topic in sorted(positions):
        name = topic.encode()
        parts += [_NAME.pack(len(name)), name, _OFFSET.pack(positions[topic])]
    return b"".join(parts)


def decode(value: bytes) -> dict[str, int]:
    """Value -> {topic: offset of the last input done}.

    Raises ValueError for anything that `encode` did not write: a position that cannot be read must not be guessed.
    """
    try:
        version, count = _HEAD.unpack_from(value)
        if version != _VERSION:
            raise ValueError(f"position: version {version} is not {_VERSION}")
        at = _HEAD.size
        positions = {}
        for _ in range(count):
            (length,) = _NAME.unpack_from(value, at)
            at += _NAME.size
            name = value[at : at + length].decode()
            at += length
            (positions[name],) = _OFFSET.unpack_from(value, at)
            at += _OFFSET.size
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"position: {error}") from error
    if at != len(value):
        raise ValueError(f"position: {len(value) - at} bytes after the last topic")
    return positions

"""Which partition a key belongs to, by the rule of Java's producers: murmur2 of the key, positive, modulo the
partitions.

Everything about a device must lie in one partition, whoever wrote it. librdkafka's default is another rule (CRC-32):
our producers say `partitioner=murmur2_random`, and the streams send on what a foreign producer put elsewhere.
"""

from struct import iter_unpack
from typing import Final

PARTITIONER: Final = "murmur2_random"
"""librdkafka's name for the rule: its `partitioner` setting."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit number (Java shows it signed)."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for (k,) in iter_unpack("<I", data[:whole]):
        k = k * _M & _WORD
        k = (k ^ k >> 24) * _M & _WORD
        h = (h * _M & _WORD) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _WORD
    h = (h ^ h >> 13) * _M & _WORD
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among so many. Raises ValueError for none."""
    if partitions < 1:
        raise ValueError(f"{partitions} partitions")
    return (murmur2(key) & 0x7FFFFFFF) % partitions

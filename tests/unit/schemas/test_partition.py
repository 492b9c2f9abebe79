"""The vectors of Apache Kafka's own test (clients, UtilsTest.testMurmur2); other clients must choose as Java does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.partition import murmur2, partition_of

VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}


@pytest.mark.parametrize(("key", "signed"), VECTORS.items())
def test_kafkas_vectors(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF
    assert partition_of(key, 12) == (signed & 0x7FFFFFFF) % 12


@given(st.binary(max_size=64), st.integers(1, 1_000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_no_partitions_is_said() -> None:
    with pytest.raises(ValueError, match="0 partitions"):
        partition_of(b"E0001", 0)

"""The compiled encoders write what fastavro writes, byte for byte, and leave to it what they cannot."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas._compile import encoder, long_bytes
from streams.device import wire
from tests import strategies

assert wire  # binds the records of the streams
BOUND = sorted(name for name in codec.names() if name.startswith("meterlog.") and name.count(".") == 1)


@pytest.mark.parametrize("name", BOUND)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_bytes_are_fastavros(name: str, data: st.DataObject) -> None:
    body = codec._registry().body(name)
    assert body.compiled is not None
    record = data.draw(strategies.record(name))
    fast, slow = BytesIO(), BytesIO()
    body.write(fast, record)
    compiled, body.compiled = body.compiled, None
    try:
        body.write(slow, record)
    finally:
        body.compiled = compiled
    assert fast.getvalue() == slow.getvalue()


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_long_is_zigzag(number: int) -> None:
    data = long_bytes(number)
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data))
    assert (value >> 1 ^ -(value & 1)) == number
    assert all(byte & 0x80 for byte in data[:-1]) and not data[-1] & 0x80


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
def test_a_long_has_64_bits(number: int) -> None:
    with pytest.raises(OverflowError):
        long_bytes(number)


@pytest.mark.parametrize(
    "kind",
    ["double", {"type": "fixed", "name": "x", "size": 2}, ["null", "int", "string"], {"type": "enum", "name": "e"}],
)
def test_what_it_cannot_write_is_left_to_fastavro(kind: Any) -> None:
    schema = {"type": "record", "name": "r", "fields": [{"name": "f", "type": kind}]}
    if isinstance(kind, dict) and kind["type"] == "enum":
        kind["symbols"] = ["A"]
    assert encoder(schema, {}, {"r": object}) is None


def test_a_record_without_class_is_left_to_fastavro() -> None:
    assert encoder({"type": "record", "name": "r", "fields": []}, {}, {}) is None

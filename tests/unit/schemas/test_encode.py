"""The compiled encoders write what fastavro writes, byte for byte, and leave to it what they cannot."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import _tables, codec
from schemas._encode import encoder
from schemas._tables import long_bytes, text_bytes
from schemas.records import Job, KeyKind, Notice, Notification, Registration, SealedKey, Security, Status
from streams.cell import state
from streams.device import wire
from streams.device.state import Device
from tests import strategies

assert wire and state  # bind the records of the streams
BOUND = sorted(name for name in codec.names() if name.startswith("meterlog.") and name.count(".") == 1)
METER = Registration(
    *("SMART_METER_E", "SMR", "5.0.0", "192.0.2.1", 4059, 1, 1, Security.HLS5, b"METR0001"),
    keys=(SealedKey(KeyKind.MASTER, bytes(60)),),
    labels={"street": "Dorpsstraat"},
)


def fastavros(record: object) -> bytes:
    """The bytes by way of fastavro."""
    return codec._encoder(type(record)).slow_write(record)


@pytest.mark.parametrize("name", BOUND)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_bytes_are_fastavros(name: str, data: st.DataObject) -> None:
    body = codec._registry().body(name)
    assert body.encoder is not None
    record = data.draw(strategies.record(name))
    assert body.encoder(record) == body.slow_write(record)


def test_a_registration_is_written_once_and_wherever_it_lies() -> None:
    device, job = Device(device_id="E1", registration=METER), Job("E1", 1, 2, 3, 4, METER, ())
    for record in (device, job, device, job):
        assert codec.encode(record) == fastavros(record)
    moved = replace(METER, host="192.0.2.2")
    assert codec.encode(replace(device, registration=moved)) == fastavros(replace(device, registration=moved))
    assert codec.decode(codec.encode(replace(job, registration=moved))).registration == moved


def test_registrations_that_come_and_go_are_never_mistaken() -> None:
    """Their ids are used again; and there are more than are kept."""
    for port in range(6_000):
        job = Job("E1", 1, 2, 3, 4, replace(METER, port=port), ())
        written = codec.encode(job)
        if port % 250 == 0:
            assert written == fastavros(job)
        assert long_bytes(port) in written


def test_tables_that_are_full_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "_FULL", 8)
    for number in range(100):
        note = Notification(f"id {number}", "E" * number, "Fly", Notice.RECEIVED, 10**12 + number, None)
        assert codec.encode(note) == fastavros(note)
    assert len(_tables.TEXTS) <= 16_384


def test_long_texts_are_not_kept() -> None:
    note = Notification("x" * 1_000, "E1", "Fly", Notice.RESULT_READY, 1, Status.UNKNOWN)
    assert codec.encode(note) == fastavros(note)
    assert note.correlation_id not in _tables.TEXTS


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


def test_what_is_no_number_is_refused_whatever_the_table_holds() -> None:
    assert _tables.LONGS[7] == _tables.LONGS[7.0] == long_bytes(7) == b"\x0e"  # equal keys are one
    assert long_bytes(7.0) == b"\x0e"  # type: ignore[arg-type]
    for value in (7.5, "7", None):
        with pytest.raises(TypeError):
            _tables.LONGS[value]


def test_a_table_of_a_union_knows_null() -> None:
    assert _tables.optional(text_bytes, 0, 1)[None] == b"\x00"
    assert _tables.optional(text_bytes, 0, 1)["a"] == b"\x02\x02a"
    assert _tables.optional(text_bytes, 1, 0)[None] == b"\x02"
    assert _tables.optional(text_bytes, 1, 0)["a"] == b"\x00\x02a"


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

"""Every record makes the round trip; no bytes raise anything but Unreadable, or take more memory than they justify."""

import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams.device.wire  # noqa: F401 - binds the records of the log and the table
from operations import catalogue
from schemas import codec
from schemas.records import CommandHeader, Fault, JobEnded, ResponseHeader, Status, Tick
from tests import strategies

SHARED = [name for name in codec.names() if name in codec.bound()]
OPERATIONS = [name for name in catalogue() if f"meterlog.commands.{name}Command" in codec.names()]
HEADER = CommandHeader("0b7f3d51-2f0e-4b5e-9d58-6f9d3c1a7d11", "E0001", 1_790_000_000_000)
REFUSED = ResponseHeader(
    HEADER.correlation_id, "E0001", "Fly", Status.REJECTED, Fault(1, "UNKNOWN", "X", "no"), 0, False, None, 1, 2
)


def test_every_shared_record_has_a_class_and_every_operation_its_schemas() -> None:
    assert {"meterlog.Job", "meterlog.JobEnded", "meterlog.Tick", "meterlog.EnergyReads"} <= set(SHARED)
    for name in catalogue():
        assert {f"meterlog.commands.{name}Command", f"meterlog.responses.{name}Response"} <= set(codec.names())


@pytest.mark.parametrize("name", SHARED)
@given(data=st.data())
@settings(max_examples=15)
def test_shared_records_round_trip(name: str, data: st.DataObject) -> None:
    record = data.draw(strategies.record(name))
    encoded = codec.encode(record)
    assert codec.decode(encoded) == record
    assert codec.name_of(encoded) == name


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@settings(max_examples=10)
def test_commands_round_trip(operation: str, data: st.DataObject) -> None:
    value = data.draw(strategies.command(operation))
    encoded = codec.encode_command(operation, value["header"], value["request"])
    assert codec.decode_command(encoded) == codec.Command(value["header"], operation, value["request"])
    assert codec.name_of(encoded) == f"meterlog.commands.{operation}Command"


@pytest.mark.parametrize("operation", OPERATIONS)
@given(data=st.data())
@settings(max_examples=10)
def test_responses_carry_the_workers_bytes(operation: str, data: st.DataObject) -> None:
    value = data.draw(strategies.response(operation))
    result = None if value["result"] is None else codec.encode_result(operation, value["result"])
    encoded = codec.encode_response(operation, value["header"], result)
    assert codec.decode_response(encoded) == (value["header"], value["result"])
    assert codec.decode(encoded) == (value["header"], value["result"])
    if result is not None:
        assert encoded.endswith(result)
        assert codec.decode_result(operation, result) == value["result"]


def test_any_record_is_read_without_its_classes() -> None:
    name, plain = codec.decode_plain(codec.encode_command("SynchronizeTime", HEADER, {"time_zone": "UTC"}))
    assert name == "meterlog.commands.SynchronizeTimeCommand"
    assert plain["request"] == {"time_zone": "UTC"}
    assert plain["header"]["created_at"] == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


def test_an_operation_nobody_knows_is_answered_without_result() -> None:
    encoded = codec.encode_response("Fly", REFUSED, None)
    assert codec.name_of(encoded) == "meterlog.responses.RejectedResponse"
    assert codec.decode_response(encoded) == (REFUSED, None)
    with pytest.raises(codec.Unwritable, match="Fly"):
        codec.encode_response("Fly", REFUSED, b"\x00")
    with pytest.raises(LookupError, match="FlyCommand"):
        codec.encode_command("Fly", HEADER, {})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no value"),
        (b"\xc3\x01\x00", "3 bytes are less"),
        (b"\x00" * 10, "begins with 0000, not with c301"),
        (b"\xc3\x01" + bytes(range(8)), "unknown schema, CRC-64-AVRO 0706050403020100"),
        (codec.encode(Tick(1, 2, 3)) + b"\x00", "meterlog.Tick: 1 bytes too many"),
        (codec.encode(Tick(1, 2, 3))[:-1], "meterlog.Tick: EOFError"),
    ],
)
def test_the_reason_says_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(codec.Unreadable, match=reason):
        codec.decode(data)


def test_another_record_is_no_command_and_no_response() -> None:
    tick = codec.encode(Tick(1, 2, 3))
    for read in (codec.decode_command, codec.decode_response):
        with pytest.raises(codec.Unreadable, match="meterlog.Tick is not a"):
            read(tick)
    assert codec.operation_of("meterlog.Tick") is None


def _readable(data: bytes) -> None:
    """Reads, or raises Unreadable: anything else is the test's failure."""
    for read in (codec.decode, codec.decode_command, codec.decode_response, codec.name_of, codec.decode_plain):
        try:
            read(data)
        except codec.Unreadable as refused:
            assert refused.reason


@given(st.binary(max_size=64))
def test_arbitrary_bytes(data: bytes) -> None:
    _readable(data)


@pytest.mark.parametrize("name", codec.names())
@given(body=st.binary(max_size=200))
@settings(max_examples=15)
def test_arbitrary_bodies_of_known_schemas(name: str, body: bytes) -> None:
    _readable(header_of(name) + body)


@given(data=st.data())
@settings(max_examples=100)
def test_mutated_records(data: st.DataObject) -> None:
    encoded = bytearray(codec.encode(data.draw(strategies.record("meterlog.JobEnded"))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        action = data.draw(st.sampled_from(("set", "cut", "insert")))
        if action == "set":
            encoded[at] = data.draw(st.integers(0, 255))
        elif action == "insert":
            encoded[at:at] = data.draw(st.binary(max_size=10))
        else:
            del encoded[at : at + data.draw(st.integers(1, 8))]
        if not encoded:
            break
    _readable(bytes(encoded))


@given(body=st.binary(max_size=100))
def test_arbitrary_results(body: bytes) -> None:
    for operation in OPERATIONS:
        try:
            codec.decode_result(operation, body)
        except codec.Unreadable as refused:
            assert refused.reason


@pytest.mark.parametrize("length", [1 << 30, (1 << 62) - 1, -1, -(1 << 62)])
@pytest.mark.parametrize("name", codec.names())
def test_a_claimed_length_is_not_allocated(name: str, length: int) -> None:
    """A length in every place: strings, bytes, arrays and maps are all a zigzag long first."""
    claim = zigzag(length)
    head = header_of(name)
    codec_ready(name)
    tracemalloc.start()
    try:
        for before in (b"", b"\x00", b"\x02a", b"\x00" * 8, b"\x02" * 4):
            _readable(head + before + claim + b"\x00" * 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_what_does_not_fit_names_the_schema_and_the_field() -> None:
    with pytest.raises(codec.Unwritable, match="object is bound to no schema"):
        codec.encode(object())
    with pytest.raises(codec.Unwritable, match="meterlog.Tick.*on field seed"):
        codec.encode(Tick(1, "two", 3))  # type: ignore[arg-type]
    with pytest.raises(codec.Unwritable, match=r"no field \['zone'\]"):
        codec.encode_command("SynchronizeTime", HEADER, {"time_zone": "UTC", "zone": "UTC"})
    with pytest.raises(codec.Unwritable, match=r"\['time_zone'\] missing"):
        codec.encode_command("SynchronizeTime", HEADER, {})


def test_a_name_is_bound_once() -> None:
    codec.bind("meterlog.JobEnded", JobEnded)  # the same again is nothing
    with pytest.raises(ValueError, match="meterlog.JobEnded is bound to JobEnded"):
        codec.bind("meterlog.JobEnded", Tick)


def header_of(name: str) -> bytes:
    """The ten bytes a record of this schema begins with."""
    return codec._registry().by_name[name].header


def codec_ready(name: str) -> None:
    """Build the conversions before memory is measured."""
    try:
        codec.decode(header_of(name))
    except codec.Unreadable:
        return


def zigzag(number: int) -> bytes:
    """A long as Avro writes it."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def test_zigzag_is_right() -> None:
    record: Any = codec.decode(header_of("meterlog.Tick") + zigzag(-1) + zigzag(300) + zigzag(1 << 62) + zigzag(5))
    assert record == Tick(-1, 300, 1 << 62, 5)

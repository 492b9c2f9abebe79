"""Kafka headers are written as CloudEvents binds them, read from whoever wrote them, and kept by dead letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from schemas.records import CommandHeader, ResponseHeader, Status

ID = "0b7f3d51-2f0e-4b5e-9d58-6f9d3c1a7d11"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
COMMAND = CommandHeader(ID, "E0001", 1_790_000_000_123)
LETTER = headers.DeadLetter(reason="bad", topic="t", partition=3, offset=9, at=1_790_000_000_123, role="sink")


def test_a_commands_headers() -> None:
    written = headers.for_command("SynchronizeTime", COMMAND, traceparent=TRACE)
    assert dict(written) == {
        "content-type": b"application/avro",
        "correlation-id": ID.encode(),
        "operation": b"SynchronizeTime",
        "ce_specversion": b"1.0",
        "ce_id": ID.encode(),
        "ce_source": b"meterlog/faces",
        "ce_type": b"meterlog.commands.SynchronizeTimeCommand",
        "ce_subject": b"E0001",
        "ce_time": b"2026-09-21T14:13:20.123Z",
        "traceparent": TRACE.encode(),
    }
    assert set(dict(written)) == set(headers.DESCRIPTIONS)
    said = headers.read(written)
    assert (said.correlation_id, said.operation, said.time) == (ID, "SynchronizeTime", COMMAND.created_at)
    assert (said.subject, said.traceparent, said.content_type) == ("E0001", TRACE, "application/avro")


def test_a_response_told_again_is_another_event() -> None:
    first = ResponseHeader(ID, "E0001", "SynchronizeTime", Status.SUCCESSFUL, None, 1, False, 1, 2, 3)
    again = ResponseHeader(ID, "E0001", "SynchronizeTime", Status.SUCCESSFUL, None, 1, True, 1, 2, 4)
    ids = {headers.read(headers.for_response(each, "meterlog.responses.X")).id for each in (first, again)}
    assert len(ids) == 2


def test_what_cloudevents_requires_is_required() -> None:
    with pytest.raises(ValueError, match="type: CloudEvents requires it"):
        headers.write(headers.Attributes(id="1", source="x"))


@given(st.lists(st.tuples(st.sampled_from(sorted(headers.DESCRIPTIONS)), st.binary(max_size=30) | st.none())))
def test_nonsense_is_read(pairs: list[tuple[str, bytes | None]]) -> None:
    said = headers.read(pairs)
    assert said.time is None or isinstance(said.time, int)
    assert headers.read(None) == headers.Attributes()


def test_a_dead_letter_keeps_its_headers_and_tells_its_death() -> None:
    own = [("correlation-id", ID.encode()), ("odd", b"\xff")]
    written = headers.write_dead_letter(own, LETTER)
    assert written[:2] == own
    assert headers.dead_letter(written) == LETTER
    assert headers.dead_letter(dict(written)) == LETTER
    assert headers.without_dead_letter(written) == own
    assert len(headers.write_dead_letter(written, LETTER)) == len(written)


@given(st.text(max_size=2_000), st.integers(0, 253_402_300_799_999))
def test_any_reason_can_be_told(reason: str, at: int) -> None:
    letter = headers.DeadLetter(reason=reason, topic="t", partition=0, offset=0, at=at, role="r")
    read = headers.dead_letter(headers.write_dead_letter(None, letter))
    assert read.at == at
    assert read.reason == reason[: headers.MAX_TEXT].encode("utf-8", "backslashreplace").decode()


def test_what_is_no_dead_letter_is_said() -> None:
    with pytest.raises(ValueError, match="dead-letter-at: missing"):
        headers.dead_letter([("odd", b"1")])
    broken = [
        (name, b"?" if name == "dead-letter-at" else value) for name, value in headers.write_dead_letter(None, LETTER)
    ]
    with pytest.raises(ValueError, match="dead-letter-at: not a time"):
        headers.dead_letter(broken)

"""Frames of devices in debug mode, on a real ClickHouse: once, as long as is set, found by device and period."""

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.clickhouse.answering import answer
from connectors.clickhouse.queries import Queries
from infra.migrate import MigrationRefused, keep
from schemas import codec
from schemas.records import CommandHeader, DebuggingSet, Ended, Job, JobCommand, LoggedFrame
from streams.device.events import DeviceEvents
from tests.e2e.sink_world import millis
from tests.e2e.tables import Tables

DEVICE, OTHER = "EM0001", "EM0002"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRAME = LoggedFrame(
    device_id=DEVICE,
    job=7,
    association=1,
    sequence=0,
    at=int(NOON.timestamp() * 1000),
    incoming=False,
    valid=True,
    correlation_id=str(uuid.UUID(int=7)),
    frame=b"\x00\x01\xff\x00\xfe",
    withheld=0,
    summary="GetRequestNormal 8/0.0.1.0.0.255/2",
    text="<GetRequest />",
)


@pytest.fixture(scope="module")
def tables(clickhouse: Any) -> Tables:
    """65 frames of one device, a second apart, of 13 jobs of 5 frames; one of another."""
    found = Tables(clickhouse.host, clickhouse.port)
    frames = [
        replace(
            FRAME, job=n // 5, sequence=n % 5, at=FRAME.at + 1000 * n, incoming=n % 2 == 1, text="" if n % 3 else "<x/>"
        )
        for n in range(65)
    ]
    found.store([*frames, replace(FRAME, device_id=OTHER, correlation_id=None, valid=False)])
    found.store(frames[10:20])  # delivered again
    return found


def asked(queries: Queries, device_id: str = DEVICE, **request: Any) -> tuple[Ended, Any]:
    """A FindMessageLogs, as the reader carries it out."""
    name = str(uuid.uuid4())
    command = codec.encode_command(
        "FindMessageLogs", CommandHeader(name, device_id, 0), {"since": None, "until": None, **request}
    )
    job = Job(device_id, 3, 1 << 50, 1, 0, None, (JobCommand(name, "FindMessageLogs", 1, command),))
    (ended,) = answer(job, queries, "reader").commands
    assert ended.correlation_id == name
    result = codec.decode_result("FindMessageLogs", ended.result) if ended.result is not None else ended.fault
    return ended.ended, result


def test_pages_of_thirty_newest_first_each_frame_once(tables: Tables) -> None:
    pages = [asked(tables.queries, page=page)[1] for page in range(4)]
    assert [len(page["message_logs"]) for page in pages] == [30, 30, 5, 0]
    assert {page["total_pages"] for page in pages} == {3}
    logs = list(itertools.chain.from_iterable(page["message_logs"] for page in pages))
    assert [log["timestamp"] for log in logs] == [NOON + timedelta(seconds=n) for n in reversed(range(65))]
    oldest = logs[-1]
    assert oldest == {
        "timestamp": NOON,
        "organisation_identification": None,
        "device_identification": DEVICE,
        "incoming": False,
        "valid": True,
        "encoded_message": "0001ff00fe",
        "decoded_message": "<x/>",
    }
    assert logs[-2]["decoded_message"] == FRAME.summary and logs[-2]["incoming"]


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [(None, None, 65), (10, None, 55), (None, 10, 11), (10, 19, 10), (10, 10, 1), (65, None, 0), (None, -1, 0)],
)
def test_a_period_with_both_its_ends(tables: Tables, since: int | None, until: int | None, count: int) -> None:
    period: dict[str, Any] = {
        name: None if seconds is None else NOON + timedelta(seconds=seconds)
        for name, seconds in (("since", since), ("until", until))
    }
    found = asked(tables.queries, page=0, **period)[1]
    assert found["total_pages"] == -(-count // 30)
    assert len(found["message_logs"]) == min(count, 30)


def test_of_a_device_without_any_there_are_no_pages(tables: Tables) -> None:
    assert asked(tables.queries, "EM0009", page=0) == (Ended.SUCCESSFUL, {"total_pages": 0, "message_logs": ()})


def test_a_frame_that_could_not_be_read_is_told_as_that(tables: Tables) -> None:
    (log,) = asked(tables.queries, OTHER, page=0)[1]["message_logs"]
    assert not log["valid"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"page": -1}, "page"),
        ({"page": 100_000}, "page"),
        ({"page": 0, "since": NOON, "until": NOON - timedelta(seconds=1)}, "until"),
    ],
)
def test_a_wrong_request_names_its_field(tables: Tables, request_: dict[str, Any], field: str) -> None:
    ended, fault = asked(tables.queries, **request_)
    assert (ended, fault.code, fault.field) == (Ended.FAILED, 401, field)


def test_a_store_that_is_away_is_worth_another_try() -> None:
    ended, fault = asked(Queries("127.0.0.1", 1), page=0)
    assert ended is Ended.RETRIABLE and "cannot be reached" in fault.message


def test_what_is_no_question_to_the_store_is_refused(tables: Tables) -> None:
    command = JobCommand(str(uuid.uuid4()), "GetActualMeterReads", 1, b"")
    (ended,) = answer(Job(DEVICE, 3, 1 << 50, 1, 0, None, (command,)), tables.queries, "reader").commands
    assert ended.ended is Ended.FAILED and ended.fault is not None and ended.fault.code == 407


def test_which_devices_are_in_debug_mode(tables: Tables) -> None:
    soon = int(datetime.now(UTC).timestamp() * 1000) + 3_600_000
    at = millis("2026-11-20T12:00:00")
    told = {
        "ON": [DebuggingSet(soon)],
        "OFF": [DebuggingSet(soon), DebuggingSet(None)],
        "OVER": [DebuggingSet(at)],
        "AGAIN": [DebuggingSet(soon), DebuggingSet(None), DebuggingSet(soon)],
    }
    tables.store(
        DeviceEvents(device, version, at + version, "commands@1", (event,))
        for device, events in told.items()
        for version, event in enumerate(events, 1)
    )
    assert tables.ask("SELECT device_id FROM debugged_devices ORDER BY device_id") == [("AGAIN",), ("ON",)]


def test_how_long_they_are_kept_is_a_setting(clickhouse: Any) -> None:
    own = Tables(clickhouse.host, clickhouse.port)
    where = (own.host, own.port, "dlms_log")
    assert not keep(*where, 30, database=own.database), "as shipped"
    assert keep(*where, 7, database=own.database)
    assert not keep(*where, 7, database=own.database)
    now = int(datetime.now(UTC).timestamp() * 1000)
    own.store([replace(FRAME, at=now - 8 * 86_400_000), replace(FRAME, at=now - 6 * 86_400_000)])
    own.ask("OPTIMIZE TABLE dlms_log FINAL")
    assert own.ask("SELECT dateDiff('day', at, now()) FROM dlms_log") == [(6,)]
    with pytest.raises(MigrationRefused):
        keep(own.host, own.port, "no_such_table", 7, database=own.database)

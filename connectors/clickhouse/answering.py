"""A job that is asked of the store: its steps carried out by queries, and what became of its command. Knows no Kafka.

The counterpart of `connectors/dlms/job.py`, for operations that are `of_store`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from connectors.clickhouse.queries import Found, QueryFailed
from operations import Meter, build_request, catalogue
from operations._errors import OperationError, Rejected, Unreachable
from operations._profile import Profile
from operations._steps import Answer, FindFrames, Now, Step, StoredFrame
from schemas import codec
from schemas.records import CommandEnded, Ended, Job, JobCommand, JobEnded

log = structlog.get_logger()


class Store(Protocol):
    """What is asked; `Queries` is it."""

    def frames(
        self, device_id: str, since: datetime | None, until: datetime | None, *, first: int, limit: int
    ) -> list[Found]: ...
    def frame_count(self, device_id: str, since: datetime | None, until: datetime | None) -> int: ...


def answer(job: Job, store: Store, name: str, now: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> JobEnded:
    """What the job came to; `name` of this process. Raises nothing; a store that is away is worth another try."""
    began = now()
    commands = tuple([_ended(job, command, store) for command in job.commands])
    return JobEnded(job.device_id, job.number, name, began, now(), False, job.counter_from, None, commands)


def _ended(job: Job, command: JobCommand, store: Store) -> CommandEnded:
    try:
        answered = _carried_out(job.device_id, command, store)
        result = codec.encode_result(command.operation, answered.result)
        return CommandEnded(command.correlation_id, Ended.SUCCESSFUL, result=result, facts=answered.facts)
    except OperationError as error:
        how = Ended.RETRIABLE if error.retriable else Ended.FAILED
        return CommandEnded(command.correlation_id, how, error.fault())
    except Exception as bug:  # of an operation or of ours: one command must not stop those behind it
        log.exception("command_failed", operation=command.operation)
        failed = OperationError(f"{command.operation} failed beside the store: {type(bug).__name__}")
        return CommandEnded(command.correlation_id, Ended.FAILED, failed.fault())


def _carried_out(device_id: str, command: JobCommand, store: Store) -> Answer[Any]:
    """Raises OperationError."""
    operation = catalogue().get(command.operation)
    if operation is None or operation.steps is None or not operation.of_store:
        reason = f"{command.operation!r} is nothing to ask the store"
        raise Rejected(reason, field="operation", code=407, name="UNSUPPORTED_DEVICE_ACTION")
    try:
        request = build_request(command.operation, codec.decode_command(command.command).request)
    except codec.Unreadable as unreadable:
        raise Rejected(f"the command cannot be read: {unreadable.reason}", field="command") from None
    steps = operation.steps(request, Meter(device_id, Profile("", "", {})))
    answered: Any = None
    try:
        while True:
            answered = _step(steps.send(answered), store)
    except StopIteration as end:
        found: Answer[Any] = end.value
        return found
    except QueryFailed as failed:
        raise Unreachable(str(failed)) from None
    finally:
        steps.close()


def _step(step: Step, store: Store) -> Any:
    match step:
        case FindFrames(device_id, since, until, first, limit):
            rows = store.frames(device_id, since, until, first=first, limit=limit)
            return store.frame_count(device_id, since, until), tuple([_frame(row) for row in rows])
        case Now():
            return datetime.now(UTC)
        case _:
            raise OperationError(f"{type(step).__name__} asks a meter, and here is none")


def _frame(row: Found) -> StoredFrame:
    return StoredFrame(row["at"], row["incoming"], row["valid"], row["frame"], row["summary"], row["text"])

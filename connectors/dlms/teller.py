"""Tells what a job came to: which record goes to which topic, in which order, with which headers.

Reads first, then results too large for a record, then the end of the job: whoever sees the end can find the rest.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

import structlog
from confluent_kafka import Message

from connectors.dlms.job import Carried
from connectors.dlms.outbox import Outbox, Place, Undeliverable
from connectors.dlms.worker_settings import ROLE, WorkerMetrics
from operations._errors import OperationError
from roles.steps import passing
from schemas import codec, headers
from schemas.dead_letter import letter
from schemas.records import (
    CommandEnded,
    Ended,
    EnergyReads,
    JobAttempting,
    JobEnded,
    LargeResult,
    LoggedFrame,
    MeterEvents,
    MeterOutages,
    ProfileReads,
    RegisterReads,
)
from schemas.topics import (
    DEAD_LETTERS,
    DLMS_LOG,
    JOB_RESULTS,
    MAX_RESULT_BYTES,
    METER_EVENTS,
    READS_PROFILES,
    READS_REGISTERS,
    RESULTS_LARGE,
    Topic,
)

SOURCE: Final = "meterlog/connectors/dlms"
MAX_RESULTS_BYTES: Final = 3 * MAX_RESULT_BYTES
"""Results inside one end of a job: a record has at most a MiB."""
_READS: Final[dict[type, Topic]] = {
    RegisterReads: READS_REGISTERS,
    EnergyReads: READS_PROFILES,
    MeterEvents: METER_EVENTS,
    MeterOutages: METER_EVENTS,
    ProfileReads: READS_PROFILES,
}

_log = structlog.get_logger(__name__)


class Teller:
    """The way of a worker's records to their topics."""

    def __init__(self, outbox: Outbox, prefix: str, metrics: WorkerMetrics) -> None:
        self._outbox, self._prefix, self._metrics = outbox, prefix, metrics

    def topic(self, topic: Topic) -> str:
        """Its name in this installation."""
        return self._prefix + topic.name

    async def set_aside(self, message: Message, reason: str) -> None:
        """The record as it came, on the dead letters."""
        _log.warning("dead_letter", partition=message.partition(), offset=message.offset(), reason=reason)
        about = headers.DeadLetter(
            reason=reason,
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            at=_now(),
            role=ROLE,
        )
        raw_key: Any = message.key()
        raw_value: Any = message.value()
        raw: Any = message.headers()
        key, value, told = letter(raw_key, raw_value, raw, about)
        self._metrics.dead_letters.inc()
        await self._outbox.deliver(self.topic(DEAD_LETTERS), key or b"", value, headers=told)

    async def tell(self, carried: Carried, partition: int) -> None:
        """What a job came to: its reads, its large results, and last its end, to the job's partition."""
        ended = carried.ended
        if carried.reads:
            await asyncio.gather(*(self._tell_read(ended, number, read) for number, read in enumerate(carried.reads)))
            passing("read published", len(carried.reads))
        room = MAX_RESULTS_BYTES
        commands = []
        for command in ended.commands:
            result = carried.results.get(command.correlation_id)
            if result is not None:
                command, room = await self._with_result(carried, command, result, room)
            commands.append(command)
        ended = replace(ended, commands=tuple(commands))
        await self._to_streams(ended, partition, f"{ended.device_id}/{ended.number}/ended")
        passing("result sent")

    async def _tell_read(self, ended: JobEnded, number: int, read: object) -> None:
        topic = _READS[type(read)]
        correlation_id: str = read.correlation_id  # type: ignore[attr-defined]
        device_id: str = read.device_id  # type: ignore[attr-defined]  # of an M-Bus meter not the job's
        try:
            identity = f"{device_id}/{correlation_id}/{ended.number}/read/{number}"
            await self._deliver(topic, device_id, read, identity, correlation_id)
        except Undeliverable as reason:  # the result has it as well, and says so to who asked
            _log.error("read_not_delivered", topic=topic.name, reason=str(reason))
            self._metrics.untold.inc()

    async def _with_result(
        self, carried: Carried, command: CommandEnded, result: bytes, room: int
    ) -> tuple[CommandEnded, int]:
        """The command with its result, or with the place where it lies; and the room left for others."""
        if len(result) <= min(MAX_RESULT_BYTES, room):
            return replace(command, result=result), room - len(result)
        name, ended = command.correlation_id, carried.ended
        mbus = carried.delegated.get(name)  # the result is that meter's, under the id its caller has
        device_id = ended.device_id if mbus is None else mbus.device_id
        correlation_id = name if mbus is None else mbus.correlation_id
        large = LargeResult(correlation_id, device_id, carried.operations[name], result)
        identity = f"{name}/{ended.number}/result"
        try:
            place = await self._deliver(RESULTS_LARGE, device_id, large, identity, correlation_id)
        except Undeliverable:
            reason = f"the result has {len(result)} bytes: more than any record takes"
            return replace(command, ended=Ended.FAILED, fault=OperationError(reason).fault()), room
        return replace(command, large_result=str(place)), room

    async def attempting(self, record: JobAttempting, partition: int) -> None:
        """That a step follows which may not be repeated; acknowledged when this returns."""
        await self._to_streams(record, partition, f"{record.correlation_id}/{record.number}/attempting")

    async def log_frame(self, frame: LoggedFrame) -> None:
        """A frame of a device in debug mode; acknowledged when this returns. Raises Undeliverable."""
        identity = f"{frame.device_id}/{frame.job}/frame/{frame.sequence}"
        await self._deliver(DLMS_LOG, frame.device_id, frame, identity, frame.correlation_id)

    async def _to_streams(self, record: JobAttempting | JobEnded, partition: int, identity: str) -> None:
        await self._deliver(JOB_RESULTS, record.device_id, record, identity, partition=partition)

    async def _deliver(
        self,
        topic: Topic,
        device_id: str,
        record: object,
        identity: str,
        correlation_id: str | None = None,
        partition: int | None = None,
    ) -> Place:
        attributes = headers.Attributes(
            correlation_id=correlation_id,
            id=identity,
            source=SOURCE,
            type=f"meterlog.{type(record).__name__}",
            subject=device_id,
            time=_now(),
        )
        value = codec.encode(record)
        name = self.topic(topic)
        told = headers.write(attributes)
        place = await self._outbox.deliver(name, device_id, value, partition=partition, headers=told)
        self._metrics.records.labels(topic.name).inc()
        return place


def _now() -> int:
    return time.time_ns() // 1_000_000

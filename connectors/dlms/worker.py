"""The DLMS worker: jobs in, what became of them and what was read out. `python -m connectors.dlms.worker` runs it.

One asyncio process holds thousands of associations; several processes share the jobs as one consumer group. What a job
came to is told until the broker has it. A job holds its place among the sessions until then, which bounds what is kept.
"""

import asyncio
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import structlog
import uvloop
from confluent_kafka import KafkaException, Message

from connectors.dlms.job import Carried, Desk, carry_out, not_started
from connectors.dlms.keys import Keys, KeysUnusable, load
from connectors.dlms.opening import client_title
from connectors.dlms.outbox import Outbox
from connectors.dlms.taker import Taken, Taker
from connectors.dlms.teller import Teller
from connectors.dlms.worker_settings import ROLE, WorkerMetrics, WorkerSettings, raise_descriptor_limit, read_settings
from operations import catalogue
from operations._profile import profiles
from roles.guards import guards
from roles.logs import start_logs
from roles.memory import keep_little
from roles.settings import RoleSettings, SettingsWrong
from roles.settings import read_settings as read_role_settings
from roles.steps import arm, passing
from roles.stuck import Broker, Standstill
from schemas import codec
from schemas.records import Job
from schemas.topics import JOBS

_TELL_SECONDS: Final = 30.0
_BEAT_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Worker:
    """One process's worth of sessions. `run` until `stop` is called, or the taker fails."""

    def __init__(self, settings: WorkerSettings, keys: Keys, metrics: WorkerMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(settings.kafka)
        self._teller = Teller(self._outbox, settings.topic_prefix, metrics)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._desk = Desk(
            worker=settings.name,
            keys=keys,
            title=client_title(settings.head_end),
            times=settings.times,
            pool=self._pool,
            attempting=self._teller.attempting,
            log_frame=self._teller.log_frame,
        )
        self._done = 0
        self._jobs: set[asyncio.Task[None]] = set()
        self._conversations: set[asyncio.Task[Carried]] = set()
        self._stopping = asyncio.Event()
        self._beaten = time.monotonic()
        self._beat()
        self._taker = Taker(
            {**settings.kafka, "group.id": settings.group, "client.id": settings.name},
            self._teller.topic(JOBS),
            loop=self._loop,
            free=lambda: settings.sessions - (self._taker.taken - self._done),
            read=self._read,
            take=self._take,
        )

    @property
    def failure(self) -> BaseException | None:
        """What ended the taking of jobs."""
        return self._taker.failure

    @property
    def unready(self) -> str:
        """Why no progress is to be expected; empty when it is."""
        if self._taker.failure is not None:
            return f"taking jobs failed: {self._taker.failure}"
        if not self._taker.ready:
            return "not a member of the consumer group"
        return "results wait for the broker" if self._outbox.stuck else ""

    def standstill(self) -> Standstill | None:
        """What does not get on: the loop of all sessions, or the taking of jobs. From any thread."""
        if time.monotonic() - self._beaten > 5 * _BEAT_SECONDS:
            return Standstill(self._beaten, "the loop of all sessions hangs")
        return self._taker.standstill()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        self._loop.call_later(_BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """Take nothing more, let sessions end, then make `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Raises what ended the taker, after everything under way has been told."""
        self._taker.start()
        stopping = asyncio.create_task(self._stopping.wait())
        first: set[asyncio.Future[Any]] = {stopping, self._taker.ended}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        _log.info("stopping", sessions=len(self._conversations))
        await self._taker.stop()
        await asyncio.sleep(0)  # what the taker handed over last
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=self._settings.stop_seconds)
        for conversation in self._conversations:
            conversation.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)
        await self._outbox.close(_TELL_SECONDS)
        self._pool.shutdown()
        if self._taker.failure is not None:
            raise self._taker.failure

    def _read(self, message: Message) -> Job | Future[None]:
        """In the taker's thread: the job of a record, or the setting aside of one that is none."""
        value: Any = message.value()
        try:
            job = codec.decode(value or b"")
            if isinstance(job, Job):
                return job
            reason = f"{type(job).__name__} is no Job"
        except codec.Unreadable as unreadable:
            reason = unreadable.reason
        return asyncio.run_coroutine_threadsafe(self._teller.set_aside(message, reason), self._loop)

    def _take(self, batch: list[Taken]) -> None:
        passing("job taken", len(batch))
        for partition, job in batch:
            task = asyncio.create_task(self._carry_out(job, partition))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def _carry_out(self, job: Job, partition: int) -> None:
        metrics = self._metrics
        began = time.perf_counter()
        # Apart from the telling: a stop cuts the conversation short, never the telling.
        conversation = asyncio.create_task(carry_out(job, partition, self._desk))
        self._conversations.add(conversation)
        metrics.sessions.inc()
        try:
            await asyncio.wait({conversation})
            cut = conversation.cancelled()  # before its first line
            carried = Carried(not_started(job, self._desk.worker)) if cut else conversation.result()
            self._conversations.discard(conversation)
            await self._teller.tell(carried, partition)
            metrics.observe(carried, time.perf_counter() - began)
        except Exception:
            # The streams see no result by the deadline and judge for themselves; one job must not end the others.
            _log.exception("job_not_told", number=job.number)
            metrics.untold.inc()
        finally:
            self._conversations.discard(conversation)
            metrics.sessions.dec()
            self._done += 1


async def serve(role: RoleSettings, settings: WorkerSettings, keys: Keys) -> None:
    """Run a worker with its probes until TERM or INT."""
    metrics = WorkerMetrics()
    worker = Worker(settings, keys, metrics)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    with ExitStack() as stack:
        for guard in guards(
            role,
            metrics.registry,
            standstill=worker.standstill,
            waits=Broker(role.kafka, dict(role.kafka_config)).away,
            ready=lambda: (not worker.unready, worker.unready),
            live=lambda: (worker.failure is None, str(worker.failure)),
        ):
            stack.enter_context(guard)
        _log.info("started", name=settings.name, sessions=settings.sessions, group=settings.group)
        await worker.run()
    _log.info("stopped")


def main() -> int:
    """The exit code: 0 after a stop, 1 when taking jobs failed, 2 when it was not set up as it should be."""
    try:
        arm()
        role = read_role_settings()
        settings = read_settings(role)
        keys = load()
    except (SettingsWrong, KeysUnusable) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    keep_little()
    start_logs(ROLE, level=role.log_level, form=role.log_format)
    settings = replace(settings, sessions=raise_descriptor_limit(settings.sessions))
    profiles()  # a profile that is wrong stops the start
    catalogue()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(role, settings, keys))
    except KafkaException as failure:
        _log.error("ended", error=str(failure.args[0]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

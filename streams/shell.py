"""The thin shell around a keeper: Faust brings the inputs and owns the partitions, one Kafka transaction a batch and
partition takes everything out, the inbox position included. Nothing in here knows what a device is.

What holds, and why:
- One agent over all inbox topics, concurrency 1: two agents on one table interleave at every await (measured: events
  out of order, replay unlike the table).
- Of a batch, inputs at or below the position are skipped (done), a jump beyond the next offset is looked at by the
  guard before anything is decided, the rest is decided and committed; only then the inputs are acknowledged.
- A fault ends the process, with a status that is not 0, and whoever supervises it starts it again. Everything that
  goes wrong, being fenced above all, is answered this way: the next owner begins from what the broker has committed.
- The shell stays this small so that it could be moved to a plain consumer loop in a day.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import faust
import uvloop
from confluent_kafka import KafkaException
from faust.types import EventT, StreamT

from roles.steps import passing
from streams import patches, store
from streams.keeper import Keeper, KeeperFactory, Outgoing, Received, ShellSettings
from streams.process import check_topics, exit_later, quieten
from streams.readers import Guard, Passed
from streams.status import ShellStatus
from streams.ticks import Ticks
from streams.transactions import is_fenced

_log = logging.getLogger(__name__)

_EXIT_GRACE = 5.0  # seconds Faust gets to stop by itself after a fault; meanwhile it keeps its partitions from others
_GUARDS = 4  # jumps of different partitions are looked at side by side
_STOP_GRACE = 40.0  # more than a transaction may take


@dataclass(slots=True)
class _Work:
    """What a batch holds for one partition."""

    partition: store.Partition
    keeper: Keeper
    positions: dict[str, int]
    received: list[Received] = field(default_factory=list)
    passed: list[tuple[str, Passed]] = field(default_factory=list)  # what never arrived, by topic


_Jumps = dict[tuple[str, int], list[tuple[int, int]]]
"""{(topic, partition): (expected offset, arrived offset) pairs}"""


class Shell:
    """One worker: `app` is the Faust app to run."""

    def __init__(self, settings: ShellSettings, make_keeper: KeeperFactory, status: ShellStatus | None = None) -> None:
        patches.read_committed()
        self.settings = settings
        self.status = ShellStatus() if status is None else status
        self._metrics = self.status.metrics
        self._partitions = store.Partitions(settings, make_keeper, self.status)
        self._guards = [Guard(settings) for _ in range(_GUARDS)]
        self._ticks = Ticks(settings)
        self._seeks_to_positions = False
        self._told: dict[int, int] = {}  # {partition: when it was last told the time, ms since the epoch}
        self.app = self._make_app()

    def _make_app(self) -> faust.App:
        settings = self.settings
        folder = (
            Path(tempfile.gettempdir()) / f"faust-{settings.application}"
        )  # Faust insists on one and leaves it empty
        app = faust.App(
            settings.application,
            broker=";".join(f"kafka://{host.strip()}" for host in settings.bootstrap.split(",")),
            datadir=str(folder),
            autodiscover=False,
            web_enabled=False,
            processing_guarantee="at_least_once",
            broker_commit_interval=0.5,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.session_timeout / 5,
            broker_max_poll_records=settings.batch_size,
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=131_072,  # never reached: `patches.batches` has a bound of its own, in records
            stream_wait_empty=True,
            table_standby_replicas=0,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_partitions=settings.partitions,
            agent_supervisor="mode.CrashingSupervisor",
            producer_acks=-1,
        )
        patches.carry_runs(app)
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
            "partitions": settings.partitions,
            "allow_empty": True,  # a null value is the keeper's to judge, not Faust's to drop
        }
        table = app.Table(
            "shell",
            store=store.register(),
            key_type=bytes,
            value_type=bytes,
            partitions=settings.partitions,
            changelog_topic=app.topic(settings.table, acks=False, internal=True, maxsize=131_072, **raw),
            options={"partitions": self._partitions},
        )
        table.on_recover(self._on_recover)
        app.agent(app.topic(*settings.inbox, **raw), name="shell")(self._run)
        app.task(self._keep_time)
        app.on_partitions_revoked.connect(self._on_revoked)
        return app

    # --- owning

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self.status.lose()

    async def _on_recover(self) -> None:
        """Last step before input resumes; may run twice for one assignment, so it sets and does not add."""
        generation = self.app.consumer_generation_id
        try:
            await self._partitions.loaded()
        except Exception as error:  # Faust waits for this callback without looking at its outcome
            await self._fail(error)
            return
        if generation != self.app.consumer_generation_id:
            return  # another rebalance came meanwhile; its own callback follows, and must not be stopped by this one
        if not self._seeks_to_positions:
            patches.seek_to_positions(cast(Any, self.app.consumer), self._positions)
            self._seeks_to_positions = True
        self.status.recover({partition.number: dict(partition.positions) for partition in self._partitions.owned()})
        _log.info("owns partitions %s", sorted(self.status.positions))
        # Faust resumes the inbox, then seeks, then clears its queues: what arrives in between is lost (its issue 596).
        # With the flow stopped nothing arrives; Faust resumes the flow itself after the seek.
        self.app.consumer.stop_flow()

    def _positions(self) -> dict[tuple[str, int], int]:
        return {
            (topic, partition.number): partition.positions.get(topic, -1)
            for partition in self._partitions.owned()
            if partition.loaded
            for topic in self.settings.inbox
        }

    # --- batches

    async def _run(self, stream: StreamT[bytes]) -> None:
        settings = self.settings
        try:
            async for batch in patches.batches(stream, settings.batch_size, settings.batch_within):
                await self._handle(stream, batch)
        except Exception as error:
            self._note(error)
            raise

    async def _handle(self, stream: StreamT[bytes], batch: Sequence[EventT[Any]]) -> None:
        current, work, jumps = self._sort(batch)
        records = sum(len(one.received) for one in work)
        passing("command polled", records)
        loop = asyncio.get_running_loop()
        if jumps:
            began = time.monotonic()
            threads, several = self._partitions.threads, list(jumps.items())
            looks = (
                loop.run_in_executor(threads, _look, guard, several[place::_GUARDS])
                for place, guard in enumerate(self._guards)
            )
            by_number = {one.partition.number: one for one in work}
            for topic, number, passed in (each for some in await asyncio.gather(*looks) for each in some):
                by_number[number].passed.append((topic, passed))
            self._metrics.looks.inc(len(jumps))
            self._metrics.look_seconds.inc(time.monotonic() - began)
        commits = []
        for one in work:  # the commit of one partition runs beside the decisions of the next
            began = time.monotonic()
            for topic, passed in one.passed:
                self.status.pass_over(topic, one.partition.number, passed)
                for _, last in passed.deleted:
                    one.keeper.pass_over(topic, last, one.received[0].timestamp)
            for received in one.received:
                one.keeper.receive(received)
            outgoing, changes = one.keeper.settle()
            passing("decided", len(one.received))
            self._metrics.decide_seconds.inc(time.monotonic() - began)
            commits.append(loop.run_in_executor(self._partitions.threads, self._commit, one, outgoing, changes))
        outcomes = await asyncio.gather(*commits, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        for one in work:
            self.status.commit(one.partition.number, one.positions)
        self._metrics.batches.inc()
        for event in current:
            await stream.ack(event)
        passing("input acknowledged", records)

    def _sort(self, batch: Sequence[EventT[Any]]) -> tuple[list[EventT[Any]], list[_Work], _Jumps]:
        """Events of this assignment, what is to be done by partition, and the jumps in it."""
        generation = self.app.consumer_generation_id
        current: list[EventT[Any]] = []
        work: dict[int, _Work] = {}
        jumps: _Jumps = {}
        for event in batch:
            run = cast(patches.Run, event.message)
            number, topic, received = run.partition, run.topic, run.received
            if run.generation_id != generation:
                self._metrics.stale.inc(len(received))
                cast(Any, self.app.consumer).forget(run)
                continue
            one = work.get(number)
            if one is None:
                partition = self._partitions.get(number)
                if partition is None or partition.keeper is None:
                    raise RuntimeError(f"{topic}/{number}: input {run.offset} of a partition that is not loaded")
                one = work[number] = _Work(partition, partition.keeper, dict(partition.positions))
            current.append(event)
            expected = one.positions.get(topic, -1) + 1
            if received[0].offset < expected:
                fresh = [each for each in received if each.offset >= expected]
                self._metrics.skipped.inc(len(received) - len(fresh))
                if not fresh:
                    continue
                received = fresh
            if run.offset - expected + 1 != len(received):  # offsets only rise, so this is a jump, or several
                for each in received:
                    if each.offset > expected:
                        jumps.setdefault((topic, number), []).append((expected, each.offset))
                    expected = each.offset + 1
            one.positions[topic] = run.offset
            one.received += received
        found = [one for one in work.values() if one.received]
        for one in found:  # where a record of the topic has come, it makes a jump
            for topic, (first, last) in one.partition.deleted.items():
                if one.positions.get(topic, -1) == first - 1:
                    one.positions[topic] = last
                    one.passed.append((topic, Passed(deleted=((first, last),))))
        return current, found, jumps

    def _commit(self, one: _Work, outgoing: list[Outgoing], changes: dict[bytes, bytes | None]) -> None:
        """In a thread; the loop does not touch the partition meanwhile, since its batch is awaited."""
        began = time.monotonic()
        one.partition.transactions.commit(outgoing, changes, one.positions)
        passing("committed", len(one.received))
        one.partition.apply(changes, one.positions)
        metrics = self._metrics
        metrics.transaction_seconds.observe(time.monotonic() - began)
        metrics.transactions.inc()
        metrics.sent.inc(len(outgoing) + len(changes) + 1)
        by_topic: dict[str, int] = {}
        for received in one.received:
            by_topic[received.topic] = by_topic.get(received.topic, 0) + 1
        for topic, count in by_topic.items():
            metrics.received.labels(topic).inc(count)

    # --- time

    async def _keep_time(self) -> None:
        """Not Faust's timer, which complains of every delay."""
        while not self.app.should_stop:
            await asyncio.sleep(self.settings.tick_soonest)
            await self._tick()

    async def _tick(self) -> None:
        """Send the time to owned partitions that have not heard it for the interval, or wait for one that came since.
        A late or doubled tick of a former owner does no harm.
        """
        if not self.status.recovered or self.app.rebalancing or self.app.should_stop:
            return
        now = time.time_ns() // 1_000_000
        interval = int(1_000 * (self.settings.tick_interval - self.settings.tick_soonest / 2))
        positions = {}
        for partition in self._partitions.owned():
            told, keeper = self._told.get(partition.number, 0), partition.keeper
            if now - told >= interval or now < told or (keeper is not None and told < keeper.wake <= now):
                positions[partition.number] = dict(partition.positions)
        if not positions:
            return
        try:
            threads = self._partitions.threads
            deleted = await asyncio.get_running_loop().run_in_executor(threads, self._ticks.send, positions)
            self._told.update(dict.fromkeys(positions, now))
            self._metrics.ticks.inc(len(positions))
            self._partitions.note_deleted(deleted)
        except (KafkaException, TimeoutError, BufferError) as error:  # the next one comes soon, and says the same
            _log.warning("no ticks this time: %s", error)

    # --- ending

    def _note(self, error: BaseException) -> None:
        """Say why the process ends, and see to it that it does, whatever Faust makes of the exception."""
        reason = "fenced: the partition has another owner" if is_fenced(error) else f"{type(error).__name__}: {error}"
        self.status.failed = reason
        _log.critical("the worker ends: %s", reason, exc_info=None if is_fenced(error) else error)
        exit_later(_EXIT_GRACE)

    async def _fail(self, error: BaseException) -> None:
        self._note(error)
        await self.app.crash(error)

    def close(self) -> None:
        """Let go of what still runs in threads."""
        for partition in self._partitions.owned():
            partition.dropped = True
        self._partitions.threads.shutdown(wait=False, cancel_futures=True)


def _look(guard: Guard, several: list[tuple[tuple[str, int], list[tuple[int, int]]]]) -> list[tuple[str, int, Passed]]:
    return [(topic, number, guard.check(topic, number, jumps)) for (topic, number), jumps in several]


class _Worker(faust.Worker):
    """Faust's worker, which waits without end for inputs to be acknowledged; this one stops in any case."""

    async def stop(self) -> None:
        exit_later(_STOP_GRACE)
        await super().stop()


def run_shell(settings: ShellSettings, make_keeper: KeeperFactory, status: ShellStatus | None = None) -> NoReturn:
    """Run one worker until SIGTERM or SIGINT (exit status 0) or a fault (another one).

    Raises ValueError when a topic is missing or has another number of partitions.
    """
    check_topics(settings)
    quieten()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    shell = Shell(settings, make_keeper, status)
    worker = _Worker(shell.app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None  # it writes to the terminal
    try:
        worker.execute_from_commandline()
    finally:
        shell.close()

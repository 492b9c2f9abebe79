"""The modelled worker: one job carried out in steps, each of which may go wrong. It does what `connectors/dlms/job.py`
does, without a wire.

Assumed of real workers, and shown on real ones elsewhere (`tests/simulator/test_job.py`, `make faults`): a job is taken
once, no frame leaves after its deadline, and an attempt is acknowledged by the broker before its frame leaves.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from operations import Operation, catalogue
from schemas.records import CommandEnded, DeviceRegistered, Ended, Fault, Job, JobAttempting, JobCommand, JobEnded
from tests.model.meter import Meter
from tests.unit.streams.world import REGISTRATION

OPENING: Final = 2  # ciphered frames of an association
SILENT: Final = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
CUT: Final = Fault(226, "CONNECTION_LOST", "METERLOG", "no answer came")
CANNOT_TELL: Final = Fault(0, "TECHNICAL", "METERLOG", "it looks as before and as after")
SAID_NO: Final = Fault(412, "ACTION_RESULT", "METERLOG", "the meter said no")


class Fate(Enum):
    """What becomes of a step, or of the record it publishes. The first is what happens on a good day."""

    WELL = "well"
    LOST = "lost"  # a request: on the way there. A record: never at the broker
    UNANSWERED = "unanswered"  # done at the other end (meter or broker), but nobody hears of it
    REFUSED = "refused"  # by the meter
    LATE = "late"  # the record: it is on its way for a while
    TWICE = "twice"  # the record


@dataclass(frozen=True, slots=True)
class Announce:
    """To be published, and acknowledged, before the next step."""

    record: JobAttempting


@dataclass(frozen=True, slots=True)
class Tell:
    """To be published: the end of the job."""

    record: JobEnded


class Touch(Enum):
    """Steps that touch the meter, or only the worker's own keys."""

    LOCAL = "local"
    OPEN = "open"
    SEND = "send"


Step = Touch | Announce | Tell
Run = Generator[Step, Fate, None]


class Carrying:
    """One job in work. `clock` is the worker's: its `late()` decides whether a frame may still leave."""

    def __init__(self, job: Job, partition: int, worker: int, meter: Meter, clock: Any) -> None:
        self.job, self.partition, self.worker = job, partition, worker
        self._meter, self._clock = meter, clock
        self._counter, self._floor = job.counter_from, None  # type: int, int | None
        self._reached = self._open = self._over = self._never_open = False
        self._steps = self._run()
        self.step: Step | None = next(self._steps)

    def go_on(self, fate: Fate) -> None:
        """Do the step at hand with this fate; `step` is the next one, None when the job has been told."""
        try:
            self.step = self._steps.send(fate)
        except StopIteration:
            self.step = None

    def _run(self) -> Run:
        ended = []
        for command in self.job.commands:
            ended.append((yield from self._command(command)))
        now = self._clock.worker_time(self.worker)
        job = self.job
        yield Tell(
            JobEnded(
                device_id=job.device_id,
                number=job.number,
                worker=f"worker {self.worker}",
                started_at=now,
                ended_at=now,
                reached=self._reached,
                counter_next=self._counter,
                counter_floor=self._floor,
                commands=tuple(ended),
            )
        )

    def _command(self, command: JobCommand) -> Generator[Step, Fate, CommandEnded]:
        name, operation = command.correlation_id, catalogue()[command.operation]
        if not operation.connects:
            fate = yield Touch.LOCAL
            if fate is Fate.REFUSED:
                return CommandEnded(name, Ended.FAILED, SAID_NO)
            return CommandEnded(name, Ended.SUCCESSFUL, facts=self._facts(command.operation))
        if self._never_open:
            return CommandEnded(name, Ended.RETRIABLE, SILENT)
        if self._over or self._late():
            return CommandEnded(name, Ended.NOT_STARTED)
        if not self._open:
            failure = yield from self._associate()
            if failure is not None:
                self._never_open = True
                return CommandEnded(name, Ended.RETRIABLE, failure)
        if command.verify:
            return (yield from self._look(name))
        return (yield from self._converse(name, operation))

    def _associate(self) -> Generator[Step, Fate, Fault | None]:
        fate = yield Touch.OPEN
        if self._late() or not self._meter.answers or fate is Fate.LOST:
            return SILENT
        if self._counter < self._meter.expects:
            if self._counter > self.job.counter_to:
                return CUT
            self._frame()
            self._reached, self._floor = True, self._meter.expects
            if self._floor > self.job.counter_to:
                return CUT
            self._counter = self._floor
        if not all(self._frame() for _ in range(OPENING)):
            return CUT
        self._open = True
        if fate is Fate.UNANSWERED:
            return CUT
        self._reached = True
        return None

    def _converse(self, name: str, operation: Operation) -> Generator[Step, Fate, CommandEnded]:
        if not operation.repeatable:
            now = self._clock.worker_time(self.worker)
            fate = yield Announce(JobAttempting(self.job.device_id, self.job.number, name, now))
            if fate in (Fate.LOST, Fate.UNANSWERED, Fate.LATE):
                return CommandEnded(name, Ended.RETRIABLE, CUT)
        fate = yield Touch.SEND
        self._over = True  # until it went well
        if self._late():
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        if self._counter > self.job.counter_to:
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        lost = Ended.RETRIABLE if operation.repeatable else Ended.UNKNOWN
        if not self._frame() or fate is Fate.LOST or not self._meter.answers:
            return CommandEnded(name, lost, CUT)
        if fate is Fate.REFUSED:
            self._over = False
            return CommandEnded(name, Ended.FAILED, SAID_NO)
        self._meter.execute(name)
        if fate is Fate.UNANSWERED:
            return CommandEnded(name, lost, CUT)
        self._over = False
        return CommandEnded(name, Ended.SUCCESSFUL)

    def _look(self, name: str) -> Generator[Step, Fate, CommandEnded]:
        """What became of an earlier attempt. Never a second attempt."""
        fate = yield Touch.SEND
        self._over = True
        if self._late() or self._counter > self.job.counter_to or not self._frame() or not self._meter.answers:
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        if fate in (Fate.LOST, Fate.UNANSWERED):
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        self._over = False
        if fate is Fate.REFUSED:
            return CommandEnded(name, Ended.FAILED, SAID_NO)
        if not self._meter.can_tell:
            return CommandEnded(name, Ended.UNKNOWN, CANNOT_TELL)
        done = self._meter.executed[name]
        return CommandEnded(name, Ended.SUCCESSFUL if done else Ended.NOT_DONE)

    def _frame(self) -> bool:
        """Whether a counter was left for a frame, and the meter took it."""
        if self._counter > self.job.counter_to:
            return False
        counter, self._counter = self._counter, self._counter + 1
        return self._meter.frame(self.job.number, counter)

    def _late(self) -> bool:
        return bool(self._clock.worker_time(self.worker) > self.job.deadline)

    def _facts(self, operation: str) -> tuple[DeviceRegistered, ...]:
        return (DeviceRegistered(REGISTRATION, self._meter.expects),) if operation == "AddDevice" else ()

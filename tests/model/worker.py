"""The modelled worker: one job carried out in steps, each of which may go wrong. It does what `connectors/dlms/job.py`
does, without a wire.

Assumed of real workers, and shown on real ones elsewhere (`tests/simulator/test_job.py`, `make faults`): a job is taken
once, no frame leaves after its deadline, and an attempt is acknowledged by the broker before its frame leaves.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from connectors.dlms.admission import Admission, Lapsed
from operations import Operation, build_request, bundle, catalogue, clear_alarm_register, synchronize_time
from operations._errors import Unreachable
from schemas import codec
from schemas.records import CommandEnded, DeviceRegistered, Ended, Fault, Job, JobAttempting, JobCommand, JobEnded
from tests.model.meter import Meter, action_name

OPENING: Final = 2  # ciphered frames of an association
SILENT: Final = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
CUT: Final = Fault(226, "CONNECTION_LOST", "METERLOG", "no answer came")
CANNOT_TELL: Final = Fault(0, "TECHNICAL", "METERLOG", "it looks as before and as after")
RESULTS: Final[dict[str, Any]] = {  # of the actions of a bundle
    "SynchronizeTime": synchronize_time.Result(),
    "ClearAlarmRegister": clear_alarm_register.Result((1,)),
}
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
Connecting = Generator[Step, Fate, Fate]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command, or an action of one, and what the meter will have done by it."""

    name: str
    does: str
    operation: Operation
    meter: Meter
    action: int | None = None


class Carrying:
    """One job in work. `clock` is the worker's: its `late()` decides whether a frame may still leave."""

    def __init__(self, job: Job, partition: int, worker: int, meter: Meter, clock: Any) -> None:
        self.job, self.partition, self.worker = job, partition, worker
        self._meter, self._clock = meter, clock
        self._counter, self._floor = job.counter_from, None  # type: int, int | None
        self._reached = self._open = self._over = False
        self._admission = Admission(job.permit)
        self._never_open: tuple[Ended, Fault] | None = None
        self._lapsed = False
        self.wakes = 0  # by the worker's clock: until then it waits for the time of its next connection
        self.connected = False
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
        self.connected = False  # it hangs up before it tells
        now = self._now
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
                lapsed=self._lapsed,
            )
        )

    @property
    def _now(self) -> int:
        return int(self._clock.worker_time(self.worker))

    def _command(self, command: JobCommand) -> Generator[Step, Fate, CommandEnded]:
        name, operation = command.correlation_id, catalogue()[command.operation]
        if not operation.connects:
            fate = yield Touch.LOCAL
            if fate is Fate.REFUSED:
                return CommandEnded(name, Ended.FAILED, SAID_NO)
            return CommandEnded(name, Ended.SUCCESSFUL, facts=self._facts(command.operation))
        if command.operation == bundle.NAME:
            return (yield from self._bundle(command))
        asked = _Asked(name, name, operation, self._meter)
        if command.delegated is not None:
            meter = self._clock.meters[command.delegated.device_id]
            asked = _Asked(name, command.delegated.correlation_id, operation, meter)
        return (yield from self._alone(asked, command.verify))

    def _alone(self, asked: "_Asked", look: bool) -> Generator[Step, Fate, CommandEnded]:
        if self._never_open is not None:
            return CommandEnded(asked.name, *self._never_open)
        if self._over or self.late:
            return CommandEnded(asked.name, Ended.NOT_STARTED)
        if not self._open:
            self._never_open = yield from self._associate()
            if self._never_open is not None:
                return CommandEnded(asked.name, *self._never_open)
        return (yield from self._look(asked) if look else self._converse(asked))

    def _bundle(self, command: JobCommand) -> Generator[Step, Fate, CommandEnded]:
        """As `connectors/dlms/actions.py` does: what is answered stays, what is in doubt is looked for first."""
        name = command.correlation_id
        request = build_request(bundle.NAME, codec.decode_command(command.command).request)
        entries = bundle.kept_entries(request, command.kept)
        obtained = not all(map(bundle.not_done, entries))
        tried, fault = False, None
        for place, action in enumerate(request.actions):
            asked = _Asked(name, action_name(name, place), bundle.operation_of(action), self._meter, place)
            for look in (True, False):
                entry = entries[place]
                if not (bundle.in_doubt(action, entry) if look else bundle.not_done(entry)):
                    continue
                ended = yield from self._alone(asked, look)
                tried |= ended.ended is not Ended.NOT_STARTED
                if ended.ended in (Ended.RETRIABLE, Ended.UNKNOWN):
                    fault = fault or ended.fault
                if ended.ended is Ended.SUCCESSFUL:
                    entries[place] = RESULTS[asked.operation.name]
                elif not look:
                    entries[place] = bundle.fault_entry(ended.ended, ended.fault or CUT)
                elif ended.ended is Ended.NOT_DONE:
                    entries[place] = bundle.fault_entry(Ended.NOT_STARTED, CUT)
                elif ended.ended in (Ended.UNKNOWN, Ended.FAILED):
                    entries[place] = replace(entry, looked=True)
        pairs = list(zip(request.actions, entries, strict=True))
        left = any(bundle.not_done(entry) or bundle.in_doubt(action, entry) for action, entry in pairs)
        if self._never_open is not None and not obtained:
            return CommandEnded(name, *self._never_open)
        if left and not tried:
            return CommandEnded(name, Ended.NOT_STARTED)
        result = None
        if not all(map(bundle.not_done, entries)):
            result = codec.encode_result(bundle.NAME, bundle.Result(tuple(entries)))
        return CommandEnded(name, Ended.RETRIABLE if left else Ended.SUCCESSFUL, fault if left else None, result=result)

    def _associate(self) -> Generator[Step, Fate, tuple[Ended, Fault] | None]:
        """How a command ends that needed it; None when the association stands."""
        try:
            return (yield from self._opened())
        except Lapsed as lapsed:
            self._lapsed = True
            return Ended.NOT_STARTED, lapsed.fault()
        except Unreachable as error:
            return Ended.RETRIABLE, error.fault()

    def _opened(self) -> Generator[Step, Fate, tuple[Ended, Fault] | None]:
        """Raises what `Admission` raises."""
        cut = Ended.RETRIABLE, CUT
        fate = yield from self._connect()
        if self.late or not self._meter.answers or fate is Fate.LOST:
            return Ended.RETRIABLE, SILENT
        if self._counter < self._meter.expects:
            if self._counter > self.job.counter_to:
                return cut
            self._frame()
            self._reached, self._floor = True, self._meter.expects
            if self._floor > self.job.counter_to:
                return cut
            if self._admission.bounded:  # once more to read the counter, and once to use it
                self.connected = False
                yield from self._connect()
                self.connected = False
                fate = yield from self._connect()
                if self.late or not self._meter.answers or fate is Fate.LOST:
                    return cut
            self._counter = self._floor
        if not all(self._frame() for _ in range(OPENING)):
            return cut
        self._open = True
        if fate is Fate.UNANSWERED:
            return cut
        self._reached = True
        return None

    def _connect(self) -> Connecting:
        """Opens a connection, when the permit says. Raises what `Admission` raises."""
        fate = yield Touch.OPEN
        while wait := self._admission.wait(self._now):
            self.wakes = self._now + wait
            fate = yield Touch.OPEN
        if not self.late:
            self._clock.connect(self)
            self.connected = True
        return fate

    def _converse(self, asked: "_Asked") -> Generator[Step, Fate, CommandEnded]:
        name, operation = asked.name, asked.operation
        if not operation.repeatable:
            fate = yield Announce(JobAttempting(self.job.device_id, self.job.number, name, self._now, asked.action))
            if fate in (Fate.LOST, Fate.UNANSWERED, Fate.LATE):
                return CommandEnded(name, Ended.RETRIABLE, CUT)
        fate = yield Touch.SEND
        self._over = True  # until it went well
        if self.late:
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        if self._counter > self.job.counter_to:
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        lost = Ended.RETRIABLE if operation.repeatable else Ended.UNKNOWN
        if not self._frame() or fate is Fate.LOST or not self._meter.answers:
            return CommandEnded(name, lost, CUT)
        if fate is Fate.REFUSED:
            self._over = False
            return CommandEnded(name, Ended.FAILED, SAID_NO)
        asked.meter.execute(asked.does)
        if fate is Fate.UNANSWERED:
            return CommandEnded(name, lost, CUT)
        self._over = False
        return CommandEnded(name, Ended.SUCCESSFUL)

    def _look(self, asked: "_Asked") -> Generator[Step, Fate, CommandEnded]:
        """What became of an earlier attempt. Never a second attempt."""
        name = asked.name
        fate = yield Touch.SEND
        self._over = True
        if self.late or self._counter > self.job.counter_to or not self._frame() or not self._meter.answers:
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        if fate in (Fate.LOST, Fate.UNANSWERED):
            return CommandEnded(name, Ended.RETRIABLE, CUT)
        self._over = False
        if fate is Fate.REFUSED:
            return CommandEnded(name, Ended.FAILED, SAID_NO)
        if not asked.meter.can_tell:
            return CommandEnded(name, Ended.UNKNOWN, CANNOT_TELL)
        done = asked.meter.executed[asked.does]
        return CommandEnded(name, Ended.SUCCESSFUL if done else Ended.NOT_DONE)

    def _frame(self) -> bool:
        """Whether a counter was left for a frame, and the meter took it."""
        if self._counter > self.job.counter_to:
            return False
        counter, self._counter = self._counter, self._counter + 1
        return self._meter.frame(self.job.number, counter)

    @property
    def late(self) -> bool:
        """Whether the job's deadline has passed: no frame leaves any more, and the worker hangs up."""
        return self._now > self.job.deadline

    def _facts(self, operation: str) -> tuple[DeviceRegistered, ...]:
        if operation != "AddDevice":
            return ()
        return (DeviceRegistered(self._clock.registration(self.job.device_id), self._meter.expects),)

"""One job carried out: its commands in one association, and what became of each.

Everything that can happen to a command ends here as one `Ended` with its `Fault`; nothing is raised. Knows no Kafka:
the worker gives it the job and takes `Carried` away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from connectors.dlms.actions import Actions
from connectors.dlms.admission import Lapsed
from connectors.dlms.association import Association
from connectors.dlms.debugging.frame_log import FrameLog, Tell
from connectors.dlms.failures import OutOfStep
from connectors.dlms.keys import Keys
from connectors.dlms.link import Deadline
from connectors.dlms.opening import meter_of, no_meter
from connectors.dlms.session import (
    Local,
    Times,
    carry_out_local,
    drive,
)
from operations import Meter, Operation, build_request, bundle, catalogue
from operations._errors import MeterRefused, OperationError, Rejected, Unreachable
from operations._steps import Act, Answer, CannotTell, NotDone, OfStore, Set, Step
from roles.steps import passing
from schemas import codec
from schemas.records import (
    CommandEnded,
    Delegated,
    Ended,
    Fault,
    Job,
    JobAttempting,
    JobCommand,
    JobEnded,
    Registration,
)

_log = structlog.get_logger(__name__)


_Told = Answer[Any] | NotDone | CannotTell


@dataclass(frozen=True, slots=True)
class Desk:
    """What every job of a worker uses. `title`: the client's system title, 8 bytes, one for the whole head-end."""

    worker: str
    keys: Keys
    title: bytes
    times: Times
    pool: Executor
    attempting: Callable[[JobAttempting, int], Awaitable[None]]
    """Publish to the job's partition, and return when the broker has acknowledged it."""
    log_frame: Tell
    """Publish a frame of a device in debug mode, and return when the broker has acknowledged it."""


@dataclass(slots=True)
class Carried:
    """What a job came to. `results` holds each result's Avro body by the command's name in the job, not yet in `ended`;
    `operations` the name of what was asked.
    """

    ended: JobEnded
    reads: list[object] = field(default_factory=list)
    results: dict[str, bytes] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    delegated: dict[str, Delegated] = field(default_factory=dict)  # commands of M-Bus meters
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    operation: Operation
    request: Any
    command: codec.Command
    verify: bool
    name: str  # of the command within the job
    mbus: Delegated | None  # the M-Bus meter it is about
    action: int | None = None  # its place, when it is one of a bundle's

    def conversation(self, meter: Meter) -> Generator[Step, Any, _Told]:
        """The operation, or the look at what became of it."""
        begin = self.operation.verify if self.verify else self.operation.steps
        assert begin is not None  # `_checked` has seen to it
        return begin(self.request, meter)


async def carry_out(job: Job, partition: int, desk: Desk) -> Carried:
    """Do what the job asks. Cancelled (the worker stops), it ends what is under way and still returns."""
    return await _Run(job, partition, desk).carry_out()


def not_started(job: Job, worker: str) -> JobEnded:
    """The end of a job that was given up before its first line."""
    ended = tuple(_ended(command, Ended.NOT_STARTED) for command in job.commands)
    return JobEnded(job.device_id, job.number, worker, _now(), _now(), False, job.counter_from, None, ended)


class _Run:
    def __init__(self, job: Job, partition: int, desk: Desk) -> None:
        self._job, self._partition, self._desk = job, partition, desk
        self._deadline = Deadline.at_wall(job.deadline)
        self._frame_log = FrameLog(job.device_id, job.number, desk.log_frame) if job.debug else None
        self._association = Association(job, desk.keys, desk.title, desk.times, self._deadline, self._frame_log)
        self._never_open: OperationError | None = None
        self._over = False  # nothing more is asked of the meter
        self._reads: list[object] = []
        self._results: dict[str, bytes] = {}

    async def carry_out(self) -> Carried:
        job, started_at = self._job, _now()
        ended = [await self._command(command) for command in job.commands]
        try:
            await self._association.close()
        except asyncio.CancelledError:
            _uncancel()
        if self._frame_log is not None:
            await _to_its_end(self._frame_log.close())
        record = JobEnded(
            device_id=job.device_id,
            number=job.number,
            worker=self._desk.worker,
            started_at=started_at,
            ended_at=_now(),
            reached=self._association.received > 0,
            counter_next=self._association.counter_next,
            counter_floor=self._association.floor,
            commands=tuple(ended),
            lapsed=isinstance(self._never_open, Lapsed),
        )
        sent, received = self._association.sent, self._association.received
        operations = {command.correlation_id: command.operation for command in job.commands}
        owners = {each.correlation_id: each.delegated for each in job.commands if each.delegated is not None}
        return Carried(record, self._reads, self._results, operations, owners, sent, received)

    async def _command(self, command: JobCommand) -> CommandEnded:
        told = await self._end(command)
        return replace(told, device_id=command.delegated.device_id) if command.delegated else told

    async def _end(self, command: JobCommand) -> CommandEnded:
        correlation_id = command.correlation_id
        if self._frame_log is not None:
            self._frame_log.command = command.delegated.correlation_id if command.delegated else correlation_id
        try:
            plan = self._plan(command)
        except OperationError as error:
            return CommandEnded(correlation_id, Ended.FAILED, error.fault())
        if (late := _expired(plan)) is not None:  # before connecting, unlike the reference (3, 14)
            return CommandEnded(correlation_id, Ended.NOT_STARTED, late.fault())
        if isinstance(plan.request, bundle.Request):
            return await self._bundle(plan, plan.request, command)
        return (await self._alone(plan))[0]

    async def _bundle(self, plan: _Plan, request: bundle.Request, command: JobCommand) -> CommandEnded:
        """What a bundle comes to; as long as another job can do something for it, Retriable with what there is."""
        correlation_id = plan.name

        async def carry(act: Act, look: bool) -> tuple[CommandEnded, Any]:
            try:
                operation = catalogue()[act.operation]
                action = self._checked(operation, act.request, plan.command, command, verify=look)
            except OperationError as error:
                return CommandEnded(correlation_id, Ended.FAILED, error.fault()), None
            told = await self._alone(replace(action, action=act.place))
            self._results.pop(correlation_id, None)  # the action's; the bundle's holds it
            return told

        try:
            actions = Actions(request, bundle.kept_entries(request, command.kept), carry)
        except codec.Unreadable as unreadable:
            reason = f"what earlier jobs obtained cannot be read: {unreadable.reason}"
            return CommandEnded(correlation_id, Ended.FAILED, OperationError(reason).fault())
        obtained = actions.answered
        await drive(bundle.steps(request, no_meter(self._job.device_id)), actions.act)
        if self._never_open is not None and not obtained:
            return self._failed(plan, self._never_open, written=False)
        if actions.open and not actions.tried:
            return CommandEnded(correlation_id, Ended.NOT_STARTED)
        if actions.answered:
            self._results[correlation_id] = codec.encode_result(bundle.NAME, actions.result)
        ended = Ended.RETRIABLE if actions.open else Ended.SUCCESSFUL
        fault = actions.fault if actions.open else None
        return CommandEnded(correlation_id, ended, fault, facts=tuple(actions.facts))

    async def _alone(self, plan: _Plan) -> tuple[CommandEnded, Any]:
        """How a command, or an action of one, ended; and its result, when it has one."""
        correlation_id = plan.name
        if plan.operation.connects and self._never_open is not None:
            return self._failed(plan, self._never_open, written=False), None
        if plan.operation.connects and (self._over or self._deadline.left <= 0):
            return CommandEnded(correlation_id, Ended.NOT_STARTED), None
        writes = self._association.writes
        failure: OperationError
        try:
            answer = await self._converse(plan)
            return self._concluded(plan, answer), answer.result if isinstance(answer, Answer) else None
        except asyncio.CancelledError:
            _uncancel()
            self._over = True
            failure = Unreachable("the worker is stopping")
        except _Expired as late:
            return CommandEnded(correlation_id, Ended.NOT_STARTED, late.fault()), None
        except OperationError as error:
            failure = error
        except Exception as bug:
            # Of an operation or of ours. Its text may quote what it was given, so the log gets the type and place only.
            _log.error("command_failed", operation=plan.operation.name, error=type(bug).__name__, where=_place(bug))
            failure = OperationError(f"{plan.operation.name} failed inside the worker: {type(bug).__name__}")
        return self._failed(plan, failure, written=self._association.writes > writes), None

    def _plan(self, command: JobCommand) -> _Plan:
        """The operation and its request, checked before anything connects. Raises OperationError."""
        operation = catalogue().get(command.operation)
        if operation is None:
            reason = f"this worker does not know {command.operation!r}"
            raise Rejected(reason, field="operation", code=407, name="UNSUPPORTED_DEVICE_ACTION")
        if operation.steps is None:
            raise OperationError(f"{command.operation} needs no meter and is not a worker's to carry out")
        try:
            decoded = codec.decode_command(command.command)
        except codec.Unreadable as unreadable:
            raise Rejected(f"the command cannot be read: {unreadable.reason}", field="command") from None
        request = build_request(command.operation, decoded.request)
        return self._checked(operation, request, decoded, command, verify=command.verify)

    def _checked(
        self, operation: Operation, request: Any, decoded: codec.Command, command: JobCommand, *, verify: bool
    ) -> _Plan:
        """A plan for this device. Raises Rejected when its profile cannot carry it out."""
        if verify and operation.verify is None:
            raise OperationError(f"this worker knows no way to verify {operation.name}")
        registration = self._job.registration
        if registration is not None:
            operation.check(self._meter(registration, command.delegated).profile, request)
        elif operation.connects:
            raise Rejected("the device is not known", field="device_id", code=201, name="UNKNOWN_DEVICE")
        return _Plan(operation, request, decoded, verify, command.correlation_id, command.delegated)

    def _meter(self, registration: Registration, mbus: Delegated | None) -> Meter:
        """The meter of a conversation: an M-Bus meter is its gateway's channel under its own name."""
        meter = meter_of(self._job.device_id, registration)
        return meter if mbus is None else replace(meter, device_id=mbus.device_id, channel=mbus.channel)

    async def _converse(self, plan: _Plan) -> _Told:
        operation, registration = plan.operation, self._job.registration
        if not operation.connects:
            meter = (
                no_meter(self._job.device_id) if registration is None else meter_of(self._job.device_id, registration)
            )
            return await drive(plan.conversation(meter), self._local)
        assert registration is not None
        begun = plan.action is not None and self._association.sent > 0  # a bundle is late as a whole, or not at all
        try:
            session = await self._association.opened(registration)
        except OperationError as error:
            self._never_open = error
            raise
        if not begun and (late := _expired(plan)) is not None:
            raise late
        told = operation.repeatable
        conversation = plan.conversation(self._meter(registration, plan.mbus))

        async def step(step: Step) -> Any:
            nonlocal told
            if isinstance(step, Local):
                return await self._local(step)
            if isinstance(step, Set) and plan.verify:
                raise OperationError(f"{operation.name}: verifying may only look, and asks to write {step.attribute}")
            if isinstance(step, Set) and not told:
                told = True
                await self._attempting(plan)
            assert not isinstance(step, Act | OfStore)  # no bundle is an action, and what is asked of the store neither
            return await session.carry_out(step)

        try:
            return await drive(conversation, step)
        except OutOfStep as error:
            self._association.hear(error)
            raise
        finally:
            self._over = not session.usable

    async def _local(self, step: Step) -> Any:
        if not isinstance(step, Local):
            raise OperationError(f"{type(step).__name__} asks a meter, but the operation says it connects to none")
        return await carry_out_local(step, self._desk.keys, self._desk.pool)

    async def _attempting(self, plan: _Plan) -> None:
        record = JobAttempting(self._job.device_id, self._job.number, plan.name, _now(), plan.action)
        try:
            async with asyncio.timeout(max(0.0, self._deadline.left)):
                await self._desk.attempting(record, self._partition)
                passing("Attempting sent")
        except TimeoutError:
            raise Unreachable("the attempt could not be announced before the job's deadline") from None

    def _concluded(self, plan: _Plan, answer: _Told) -> CommandEnded:
        header, operation = plan.command.header, plan.operation
        if isinstance(answer, NotDone):
            return CommandEnded(plan.name, Ended.NOT_DONE, OperationError(answer.why).fault())
        if isinstance(answer, CannotTell):
            return CommandEnded(plan.name, Ended.UNKNOWN, OperationError(answer.why).fault())
        self._results[plan.name] = codec.encode_result(operation.name, answer.result)
        if operation.reads is not None:
            self._reads.extend(operation.reads(header, answer.result, _now()))
        return CommandEnded(plan.name, Ended.SUCCESSFUL, facts=answer.facts)

    def _failed(self, plan: _Plan, error: OperationError, *, written: bool) -> CommandEnded:
        if isinstance(error, Lapsed):
            return CommandEnded(plan.name, Ended.NOT_STARTED, error.fault())
        answered = isinstance(error, MeterRefused | Rejected)
        if written and not plan.operation.repeatable:
            # It may have been done, whatever went wrong: no blind resend, and no Error unless the meter said no.
            ended = Ended.FAILED if answered else Ended.UNKNOWN
        else:
            ended = Ended.RETRIABLE if error.retriable else Ended.FAILED
        fault: Fault = error.fault()
        return CommandEnded(plan.name, ended, fault)


class _Expired(Rejected):
    """It may not begin any more (reference 2.6)."""


def _expired(plan: _Plan) -> _Expired | None:
    """Why a command may not begin; None when it may. To look what became of it is never too late."""
    expires_at = plan.command.header.expires_at
    if plan.verify or expires_at is None or _now() < expires_at:
        return None
    reason = f"not begun before {expires_at} (ms since 1970 UTC)"
    return _Expired(reason, field="expires_at", code=417, name="MAX_SCHEDULE_TIME_EXCEEDED")


def _ended(command: JobCommand, ended: Ended) -> CommandEnded:
    return CommandEnded(
        command.correlation_id, ended, device_id=command.delegated.device_id if command.delegated else None
    )


def _now() -> int:
    return time.time_ns() // 1_000_000


def _uncancel() -> None:
    """The stop was heard: what follows (goodbye, results) is not to be cancelled by it once more."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _to_its_end(telling: Coroutine[Any, Any, None]) -> None:
    """Wait for it; a stop of the worker does not cut it short."""
    task = asyncio.ensure_future(telling)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            _uncancel()


def _place(bug: Exception) -> str:
    trace = bug.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""

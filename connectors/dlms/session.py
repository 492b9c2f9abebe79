"""One association with one meter, and the driver that carries an operation's steps out over it.

An operation is a generator of steps (`operations/_steps.py`). `drive` runs it: it sends each answer in, throws in what
the meter refused (the operation may know a way round), and returns what the operation returns. What ends the
association is not thrown in: the operation could do nothing about it.

Errors of the engine become errors of `operations/_errors.py` here, with the codes of `operations-managing.md` 2.16.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar, assert_never

from connectors.dlms import cosem
from connectors.dlms.admission import FREE, Admission
from connectors.dlms.debugging.frame_log import Watch
from connectors.dlms.failures import OutOfStep, not_associated, operation_error
from connectors.dlms.keys import Keys
from connectors.dlms.link import Deadline, Link, connect
from operations._data import Data
from operations._errors import MeterRefused, MeterUnusable, OperationError, Rejected, Unreachable
from operations._steps import (
    Attribute,
    Get,
    GetList,
    Now,
    Range,
    ReadRows,
    Refusal,
    Reseal,
    Set,
    Step,
)
from roles.steps import armed, passing

T = TypeVar("T")
Local = Now | Reseal  # steps that ask nothing of a meter

_LIST_OVERHEAD: Final = 32  # octets of a get-request-with-list besides its descriptors, ciphering included
_DESCRIPTOR: Final = 10


@dataclass(frozen=True, slots=True)
class Times:
    """How long to wait, in seconds."""

    connect: float = 10.0
    answer: float = 30.0  # for the whole of one, however it comes; GXF: 120
    release: float = 3.0
    counter: float = 1.0  # between associations when the counter is put right; GXF: 20 (reference 2.11)


async def drive(steps: Generator[Step, Any, T], carry_out: Callable[[Step], Awaitable[Any]]) -> T:
    """Run a conversation to its end. Raises what it raises, or `Unreachable` when the association ended."""
    answer: Any = None
    error: OperationError | None = None
    try:
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            answer, error = None, None
            try:
                answer = await carry_out(step)
            except (MeterRefused, MeterUnusable, Rejected) as refusal:
                error = refusal
    finally:
        steps.close()


async def carry_out_local(step: Local, keys: Keys, pool: Executor) -> Any:
    """The steps that need no meter. `pool`: RSA takes milliseconds, too long for the event loop."""
    match step:
        case Now():
            return datetime.now(UTC)
        case Reseal(kind, device_id, encrypted):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, keys.reseal, device_id, kind, encrypted)
        case _:
            assert_never(step)


class Session:
    """An open association. Made by `associate`; one task uses it.

    A meter decides how many blocks its answer has, so `frames` bounds what is sent for it, ciphered or not: a transfer
    without end is ended by us. `watch` is shown each frame.
    """

    def __init__(
        self,
        link: Link,
        client: cosem.ClientAssociation,
        times: Times,
        with_list_max: int,
        frames: int,
        watch: Watch | None = None,
    ) -> None:
        self.writes = 0  # first frames of writing steps handed to the network
        self._watch = watch
        self._frames = frames  # that may still be sent
        self._link = link
        self._client = client
        self._times = times
        self._with_list_max = max(1, with_list_max)
        self._conformance = cosem.Conformance(0)
        self._max_pdu = 0
        self._open = False  # may be asked: associated, and no answer is outstanding

    @property
    def usable(self) -> bool:
        return self._open

    async def open(self) -> None:
        try:
            associated = await self._ask(self._client.open())
        except cosem.CosemError as error:
            raise not_associated(error) from None
        except Unreachable as lost:
            # A meter with a stale counter closes or refuses; silence is no sign of it (meter-model 3.2).
            raise OutOfStep(lost) if lost.code in (226, 229) else lost from None
        assert isinstance(associated, cosem.Associated)
        self._conformance = cosem.Conformance(associated.conformance)
        self._max_pdu = associated.max_send_pdu
        self._open = True
        passing("associated")

    async def release(self) -> None:
        """Say goodbye when there is an association to leave; never raises for what the meter does."""
        if not self._open:
            return
        self._open = False
        try:
            async with asyncio.timeout(self._times.release):
                await self._ask(self._client.release())
        except (cosem.CosemError, Unreachable, TimeoutError):
            return
        self._link.close()

    async def carry_out(self, step: Get | GetList | ReadRows | Set) -> Any:
        """The answer of one step. Raises MeterRefused, MeterUnusable (the association goes on), or Unreachable."""
        match step:
            case Get(attribute):
                return await self._get(attribute)
            case GetList(attributes):
                return await self._get_list(attributes)
            case ReadRows(buffer, selection):
                got = await self._service(
                    lambda: self._client.get_rows(_descriptor(buffer), self._selection(buffer, selection)), str(buffer)
                )
                return got.rows
            case Set(attribute, value):
                await self._service(
                    lambda: self._client.set(_descriptor(attribute), value), str(attribute), writes=True
                )
                return None
            case _:
                assert_never(step)

    async def _get(self, attribute: Attribute) -> Data:
        got = await self._service(lambda: self._client.get(_descriptor(attribute)), str(attribute))
        data: Data = got.data
        return data

    async def _get_list(self, attributes: tuple[Attribute, ...]) -> list[Data | Refusal]:
        size = self._with_list_max
        if self._max_pdu:  # 0: the meter names no limit
            size = min(size, (self._max_pdu - _LIST_OVERHEAD) // _DESCRIPTOR)
        if size < 2 or cosem.Conformance.MULTIPLE_REFERENCES not in self._conformance:
            return [await self._get_or_refusal(attribute) for attribute in attributes]
        answers: list[Data | Refusal] = []
        for start in range(0, len(attributes), size):
            part = attributes[start : start + size]
            if len(part) == 1:
                answers.append(await self._get_or_refusal(part[0]))
                continue
            ask = partial(self._client.get_list, [_descriptor(attribute) for attribute in part])
            got = await self._service(ask, f"list of {len(part)}")
            for item in got.items:
                refused = isinstance(item, cosem.AccessRefused)
                answers.append(Refusal(item.code, item.name) if refused else item)
        return answers

    async def _get_or_refusal(self, attribute: Attribute) -> Data | Refusal:
        try:
            return await self._get(attribute)
        except MeterRefused as refused:
            return Refusal(refused.result, refused.result_name)

    def _selection(self, buffer: Attribute, selection: Range | None) -> cosem.Selection | None:
        if selection is None:
            return None
        if cosem.Conformance.SELECTIVE_ACCESS not in self._conformance:
            raise MeterUnusable(f"{buffer}: the meter did not agree to selective access")
        columns = [
            cosem.capture_object(cosem.Attribute(class_id, obis, index), data_index)
            for class_id, obis, index, data_index in selection.columns
        ]
        return cosem.by_range(selection.start, selection.end, columns)

    async def _service(self, request: Callable[[], bytes], what: str, *, writes: bool = False) -> Any:
        if not self._open:
            raise Unreachable("the association has ended", code=229, name="SOCKET_CLOSED_BY_REMOTE")
        try:
            frame = request()
        except cosem.CosemError as error:  # nothing was sent: the association stands, but without counters it is over
            self._open = not isinstance(error, cosem.CounterExhausted)
            raise operation_error(error, what) from None
        self._open = False  # until this is answered; a session that is cut here is not released
        try:
            outcome = await self._ask(frame, writes)
        except (cosem.AccessRefused, cosem.ServiceError) as error:
            self._open = True
            raise operation_error(error, what) from None
        except cosem.ExceptionResponse as error:
            self._open = error.service not in (5, 6)  # deciphering and counter errors: it will take nothing more
            raise operation_error(error, what) from None
        except cosem.CosemError as error:
            raise operation_error(error, what) from None
        self._open = True
        return outcome

    async def _ask(self, frame: bytes, writes: bool = False) -> Any:
        passing("counter used")
        self._send(frame)
        self.writes += writes
        if armed():  # the loop hands frames to the network at the end of its turn
            asyncio.get_running_loop().call_soon(passing, "request sent")
        while True:
            step = await self._answer()
            if not isinstance(step, cosem.Send):
                passing("answer received")
                return step
            self._send(step.data)

    def _send(self, frame: bytes) -> None:
        if self._frames < 1:
            raise Unreachable("every frame the job may use was sent, and the meter goes on")
        self._frames -= 1
        self._link.send(frame)
        if self._watch is not None:
            self._watch.sent(frame)

    async def _answer(self) -> cosem.Step:
        """What a whole answer leads to. Its time is that of the whole: a meter that sends byte by byte gains none."""
        client, seconds = self._client, self._times.answer
        began = time.monotonic()
        step = client.receive(await self._receive(seconds))
        while step is None:
            left = began + seconds - time.monotonic()
            try:
                step = client.receive(await self._receive(left))
            except Unreachable as lost:
                what = f"no whole answer within {seconds:g} s" if lost.code == 233 else str(lost)
                reason = f"{what}, only {client.pending} bytes of one"
                raise Unreachable(reason, code=lost.code, name=lost.name) from None
        return step

    async def _receive(self, seconds: float) -> bytes:
        chunk = await self._link.receive(seconds)
        if self._watch is not None:
            self._watch.received(chunk)
        return chunk


@asynccontextmanager
async def associate(
    host: str,
    port: int,
    client: cosem.ClientAssociation,
    *,
    deadline: Deadline,
    times: Times,
    frames: int,
    admission: Admission = FREE,
    with_list_max: int = 1,
    seen: Callable[[Link], None] = lambda link: None,
    watch: Watch | None = None,
) -> AsyncIterator[Session]:
    """An association for the time of the block, released and closed at its end whatever happens inside.

    `frames` may be sent in it. `seen` gets the link as soon as it stands, to be asked later what went over it; `watch`
    gets the frames. Raises Unreachable; OutOfStep when a higher invocation counter may help; Lapsed when it was too
    late for its `admission`.
    """
    async with connect(host, port, deadline, times.connect, admission) as link:
        seen(link)
        session = Session(link, client, times, with_list_max, frames, watch)
        try:
            await session.open()
            try:
                yield session
            finally:
                await session.release()
        finally:
            if watch is not None:
                watch.over()


def _descriptor(attribute: Attribute) -> cosem.Attribute:
    return cosem.Attribute(attribute.class_id, attribute.obis, attribute.index)

"""The one association of a job: opened when a command first needs the meter, closed with the job.

A meter that refuses because its invocation counter stands higher than ours is asked for it and tried once more, as far
as the job's range of counters goes (reference operations-managing 2.11).
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

from connectors.dlms import cosem
from connectors.dlms.admission import Admission
from connectors.dlms.debugging.frame_log import FrameLog
from connectors.dlms.failures import OutOfStep, operation_error
from connectors.dlms.keys import Keys
from connectors.dlms.link import Deadline, Link
from connectors.dlms.opening import client_settings, counters
from connectors.dlms.session import Session, Times, associate
from operations._errors import OperationError, Unreachable
from operations._profile import PUBLIC_CLIENT
from operations._steps import Attribute, Get
from schemas.records import Job, Registration, Security

_LAST_COUNTER: Final = Attribute(1, bytes((0, 0, 43, 1, 0, 255)), 2)
_NO_FRAMES: Final = 1  # of the counters: the answer to the challenge of the meter takes one of its own
_COUNTED: Final = "SMR"  # protocol whose meters show the counter they accepted last (reference 2.11)


class Association:
    """At most one at a time. `floor`: the lowest counter the meter takes, if it said so."""

    def __init__(
        self,
        job: Job,
        keys: Keys,
        title: bytes,
        times: Times,
        deadline: Deadline,
        frame_log: FrameLog | None = None,
    ) -> None:
        self._job, self._keys, self._title, self._times, self._deadline = job, keys, title, times, deadline
        self._admission = Admission(job.permit)
        self._frame_log = frame_log
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._counter: cosem.InvocationCounter | None = None
        self._links: list[Link] = []
        self.floor: int | None = None

    @property
    def writes(self) -> int:
        """Requests to write that have left."""
        return self._session.writes if self._session is not None else 0

    @property
    def counter_next(self) -> int:
        """The first counter of the job that was not used."""
        return self._counter.next if self._counter is not None else self._job.counter_from

    @property
    def sent(self) -> int:
        """Bytes, of all connections."""
        return sum(link.sent for link in self._links)

    @property
    def received(self) -> int:
        """Bytes, of all connections."""
        return sum(link.received for link in self._links)

    async def opened(self, registration: Registration) -> Session:
        """The session, opened if it is not. Raises OperationError."""
        if self._session is None:
            self._session = await self._open(registration)
        return self._session

    def hear(self, stale: OutOfStep) -> None:
        """The meter said, in the middle of it, what counter it expects."""
        self.floor = stale.expected if stale.expected is not None else self.floor

    async def close(self) -> None:
        """Release and hang up."""
        await self._stack.aclose()

    async def _open(self, registration: Registration) -> Session:
        settings = client_settings(registration, self._job.device_id, self._keys, self._title)
        if registration.security is Security.NONE:
            self._counter = None
            return await self._associate(registration, settings, None)
        self._counter = counters(self._job.counter_from, self._job.counter_to)
        try:
            return await self._associate(registration, settings, self._counter)
        except OutOfStep as stale:
            floor = await self._expected(registration, stale)
            if floor is None or floor <= self._counter.next:
                raise  # in step: it had another reason
            self.floor = floor
            if floor > self._job.counter_to:
                raise  # retriable: the streams give a range above the floor
        self._counter = counters(self.floor, self._job.counter_to)
        await asyncio.sleep(self._times.counter)
        return await self._associate(registration, settings, self._counter)

    async def _expected(self, registration: Registration, stale: OutOfStep) -> int | None:
        """The lowest counter the meter takes, as far as it can be told; read without security, so a hint."""
        if registration.protocol != _COUNTED:
            return stale.expected
        await asyncio.sleep(self._times.counter)
        settings = cosem.ClientSettings(client_id=PUBLIC_CLIENT, server_sap=registration.logical_device)
        client = cosem.ClientAssociation(settings, None)
        try:
            async with self._connected(registration, client) as session:
                data = await session.carry_out(Get(_LAST_COUNTER))
        except (Unreachable, OperationError):
            return stale.expected
        return int(data.value) + 1 if isinstance(data.value, int) else stale.expected

    async def _associate(
        self,
        registration: Registration,
        settings: cosem.ClientSettings,
        counter: cosem.InvocationCounter | None,
    ) -> Session:
        try:
            client = cosem.ClientAssociation(settings, counter)
        except cosem.CosemError as error:
            raise operation_error(error, "association") from None
        return await self._stack.enter_async_context(self._connected(registration, client))

    def _connected(self, registration: Registration, client: cosem.ClientAssociation) -> Any:
        return associate(
            registration.host,
            registration.port,
            client,
            deadline=self._deadline,
            times=self._times,
            frames=self._job.counter_to - self._job.counter_from + 1 - _NO_FRAMES,
            admission=self._admission,
            with_list_max=registration.with_list_max,
            seen=self._links.append,
            watch=self._frame_log.watch(client) if self._frame_log is not None else None,
        )

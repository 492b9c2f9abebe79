"""One TCP connection to one meter: connect, send, receive, each within its time, and closed whatever happens.

The wrapper (meter-model 1.2) is cut by `cosem/`; this file moves bytes, and turns what the network does into
`Unreachable` with the codes of `operations-managing.md` 2.16. It also holds the rule that no frame leaves after a job's
deadline (design, section 5): `Link.send` is the only way to a meter, and it looks at a clock that counts suspension.
"""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from connectors.dlms.admission import FREE, Admission
from operations._errors import Unreachable

MAX_PENDING: Final = 2 * (65_535 + 8)
"""Bytes a meter may send before anybody asked for them: two of the largest frames."""

_DISCARD_UNSENT: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds
_NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nothing is sent, in seconds of CLOCK_BOOTTIME: it goes on while the machine is suspended."""

    at: float

    @classmethod
    def at_wall(cls, milliseconds: int) -> "Deadline":
        """From a moment since 1970, by both clocks as they stand now: a later step of the wall clock moves nothing."""
        return cls(time.clock_gettime(time.CLOCK_BOOTTIME) + milliseconds / 1000 - time.time())

    @property
    def left(self) -> float:
        """Seconds; zero or less when it has passed."""
        return self.at - time.clock_gettime(time.CLOCK_BOOTTIME)


class Link(asyncio.Protocol):
    """The connection. Made by `connect`; one task uses it."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.sent = 0  # bytes
        self.received = 0
        self._transport: asyncio.Transport | None = None
        self._pending = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Unreachable | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._pending += data
        if len(self._pending) > MAX_PENDING:
            self._lose(Unreachable("the meter sends without being asked", code=232, name="ILLEGAL_RESPONSE"))
            self.abort()
        self._wake()

    def eof_received(self) -> bool:
        return False  # closed by the meter: close our side too

    def connection_lost(self, cause: Exception | None) -> None:
        if isinstance(cause, OSError):
            self._lose(unreachable(cause))
        self._lose(Unreachable("the meter closed the connection", code=229, name="SOCKET_CLOSED_BY_REMOTE"))
        self._wake()

    def _lose(self, reason: Unreachable) -> None:
        if self._lost is None:
            self._lost = reason

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def send(self, data: bytes) -> None:
        """Hand one frame to the network. Raises Unreachable when the connection is lost, or the deadline has passed."""
        if self._lost is not None:
            raise self._lost
        if self.deadline.left <= 0:
            raise Unreachable("the job's deadline has passed", code=233, name="RESPONSE_TIMEOUT")
        assert self._transport is not None
        self._transport.write(data)
        self.sent += len(data)

    async def receive(self, seconds: float) -> bytes:
        """The next bytes, as TCP delivers them. Raises Unreachable: none in `seconds`, or the connection is lost."""
        if seconds <= 0:
            raise _no_answer(0)
        if not self._pending and self._lost is None:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(max(0.0, min(seconds, self.deadline.left)), self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            return data
        if self._lost is not None:
            raise self._lost
        raise _no_answer(seconds)

    def close(self) -> None:
        """Close in good order: after a release."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once. What the network has not taken yet is thrown away: it must not arrive after the deadline."""
        if self._transport is not None and not self._transport.is_closing():
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD_UNSENT)
            self._transport.abort()


def _no_answer(seconds: float) -> Unreachable:
    return Unreachable(f"no answer within {seconds:g} s", code=233, name="RESPONSE_TIMEOUT")


def unreachable(cause: OSError) -> Unreachable:
    """The fault of what the operating system said (reference 2.16)."""
    match cause:
        case socket.gaierror():
            return Unreachable(f"the host has no address: {cause.strerror}", code=212, name="INVALID_IP_ADDRESS")
        case ConnectionRefusedError():
            return Unreachable("connection refused", code=225, name="CONNECTION_REFUSED")
        case ConnectionResetError() | BrokenPipeError():
            return Unreachable("the meter reset the connection", code=226, name="CONNECTION_RESET")
        case OSError(errno=number) if number in _NO_ROUTE:
            return Unreachable(f"no way to the meter: {cause.strerror}", code=227, name="CONNECTION_TIMED_OUT")
        case _:
            return Unreachable(f"connection failed: {cause.strerror or cause}")


async def _address(host: str, port: int, seconds: float) -> str:
    """The first address of a host. Raises Unreachable 212."""
    try:
        async with asyncio.timeout(seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Unreachable(
            f"{host!r} was not looked up within {seconds:g} s", code=212, name="INVALID_IP_ADDRESS"
        ) from None
    except OSError as cause:
        raise unreachable(cause) from None
    return str(found[0][4][0])


@asynccontextmanager
async def connect(
    host: str, port: int, deadline: Deadline, seconds: float, admission: Admission = FREE
) -> AsyncIterator[Link]:
    """A connection for the time of the block; what is left of it at the end is aborted.

    Raises Unreachable: 212 no address, 225 refused, 226 reset, 227 not within `seconds`, 233 the deadline has passed;
    what `admission` raises.
    """
    if not host or not 0 < port < 65_536:
        raise Unreachable(f"{host!r} port {port} is no address", code=212, name="INVALID_IP_ADDRESS")
    if admission.bounded:
        host = await _address(host, port, seconds)  # looked up before: the connection is to follow at once
        await admission.enter()
    seconds = min(seconds, deadline.left)
    if seconds <= 0:
        raise Unreachable("the job's deadline has passed", code=233, name="RESPONSE_TIMEOUT")
    link = Link(deadline)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_connection(lambda: link, host, port)
    except TimeoutError as cause:
        link.abort()
        if isinstance(cause, OSError) and cause.errno:  # the kernel's own, not ours
            raise unreachable(cause) from None
        reason = f"no connection within {seconds:g} s"
        raise Unreachable(reason, code=227, name="CONNECTION_TIMED_OUT") from None
    except OSError as cause:
        raise unreachable(cause) from None
    try:
        yield link
    finally:
        link.abort()

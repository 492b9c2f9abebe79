"""The connection: each thing the network does has its fault, and nothing is sent after the deadline."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from connectors.dlms.link import MAX_PENDING, Deadline, Link, connect
from operations._errors import Unreachable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def seconds(left: float) -> Deadline:
    return Deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + left)


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1_000):
        writer.write(chunk)
    writer.close()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side ends
    writer.close()


async def fault_of(use: Callable[[Link], Awaitable[object]], serve: Serve, deadline: Deadline | None = None) -> int:
    async with listening(serve) as port:
        with pytest.raises(Unreachable) as caught:
            async with connect("127.0.0.1", port, deadline or seconds(5), 2) as link:
                await use(link)
    return caught.value.code


def test_bytes_go_and_come() -> None:
    async def walk() -> None:
        async with listening(echo) as port, connect("127.0.0.1", port, seconds(5), 2) as link:
            link.send(b"ping")
            assert await link.receive(2) == b"ping"
            assert (link.sent, link.received) == (4, 4)

    asyncio.run(walk())


def test_a_closed_port_is_225() -> None:
    async def walk() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(Unreachable) as caught:
                async with connect("127.0.0.1", free.getsockname()[1], seconds(5), 2):
                    pass
        assert (caught.value.code, caught.value.name) == (225, "CONNECTION_REFUSED")

    asyncio.run(walk())


def test_a_port_that_never_accepts_is_227() -> None:
    async def walk() -> None:
        with socket.socket() as full, socket.socket() as filler:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            filler.connect(full.getsockname())
            others = [socket.socket() for _ in range(4)]
            for other in others:  # the backlog is full: further SYNs are dropped
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            began = time.monotonic()
            with pytest.raises(Unreachable) as caught:
                async with connect("127.0.0.1", full.getsockname()[1], seconds(5), 0.3):
                    pass
            for other in others:
                other.close()
        assert caught.value.code == 227
        assert time.monotonic() - began < 1.5

    asyncio.run(walk())


@pytest.mark.parametrize(("host", "port"), [("", 4059), ("127.0.0.1", 0), ("no-such-host.invalid", 4059)])
def test_no_address_is_212(host: str, port: int) -> None:
    async def walk() -> None:
        with pytest.raises(Unreachable) as caught:
            async with connect(host, port, seconds(5), 5):
                pass
        assert caught.value.code == 212

    asyncio.run(walk())


def test_silence_is_233_within_its_time() -> None:
    async def ask(link: Link) -> None:
        link.send(b"ping")
        await link.receive(0.1)

    began = time.monotonic()
    assert asyncio.run(fault_of(ask, hold)) == 233
    assert time.monotonic() - began < 1.5


def test_closing_is_229_but_what_came_before_is_read() -> None:
    async def say_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last words")
        writer.close()

    async def ask(link: Link) -> None:
        await asyncio.sleep(0.1)
        assert await link.receive(1) == b"last words"
        await link.receive(1)

    assert asyncio.run(fault_of(ask, say_and_close)) == 229


def test_a_reset_is_226() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def ask(link: Link) -> None:
        link.send(b"ping")
        await link.receive(2)

    assert asyncio.run(fault_of(ask, reset)) == 226


def test_a_meter_that_only_talks_is_cut() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
        except ConnectionError:
            writer.close()

    async def ask(link: Link) -> None:
        await asyncio.sleep(0.3)
        assert link.received < 2 * MAX_PENDING + 1_000_000
        await link.receive(1)
        await link.receive(1)

    assert asyncio.run(fault_of(ask, flood)) == 232


def test_nothing_is_sent_after_the_deadline() -> None:
    received = bytearray()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            received.extend(chunk)
        writer.close()

    async def ask(link: Link) -> None:
        link.send(b"before")
        with pytest.raises(Unreachable):
            await link.receive(10)  # waits no longer than the deadline
        link.send(b"after")

    began = time.monotonic()
    assert asyncio.run(fault_of(ask, keep, seconds(0.2))) == 233
    assert time.monotonic() - began < 1.5
    assert bytes(received) in (b"", b"before")  # the abort may throw away even that


def test_no_connection_is_made_after_the_deadline() -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async def walk() -> None:
        async with listening(count) as port:
            with pytest.raises(Unreachable) as caught:
                async with connect("127.0.0.1", port, Deadline.at_wall(int(time.time() * 1000) - 1), 2):
                    pass
            assert caught.value.code == 233
            await asyncio.sleep(0.05)

    asyncio.run(walk())
    assert connections == 0


def test_the_connection_is_closed_when_the_user_fails() -> None:
    gone = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        gone.set()
        writer.close()

    async def walk() -> None:
        async with listening(watch) as port:
            with pytest.raises(ZeroDivisionError):
                async with connect("127.0.0.1", port, seconds(5), 2):
                    raise ZeroDivisionError
            await asyncio.wait_for(gone.wait(), 2)

    asyncio.run(walk())


def test_a_wall_deadline_is_kept_by_the_clock_that_counts_suspension() -> None:
    deadline = Deadline.at_wall(int((time.time() + 60) * 1000))
    assert deadline.left == pytest.approx(60, abs=0.1)
    assert deadline.at == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME) + 60, abs=0.1)

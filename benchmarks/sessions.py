"""What a session with a meter costs the head-end: ours against the stock gurux-dlms client, same meter, same run.

    python -m benchmarks.sessions [--seconds 4] [--rounds 3]

One session: TCP connection, HLS5 association with authenticated encryption, clock, one register, and for S96 and S960
a load profile of 96 or 960 rows of four columns (date-time, status, two registers); release, close. The meter is our
server engine in another process, with PDUs of 64 KiB, so that neither side pages more than it must; its CPU is not
counted. Counted is the client process's CPU, user and system. Ours is all the worker does on the way to a meter:
`associate`, steps, deadline, time-outs, event loop (uvloop), every check of tag, counter and challenge, 32 sessions at
once as in the worker; without Kafka. Stock gurux is its `GXDLMSSecureClient` on a blocking socket, one session at a
time, the cheapest way to drive it; it checks no tag, and gives rows as lists.

Then rows a second: the A-XDR of 960 rows to Python values, ours and gurux's, without any transport.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import psutil
import uvloop
from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType, Security
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.objects import GXDLMSCaptureObject, GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.secure import GXDLMSSecureClient

from benchmarks.figures import Figure, tell
from connectors.dlms import cosem
from connectors.dlms.cosem import axdr
from connectors.dlms.link import Deadline
from connectors.dlms.session import Times, associate
from operations._steps import Attribute, Get, ReadRows

KEYS: Final = (bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT_TITLE: Final = b"   \0\0\0\0\1"
CLOCK: Final = cosem.attribute(8, "0.0.1.0.0.255", 2)
REGISTER: Final = cosem.attribute(3, "1.0.1.8.0.255", 2)
TIME: Final = bytes.fromhex("07E80110030A1E0000FFC400")
AT_ONCE: Final = 32
SHAPES: Final = (0, 96, 960)  # rows read


def profile(rows: int) -> cosem.Attribute:
    """The load profile that has so many rows."""
    return cosem.attribute(7, f"1.0.99.{1 if rows == 96 else 2}.0.255", 2)


def buffer(rows: int) -> bytes:
    """A profile's buffer, as A-XDR."""
    row = (axdr.octet_string(TIME), axdr.unsigned(0))
    return axdr.encode(
        axdr.array(
            *(axdr.structure(*row, axdr.double_long_unsigned(n), axdr.double_long_unsigned(2 * n)) for n in range(rows))
        )
    )


class Objects:
    """What the meter holds, encoded once."""

    def __init__(self) -> None:
        self.values: dict[cosem.Attribute, bytes] = {
            CLOCK: axdr.encode(axdr.octet_string(TIME)),
            REGISTER: axdr.encode(axdr.double_long_unsigned(4_711)),
            profile(96): buffer(96),
            profile(960): buffer(960),
        }

    def get(self, client: int, attribute: cosem.Attribute, selection: cosem.Selection | None) -> bytes | int:
        return self.values.get(attribute, 4)

    def set(self, client: int, attribute: cosem.Attribute, selection: Any, value: cosem.Data) -> int:
        return 3

    def action(self, client: int, method: cosem.Method, parameters: cosem.Data | None) -> int:
        return 4


def serve(report: Connection) -> None:
    """The meter's process: any number of connections, until it is ended."""
    uvloop.install()
    settings = cosem.ServerSettings(
        {1: cosem.ClientRule(cosem.Mechanism.HLS5)},
        max_receive_pdu=65_535,
        stale_counter=cosem.OnRefusal.TOLERATE,  # both clients begin at 1 each time
    )
    security = cosem.MeterSecurity(b"KFM00001", cosem.Keys(*KEYS))
    objects = Objects()

    class Meter(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.association = cosem.ServerAssociation(settings, security, objects)

        def data_received(self, data: bytes) -> None:
            self.transport.write(self.association.receive(data))
            if self.association.closed:
                self.transport.close()

    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(Meter, "127.0.0.1", 0)
        report.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


async def own(port: int, rows: int) -> None:
    """One session of ours; raises when it did not read what the meter holds."""
    settings = cosem.ClientSettings(
        1, mechanism=cosem.Mechanism.HLS5, system_title=CLIENT_TITLE, keys=cosem.Keys(*KEYS)
    )
    client = cosem.ClientAssociation(settings, cosem.InvocationCounter(1, 1_000))
    deadline = Deadline.at_wall(int(time.time() * 1000) + 60_000)
    async with associate("127.0.0.1", port, client, deadline=deadline, times=Times(), frames=10_000) as session:
        await session.carry_out(Get(Attribute(*CLOCK)))
        register = await session.carry_out(Get(Attribute(*REGISTER)))
        assert register.value == 4_711
        if rows:
            read = await session.carry_out(ReadRows(Attribute(*profile(rows)), None))
            assert len(read) == rows and read[-1] == (TIME, 0, rows - 1, 2 * (rows - 1))


class Gurux:
    """One session of the stock client, as its examples do it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client: Any = GXDLMSSecureClient(True, 1, 1, Authentication.HIGH_GMAC, None, InterfaceType.WRAPPER)
        self.client.maxReceivePDUSize = 65_535
        ciphering = self.client.ciphering
        ciphering.systemTitle = CLIENT_TITLE
        ciphering.blockCipherKey, ciphering.authenticationKey = KEYS
        ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        ciphering.invocationCounter = 1

    def exchange(self, frames: Any) -> Any:
        reply: Any = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            out = frame
            while True:
                self.socket.sendall(bytes(out))
                self.client.getData(GXByteBuffer(self.answer()), reply, None)
                if not reply.isMoreData():
                    break
                out = self.client.receiverReady(reply)
        return reply

    def answer(self) -> bytes:
        data = b""
        while len(data) < 8 or len(data) < 8 + int.from_bytes(data[6:8], "big"):
            chunk = self.socket.recv(65_536)
            if not chunk:
                raise ConnectionError("the meter closed")
            data += chunk
        return data

    def read(self, item: Any, attribute: int) -> Any:
        return self.client.updateValue(item, attribute, self.exchange(self.client.read(item, attribute)).value)

    def run(self, rows: int) -> None:
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        answer = self.exchange(self.client.getApplicationAssociationRequest())
        self.client.parseApplicationAssociationResponse(answer.data)
        self.read(GXDLMSClock("0.0.1.0.0.255"), 2)
        assert self.read(GXDLMSRegister("1.0.1.8.0.255"), 2) == 4_711
        if rows:
            wanted = GXDLMSProfileGeneric(".".join(str(part) for part in profile(rows).instance_id))
            columns = [GXDLMSClock("0.0.1.0.0.255"), GXDLMSData("0.0.96.10.2.255")]
            columns += [GXDLMSRegister("1.0.1.8.0.255"), GXDLMSRegister("1.0.2.8.0.255")]
            wanted.captureObjects.extend([(column, GXDLMSCaptureObject(2, 0)) for column in columns])
            assert len(self.read(wanted, 2)) == rows
        self.exchange(self.client.releaseRequest())
        self.socket.close()


def cpu() -> float:
    times = os.times()
    return times.user + times.system


def per_core_second(once: Callable[[], object], seconds: float) -> float:
    """How often `once` runs in a second of this process's CPU."""
    once()
    gc.collect()
    began, until, count = cpu(), time.monotonic() + seconds, 0
    while time.monotonic() < until or count < 3:
        once()
        count += 1
    return count / (cpu() - began)


async def own_per_core_second(once: Callable[[], Awaitable[None]], seconds: float) -> float:
    """The same for a coroutine, AT_ONCE of them on one running loop."""
    await once()
    gc.collect()
    began, until, count = cpu(), time.monotonic() + seconds, 0

    async def go_on() -> None:
        nonlocal count
        while time.monotonic() < until:
            await once()
            count += 1

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))
    return count / (cpu() - began)


def gurux_session(port: int, rows: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints while it deciphers
        Gurux(port).run(rows)


def gurux_rows(encoded: bytes) -> None:
    decoded: Any = _GXCommon.getData(None, GXByteBuffer(encoded), _GXDataInfo())
    assert len(decoded) == 960


def line(name: str, ours: list[float], theirs: list[float], target: int | None) -> str:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    mine, other, ratio = statistics.median(ours), statistics.median(theirs), statistics.median(ratios)
    goal = "" if target is None else f"   (at least {target}x: {'reached' if ratio >= target else 'NOT reached'})"
    return f"{name:6}{mine:>14,.0f}{other:>14,.1f}{ratio:>9.1f}x  {ratios[0]:.1f}-{ratios[-1]:.1f}{goal}"


def main() -> None:
    """Run, and print medians, ratios and their ranges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    receive, send = multiprocessing.Pipe(duplex=False)
    meter = multiprocessing.get_context("spawn").Process(target=serve, args=(send,), daemon=True)
    meter.start()
    try:
        port: int = receive.recv()
        measure(port, options.seconds, options.rounds)
    finally:
        meter.terminate()
        meter.join(5)


def measure(port: int, seconds: float, rounds: int) -> None:
    ours: dict[int, list[float]] = {rows: [] for rows in SHAPES}
    theirs: dict[int, list[float]] = {rows: [] for rows in SHAPES}
    encoded, decoded = buffer(960), ([0.0] * 0, [0.0] * 0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(rounds):
            for rows in SHAPES:
                ours[rows].append(runner.run(own_per_core_second(partial(own, port, rows), seconds)))
                theirs[rows].append(per_core_second(partial(gurux_session, port, rows), seconds))
            decoded[0].append(960 * per_core_second(lambda: cosem.decode_rows(encoded), seconds / 4))
            decoded[1].append(960 * per_core_second(lambda: gurux_rows(encoded), seconds / 4))
    load = psutil.getloadavg()[0]
    print(
        f"per second of the client's CPU; {rounds} rounds of {seconds:g} s, {psutil.cpu_count()} cores, load {load:.1f}"
    )
    print(f"{'':6}{'Meterlog':>14}{'gurux-dlms':>14}{'ratio':>10}  range")
    for rows in SHAPES:
        print(line(f"S{rows or 1}", ours[rows], theirs[rows], 40 if rows == 96 else None))
    print(line("rows", *decoded, 35))
    peer = "stock gurux-dlms"
    for rows in SHAPES:
        name = f"sessions a core-second, {rows} profile rows" if rows else "sessions a core-second, one register"
        mine, other = statistics.median(ours[rows]), statistics.median(theirs[rows])
        tell(Figure(name=name, unit="1/s", ours=mine, peer=other, peer_name=peer, asked=40 if rows == 96 else None))
    mine, other = (statistics.median(values) for values in decoded)
    tell(Figure(name="profile rows decoded a core-second", unit="1/s", ours=mine, peer=other, peer_name=peer, asked=35))


if __name__ == "__main__":
    main()

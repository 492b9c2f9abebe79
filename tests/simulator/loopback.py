"""A meter on a loopback port for the tests of link, session and job: our server engine, a few objects, and faults.

A fault is chosen by the plain APDU the meter took last (its first byte), and strikes after the meter did it.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connectors.dlms import cosem
from connectors.dlms.cosem import axdr

GUEK = bytes(range(16))
AK = bytes(range(0xD0, 0xE0))
PASSWORD = b"12345678"
TITLE = b"KFM00001"

CLOCK = cosem.attribute(8, "0.0.1.0.0.255", 2)
REGISTER = cosem.attribute(3, "1.0.1.8.0.255", 2)
BITS = cosem.attribute(1, "0.1.94.31.3.255", 2)
PROFILE = cosem.attribute(7, "1.0.99.1.0.255", 2)
COUNTER = cosem.attribute(1, "0.0.43.1.0.255", 2)
TIME = bytes.fromhex("07E80110030A1E0000FFC400")

AARQ, GET, SET, ACTION, RELEASE = 0x60, 0xC0, 0xC1, 0xC3, 0x62

Strike = Callable[[bytes], bytes | None]
"""From the answer to what is sent instead; None closes the connection."""


def silence(answer: bytes) -> bytes:
    return b""


def close(answer: bytes) -> None:
    return None


def tamper(answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


def other_version(answer: bytes) -> bytes:
    return b"\x00\x02" + answer[2:]


def nonsense(answer: bytes) -> bytes:
    return answer[:6] + b"\x00\x03" + b"\xc4\x01\xff"


def exception(service: int, counter: int | None = None) -> Strike:
    body = bytes((0xD8, 1, service)) + (b"" if counter is None else counter.to_bytes(4, "big"))
    return lambda answer: answer[:6] + len(body).to_bytes(2, "big") + body


@dataclass
class Loopback:
    """The meter. `took`: client id, invocation counter and plain APDU of each request, over all connections."""

    security: cosem.MeterSecurity
    settings: cosem.ServerSettings
    port: int = 0
    values: dict[cosem.Attribute, cosem.Data | bytes | int] = field(default_factory=dict)
    refused_sets: dict[cosem.Attribute, int] = field(default_factory=dict)
    took: list[tuple[int, int | None, bytes]] = field(default_factory=list)
    written: list[tuple[cosem.Attribute, cosem.Data]] = field(default_factory=list)
    faults: dict[int, Strike | str] = field(default_factory=dict)
    pieces: bool = False
    delay: float = 0.0  # seconds before each answer
    connections: int = 0
    first_connection_at: float = 0.0  # seconds since 1970
    most_connections: int = 0  # at once
    released: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def get(
        self, client: int, attribute: cosem.Attribute, selection: cosem.Selection | None
    ) -> cosem.Data | bytes | int:
        if attribute == COUNTER:
            return axdr.double_long_unsigned(max(self.security.accepted, 0))
        return self.values.get(attribute, 4)

    def set(self, client: int, attribute: cosem.Attribute, selection: cosem.Selection | None, value: cosem.Data) -> int:
        refused = self.refused_sets.get(attribute, 0)
        if not refused:
            self.values[attribute] = value
            self.written.append((attribute, value))
        return refused

    def action(self, client: int, method: cosem.Method, parameters: cosem.Data | None) -> int:
        return 4

    @property
    def counters(self) -> list[int]:
        """Invocation counters used under the encryption key, in the order they came."""
        return [counter for _, counter, _ in self.took if counter is not None]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.first_connection_at = self.first_connection_at or time.time()
        self.writers.add(writer)
        self.most_connections = max(self.most_connections, len(self.writers))
        took: list[int] = []

        def observe(client: int, counter: int | None, plain: bytes) -> None:
            self.took.append((client, counter, plain))
            took.append(plain[0])

        server = cosem.ServerAssociation(self.settings, self.security, self, observe=observe)
        try:
            while not server.closed and (chunk := await reader.read(65_536)):
                if chunk[8] in (AARQ, RELEASE):
                    took.append(chunk[8])
                answer = server.receive(chunk)
                kind = chunk[8] if chunk[8] in (AARQ, RELEASE) else took[-1] if took else 0
                self.released += kind == RELEASE
                fault = self.faults.get(kind)
                if fault == "reset":
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    writer.transport.abort()
                    return
                if callable(fault):
                    struck = fault(answer)
                    if struck is None:
                        return
                    answer = struck
                if self.delay:
                    await asyncio.sleep(self.delay)
                for start in range(0, len(answer), 3 if self.pieces else 65_536):
                    writer.write(answer[start : start + (3 if self.pieces else 65_536)])
                    await writer.drain()
                    await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


RULES = {
    16: cosem.ClientRule(cosem.Mechanism.NONE),
    1: cosem.ClientRule(cosem.Mechanism.HLS5),
    2: cosem.ClientRule(cosem.Mechanism.LLS, ciphered=True),
    3: cosem.ClientRule(cosem.Mechanism.LLS),
}


@asynccontextmanager
async def meter(
    *,
    accepted: int = -1,
    stale: cosem.OnRefusal = cosem.OnRefusal.CLOSE,
    max_pdu: int = 1024,
    conformance: int | None = None,
    delay: float = 0.0,
) -> AsyncIterator[Loopback]:
    """A listening meter for the time of the block."""
    settings = cosem.ServerSettings(RULES, max_receive_pdu=max_pdu, stale_counter=stale)
    if conformance is not None:
        settings = cosem.ServerSettings(RULES, conformance=conformance, max_receive_pdu=max_pdu, stale_counter=stale)
    security = cosem.MeterSecurity(TITLE, cosem.Keys(GUEK, AK), PASSWORD, accepted=accepted)
    loopback = Loopback(security, settings, delay=delay)
    rows = [
        axdr.structure(
            axdr.octet_string(TIME), axdr.unsigned(0), axdr.double_long_unsigned(n), axdr.double_long_unsigned(2 * n)
        )
        for n in range(200)
    ]
    loopback.values |= {
        CLOCK: axdr.octet_string(TIME),
        REGISTER: axdr.double_long_unsigned(4_711),
        BITS: axdr.bit_string("1010000001"),
        PROFILE: axdr.array(*rows),
    }
    server = await asyncio.start_server(loopback.serve, "127.0.0.1", 0)
    loopback.port = server.sockets[0].getsockname()[1]
    try:
        yield loopback
    finally:
        server.close()
        for writer in list(loopback.writers):
            writer.transport.abort()
        await asyncio.sleep(0)

"""A coordinator that forgets who asked to join, as Kafka 4.2 does when it moves meanwhile: they ask again.

Played by what stands between the broker and its clients, and passes on all but the first JoinGroup of each group. With
the client's own `max.poll.interval.ms` both members would be out for five minutes.
"""

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from connectors.clickhouse.feed import REJOIN_MS as FEED_MS
from connectors.clickhouse.feed import Feed
from connectors.dlms.taker import REJOIN_MS as TAKER_MS
from connectors.dlms.taker import Taker
from infra.embedded.kafka import Kafka
from infra.embedded.ports import LOOPBACK, free_port
from tests.e2e.test_sink import topics_on
from tests.simulator.test_taker import taking

JOIN_GROUP: Final = 11  # API key
SLACK_SECONDS: Final = 20.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


class Behind(Kafka):
    """A broker that tells its clients to come to another port."""

    front = 0

    def _configure(self) -> None:
        super()._configure()
        told = self._properties.read_text()
        ours, theirs = (f"advertised.listeners=PLAINTEXT://{LOOPBACK}:{port}" for port in (self.port, self.front))
        assert ours in told
        self._properties.write_text(told.replace(ours, theirs))


class Forgetful:
    """Passes requests on to the broker; `forgets`: groups whose next JoinGroup is lost."""

    def __init__(self, broker: Behind, *groups: bytes) -> None:
        self.broker, self.forgets = broker, set(groups)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection(LOOPBACK, self.broker.port)
        answers = asyncio.create_task(self._answers(from_broker, writer))
        try:
            while True:
                size = await reader.readexactly(4)
                request = await reader.readexactly(struct.unpack(">i", size)[0])
                (key,) = struct.unpack(">h", request[:2])
                lost = next((group for group in self.forgets if key == JOIN_GROUP and group in request), None)
                if lost is None:
                    to_broker.write(size + request)
                else:
                    self.forgets.remove(lost)
        except (asyncio.IncompleteReadError, ConnectionError):
            to_broker.close()
            await answers

    @staticmethod
    async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await reader.read(65_536):
            writer.write(answer)
        writer.close()


def test_who_is_forgotten_asks_again(tmp_path: Path) -> None:
    broker = Behind(tmp_path, tmp_path / "logs", heap_mb=256)
    broker.front = free_port()
    asyncio.run(_forgotten(broker))


async def _forgotten(broker: Behind) -> None:
    between = Forgetful(broker, b"jobs", b"sinks")
    async with await asyncio.start_server(between.serve, LOOPBACK, broker.front):
        front = f"{LOOPBACK}:{broker.front}"
        try:
            await asyncio.to_thread(_start, broker)
            taker = taking(front, "jobs", Taker)
            taker.start()
            feed = Feed(front, ["reads"], "sinks")
            try:
                await _until(lambda: not between.forgets, SLACK_SECONDS, feed)
                assert not taker.ready and not feed.joined
                await _until(lambda: taker.ready, TAKER_MS / 1_000 + SLACK_SECONDS, feed)
                await _until(lambda: feed.joined, (FEED_MS - TAKER_MS) / 1_000 + SLACK_SECONDS, feed)
            finally:
                await taker.stop()
                await asyncio.to_thread(feed.close)
        finally:
            await asyncio.to_thread(broker.stop)


def _start(broker: Kafka) -> None:
    broker.start()
    broker.wait_ready()
    topics_on(broker)("jobs", "reads", config={})


async def _until(holds: Callable[[], bool], seconds: float, feed: Feed) -> None:
    """Poll for the feed meanwhile, as its role does."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.to_thread(feed.take, 1, 0.2, 1)

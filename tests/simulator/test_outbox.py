"""What leaves for Kafka: its place is known, what no broker takes is told, and a broker that is away is waited for."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from connectors.dlms import outbox
from connectors.dlms.outbox import Outbox, Place, Undeliverable
from schemas.partition import partition_of


def test_each_record_is_known_by_its_place(kafka: str, make_topics: Callable[..., dict[str, str]]) -> None:
    topic = make_topics("out", partitions=3)["out"]

    async def walk() -> list[Place]:
        box = Outbox({"bootstrap.servers": kafka})
        first = await box.deliver(topic, "KFM1234567890123", b"1")
        second = await box.deliver(topic, b"KFM1234567890123", b"2", headers=[("a", b"b")])
        third = await box.deliver(topic, "KFM1234567890123", b"3", partition=(first.partition + 1) % 3)
        assert box.waiting == 0
        await box.close(5)
        return [first, second, third]

    first, second, third = asyncio.run(walk())
    assert first.partition == partition_of(b"KFM1234567890123", 3)
    assert (second.partition, second.offset) == (first.partition, first.offset + 1)
    assert (third.partition, third.offset) == ((first.partition + 1) % 3, 0)
    assert str(first) == f"{topic}:{first.partition}:0"


def test_a_record_no_broker_takes_is_told_and_the_next_goes_out(
    kafka: str, make_topics: Callable[..., dict[str, str]]
) -> None:
    topic = make_topics("small", partitions=1, config={"max.message.bytes": "1000"})["small"]

    async def walk() -> Place:
        box = Outbox({"bootstrap.servers": kafka, "compression.type": "none"})
        for size in (5_000, 20 * 1_048_576):  # too large for the topic, and for the producer
            with pytest.raises(Undeliverable):
                await box.deliver(topic, "k", bytes(size))
        place = await box.deliver(topic, "k", b"small")
        await box.close(5)
        return place

    assert asyncio.run(walk()).offset == 0


def test_a_broker_that_is_away_is_waited_for_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"

        async def walk() -> None:
            box = Outbox({"bootstrap.servers": address, "delivery.timeout.ms": 300, "log_level": 0})
            waiting = asyncio.create_task(box.deliver("topic", "k", b"v"))
            await asyncio.sleep(0.05)
            assert (box.waiting, box.stuck) == (1, False)
            await asyncio.sleep(1.5)  # longer than one attempt of the producer
            assert box.stuck and not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert (box.waiting, box.stuck) == (0, False)
            await box.close(0.1)

        asyncio.run(walk())

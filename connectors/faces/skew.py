"""How far the streams' clock is from the broker's: each tick carries the one and is stamped with the other."""

from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from schemas import codec
from schemas.records import Tick
from schemas.topics import TICKS

SECONDS: Final = 5.0


def behind_broker(bootstrap: str) -> float | None:
    """Seconds by the latest tick, less than none when the streams are ahead; None when there is no tick.

    Raises KafkaException when the broker is away.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "meterlog-doctor",  # a name only: nothing is joined, nothing committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        known = consumer.list_topics(timeout=SECONDS).topics.get(TICKS.name)
        found: list[tuple[int, int]] = []
        for number in known.partitions if known is not None else ():
            place = TopicPartition(TICKS.name, number)
            first, end = consumer.get_watermark_offsets(place, timeout=SECONDS)
            if end > first:
                place.offset = end - 1
                consumer.assign([place])
                found += _read(consumer.poll(SECONDS))
        if not found:
            return None
        stamped, told = max(found)
        return (stamped - told) / 1_000
    finally:
        consumer.close()


def _read(message: Any) -> list[tuple[int, int]]:
    if message is None or message.error() is not None:
        return []
    try:
        tick = codec.decode(message.value() or b"")
    except codec.Unreadable:
        return []
    return [(message.timestamp()[1], tick.at)] if isinstance(tick, Tick) else []

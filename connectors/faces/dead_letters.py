"""Read `dead-letters`, and send one back to the topic it came from once its cause is mended."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas import headers
from schemas.topics import DEAD_LETTERS, TOPICS

TIMEOUT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record set aside: `place` names it (partition:offset), `origin` where it came from, `reason` why nobody could
    use it."""

    place: str
    at: int  # milliseconds since the epoch
    role: str
    reason: str
    origin: str  # topic:partition:offset
    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]  # of the original record


class NoSuchLetter(Exception):
    """The place names no dead letter, or the letter cannot be sent back."""


def letters(bootstrap: str, *, only: str | None = None) -> Iterator[DeadLetter]:
    """All dead letters that are kept, oldest first in each partition; `only` one place.

    Raises KafkaException when the broker is away.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"meterlog-dlq-{uuid4()}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,  # of each partition, to hear that it has ended
            "enable.partition.eof": True,  # the mark of a transaction ends the log: no record tells that all was read
        }
    )
    try:
        for partition in (
            consumer.list_topics(DEAD_LETTERS.name, timeout=TIMEOUT_SECONDS).topics[DEAD_LETTERS.name].partitions
        ):
            yield from _partition(consumer, partition, only)
    finally:
        consumer.close()


def _partition(consumer: Consumer, partition: int, only: str | None) -> Iterator[DeadLetter]:
    start, end = consumer.get_watermark_offsets(TopicPartition(DEAD_LETTERS.name, partition), timeout=TIMEOUT_SECONDS)
    if only is not None:
        wanted, _, offset = only.partition(":")
        if wanted != str(partition) or not offset.isdigit() or not start <= int(offset) < end:
            return
        start, end = int(offset), int(offset) + 1
    if start >= end:
        return
    place = TopicPartition(DEAD_LETTERS.name, partition, start)
    consumer.assign([place])
    while True:
        message = consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            return
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                if message.partition() == partition:
                    return
                continue  # of the partition before, heard late
            raise KafkaException(error)
        if (message.offset() or 0) >= end:
            return
        told: headers.Raw = message.headers()  # type: ignore[assignment]
        try:
            about = headers.dead_letter(told)
        except ValueError:
            continue  # somebody else's record: not a letter of ours
        yield DeadLetter(
            place=f"{partition}:{message.offset()}",
            at=about.at,
            role=about.role,
            reason=about.reason,
            origin=f"{about.topic}:{about.partition}:{about.offset}",
            topic=about.topic,
            key=message.key(),
            value=message.value() or b"",
            headers=tuple(headers.without_dead_letter(told)),
        )


def replay(bootstrap: str, place: str) -> DeadLetter:
    """Send one dead letter back to its topic, bytes and headers as they were.

    Raises NoSuchLetter.
    """
    letter = next(letters(bootstrap, only=place), None)
    if letter is None:
        raise NoSuchLetter(f"there is no dead letter at {place!r} (partition:offset)")
    if letter.topic not in {topic.name for topic in TOPICS}:
        raise NoSuchLetter(f"{letter.place} came from {letter.topic!r}, which is not a topic of ours")
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})
    failed: list[str] = []
    producer.produce(
        letter.topic,
        key=letter.key,
        value=letter.value,
        headers=list(letter.headers),
        on_delivery=lambda error, _: failed.append(error.str()) if error is not None else None,
    )
    if producer.flush(TIMEOUT_SECONDS) or failed:
        raise NoSuchLetter(f"{place} was not sent back: {failed[0] if failed else 'the broker did not answer'}")
    return letter

"""What lies on a topic now: its committed records up to their present end, for those who read it whole."""

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


def records(
    bootstrap: str, config: Mapping[str, str], topic: str, timeout: float, partition: int | None = None
) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of every record of all partitions or of one, each partition's in order.

    Raises KafkaException, and TimeoutError when nothing arrives for `timeout` seconds.
    """
    consumer = Consumer(
        {
            **config,
            "bootstrap.servers": bootstrap,
            "group.id": "meterlog-verify-state",  # a name only: nothing is joined, nothing committed
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    try:
        found = consumer.list_topics(topic, timeout=timeout).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        left = set(found.partitions) if partition is None else {partition}
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        heard = time.monotonic()
        while left:
            messages = consumer.consume(10_000, timeout=0.2)  # it waits that long unless there are so many
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > timeout:
                raise TimeoutError(f"{topic}: nothing for {timeout:g} s, partitions {sorted(left)} have not ended")
            for message in messages:
                error = message.error()
                if error is None:
                    key, value = message.key(), message.value()
                    yield _bytes(key) or b"", _bytes(value)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                elif error.fatal() or not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()


def table(
    bootstrap: str, config: Mapping[str, str], topic: str, timeout: float, partition: int | None = None
) -> dict[bytes, bytes]:
    """The latest value of each key. Raises as `records` does."""
    found: dict[bytes, bytes] = {}
    for key, value in records(bootstrap, config, topic, timeout, partition):
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def _bytes(data: bytes | str | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data

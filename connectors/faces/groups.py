"""Who reads what: members of the roles' consumer groups, and the records that wait for each."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.clickhouse.role import TOPICS as SINK_TOPICS
from schemas.topics import DEVICE_INBOX, JOBS, PERMIT_REQUESTS, TICKS

COUNTED: Final = 1_000  # records that wait are counted up to here
SECONDS: Final = 10.0


class Group(NamedTuple):
    """A role's consumer group, its default name, and what it reads."""

    role: str
    name: str
    topics: tuple[str, ...]


GROUPS: Final = (
    Group("streams", "meterlog-devices", tuple(topic.name for topic in DEVICE_INBOX if topic is not TICKS)),
    Group("cells", "meterlog-cells", (PERMIT_REQUESTS.name,)),
    Group("dlms-worker", "meterlog-dlms-worker", (JOBS.name,)),
    Group("clickhouse-sink", "meterlog-sink", tuple(topic.name for topic in SINK_TOPICS)),
)


def members(bootstrap: str, group: str) -> int:
    """How many processes are in the group. Raises KafkaException when the broker cannot be asked."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        return len(admin.describe_consumer_groups([group], request_timeout=SECONDS)[group].result(SECONDS).members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def waiting(bootstrap: str, group: str, topics: Sequence[str]) -> int:
    """Committed records behind what the group has committed, up to COUNTED: real ones, since offsets alone also count
    the marks of transactions. Raises KafkaException.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=SECONDS).topics
    places = [TopicPartition(name, number) for name in topics if name in known for number in known[name].partitions]
    if not places:
        return 0
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(SECONDS)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "meterlog-doctor",  # a name only: nothing is joined, nothing committed
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        consumer.assign(
            [TopicPartition(each.topic, each.partition, max(each.offset, 0)) for each in answer.topic_partitions]
        )
        return _count(consumer, {(place.topic, place.partition) for place in places})
    finally:
        consumer.close()


def _count(consumer: Consumer, left: set[tuple[Any, Any]]) -> int:
    count, until = 0, time.monotonic() + SECONDS
    while left and count < COUNTED and time.monotonic() < until:
        for message in consumer.consume(COUNTED, 0.2):
            error = message.error()
            if error is None:
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic(), message.partition()))
            elif not error.retriable():
                raise KafkaException(error)
    return min(count, COUNTED)

"""Who reads what: members of the roles' consumer groups, and the records that wait for each."""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from connectors.clickhouse.role import TOPICS as SINK_TOPICS
from schemas.topics import DEVICE_INBOX, JOBS, PERMIT_REQUESTS, TICKS

COUNTED: Final = 1_000  # records that wait are counted up to here
SECONDS: Final = 10.0
COORDINATOR_SECONDS: Final = 60.0
COORDINATOR_IS_MADE: Final = (
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,  # the topic of offsets is there, the broker does not lead its partition yet
)

Answer = TypeVar("Answer")


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


class Reading(NamedTuple):
    """Processes in a group, and the records that wait for it, counted up to COUNTED."""

    group: Group
    members: int
    waiting: int


def readings(bootstrap: str) -> Iterator[Reading]:
    """Of every group. Records are looked for behind what it has committed: offsets alone also count the marks of
    transactions. Raises KafkaException.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = {name: [*found.partitions] for name, found in admin.list_topics(timeout=SECONDS).topics.items()}
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
        for group in GROUPS:
            members = _members(admin, group.name)
            places = [TopicPartition(name, number) for name in group.topics for number in known.get(name, ())]
            yield Reading(group, members, _waiting(admin, consumer, group.name, places) if places else 0)
    finally:
        consumer.close()


def _members(admin: AdminClient, group: str) -> int:
    """How many processes are in a group."""
    try:
        return len(_once_coordinated(lambda: _described(admin, group)).members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise


def _described(admin: AdminClient, group: str) -> ConsumerGroupDescription:
    found: ConsumerGroupDescription = admin.describe_consumer_groups([group], request_timeout=SECONDS)[group].result()
    return found


def _once_coordinated(ask: Callable[[], Answer]) -> Answer:
    """An answer about a group. A broker that never had one makes its topic of offsets at the first question."""
    until = time.monotonic() + COORDINATOR_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in COORDINATOR_IS_MADE or time.monotonic() > until:
                raise
        time.sleep(0.5)


def _waiting(admin: AdminClient, consumer: Consumer, group: str, places: list[TopicPartition]) -> int:
    asked = ConsumerGroupTopicPartitions(group, places)
    answer = _once_coordinated(lambda: admin.list_consumer_group_offsets([asked])[group].result(SECONDS))
    committed = {(each.topic, each.partition): max(each.offset, 0) for each in answer.topic_partitions}
    consumer.assign([TopicPartition(*place, offset) for place, offset in committed.items()])
    left, count, until = set(committed), 0, time.monotonic() + SECONDS
    while left and count < COUNTED and time.monotonic() < until:
        for message in consumer.consume(COUNTED, 0.2):
            error, place = message.error(), (message.topic(), message.partition())
            if place not in committed:
                continue  # of the group before, heard late
            if error is None:
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(place)
            elif not error.retriable():
                raise KafkaException(error)
    return min(count, COUNTED)

"""ClickHouse filled again from the topics: the sink's group is set back to where they begin, and a sink of our own runs
until it has come to where they end now.

Rows have an identity (`infra/clickhouse/`), so what is there already stays one. What the topics no longer hold cannot
be read again; it stays where the tables were not emptied.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.clickhouse.role import TOPICS, Settings, sink_of

TIMEOUT_SECONDS: Final = 30.0
STEP_SECONDS: Final = 0.3
FIRST_SECONDS: Final = 10.0

Place = tuple[str, int]


class SinkRuns(Exception):
    """A sink is a member of the group: two would undo each other's offsets."""


class NotRefilled(Exception):
    """The sink ended before it had read everything; says why."""


class Held(NamedTuple):
    """What a topic holds. `offsets` counts records and markers of transactions; `since` is the append time in ms of its
    oldest record, None when it is empty.
    """

    offsets: int
    since: int | None


class Step(NamedTuple):
    """How far a refill is: offsets behind it, and the server it waits for, if it does."""

    done: int
    waiting: str | None


class Refill:
    """One refill. Raises KafkaException when the broker is away, SinkRuns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config: dict[str, Any] = {
            **dict(settings.role.kafka_config),
            "bootstrap.servers": settings.role.kafka,
            "log_level": 2,
        }
        self._admin = AdminClient(self._config)
        self._refuse_company()
        known = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        places = [(topic.name, number) for topic in TOPICS for number in known[topic.name].partitions]
        self._first = self._offsets(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        self._ends = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    @property
    def total(self) -> int:
        """Offsets to be read."""
        return sum(end - self._first[place] for place, end in self._ends.items())

    def held(self) -> dict[str, Held]:
        """By topic, what there is to be read."""
        oldest = self._oldest()
        found = {}
        for topic in TOPICS:
            places = [place for place in self._ends if place[0] == topic.name]
            since = [oldest[place] for place in places if place in oldest]
            offsets = sum(self._ends[place] - self._first[place] for place in places)
            found[topic.name] = Held(offsets, min(since, default=None))
        return found

    def run(self) -> Iterator[Step]:
        """Read everything there was when this began, and tell how far it is. Raises NotRefilled, KafkaException."""
        self._set_back()
        sink = sink_of(replace(self._settings, seconds=min(self._settings.seconds, STEP_SECONDS)))
        failed: list[BaseException] = []

        def consume() -> None:
            try:
                sink.run()
            except Exception as error:  # told below, in the thread that asked
                failed.append(error)

        thread = threading.Thread(target=consume, name="refill", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                left = self._left(sink.feed.reached())
                yield Step(self.total - left, sink.waiting_for)
                if not left:
                    break
                time.sleep(STEP_SECONDS)
        finally:
            sink.stop.set()  # what was taken is stored before it ends
            thread.join()
            sink.feed.close()
        if failed or sink.waiting_for is not None:
            raise NotRefilled(str(failed[0]) if failed else str(sink.waiting_for))

    def _left(self, reached: Mapping[Place, int]) -> int:
        places = ((end, max(reached.get(place, 0), self._first[place])) for place, end in self._ends.items())
        return sum(max(0, end - at) for end, at in places)

    def _refuse_company(self) -> None:
        group = self._settings.group
        try:
            members = self._admin.describe_consumer_groups([group])[group].result(TIMEOUT_SECONDS).members
        except KafkaException:
            return  # a group that never was
        if members:
            raise SinkRuns(f"{len(members)} sink process(es) run in the group {group}")

    def _set_back(self) -> None:
        """Raises KafkaException: above all when a sink has been started meanwhile."""
        places = [TopicPartition(*place, offset) for place, offset in self._first.items()]
        asked = [ConsumerGroupTopicPartitions(self._settings.group, places)]
        answer = self._admin.alter_consumer_group_offsets(asked)[self._settings.group].result(TIMEOUT_SECONDS)
        for place in answer.topic_partitions:
            if place.error is not None:
                raise KafkaException(place.error)

    def _offsets(self, places: list[Place], which: OffsetSpec) -> dict[Place, int]:
        asked = {TopicPartition(*place): which for place in places}
        found = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_SECONDS
        )
        return {(place.topic, place.partition): future.result().offset for place, future in found.items()}

    def _oldest(self) -> dict[Place, int]:
        """Append time of the first record of each partition that holds any."""
        left = {place for place, end in self._ends.items() if end > self._first[place]}
        config: dict[str, Any] = {
            **self._config,
            "group.id": f"{self._settings.group}-rebuild",  # a name only: nothing is joined, nothing committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
        found: dict[Place, int] = {}
        for place in sorted(left):
            consumer = Consumer(config)
            try:
                consumer.assign([TopicPartition(*place, self._first[place])])
                message = consumer.poll(FIRST_SECONDS)
                error = message.error() if message is not None else None
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if message is not None and error is None:
                    found[place] = message.timestamp()[1]
            finally:
                consumer.close()
        return found

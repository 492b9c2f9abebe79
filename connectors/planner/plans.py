"""Plans on their topic: every version of each is kept, the last one counts. The topic is the truth; it is small, and
read from its beginning.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas import codec, headers
from schemas.records import ReadingPlan
from schemas.topics import PLANS

SOURCE: Final = "meterlog plan"
DELIVERY_SECONDS: Final = 30.0


class NotKept(Exception):
    """The broker did not take a plan: nothing has changed."""


class Plans:
    """All versions of all plans, as far as they were read; complete when it is made. Raises KafkaException."""

    def __init__(self, bootstrap: str, *, timeout: float = 30.0, **settings: Any) -> None:
        self.versions: dict[str, dict[int, ReadingPlan]] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "meterlog-plans",  # never joined nor committed: each reads all
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                **settings,
            }
        )
        try:
            topic = self._consumer.list_topics(PLANS.name, timeout=timeout).topics[PLANS.name]
            if topic.error is not None:
                raise KafkaException(topic.error)
            self._consumer.assign([TopicPartition(PLANS.name, partition, 0) for partition in topic.partitions])
            self._unread = set(topic.partitions)
            until = time.monotonic() + timeout
            while self._unread:
                if time.monotonic() > until:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                self.read(0.2)
        except BaseException:
            self._consumer.close()
            raise

    def read(self, seconds: float) -> bool:
        """Take what has come meanwhile, waiting so long for it. Gives whether that is anything."""
        found = False
        for message in self._consumer.consume(1_000, seconds):
            error = message.error()
            if error is None:
                value: Any = message.value()
                found = self._take(value) or found
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard(message.partition() or 0)
            elif not error.retriable():
                raise KafkaException(error)
        return found

    def _take(self, value: bytes | None) -> bool:
        try:
            plan = codec.decode(value or b"")
        except codec.Unreadable:
            return False  # the sink sets it aside
        if not isinstance(plan, ReadingPlan):
            return False
        self.versions.setdefault(plan.name, {})[plan.version] = plan
        return True

    @property
    def present(self) -> Mapping[str, ReadingPlan]:
        """The plans by which is read now."""
        latest = ((name, versions[max(versions)]) for name, versions in sorted(self.versions.items()))
        return {name: plan for name, plan in latest if not plan.deleted}

    def history(self, name: str) -> Iterator[ReadingPlan]:
        """Versions of a plan, oldest first."""
        for _, plan in sorted(self.versions.get(name, {}).items()):
            yield plan

    def close(self) -> None:
        self._consumer.close()


def following(plan: ReadingPlan, before: ReadingPlan | None, at: int) -> ReadingPlan | None:
    """The version to be kept after `before`; None when it says the same."""
    if before is not None and replace(plan, version=before.version, at=before.at) == before:
        return None
    return replace(plan, version=1 if before is None else before.version + 1, at=at)


def keep(bootstrap: str, plan: ReadingPlan, **settings: Any) -> None:
    """Put a version on the topic; returns when the broker has it. Raises NotKept."""
    refused: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True, **settings}
    )
    name = f"{plan.name}@{plan.version}"
    told = headers.Attributes(
        correlation_id=None, id=name, source=SOURCE, type="meterlog.ReadingPlan", subject=plan.name, time=plan.at
    )
    producer.produce(
        PLANS.name, codec.encode(plan), name.encode(), headers=[*headers.write(told)], on_delivery=delivered
    )
    if producer.flush(DELIVERY_SECONDS) or refused:
        raise NotKept(refused[0] if refused else f"no answer from the broker within {DELIVERY_SECONDS:.0f} s")

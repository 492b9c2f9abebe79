"""The sink's side of Kafka: batches out of a consumer group, commits, and records set aside onto `dead-letters`.

Offsets are committed only after everything of the batch is stored, so a record may come twice and is never lost. The
assignment is eager (range): the cooperative protocol has broken manual commits in confluent-kafka more than once.
"""

import time
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.clickhouse import meters, overtaken
from connectors.clickhouse.batch import Batch, Partition
from roles.membership import take_over
from roles.steps import passing
from roles.stuck import Broker, Standstill, Waiting, not_let_in
from schemas import headers
from schemas.dead_letter import letter
from schemas.topics import DEAD_LETTERS

log = structlog.get_logger()

CHUNK: Final = 100  # records asked for at once: bounds how far a batch may pass its bytes
FLUSH_SECONDS: Final = 30.0
LEAVE_SECONDS: Final = 5.0
REJOIN_MS: Final = 120_000
"""Until a member that the coordinator forgot asks again (see the taker of jobs), and how long a batch may take."""
ROLE: Final = "clickhouse-sink"


class Undelivered(Exception):
    """The broker did not take a dead letter."""


class Feed:
    """A member of the consumer group. Raises KafkaException only for what the client itself calls fatal."""

    def __init__(self, bootstrap: str, topics: Sequence[str], group: str, **settings: Any) -> None:
        self._reached: dict[Partition, int] = {}  # everything below was taken; -1: nothing was heard of it yet
        self._held: list[Message] = []
        # Kept here: asking the client is a question to its own thread, and was seen to wait for tens of seconds.
        self._owned: set[Partition] = set()
        self._parted: float | None = time.monotonic()  # since when it has no assignment, not even an empty one
        self._topics = set(topics)
        self._waiting = False
        self._asked: list[tuple[dict[Partition, int], int]] = []  # commits that are not answered, and their records
        self.connected = True
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "range",
                "max.poll.interval.ms": REJOIN_MS,
                "queued.max.messages.kbytes": 16_384,  # each partition
                "topic.metadata.refresh.interval.ms": 10_000,  # topics may be applied after the sink was started
                "reconnect.backoff.ms": 250,
                "on_commit": self._committed,
                "error_cb": self._told,  # served while records are taken; the broker's absence is told here alone
                **settings,
            }
        )
        begins = overtaken.begins(Broker(bootstrap, settings))
        self.overtaken = overtaken.Overtaken(begins, overtaken.positions(self._consumer))
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._asked.clear()
        self.overtaken.forget()
        self._parted = None
        self._owned = {(each.topic, each.partition) for each in partitions}
        self._reached = dict.fromkeys(self._owned, -1)
        log.info("partitions assigned", count=len(partitions))
        take_over(consumer, partitions, paused=self._waiting)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._parted = time.monotonic()
        self._owned.clear()
        self._reached = {}
        self._held.clear()  # they come again, to whoever owns them then
        log.info("partitions revoked", count=len(partitions))

    @property
    def joined(self) -> bool:
        """Whether this member has partitions."""
        return bool(self._owned)

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in sorted(self._owned)]

    def take(self, records: int, seconds: float, max_bytes: int) -> list[Message]:
        """The next records: at most `records` and about `max_bytes`, those of `seconds` when there are fewer."""
        taken, self._held = self._held, []
        size = sum(len(message) for message in taken)
        until = time.monotonic() + seconds
        while len(taken) < records and size < max_bytes and (left := until - time.monotonic()) > 0:
            for message in self._consumer.consume(min(CHUNK, records - len(taken)), left):
                error = message.error()
                if error is None:
                    taken.append(message)
                    self.overtaken.arrived((message.topic() or "", message.partition() or 0), message.offset() or 0)
                    size += len(message)
                    self._reach(message)
                else:
                    self._heard(message, error)
        self.connected = bool(taken) or self.connected or self._answers()
        return taken

    def _answers(self) -> bool:
        """Whether the broker is back and has the topics: a quiet topic would not tell."""
        try:
            return bool(self._topics <= self._consumer.list_topics(timeout=1).topics.keys())
        except KafkaException:
            return False

    def _heard(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._reach(message, 0)
            self.connected = True
        elif error.fatal():
            raise KafkaException(error)
        else:
            self.connected = error.code() not in {KafkaError._ALL_BROKERS_DOWN, KafkaError.UNKNOWN_TOPIC_OR_PART}
            log.warning("kafka", reason=error.str())

    def _reach(self, message: Message, step: int = 1) -> None:
        place = (message.topic() or "", message.partition() or 0)
        if place in self._reached:
            self._reached[place] = (message.offset() or 0) + step

    def reached(self) -> dict[Partition, int]:
        """Of each partition owned the offset below which everything was taken, -1 when not known. From any thread."""
        return dict(self._reached)

    def standstill(self, waiting: Waiting) -> Standstill | None:
        """A group that does not let it in, or records that wait before a partition of its own. From any thread."""
        return not_let_in(self._parted) or waiting.standstill()

    def _told(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.connected = False
            log.warning("kafka", reason=error.str())

    def stay(self, seconds: float) -> None:
        """Wait without taking records, yet remain a member of the group."""
        self._waiting = True
        try:
            self._consumer.pause(self._partitions())
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                message = self._consumer.poll(min(left, 0.5))
                if message is not None and (error := message.error()) is not None:
                    self._heard(message, error)
                elif message is not None:
                    self._held.append(message)  # fetched before the pause
                    self.overtaken.arrived((message.topic() or "", message.partition() or 0), message.offset() or 0)
                    self._reach(message)
        finally:
            self._waiting = False
            self._consumer.resume(self._partitions())

    def commit(self, ends: Mapping[Partition, int], records: int) -> None:
        """Ask for positions of partitions still owned, those behind so many records. The answer is heard while further
        records are taken; positions that are refused are made good by the next, until then records may come twice.

        librdkafka 2.16 waits without end for the answer to a synchronous commit when the broker died meanwhile, and
        until then every other call to the consumer waits as well.
        """
        asked = {place: offset for place, offset in ends.items() if place in self._owned}
        if not asked:
            return
        try:
            self._consumer.commit(offsets=[TopicPartition(*place, at) for place, at in asked.items()])
        except KafkaException as error:
            self._refused(str(error))
        else:
            self._asked.append((asked, records))

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        records = self._settle({(each.topic, each.partition): each.offset for each in places})
        failed = [f"{each.topic}[{each.partition}]: {each.error.str()}" for each in places if each.error]
        if error is not None or failed:
            self._refused(error.str() if error is not None else failed[0])
        elif records:
            passing("offset committed", records)

    def _refused(self, reason: str) -> None:
        meters.COMMITS_REFUSED.inc()
        log.warning("position not committed", reason=reason)

    def _settle(self, answered: Mapping[Partition, int]) -> int:
        """How many records lie before positions that were asked for; 0 when they were asked for by an earlier owner."""
        for number, (asked, records) in enumerate(self._asked):
            if asked == answered:
                del self._asked[: number + 1]  # they are answered in the order they were asked
                return records
        return 0

    def lag(self) -> dict[str, int]:
        """Records (and transaction markers) of each topic behind the positions of this member, as last heard."""
        lag: dict[str, int] = {}
        for (topic, partition), reached in self._reached.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            lag[topic] = lag.get(topic, 0) + (max(high - reached, 0) if reached >= 0 <= high else 0)
        return lag

    def close(self) -> None:
        """Leave the group; without the broker's answer if it is away: the session's end parts this member then.

        librdkafka 2.16 closes only when commits under way are answered: seen for minutes with a broker that was killed
        between poll and commit. The role has to end when told, so it closes on a thread that holds up nothing.
        """
        closing = Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(LEAVE_SECONDS)
        if closing.is_alive():
            log.warning("left without the broker's answer")


class DeadLetters:
    """Where records go that nobody could store: the original bytes, the reason in headers."""

    def __init__(self, bootstrap: str, *, topic: str = DEAD_LETTERS.name, **settings: Any) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.max.bytes": DEAD_LETTERS.max_bytes,
                "linger.ms": 5,
                **settings,
            }
        )

    def send(self, batch: Batch, at: int) -> None:
        """Publish what the batch set aside; returns when the broker has it. `at`: milliseconds. Raises Undelivered.

        A record set aside twice (the batch came again) is there twice, under the same topic, partition and offset.
        """
        failed: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error.str())

        for number, reason in sorted(batch.aside.items()):
            record: Any = batch.records[number]
            about = headers.DeadLetter(
                reason=reason,
                topic=record.topic(),
                partition=record.partition(),
                offset=record.offset(),
                at=at,
                role=ROLE,
            )
            key, value, told = letter(record.key(), record.value(), record.headers(), about)
            raw: Any = told
            self._producer.produce(self._topic, value, key, headers=raw, on_delivery=delivered)
            self._producer.poll(0)
        if self._producer.flush(FLUSH_SECONDS) or failed:
            raise Undelivered(failed[0] if failed else f"no answer within {FLUSH_SECONDS:.0f} s")

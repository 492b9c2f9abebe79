"""`meterlog topics apply`: create what `schemas/topics.py` declares, and check what is already there.

Topics are never created by accident (auto-creation is off), and the partition counts of the streams' topics must
agree: a wrong count is refused here, before a worker would hand a device's results to another partition than its
commands.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from schemas.topics import DAY_MS, TOPICS, Share, Topic

TIMEOUT_SECONDS: Final = 30.0
LEADER_SECONDS: Final = 120.0
ANNOUNCE_SECONDS: Final = 10.0
DEFAULT_PARTITIONS: Final = 4
SEGMENTS: Final = 4  # at least, of what a topic keeps
LONGEST_SEGMENT_MS: Final = 7 * DAY_MS
MARKERS_MS: Final = DAY_MS // 24
"""A compacted topic keeps the markers of transactions so long, by default a day: of four partitions that commit once a
second some 40 MB, while a thousand devices are one. Whoever reads a table reads it whole within minutes."""


class TopicsDiffer(Exception):
    """Topics exist, but not as declared; says which, how, and what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did: names of topics created, and of those already right."""

    created: tuple[str, ...]
    present: tuple[str, ...]


def configuration(topic: Topic) -> dict[str, str]:
    """The topic's broker settings.

    Record times are append times: they are the messages' own time for decisions.
    """
    settings = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "compression.type": topic.compression,
        "max.message.bytes": str(topic.max_bytes),
        "message.timestamp.type": "LogAppendTime",
    }
    if topic.retention_ms is not None:
        # Deleted are whole segments, never the one that is written to, and by default that one lasts a week.
        segment = min(topic.retention_ms // SEGMENTS, LONGEST_SEGMENT_MS)
        settings |= {"retention.ms": str(topic.retention_ms), "segment.ms": str(segment)}
    else:  # a table is read whole at each start: keep its tail short
        settings |= {"segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.3"}
        settings["delete.retention.ms"] = str(MARKERS_MS)
    return settings


def apply(
    bootstrap: str,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication: int = 1,
    topics: Iterable[Topic] = TOPICS,
    announce: Callable[[str], None] = lambda _: None,
) -> Applied:
    """Create missing topics and bring the settings of present ones up to date.

    `partitions` is used for topics that do not exist; the streams' topics follow those of them that do. Raises
    TopicsDiffer when present streams' topics disagree on their number of partitions, KafkaException when the broker
    cannot be reached or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    present = {name: len(found.partitions) for name, found in admin.list_topics(timeout=TIMEOUT_SECONDS).topics.items()}
    declared = tuple(topics)
    shared = {
        topic.name: present[topic.name] for topic in declared if topic.share is Share.STREAMS and topic.name in present
    }
    if len(set(shared.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in sorted(shared.items()))
        raise TopicsDiffer(
            f"the topics of streams/device must have the same number of partitions, but {listed}; "
            "stop the streams, delete or recreate the ones that differ, and apply again"
        )
    count = next(iter(shared.values()), partitions)
    missing = [topic for topic in declared if topic.name not in present]
    _create(admin, missing, count, replication)
    for topic in missing:
        announce(f"created {topic.name} ({count} partitions)")
    await_leaders(admin, [topic.name for topic in missing], announce)
    _settle(admin, [topic for topic in declared if topic.name in present])
    return Applied(
        created=tuple(topic.name for topic in missing),
        present=tuple(topic.name for topic in declared if topic.name in present),
    )


def missing(bootstrap: str, *, timeout: float = TIMEOUT_SECONDS) -> list[str]:
    """Names of declared topics that the broker does not have.

    Raises KafkaException when it cannot be reached.
    """
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=timeout).topics
    return [topic.name for topic in TOPICS if topic.name not in found]


def shared_counts(bootstrap: str) -> dict[str, int]:
    """Partitions of the streams' topics that are there: they must be as many for all. Raises KafkaException."""
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=TIMEOUT_SECONDS).topics
    shared = [topic.name for topic in TOPICS if topic.share is Share.STREAMS and topic.name in found]
    return {name: len(found[name].partitions) for name in shared}


def settings_wrong(bootstrap: str) -> list[str]:
    """What `apply` would put right on topics that are there, in words. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    asked = {ConfigResource(ResourceType.TOPIC, topic.name): topic for topic in TOPICS if topic.name in known}
    if not asked:
        return []
    found = []
    for resource, future in admin.describe_configs([*asked], request_timeout=TIMEOUT_SECONDS).items():
        told = future.result()
        for name, wanted in configuration(asked[resource]).items():
            is_now = told[name].value if name in told else None
            if is_now != wanted:
                found.append(f"{resource.name}: {name} is {is_now}, not {wanted}")
    return sorted(found)


def _create(admin: AdminClient, topics: list[Topic], partitions: int, replication: int) -> None:
    if not topics:
        return
    asked = [
        NewTopic(topic.name, num_partitions=partitions, replication_factor=replication, config=configuration(topic))
        for topic in topics
    ]
    for future in admin.create_topics(asked, request_timeout=TIMEOUT_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another apply was quicker
                raise


def await_leaders(admin: AdminClient, names: Iterable[str], announce: Callable[[str], None] = lambda _: None) -> None:
    """Wait until every partition of these topics answers: a topic exists before it can be read or written, also by what
    the metadata says, and whoever comes next should not have to know. Announces every ten seconds what it waits for.

    Raises TopicsDiffer when one does not within two minutes: a small broker under load has been seen to need one.
    """
    began = told = time.monotonic()
    for name in names:
        while not _answers(admin, name):
            now = time.monotonic()
            if now - began > LEADER_SECONDS:
                raise TopicsDiffer(f"{name} has partitions without a leader after {LEADER_SECONDS:.0f} s")
            if now - told > ANNOUNCE_SECONDS:
                told = now
                announce(f"{name} has partitions without a leader: waiting for {now - began:.0f} s")
            time.sleep(0.1)


def _answers(admin: AdminClient, name: str) -> bool:
    try:
        partitions = admin.list_topics(name, timeout=TIMEOUT_SECONDS).topics[name].partitions
        asked = {TopicPartition(name, number): OffsetSpec.latest() for number in partitions}  # type: ignore[no-untyped-call]
        for future in admin.list_offsets(asked, request_timeout=TIMEOUT_SECONDS).values() if asked else ():
            future.result()
    except KafkaException:
        return False
    return bool(partitions)


def _settle(admin: AdminClient, topics: list[Topic]) -> None:
    if not topics:
        return
    resources = [  # ours alone are set: what an operator set beside them stays
        ConfigResource(
            ResourceType.TOPIC,
            topic.name,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in configuration(topic).items()
            ],
        )
        for topic in topics
    ]
    for future in admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_SECONDS).values():
        future.result()

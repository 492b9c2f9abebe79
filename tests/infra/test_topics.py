"""Topics on a real broker: created once as declared, left alone when right, refused when they disagree."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from infra import topics
from infra.topics import Applied, TopicsDiffer, apply, configuration
from schemas.topics import COMMANDS, DEVICES, TOPICS, Share

STRAYED = {"message.timestamp.type": "CreateTime", "flush.ms": "5000"}


@pytest.fixture
def broker(serve_kafka: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A broker with none of the system's topics."""
    with serve_kafka() as kafka:
        yield kafka


def awaited(holds: Callable[[], bool]) -> bool:
    """Whether it comes true: a broker learns from its controller a moment after it has answered."""
    until = time.monotonic() + 10
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def partitions(kafka: str) -> dict[str, int]:
    found = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    return {topic.name: len(found[topic.name].partitions) for topic in TOPICS if topic.name in found}


def test_what_is_too_old_lies_in_segments_that_can_go() -> None:
    """The segment that is written to is never deleted: it must not last as long as what is to be kept."""
    for topic in TOPICS:
        settings = configuration(topic)
        if topic.retention_ms is not None:
            assert 4 * int(settings["segment.ms"]) <= int(settings["retention.ms"]), topic.name


def setting(kafka: str, topic: str, name: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": kafka})  # a name: the futures end in error once it is collected
    (found,) = admin.describe_configs([resource]).values()
    return str(found.result(10)[name].value)


def test_they_are_created_once_as_declared(broker: str) -> None:
    names = tuple(topic.name for topic in TOPICS)
    assert topics.missing(broker) == list(names)
    told: list[str] = []
    assert apply(broker, partitions=3, announce=told.append) == Applied(created=names, present=())
    assert len(told) == len(names)
    assert topics.missing(broker) == []
    assert set(partitions(broker).values()) == {3}
    for topic in TOPICS:
        for name, value in configuration(topic).items():
            assert setting(broker, topic.name, name) == value, (topic.name, name)
    assert setting(broker, DEVICES.name, "cleanup.policy") == "compact"
    assert apply(broker, partitions=7) == Applied(created=(), present=names)
    assert set(partitions(broker).values()) == {3}


def test_a_setting_that_strayed_is_put_right(broker: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(COMMANDS.name, 2, 1, config=STRAYED)])[COMMANDS.name].result(30)
    assert awaited(lambda: partitions(broker) == {COMMANDS.name: 2})
    applied = apply(broker, partitions=4)
    assert applied.present == (COMMANDS.name,)
    assert awaited(lambda: setting(broker, COMMANDS.name, "message.timestamp.type") == "LogAppendTime")
    assert setting(broker, COMMANDS.name, "flush.ms") == "5000"  # not ours: it stays
    assert set(partitions(broker).values()) == {2}  # the new ones follow the one that was there


def test_topics_of_the_streams_that_disagree_are_refused(broker: str) -> None:
    shared = [topic.name for topic in TOPICS if topic.share is Share.STREAMS]
    admin = AdminClient({"bootstrap.servers": broker})
    asked = [NewTopic(shared[0], 2, 1), NewTopic(shared[1], 3, 1)]
    for created in admin.create_topics(asked).values():
        created.result(30)
    assert awaited(lambda: len(partitions(broker)) == 2)
    with pytest.raises(TopicsDiffer, match=f"{shared[0]} has 2") as told:
        apply(broker)
    assert f"{shared[1]} has 3" in str(told.value)
    assert set(partitions(broker)) == set(shared[:2])  # nothing was created

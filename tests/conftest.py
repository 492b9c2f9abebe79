"""The servers every integration test runs against, started once a session and only if a test asks.

The same tests run on containers where a container engine answers and on the embedded stack where none does; nothing is
skipped because a server is missing. METERLOG_TEST_SERVERS (`embedded` or `containers`) forces one or the other.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.embedded.kafka import Kafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real broker, for the whole session."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    broker = Kafka(folder, folder / "logs")
    try:
        broker.start()
        broker.wait_ready()
        yield broker.bootstrap
    finally:
        broker.stop()


@pytest.fixture
def make_topics(kafka: str) -> Callable[..., dict[str, str]]:
    """Create topics of this test's own: `make_topics("jobs", partitions=4)` gives `{"jobs": "t1f0c2a.jobs"}`.

    `config` is passed to every topic. The names start with one prefix a test, so that tests never meet on a topic.
    """
    prefix = f"t{uuid.uuid4().hex[:10]}"

    def make(*names: str, partitions: int = 3, config: dict[str, str] | None = None) -> dict[str, str]:
        real = {name: f"{prefix}.{name}" for name in names}
        topics = [NewTopic(name, partitions, 1, config=config or {}) for name in real.values()]
        admin = AdminClient({"bootstrap.servers": kafka})  # a name: the futures end in error once it is collected
        for created in admin.create_topics(topics).values():
            created.result(30)
        return real

    return make

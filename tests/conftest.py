"""The servers every integration test runs against, started once a session and only if a test asks.

The same tests run on containers where a container engine answers and on the embedded stack where none does; nothing is
skipped because a server is missing. METERLOG_TEST_SERVERS (`embedded` or `containers`) forces one or the other. Under
pytest-xdist every worker would start servers of its own: run the tests in one process.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.embedded.clickhouse import ClickHouse
from infra.embedded.kafka import Kafka
from infra.embedded.ports import LOOPBACK, free_port
from infra.topics import await_leaders

KAFKA_IMAGE = "apache/kafka:4.2.2"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"
PROJECT = Path(__file__).parents[1]
START_SECONDS = 240.0  # of a server on a machine that does much else


class ClickHouseServer(NamedTuple):
    """Where ClickHouse listens: user `default` writes, user `analyst` reads, neither has a password."""

    host: str
    port: int
    http_port: int


@pytest.fixture(scope="session")
def containers() -> bool:
    """Whether the servers of this session are containers."""
    chosen = os.environ.get("METERLOG_TEST_SERVERS")
    if chosen:
        return chosen == "containers"
    import docker

    try:
        engine = docker.from_env(timeout=2)
        try:
            return bool(engine.ping())
        finally:
            engine.close()
    except docker.errors.DockerException:
        return False


@pytest.fixture(scope="session")
def serve_kafka(containers: bool) -> Callable[[], AbstractContextManager[str]]:
    """`with serve_kafka() as bootstrap`: another real broker, for tests that need the system's own topic names."""
    return _kafka_container if containers else _embedded_kafka


@pytest.fixture(scope="session")
def kafka(serve_kafka: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Bootstrap servers of a real broker, for the whole session."""
    with serve_kafka() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def clickhouse(containers: bool) -> Iterator[ClickHouseServer]:
    """A real ClickHouse, for the whole session."""
    serve: Callable[[], AbstractContextManager[ClickHouseServer]] = (
        _clickhouse_container if containers else _embedded_clickhouse
    )
    with serve() as server:
        yield server


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
        await_leaders(admin, real.values())
        return real

    return make


@contextmanager
def _embedded_kafka() -> Iterator[str]:
    with TemporaryDirectory(prefix="meterlog-kafka-") as folder:
        broker = Kafka(Path(folder), Path(folder) / "logs")
        try:
            broker.start()
            broker.wait_ready(START_SECONDS)
            yield broker.bootstrap
        finally:
            broker.stop()


@contextmanager
def _embedded_clickhouse() -> Iterator[ClickHouseServer]:
    with TemporaryDirectory(prefix="meterlog-clickhouse-") as folder:
        engine = ClickHouse(Path(folder), Path(folder) / "logs")
        try:
            engine.start()
            engine.wait_ready(START_SECONDS)
            yield ClickHouseServer(LOOPBACK, engine.port, engine.http_port)
        finally:
            engine.stop()


@contextmanager
def _kafka_container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    port = free_port()  # known before the start: the broker tells its clients to come back to this one
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_MESSAGE_MAX_BYTES": "2097152",
    }
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    for name, value in settings.items():
        container = container.with_env(name, value)
    with container:
        wait_for_logs(container, "Kafka Server started", timeout=90)
        yield f"{LOOPBACK}:{port}"


@contextmanager
def _clickhouse_container() -> Iterator[ClickHouseServer]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    container = (
        DockerContainer(CLICKHOUSE_IMAGE)
        .with_exposed_ports(9000, 8123)
        .with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")  # leaves `default` without a password, reachable from outside
        .with_volume_mapping(
            str(PROJECT / "infra" / "clickhouse" / "analyst.xml"), "/etc/clickhouse-server/users.d/analyst.xml"
        )
    )
    with container:
        wait_for_logs(container, "Ready for connections", timeout=90)
        host = container.get_container_host_ip()
        yield ClickHouseServer(host, int(container.get_exposed_port(9000)), int(container.get_exposed_port(8123)))

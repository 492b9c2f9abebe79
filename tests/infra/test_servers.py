"""The broker and the engine do what the rest of the system relies on."""

import asyncio
import urllib.request
from collections.abc import Callable
from typing import Any

import aiokafka
import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

MakeTopics = Callable[..., dict[str, str]]


def test_a_transaction_is_seen_by_a_committed_reader_with_a_short_session(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics("records", partitions=1)["records"]
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.abort_transaction()
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction()
    session = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest", **session})
    consumer.subscribe([topic])
    (message,) = consumer.consume(1, 30)
    consumer.close()
    assert message.value() == b"committed"


def test_no_topic_is_made_by_accident(kafka: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "message.timeout.ms": 1500})
    failures: list[Any] = []
    producer.produce("never.declared", b"?", on_delivery=lambda error, _: failures.append(error))
    producer.flush(10)
    assert [failure.name() for failure in failures] in (
        ["UNKNOWN_TOPIC_OR_PART"],
        ["_UNKNOWN_TOPIC"],
        ["_MSG_TIMED_OUT"],
    )
    assert "never.declared" not in AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip", "snappy"])
def test_fausts_client_reads_what_any_upstream_compresses(kafka: str, make_topics: MakeTopics, codec: str) -> None:
    """aiokafka without cramjam ends a Faust worker at the first such batch: the dependency must stay."""
    topic = make_topics("compressed", partitions=1)["compressed"]
    producer = Producer({"bootstrap.servers": kafka, "compression.type": codec, "linger.ms": 50})
    sent = [b"the same text again and again " * 20 + b"%d" % number for number in range(50)]
    for value in sent:
        producer.produce(topic, value)
    assert producer.flush(20) == 0

    async def read() -> list[bytes | None]:
        consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in sent]
        finally:
            await consumer.stop()

    assert asyncio.run(read()) == sent


def test_clickhouse_writes_for_default_and_only_reads_for_the_analyst(clickhouse: tuple[str, int, int]) -> None:
    host, port, http_port = clickhouse
    writer = Client(host, port)
    writer.execute("CREATE DATABASE IF NOT EXISTS stack_test")
    writer.execute("CREATE OR REPLACE TABLE stack_test.seen (id Int64) ENGINE = MergeTree ORDER BY id")
    writer.execute("INSERT INTO stack_test.seen VALUES", [(1,), (2,)])
    analyst = Client(host, port, user="analyst")
    assert analyst.execute("SELECT sum(id) FROM stack_test.seen") == [(3,)]
    with pytest.raises(ServerException, match="readonly"):
        analyst.execute("INSERT INTO stack_test.seen VALUES", [(3,)])
    query = "SELECT%20count()%20FROM%20stack_test.seen"
    with urllib.request.urlopen(f"http://{host}:{http_port}/?user=analyst&query={query}", timeout=10) as answer:
        assert answer.read() == b"2\n"
    assert analyst.execute("SELECT quota_name, max_queries FROM system.quota_usage") == [("analyst", 10_000)]
    assert analyst.execute("SELECT getSetting('max_execution_time')") == [(60,)]
    with pytest.raises(ServerException, match="max_execution_time shouldn't be greater than 600"):
        analyst.execute("SELECT 1", settings={"max_execution_time": 601})
    writer.execute("DROP DATABASE stack_test")
    for client in (writer, analyst):
        client.disconnect()

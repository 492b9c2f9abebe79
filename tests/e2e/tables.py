"""Tables of a test's own on a real ClickHouse, filled the way the sink fills them."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clickhouse_driver import Client

import streams.device.wire  # noqa: F401 - binds the records of the log, which only streams write
from connectors.clickhouse.batch import Batch
from connectors.clickhouse.queries import Queries
from connectors.clickhouse.sink import Target
from infra.migrate import migrate
from schemas import codec
from schemas.records import DeviceRegistered, KeyKind, Registration, SealedKey, Security
from streams.device.events import DeviceEvents
from tests.e2e.sink_world import millis

ZONE = "Europe/Amsterdam"
AT = millis("2026-11-01T12:00:00")


@dataclass(frozen=True)
class Consumed:
    """A record as it comes from a topic."""

    data: bytes
    number: int

    def topic(self) -> str:
        return "any"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, AT

    def key(self) -> bytes:
        return b"EM0001"

    def value(self) -> bytes:
        return self.data


class Tables:
    """A database of the test's own, filled the way the sink fills it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port, self.database = host, port, f"views_{uuid.uuid4().hex[:10]}"
        migrate(host, port, database=self.database)
        self.queries = Queries(host, port, database=self.database)

    def store(self, records: Iterable[object]) -> None:
        found = [each if isinstance(each, bytes) else codec.encode(each) for each in records]
        batch = Batch.of([Consumed(data, number) for number, data in enumerate(found)])
        assert batch.aside == {}
        target = Target(self.host, self.port, database=self.database)
        for name, table in batch.tables.items():
            target.insert(name, table.rows, f"{uuid.uuid4()}")
        target.close()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        client = Client(self.host, port=self.port, database=self.database)
        rows: list[tuple[Any, ...]] = client.execute(query)
        client.disconnect()
        return rows


def registered(
    device: str, version: int = 1, zone: str | None = ZONE, *more: Any, device_type: str = "SMART_METER_E"
) -> DeviceEvents:
    """The log of a device that was added."""
    registration = Registration(
        device_type=device_type,
        protocol="SMR",
        protocol_version="5.0.0",
        host="127.0.0.1",
        port=4059,
        client_id=1,
        logical_device=1,
        security=Security.HLS5,
        system_title=b"METERLOG",
        keys=(SealedKey(KeyKind.MASTER, b"top-secret"),),
        time_zone=zone,
        labels={"street": "Long Lane"},
    )
    return DeviceEvents(device, version, AT, "commands@1", (DeviceRegistered(registration, 7), *more))

"""Two partitions that send each other messages: an M-Bus meter in the first, its gateway in the second or beside it.

What lies between them is Kafka's: a queue a partition, in the order sent. A test may look at it, hold it, and give a
message again.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from schemas import codec, topics
from schemas.records import DelegatedEnded, DelegatedJob, Registration, Security
from streams.device.keeper import Partition
from streams.device.limits import Limits
from streams.device.state import Device
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import NOON, REGISTRATION, World, command, on, raw, registered, tick

GAS = "TESTG100000000001"
OTHER_GAS = "TESTG100000000002"
GATEWAY = "TEST1024000000001"
READ_GAS = "GetActualMeterReadsGas"
LIMITS = Limits(retry_jitter=0.0)
AT = datetime(2024, 7, 1, 10, tzinfo=UTC)
RESULT = codec.encode_result(READ_GAS, {"log_time": AT, "consumption": Decimal("12.345"), "capture_time": AT})


def gas_registration(gateway_id: str | None = GATEWAY, channel: int | None = 1, **changes: Any) -> Registration:
    found = replace(
        REGISTRATION,
        device_type="SMART_METER_G",
        host="",
        keys=(),
        security=Security.NONE,
        gateway_id=gateway_id,
        channel=channel,
    )
    return replace(found, **changes)


def gas_meter(device_id: str = GAS, *, jobs: int = 1, **registration: Any) -> Device:
    """An M-Bus meter whose AddDevice is long done."""
    return registered(device_id, registration=gas_registration(**registration), jobs=jobs, counter=1)


def read_gas(number: int, device_id: str = GAS, **header: Any) -> Received:
    return command(number, device_id=device_id, operation=READ_GAS, request={}, **header)


@dataclass
class Net:
    """Partitions by the devices they hold, and the messages on their way to each."""

    homes: dict[str, int]  # device id -> partition
    limits: Limits = LIMITS
    partitions: dict[int, World] = field(default_factory=dict)
    waiting: dict[int, list[Received]] = field(default_factory=lambda: defaultdict(list))
    said: list[Received] = field(default_factory=list)  # every message ever

    def __post_init__(self) -> None:
        for partition in set(self.homes.values()):
            self.partitions[partition] = World(self.limits, partition=partition)
            self.takeover(partition)

    def takeover(self, partition: int) -> None:
        world = self.partitions[partition]
        world.keeper = Partition(partition, world.values, self.home, self.limits)

    def home(self, key: bytes) -> int:
        return self.homes.get(key.decode(errors="replace"), 0)

    def holding(self, *devices: Device) -> "Net":
        for device in devices:
            self.partitions[self.homes[device.device_id]].holding(device)
        for partition in self.partitions:
            self.takeover(partition)
        return self

    def of(self, device_id: str) -> World:
        return self.partitions[self.homes[device_id]]

    def device(self, device_id: str) -> Device:
        return self.of(device_id).device(device_id)

    def batch(self, device_id: str, *inputs: Received) -> list[Outgoing]:
        """One batch of the partition where the device lives. Its messages are under way afterwards."""
        sent = self.of(device_id).batch(*inputs)
        for record in on(topics.DEVICE_MESSAGES, sent):
            assert record.partition == self.home(record.key), "not the receiver's partition"
            at = max((each.timestamp for each in inputs), default=NOON)
            message = raw(record.value, key=record.key, at=at, topic=topics.DEVICE_MESSAGES.name)
            self.waiting[self.home(record.key)].append(message)
            self.said.append(message)
        return sent

    def deliver(self, device_id: str) -> list[Outgoing]:
        """All that is under way to the partition of a device, as one batch."""
        partition = self.homes[device_id]
        messages, self.waiting[partition] = self.waiting[partition], []
        return self.batch(device_id, *messages) if messages else []

    def tick(self, at: int = NOON, **said: Any) -> list[Outgoing]:
        sent = []
        for partition in self.partitions:
            device_id = next(name for name, home in self.homes.items() if home == partition)
            sent += self.batch(device_id, tick(at, **said))
        return sent


def messages(sent: list[Outgoing]) -> list[DelegatedJob | DelegatedEnded]:
    return [codec.decode(record.value) for record in on(topics.DEVICE_MESSAGES, sent)]

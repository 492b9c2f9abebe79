"""Given, message, then: builders of inbox records, and a keeper with a broker made of dicts around it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from schemas import codec, topics
from schemas.partition import partition_of
from schemas.records import (
    CommandEnded,
    CommandHeader,
    DeviceRegistered,
    Ended,
    Job,
    JobAttempting,
    JobEnded,
    KeyKind,
    Notification,
    Registration,
    ResponseHeader,
    SealedKey,
    Security,
    Tick,
)
from streams.device.events import DeviceEvents
from streams.device.keeper import Partition, is_device_key
from streams.device.limits import Limits
from streams.device.state import Device, at_rest
from streams.device.wire import decode_device, decode_events, encode_device
from streams.keeper import Headers, Outgoing, Received

DEVICE = "TEST1024000000001"
NOON = 1_700_000_000_000
MINUTE = 60_000
REGISTRATION = Registration(
    device_type="SMART_METER_E",
    protocol="SMR",
    protocol_version="5.0.0",
    host="192.0.2.1",
    port=4059,
    client_id=1,
    logical_device=1,
    security=Security.HLS5,
    system_title=b"",
    keys=tuple(SealedKey(kind, b"sealed " + kind.encode()) for kind in list(KeyKind)[:3]),
    time_zone="UTC",
)
ADD_DEVICE: dict[str, Any] = {
    "device_type": "SMART_METER_E",
    "protocol": "SMR",
    "protocol_version": "5.0.0",
    "host": "192.0.2.1",
    "master_key": b"m" * 256,
    "authentication_key": b"a" * 256,
    "encryption_key": b"e" * 256,
}


def uid(number: int) -> str:
    return str(UUID(int=number))


def registered(device_id: str = DEVICE, **changes: Any) -> Device:
    """A device whose AddDevice is long done."""
    return replace(Device(device_id=device_id, version=3, registration=REGISTRATION, counter=100, jobs=1), **changes)


def command(
    number: int,
    *,
    device_id: str = DEVICE,
    operation: str = "SynchronizeTime",
    request: Mapping[str, Any] | None = None,
    key: bytes | None = None,
    headers: Headers = (),
    at: int = NOON,
    **header: Any,
) -> Received:
    """A record of `commands`; `header` overrides fields of the CommandHeader."""
    given = {"correlation_id": uid(number), "device_id": device_id, "created_at": at, **header}
    filled = request if request is not None else (ADD_DEVICE if operation == "AddDevice" else {"time_zone": "UTC"})
    value = codec.encode_command(operation, CommandHeader(**given), filled)
    return raw(value, key=device_id.encode() if key is None else key, headers=headers, at=at)


def raw(value: bytes, *, key: bytes, headers: Headers = (), at: int = NOON, topic: str = "") -> Received:
    return Received(topic or topics.COMMANDS.name, 0, 0, at, key, value, headers)


def tick(at: int, *, seed: int = 7, results_end: int = 0, messages_end: int = 0) -> Received:
    return raw(codec.encode(Tick(at, seed, results_end, messages_end)), key=b"", at=at, topic=topics.TICKS.name)


def ended(job: Job, *outcomes: CommandEnded, at: int = NOON, reached: bool = True, **changes: Any) -> Received:
    """The end of a job; without outcomes each command succeeded, AddDevice with the registration."""
    told = outcomes or tuple(succeeded(each.correlation_id, each.operation) for each in job.commands)
    record = JobEnded(job.device_id, job.number, "worker", at - 10, at, reached, job.counter_from, None, told)
    value = codec.encode(replace(record, **changes))
    return raw(value, key=job.device_id.encode(), at=at, topic=topics.JOB_RESULTS.name)


def succeeded(correlation_id: str, operation: str = "SynchronizeTime") -> CommandEnded:
    facts = (DeviceRegistered(REGISTRATION),) if operation == "AddDevice" else ()
    result = {"AddDevice": b"\x00", "SynchronizeTime": b""}.get(operation)  # no keys; no fields
    return CommandEnded(correlation_id, Ended.SUCCESSFUL, result=result, facts=facts)


def attempting(job: Job, correlation_id: str, at: int = NOON) -> Received:
    value = codec.encode(JobAttempting(job.device_id, job.number, correlation_id, at))
    return raw(value, key=job.device_id.encode(), at=at, topic=topics.JOB_RESULTS.name)


@dataclass
class World:
    """One partition: commits every batch at once, and keeps what was sent."""

    limits: Limits = field(default_factory=Limits)
    partitions: int = 1
    partition: int = 0
    values: dict[bytes, bytes] = field(default_factory=dict)
    sent: list[Outgoing] = field(default_factory=list)
    offsets: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.takeover()

    def takeover(self) -> None:
        """A new owner: all it knows is the table."""
        self.keeper = Partition(
            self.partition, self.values, lambda key: partition_of(key, self.partitions), self.limits
        )

    def holding(self, *devices: Device) -> "World":
        for device in devices:
            filled = replace(device, idle=at_rest(device))
            self.values[device.device_id.encode()] = encode_device(filled)
        self.takeover()
        return self

    def batch(self, *inputs: Received) -> list[Outgoing]:
        """Decide and commit inputs as one batch; what was sent because of them."""
        for received in inputs:
            offset = self.offsets[received.topic]
            self.offsets[received.topic] += 1
            self.keeper.receive(replace(received, offset=offset, partition=self.partition))
        records, changed = self.keeper.settle()
        for key, value in changed.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self.sent += records
        return records

    def device(self, device_id: str = DEVICE) -> Device:
        return decode_device(self.values[device_id.encode()])

    def devices(self) -> dict[bytes, Device]:
        return {key: decode_device(value) for key, value in self.values.items() if is_device_key(key)}


def on(topic: topics.Topic, records: Iterable[Outgoing]) -> list[Outgoing]:
    return [record for record in records if record.topic == topic.name]


def jobs(records: Iterable[Outgoing]) -> list[Job]:
    return [codec.decode(record.value) for record in on(topics.JOBS, records)]


def responses(records: Iterable[Outgoing]) -> list[ResponseHeader]:
    return [codec.decode_response(record.value)[0] for record in on(topics.RESPONSES, records)]


def notices(records: Iterable[Outgoing]) -> list[Notification]:
    return [codec.decode(record.value) for record in on(topics.NOTIFICATIONS, records)]


def log(records: Iterable[Outgoing]) -> list[DeviceEvents]:
    return [decode_events(record.value) for record in on(topics.DEVICE_EVENTS, records)]

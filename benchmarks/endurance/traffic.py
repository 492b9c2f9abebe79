"""Two hours of what upstreams ask: every operation there is, at a steady rate, drawn from a seed.

Beside plain commands: priorities, commands for later and commands that expire, commands that are sent twice or
cancelled, bundles, gas meters read through their gateways, requests that must be refused, and bytes that are no record
at all. What was asked is in `sent.jsonl` and `poison.jsonl` before it is sent, for the judge.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from confluent_kafka import Producer

from connectors.dlms.keys import PUBLIC_FILE, seal_for_platform
from connectors.faces.shipment import GoodLine, read
from connectors.faces.upstream import Upstream
from connectors.simulator.fleet import gas_meter_id
from operations import build_request, bundle
from schemas import codec, headers
from schemas.partition import PARTITIONER
from schemas.records import CommandHeader, Status
from schemas.topics import COMMANDS
from tests.e2e.world import World

WEIGHTS: Final = {
    "GetActualMeterReads": 22,
    "GetPeriodicMeterReads": 14,
    "GetActualMeterReadsGas": 12,
    "ClearAlarmRegister": 12,
    "SynchronizeTime": 10,
    "ReadAlarmRegister": 8,
    "GetSpecificAttributeValue": 8,
    "Bundle": 6,
    "SetDeviceLifecycleStatus": 4,
    "refused": 2,  # a request that no face would let through
    "poison": 2,  # no record of ours
}
"""Of a hundred commands."""
PRIORITISED, LATER, EXPIRING, BYPASSING, TWICE, CANCELLED = 0.3, 0.1, 0.05, 0.05, 0.05, 0.04
LATER_SECONDS: Final = (5, 120)
EXPIRY_SECONDS: Final = (2, 30)
AGAIN_SECONDS: Final = 60.0  # a command that was sent twice at once is sent a third time
NAME_OF_METER: Final = {"class_id": 1, "obis_code": "0-0:42.0.0.255", "attribute": 2}
NOBODY_HAS: Final = {"class_id": 999, "obis_code": "9.9.9.9.9.9", "attribute": 2}
MAY_NOT_BE_REPEATED: Final = ("ClearAlarmRegister",)


def day_of_profile(days: int) -> dict[str, Any]:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return {"period_type": "INTERVAL", "begin_date": end - timedelta(days=days), "end_date": end}


@dataclass(frozen=True, slots=True)
class Sending:
    """One record for `commands`. `statuses`: the outcomes it may have, if not those of its operation."""

    operation: str
    header: CommandHeader
    request: Any
    statuses: tuple[Status, ...] | None = None


@dataclass(slots=True)
class Traffic:
    """Composes and sends. `asked` holds the ids of the commands sent so far, those sent again counted once."""

    world: World
    random: Random
    producer: Producer
    asked: set[str] = field(default_factory=set)
    poisoned: int = 0
    refused: int = 0  # records the local client or the broker did not take: none should be
    _again: list[tuple[float, Sending]] = field(default_factory=list)

    def register(self, gas: bool) -> None:
        """Every electricity meter of the shipment, or every gas meter: those want their gateways known."""
        pem = (self.world.folder / "keys" / PUBLIC_FILE).read_bytes()
        for line in read(self.world.shipment, seal_plain=lambda secret: seal_for_platform(pem, secret)):
            if isinstance(line, GoodLine) and bool(line.request.gateway_id) is gas:
                self._send(Sending("AddDevice", self._header(line.device_id), line.request))
        self._flush()

    def ask(self, now: float) -> None:
        """One more command, with whatever belongs to it. `now`: seconds of the monotonic clock."""
        while self._again and self._again[0][0] <= now:
            self._produce(self._again.pop(0)[1])
        (kind,) = self.random.choices([*WEIGHTS], [*WEIGHTS.values()])
        if kind == "poison":
            self._poison()
            return
        sending = self._compose(kind)
        self._send(sending)
        if self._luck(TWICE):
            self._produce(sending)
            self._again.append((now + AGAIN_SECONDS, sending))
        if self._luck(CANCELLED):
            self._send(Sending("Cancel", self._header(sending.header.device_id), self._cancel(sending)))
        self.producer.poll(0)

    def flush(self) -> None:
        """What is still to be sent again is, and everything is with the broker."""
        for _, sending in self._again:
            self._produce(sending)
        self._again.clear()
        self._flush()

    def _flush(self) -> None:
        self.refused += self.producer.flush(60)

    def _luck(self, share: float) -> bool:
        return self.random.random() < share

    def _header(self, device_id: str, **options: Any) -> CommandHeader:
        return CommandHeader(str(uuid.uuid4()), device_id, Upstream.now(), requester="endurance", **options)

    def _cancel(self, sending: Sending) -> Any:
        return build_request("Cancel", {"correlation_id": sending.header.correlation_id})

    def _compose(self, kind: str) -> Sending:
        number = self.random.randint(1, self.world.fleet.meters)
        device_id = self.world.devices[number - 1]
        if kind == "refused":
            return Sending(
                "SynchronizeTime", self._header(device_id), {"time_zone": "Mars/Olympus"}, (Status.REJECTED,)
            )
        if kind == "GetActualMeterReadsGas":
            device_id = gas_meter_id(number, self.random.randint(1, self.world.fleet.gas_meters or 1))
        header = self._header(device_id)
        if self._luck(PRIORITISED):
            header = replace(header, priority=self.random.randint(0, 9))
        if self._luck(LATER):
            header = replace(header, scheduled_at=header.created_at + 1_000 * self.random.randint(*LATER_SECONDS))
        if self._luck(BYPASSING):
            header = replace(header, bypass_retry=True)
        statuses = None
        if kind not in MAY_NOT_BE_REPEATED and self._luck(EXPIRING):
            start = header.scheduled_at or header.created_at
            header = replace(header, expires_at=start + 1_000 * self.random.randint(*EXPIRY_SECONDS))
            statuses = (Status.SUCCESSFUL, Status.ERROR, Status.EXPIRED)
        return Sending(kind, header, build_request(kind, self._request(kind)), statuses)

    def _request(self, kind: str) -> dict[str, Any]:
        match kind:
            case "GetPeriodicMeterReads":
                return day_of_profile(self.random.choice((1, 1, 1, 7)))
            case "SynchronizeTime":
                return {"time_zone": "Europe/Amsterdam"}
            case "GetSpecificAttributeValue":
                return {"class_id": 8, "obis_code": "0-0:1.0.0.255", "attribute": 2}
            case "SetDeviceLifecycleStatus":
                return {"status": self.random.choice(("IN_USE", "REGISTERED"))}
            case "Bundle":
                several = [
                    {"SynchronizeTime": {"time_zone": "Europe/Amsterdam"}},
                    "GetActualMeterReads",
                    "ReadAlarmRegister",
                    {"GetSpecificAttributeValue": NAME_OF_METER},
                    {"GetSpecificAttributeValue": NOBODY_HAS},
                ]
                return {"actions": self.random.choices(several, k=self.random.randint(2, 8))}
            case _:
                return {}

    def _send(self, sending: Sending) -> None:
        header = sending.header
        said: dict[str, Any] = {
            "id": header.correlation_id,
            "device": header.device_id,
            "operation": sending.operation,
        }
        if sending.operation == "Cancel":
            said["cancels"] = sending.request.correlation_id
        if sending.operation == bundle.NAME:
            said["actions"] = [bundle.operation_of(action).name for action in sending.request.actions]
        if sending.statuses is not None:
            said["statuses"] = sending.statuses
        with self.world.sent_path.open("a", encoding="utf-8") as sent:
            sent.write(json.dumps(said) + "\n")
        self.asked.add(header.correlation_id)
        self._produce(sending)

    def _produce(self, sending: Sending) -> None:
        value = codec.encode_command(sending.operation, sending.header, sending.request)
        told: Any = [*headers.for_command(sending.operation, sending.header)]
        self._hand_over(value, sending.header.device_id, told)

    def _poison(self) -> None:
        """No two alike, so that each can be told among the dead letters."""
        name = uuid.uuid4().bytes
        value = self.random.choice((b"\xc3\x01" + name, b"{'operation': '" + name, b"\x00" + name * 40))
        with (self.world.folder / "poison.jsonl").open("a", encoding="utf-8") as poison:
            poison.write(json.dumps({"topic": COMMANDS.name, "value": value.hex()}) + "\n")
        self.poisoned += 1
        self._hand_over(value, self.random.choice(self.world.devices), [])

    def _hand_over(self, value: bytes, key: str, told: Any) -> None:
        def delivered(error: object, _: object) -> None:
            self.refused += error is not None

        self.producer.produce(COMMANDS.name, value, key, headers=told, on_delivery=delivered)


@contextmanager
def traffic(world: World, seed: int) -> Iterator[Traffic]:
    producer = Producer(
        {
            "bootstrap.servers": world.kafka,
            "partitioner": PARTITIONER,
            "enable.idempotence": True,
            "linger.ms": 5,
            "delivery.timeout.ms": 300_000,
            "log_level": 2,
        }
    )
    yield Traffic(world, Random(seed), producer)

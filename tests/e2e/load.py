"""What an upstream asks of a whole fleet while roles die: operations of every kind, some commands twice, and a list of
what was asked that survives as well (`sent.jsonl`, for the judge).
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from connectors.dlms.keys import PUBLIC_FILE, seal_for_platform
from connectors.faces.shipment import GoodLine, read
from connectors.faces.upstream import NotDelivered, Upstream
from connectors.simulator.fleet import gas_meter_id
from operations import bundle
from schemas import codec
from schemas.topics import RESPONSES
from tests.e2e.world import World, until

CLEAR: Final = "ClearAlarmRegister"
GAS: Final = "GetActualMeterReadsGas"
AGAIN: Final = 10  # every so many commands one is sent twice at once, and a third time with the next wave
CANCELLED: Final = 11  # every so many commands one is cancelled by another
FAULTS: Final = "stall=0.03,drop=0.05,wrong-tag=0.05,refuse=0.05,lost-answer=0.12"
"""What befalls connections to the meters: three in ten."""
WORKER: Final = {"METERLOG_ANSWER_SECONDS": "3", "METERLOG_CONNECT_SECONDS": "3", "METERLOG_COUNTER_SECONDS": "0.2"}
TIMES: Final = {  # a job that is lost is judged after 18 seconds instead of minutes
    "METERLOG_STREAMS_OPERATION_SECONDS": "10",
    "METERLOG_STREAMS_CONNECT_SECONDS": "5",
    "METERLOG_STREAMS_GRACE_SECONDS": "3",
    "METERLOG_STREAMS_RETRY_SECONDS": "1",
    "METERLOG_STREAMS_ATTEMPTS": "6",
}
SINK: Final = {"METERLOG_SINK_SECONDS": "0.3"}


def mix() -> list[tuple[str, dict[str, Any]]]:
    """Operations and their requests, in turn, but for AddDevice and Cancel: two of ten may not be repeated, nor may one
    of a bundle's actions. The bundle holds a refusal of the meter as well.
    """
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    day = {"period_type": "INTERVAL", "begin_date": end - timedelta(days=1), "end_date": end}
    together: list[Any] = [
        "ReadAlarmRegister",
        {"SynchronizeTime": {"time_zone": "Europe/Amsterdam"}},
        CLEAR,
        "GetActualMeterReads",
        {"GetSpecificAttributeValue": {"class_id": 999, "obis_code": "9.9.9.9.9.9", "attribute": 2}},
        {"GetPeriodicMeterReads": day},
    ]
    return [
        (CLEAR, {}),
        ("GetActualMeterReads", {}),
        ("GetPeriodicMeterReads", day),
        (GAS, {}),
        (bundle.NAME, {"actions": together}),
        ("SynchronizeTime", {"time_zone": "Europe/Amsterdam"}),
        (CLEAR, {}),
        ("ReadAlarmRegister", {}),
        ("GetSpecificAttributeValue", {"class_id": 8, "obis_code": "0-0:1.0.0.255", "attribute": 2}),
        ("SetDeviceLifecycleStatus", {"status": "IN_USE"}),
    ]


class Command(NamedTuple):
    """What is asked of a device."""

    correlation_id: str
    device_id: str
    operation: str
    request: Any


@dataclass(slots=True)
class Heard:
    """Every answer so far, through any death of the broker."""

    consumer: Consumer
    done: set[str] = field(default_factory=set)

    def listen(self) -> set[str]:
        """The commands that have an outcome."""
        for message in self.consumer.consume(1_000, 0.2):
            value: Any = message.value()
            if message.error() is None and value is not None:
                header, _ = codec.decode_response(value)
                self.done.add(header.correlation_id)
        return self.done


@contextmanager
def hearing(kafka: str) -> Iterator[Heard]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"e2e-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "log_level": 2,  # that the broker is away is what is meant to happen
        }
    )
    try:
        partitions = consumer.list_topics(RESPONSES.name, 30).topics[RESPONSES.name].partitions
        consumer.assign([TopicPartition(RESPONSES.name, partition, 0) for partition in partitions])
        yield Heard(consumer)
    finally:
        consumer.close()


@dataclass(slots=True)
class Load:
    """Commands to every meter of a world, in turn; what is asked of a gas meter goes to the one on channel 1."""

    world: World
    upstream: Upstream
    heard: Heard
    asked: set[str] = field(default_factory=set)
    _requests: list[tuple[str, dict[str, Any]]] = field(default_factory=mix)
    _place: int = 0
    _again: list[Command] = field(default_factory=list)

    def register(self) -> None:
        """Every meter of the shipment, and wait for it."""
        self.ask_to_register()
        self.settle(300)

    def ask_to_register(self) -> None:
        """Every meter of the shipment."""
        pem = (self.world.folder / "keys" / PUBLIC_FILE).read_bytes()
        lines = [*read(self.world.shipment, seal_plain=lambda secret: seal_for_platform(pem, secret))]
        good = [line for line in lines if isinstance(line, GoodLine)]
        self.send([Command(str(uuid.uuid4()), line.device_id, "AddDevice", line.request) for line in good])

    def wave(self, commands: int) -> set[str]:
        """Send what `compose` gives; the ids of what is new in it."""
        before, wave = self._again, self.compose(commands)
        self.send([*before, *wave])
        return {command.correlation_id for command in wave}

    def compose(self, commands: int) -> list[Command]:
        """So many commands, to one meter after the other, some of them twice, and some cancelled by others."""
        devices, wave, again = self.world.devices, list[Command](), list[Command]()
        for place in range(self._place, self._place + commands):
            device_id = devices[place % len(devices)]
            operation, request = self._requests[(place + place // len(devices)) % len(self._requests)]
            if operation == GAS:
                device_id = gas_meter_id(1 + place % len(devices), 1)
            command = Command(str(uuid.uuid4()), device_id, operation, request)
            wave.append(command)
            if place % CANCELLED == 0:
                cancelled = {"correlation_id": command.correlation_id}
                wave.append(Command(str(uuid.uuid4()), device_id, "Cancel", cancelled))
            if place % AGAIN == 0:
                wave.append(command)
                again.append(command)
        self._place, self._again = self._place + commands, again
        return wave

    def left(self) -> set[str]:
        """What has no outcome yet."""
        return self.asked - self.heard.listen()

    def settle(self, seconds: float) -> None:
        """Until every command has its outcome."""
        until(lambda: not self.left(), seconds, "an outcome of every command")

    def note(self, wave: Iterable[Command]) -> None:
        """Write down what is asked, before it is: the judge wants an outcome of each."""
        with self.world.sent_path.open("a", encoding="utf-8") as sent:
            for correlation_id, device_id, operation, request in wave:
                said: dict[str, Any] = {"id": correlation_id, "device": device_id, "operation": operation}
                if operation == "Cancel":
                    said["cancels"] = request["correlation_id"]
                if operation == bundle.NAME:
                    said["actions"] = [
                        each if isinstance(each, str) else next(iter(each)) for each in request["actions"]
                    ]
                sent.write(json.dumps(said) + "\n")
                self.asked.add(correlation_id)

    def offer(self, wave: Sequence[Command]) -> bool:
        """Send it; whether the broker took all of it. What was not taken may be sent again, under the same ids."""
        self.note(wave)
        return self._taken(wave)

    def send(self, wave: Sequence[Command]) -> None:
        """As an upstream does: what a broker that is away too long did not take is sent again, under the same ids."""
        self.note(wave)
        until(lambda: self._taken(wave), 300, "the broker takes commands")

    def _taken(self, wave: Sequence[Command]) -> bool:
        for correlation_id, device_id, operation, request in wave:
            self.upstream.send(operation, device_id, request, correlation_id=correlation_id)
        try:
            self.upstream.flush()
        except NotDelivered:
            return False
        return True


@contextmanager
def loading(world: World) -> Iterator[Load]:
    with world.upstream() as upstream, hearing(world.kafka) as heard:
        yield Load(world, upstream, heard)

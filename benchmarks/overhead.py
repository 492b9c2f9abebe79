"""What Meterlog adds to one command besides the meter, on an idle system.

    python -m benchmarks.overhead [--commands 200] [--meters 40]

Real parts: a broker, the streams role, the DLMS worker, a fleet of simulated meters (HLS5, ciphered). One command at a
time, GetActualMeterReads of one meter after another, after a pause of random length, so that no phase of a tick or a
poll is favoured. Overhead is the time from handing the command to the producer until the response is in the caller's
hands, less the time from the job's start in the worker to its end (connection, association, answers, release), as
`JobEnded` tells it. It includes the producer, Kafka, decisions, transactions, the dispatch and the caller's consumer;
it does not include waiting behind other commands, or replication to other brokers. Where it goes is told by the append
times of the records on the way, all by one machine's clock.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Consumer, Producer

from benchmarks.figures import Figure, tell
from benchmarks.stand import at_end, broker, conditions
from connectors.dlms.keys import generate
from connectors.simulator.fleet import FleetSettings, identity, write_shipment
from infra.embedded.ports import free_port
from infra.embedded.process import Process, run_task
from infra.embedded.roles import CLI, DLMS_WORKER, SIMULATOR, STREAMS, Task
from schemas import codec, headers, topics
from schemas.partition import PARTITIONER
from schemas.records import CommandHeader, JobEnded, ResponseHeader, Status

OPERATION: Final = "GetActualMeterReads"
WATCHED: Final = (topics.COMMANDS, topics.JOBS, topics.JOB_RESULTS, topics.RESPONSES)
WARMING: Final = 10
PAUSE: Final = (0.1, 0.5)  # seconds between two commands
PATIENCE: Final = 30.0
ASKED: Final = 250.0
SLOWEST: Final = 5
HOPS: Final = (
    "asked -> on commands",
    "commands -> jobs (decide, dispatch)",
    "jobs -> started (take, commit)",
    "ended -> on job-results",
    "job-results -> responses (settle)",
    "responses -> received (commit, fetch)",
)


@dataclass(frozen=True, slots=True)
class Told:
    """One command, all in milliseconds: in all, at the meter, and the hops besides it."""

    total: float
    meter: float
    hops: tuple[float, ...]

    @property
    def overhead(self) -> float:
        return self.total - self.meter


@dataclass(frozen=True, slots=True)
class System:
    """Everything but ClickHouse, with a registered fleet."""

    bootstrap: str
    folder: Path
    fleet: FleetSettings
    devices: list[str]
    simulator: Process


@contextmanager
def system(meters: int, **told: str) -> Iterator[System]:
    """Start and stop it all. `told`: further environment of the roles."""
    fleet = FleetSettings(meters=meters)
    with broker() as (bootstrap, folder), ExitStack() as ending:
        port, keys, logs = free_port(), folder / "keys", folder / "logs"
        generate(keys)
        write_shipment(folder / "shipment.csv", fleet, port)
        environment = {"METERLOG_KAFKA": bootstrap, "METERLOG_DATA": str(folder), "METERLOG_KEYS": str(keys), **told}
        world = {"METERLOG_SIMULATOR_METERS": str(meters), "METERLOG_SIMULATOR_PORT": str(port)}
        world["METERLOG_SIMULATOR_LEDGER"] = str(folder / "ledger.jsonl")
        roles = [replace(SIMULATOR, environment=world, probe=False), STREAMS, DLMS_WORKER]
        processes = [Process(role, environment, folder, logs) for role in roles]
        for process in processes:
            ending.callback(process.stop)
            process.start()
        for process in processes:
            process.wait_ready()
        _import(folder, environment, logs)
        devices = [identity(fleet, number).device_id for number in range(1, meters + 1)]
        yield System(bootstrap, folder, fleet, devices, processes[0])


def _import(folder: Path, environment: dict[str, str], logs: Path) -> None:
    argv = (*CLI, "devices", "import", "--plain-keys", str(folder / "shipment.csv"))
    run_task(Task("import", argv, 120.0), environment, folder, logs)


class Caller:
    """An upstream system that sends one command and waits, reading all hops as they become visible to it."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": PARTITIONER, "linger.ms": 0})
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"bench-{uuid4()}", "enable.auto.commit": False}
        )
        at_end(self._consumer, [topic.name for topic in WATCHED])

    def ask(self, device: str) -> Told:
        """Raises SystemExit when there is no answer, or not a good one."""
        header = CommandHeader(str(uuid4()), device, time.time_ns() // 1_000_000, requester="bench")
        value = codec.encode_command(OPERATION, header, {})
        told: Any = headers.for_command(OPERATION, header)
        began = time.time_ns() / 1e6
        self._producer.produce(topics.COMMANDS.name, value, device, headers=told)
        self._producer.poll(0)
        at: dict[str, float] = {}
        ended: JobEnded | None = None
        until = time.monotonic() + PATIENCE
        while not (ended and len(at) == len(WATCHED)):
            if time.monotonic() > until:
                raise SystemExit(f"{device}: no answer in {PATIENCE:.0f} s; seen so far: {sorted(at)}")
            message = self._consumer.poll(0.5)
            if message is None or message.error() is not None or message.key() != device.encode():
                continue
            now, topic, body = time.time_ns() / 1e6, message.topic(), message.value()
            assert topic is not None and isinstance(body, bytes)
            at[topic] = message.timestamp()[1]
            if topic == topics.RESPONSES.name:
                received = now
                _good(codec.decode_response(body)[0], header.correlation_id)
            elif topic == topics.JOB_RESULTS.name:
                ended = codec.decode(body)
        asked, job, result, response = (at[topic.name] for topic in WATCHED)
        hops = (asked - began, job - asked, ended.started_at - job, result - ended.ended_at, response - result)
        return Told(received - began, ended.ended_at - ended.started_at, (*hops, received - response))

    def close(self) -> None:
        self._consumer.close()


def _good(response: ResponseHeader, correlation_id: str) -> None:
    if response.correlation_id != correlation_id or response.status is not Status.SUCCESSFUL:
        raise SystemExit(f"{response.device_id}: {response.status} {response.fault}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--meters", type=int, default=40)
    options = parser.parse_args()
    random = Random(4)
    found: list[Told] = []
    with system(options.meters) as running:
        caller = Caller(running.bootstrap)
        for number in range(WARMING + options.commands):
            time.sleep(random.uniform(*PAUSE))
            told = caller.ask(running.devices[number % len(running.devices)])
            if number >= WARMING:
                found.append(told)
        caller.close()
        report(found)


def report(found: Sequence[Told]) -> None:
    """Percentiles, in all and by hop."""
    print(f"{len(found)} commands, one at a time; milliseconds; {conditions()}")
    print(f"{'':40}{'p50':>8}{'p99':>8}{'most':>8}")
    lines = {"in all": [each.total for each in found], "at the meter": [each.meter for each in found]}
    overhead = lines["overhead"] = [each.overhead for each in found]
    for place, name in enumerate(HOPS):
        lines[f"  {name}"] = [each.hops[place] for each in found]
    for name, values in lines.items():
        print(f"{name:40}{statistics.median(values):8.0f}{percentile(values, 0.99):8.0f}{max(values):8.0f}")
    print("the slowest, by the same hops:")
    for each in sorted(found, key=lambda told: told.overhead)[-SLOWEST:]:
        print(f"{each.overhead:14.0f} = " + " + ".join(f"{hop:.0f}" for hop in each.hops))
    p50, p99 = statistics.median(overhead), percentile(overhead, 0.99)
    tell(
        Figure(name="overhead of a command besides the meter, p50", unit="ms", ours=p50),
        Figure(name="overhead of a command besides the meter, p99", unit="ms", ours=p99, asked=ASKED, at_most=True),
    )


if __name__ == "__main__":
    main()

"""What dead meters cost the others: a fleet that answers, alone and beside a tenth of meters that do not.

    python -m benchmarks.dead [--meters 300] [--rounds 3]

Real parts: broker, streams role, DLMS worker, simulator. Half of the dead refuse the connection, half take it and never
answer. There are few slots, so that the dead could fill a good part of them. In each round every good meter is asked
three times at once; beside the dead, each of those is asked as well, before. Rounds alternate, and each begins when
every command of the last one, of the dead too, has its outcome. The first round beside them is told apart: nobody knows
yet that they are dead. Rate: answers of good meters a second; latency: from the command's append to the response's.
"""

import argparse
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import Consumer

from benchmarks.figures import Figure, tell
from benchmarks.overhead import System, percentile, system
from benchmarks.stand import at_end, conditions
from connectors.dlms.keys import PUBLIC_FILE, seal_for_platform
from connectors.faces.shipment import GoodLine, read
from connectors.faces.upstream import Upstream
from connectors.simulator.fleet import write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from schemas import codec, topics
from schemas.records import ResponseHeader, Status

OPERATION: Final = "GetActualMeterReads"
EACH: Final = 3  # commands to a good meter
SHARE: Final = 0.1  # of all meters are dead
PATIENCE: Final = 120.0
ASKED: Final = 0.9
TOLD: Final = {
    "METERLOG_STREAMS_SLOTS": "20",  # a partition
    "METERLOG_ANSWER_SECONDS": "5",
    "METERLOG_STREAMS_RETRY_SECONDS": "1",
}


@dataclass(frozen=True, slots=True)
class Round:
    """Answers a second of good meters, and their latency in milliseconds, sorted."""

    rate: float
    latencies: list[float]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes every connection and never says a word."""
    held: list[socket.socket] = []
    with socket.create_server((LOOPBACK, 0), backlog=1_024) as server:

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for each in held:
        each.close()


def register_dead(running: System, upstream: Upstream, count: int, hole: int) -> list[str]:
    """Devices beyond the fleet's, half at a closed port, half at the black hole."""
    path, good = running.folder / "dead.csv", running.fleet.meters
    write_shipment(path, replace(running.fleet, meters=good + count), free_port())
    pem = (running.folder / "keys" / PUBLIC_FILE).read_bytes()
    lines = [line for line in read(path, seal_plain=lambda secret: seal_for_platform(pem, secret))]
    dead = [line for line in lines if isinstance(line, GoodLine)][good:]
    asked = set()
    for number, line in enumerate(dead):
        request: Any = replace(line.request, port=hole) if number % 2 else line.request
        asked.add(upstream.send("AddDevice", line.device_id, request))
    upstream.flush()
    for response in upstream.responses(PATIENCE):
        asked.discard(response.header.correlation_id)
        if not asked:
            break
    return [line.device_id for line in dead]


def ask(running: System, upstream: Upstream, dead: Sequence[str]) -> Round:
    """One round, to its last outcome. Raises SystemExit when a good meter was not read."""
    consumer = Consumer(
        {"bootstrap.servers": running.bootstrap, "group.id": f"bench-{uuid.uuid4()}", "enable.auto.commit": False}
    )
    at_end(consumer, [topics.COMMANDS.name, topics.RESPONSES.name])
    silent = {upstream.send(OPERATION, device, {}) for device in dead}
    good = {upstream.send(OPERATION, device, {}) for _ in range(EACH) for device in running.devices}
    upstream.flush()
    sent: dict[str, int] = {}
    answered: dict[str, int] = {}
    waiting = good | silent
    until = time.monotonic() + PATIENCE
    while waiting:
        messages = consumer.consume(500, timeout=0.1)
        if messages:
            until = time.monotonic() + PATIENCE
        elif time.monotonic() > until:
            raise SystemExit(f"{len(waiting)} commands without an outcome, and nothing for {PATIENCE:.0f} s")
        for message in messages:
            value, stamp = message.value(), message.timestamp()[1]
            if message.error() is not None or not isinstance(value, bytes):
                continue
            if message.topic() == topics.COMMANDS.name:
                sent[codec.decode_command(value).header.correlation_id] = stamp
                continue
            header: ResponseHeader = codec.decode_response(value)[0]
            waiting.discard(header.correlation_id)
            answered[header.correlation_id] = stamp
            if (header.correlation_id in good) is not (header.status is Status.SUCCESSFUL):
                raise SystemExit(f"{header.device_id}: {header.status} {header.fault}")
    consumer.close()
    began, last = min(sent[name] for name in good), max(answered[name] for name in good)
    return Round(1_000 * len(good) / (last - began), sorted(float(answered[name] - sent[name]) for name in good))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Round]] = {"alone": [], "beside": []}
    with (
        black_hole() as hole,
        system(options.meters, **TOLD) as running,
        Upstream(running.bootstrap, requester="bench") as upstream,
    ):
        dead = register_dead(running, upstream, round(options.meters * SHARE / (1 - SHARE)), hole)
        ask(running, upstream, [])  # warm
        first = ask(running, upstream, dead)
        show("first contact", first)
        for number in range(options.rounds):
            for name in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
                found[name].append(ask(running, upstream, dead if name == "beside" else []))
                show(name, found[name][-1])
    alone, beside = (statistics.median(each.rate for each in found[name]) for name in ("alone", "beside"))
    tails = {name: statistics.median(percentile(each.latencies, 0.99) for each in found[name]) for name in found}
    print(f"{options.meters} good meters, {len(dead)} dead; {conditions()}; medians of {options.rounds} rounds")
    print(f"rate {beside:,.0f}/s beside, {alone:,.0f}/s alone: {beside / alone:.2f}x")
    tell(
        Figure(
            name="commands to meters that answer, beside a tenth that do not",
            unit="1/s",
            ours=beside,
            peer=alone,
            peer_name="none of those",
            asked=ASKED,
            remark=f"p99 {tails['beside']:,.0f} ms and {tails['alone']:,.0f} ms; {first.rate:,.0f}/s at first contact",
        )
    )


def show(name: str, found: Round) -> None:
    p50, p99 = percentile(found.latencies, 0.5), percentile(found.latencies, 0.99)
    print(f"  {name:14}{found.rate:7,.0f} commands/s, latency {p50:,.0f} ms p50, {p99:,.0f} ms p99", flush=True)


if __name__ == "__main__":
    main()

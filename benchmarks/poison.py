"""What poison costs: throughput with one bad record to ninety-nine good ones on every input topic, beside none.

    python -m benchmarks.poison [--commands 20000] [--records 40000] [--rounds 5]

Poison is, in turn: bytes that are nothing, an unknown schema, a record that is cut off, a record that belongs nowhere,
no value, another device's key, and 300 KiB. Nobody can be asked about any of it but the last but one, which is answered
Rejected where it is a command; each of the others is a dead letter.

- **streams**: as `benchmarks.streams`, poison among the commands, and as many records of it on each of the other inbox
  topics (job-results, device-messages, ticks), there before the role starts. The rate is that of good commands.
- **worker**: jobs of meters whose address nobody listens at, straight to the topic of jobs, poison among them; what is
  measured is the taking and telling of jobs, with no meter's time in it. The rate is that of ends of jobs.
- **sink**: as `benchmarks.sink`, poison among the records of reads. The rate is that of rows stored.

Rounds alternate between clean and poisoned, on the same servers; ratios are of medians.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

from benchmarks.figures import Figure, tell
from benchmarks.order import Listener
from benchmarks.sink import ROWS, TOPIC, Bench, reads, servers
from benchmarks.stand import broker, conditions, fill, name_of, registration
from benchmarks.streams import OPERATION, SETTLED, commands, played_worker, send, through_role
from connectors.dlms.keys import generate
from infra.embedded.process import Process
from infra.embedded.roles import DLMS_WORKER
from schemas import codec, topics
from schemas.records import CommandHeader, Job, JobCommand, LargeResult, Tick

SHARE: Final = 100  # one in so many
LARGE: Final = 300 * 1024
ASKED: Final = 0.9
POISONED: Final = "bench.poisoned"
_Record = tuple[bytes, bytes, list[tuple[str, Any]]]


def poison(device: bytes, number: int) -> _Record:
    """The n-th bad record, with a device's key where it has that."""
    another = codec.encode_command(OPERATION, CommandHeader("", name_of(0), 0), {"time_zone": "UTC"})
    kinds: list[tuple[bytes, bytes]] = [
        (device, b"poison"),
        (device, b"\xc3\x01" + bytes(8) + b"of a schema that nobody knows"),
        (device, codec.encode(Tick(1, 2, 3))[:-1]),
        (device, codec.encode(LargeResult("", "", "", b""))),
        (device, b""),
        (b"\xff" + device, another),
        (device, bytes(LARGE)),
    ]
    key, value = kinds[number % len(kinds)]
    return key, value, []


def mixed(records: Iterable[_Record]) -> Iterator[_Record]:
    """Poison after every 99 good ones."""
    for number, record in enumerate(records, start=1):
        yield record
        if number % (SHARE - 1) == 0:
            yield poison(record[0], number // (SHARE - 1))


def through_streams(bootstrap: str, folder: Path, count: int, poisoned: bool) -> float:
    records = commands(count)
    if not poisoned:
        return through_role(bootstrap, folder, records, {}, count).rate
    for topic in topics.DEVICE_INBOX:
        if topic is not topics.COMMANDS:
            bad = [poison(name_of(number).encode(), number) for number in range(count // SHARE)]
            send(bootstrap, topic.name, bad)
    return through_role(bootstrap, folder, list(mixed(records)), {}, count).rate


def jobs(count: int) -> Iterator[_Record]:
    """Jobs of one command each, at an address nobody listens at: port 1 of this machine."""
    meter = registration(Random(3))
    told = {name: getattr(meter, name) for name in type(meter).__slots__}
    closed = type(meter)(**{**told, "host": "127.0.0.1", "port": 1, "security": type(meter.security).NONE})
    deadline = int((time.time() + 3_600) * 1_000)
    for number in range(count):
        name, device = str(uuid4()), name_of(number)
        command = codec.encode_command(OPERATION, CommandHeader(name, device, deadline), {"time_zone": "UTC"})
        job = Job(device, 1, deadline, 1, 100, closed, (JobCommand(name, OPERATION, 1, command),))
        yield device.encode(), codec.encode(job), []


def through_worker(bootstrap: str, folder: Path, count: int, poisoned: bool) -> float:
    """Ends of jobs a second: of the last nine tenths, by append times."""
    told = {"METERLOG_KAFKA": bootstrap, "METERLOG_DATA": str(folder), "METERLOG_KEYS": str(folder / "keys")}
    results = Listener(bootstrap, topics.JOB_RESULTS.name)
    send(bootstrap, topics.JOBS.name, list(mixed(jobs(count)) if poisoned else jobs(count)))
    worker = Process(DLMS_WORKER, told, folder, folder / "logs")
    try:
        worker.start()
        stamps = sorted(message.timestamp()[1] for message in results.take(count))
    finally:
        worker.stop()
    return 1_000 * (count - count // 10) / max(1, stamps[-1] - stamps[count // 10])


def through_sink(bench: Bench, poisoned: bool) -> float:
    return len(bench.records) * ROWS / bench.sink(POISONED if poisoned else TOPIC).wall


def report(what: str, unit: str, found: dict[bool, list[float]]) -> None:
    clean, poisoned = statistics.median(found[False]), statistics.median(found[True])
    print(f"{what}: {poisoned:,.0f}/s with poison, {clean:,.0f}/s without: {poisoned / clean:.2f}x; {conditions()}")
    tell(
        Figure(
            name=f"{what}, 1 % poison",
            unit=unit,
            ours=poisoned,
            peer=clean,
            peer_name="none",
            asked=ASKED,
        )
    )


def order(rounds: int) -> Sequence[bool]:
    """Clean and poisoned in turn, each first as often as the other."""
    return [poisoned for number in range(rounds) for poisoned in ((False, True) if number % 2 == 0 else (True, False))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("streams", "worker", "sink"))
    options = parser.parse_args()
    if options.only in (None, "streams", "worker"):
        with broker() as (bootstrap, folder):
            generate(folder / "keys")
            if options.only != "worker":
                with played_worker(bootstrap):
                    fill(bootstrap, options.commands, SETTLED)
                    through: dict[bool, list[float]] = {False: [], True: []}
                    for poisoned in order(options.rounds):
                        through[poisoned].append(through_streams(bootstrap, folder, options.commands, poisoned))
                        print(
                            f"  streams {'poisoned' if poisoned else 'clean':9}{through[poisoned][-1]:9,.0f}/s",
                            flush=True,
                        )
                    report("commands through the streams", "1/s", through)
            if options.only != "streams":
                through = {False: [], True: []}
                for poisoned in order(options.rounds):
                    through[poisoned].append(through_worker(bootstrap, folder, options.commands // 4, poisoned))
                    print(
                        f"  worker {'poisoned' if poisoned else 'clean':10}{through[poisoned][-1]:9,.0f}/s", flush=True
                    )
                report("jobs through the worker, no meter", "1/s", through)
    if options.only in (None, "sink"):
        with servers() as (kafka, engine):
            bench = Bench(kafka, engine, reads(options.records))
            good: Iterator[_Record] = ((read.device_id.encode(), codec.encode(read), []) for read in bench.records)
            bench.counts[POISONED] = bench.produce(POISONED, ((key, value) for key, value, _ in mixed(good)))
            rows: dict[bool, list[float]] = {False: [], True: []}
            bench.sink()  # warm
            for poisoned in order(options.rounds):
                rows[poisoned].append(through_sink(bench, poisoned))
                print(f"  sink {'poisoned' if poisoned else 'clean':12}{rows[poisoned][-1]:11,.0f} rows/s", flush=True)
            report("sink rows", "1/s", rows)


if __name__ == "__main__":
    main()

"""Order under load: how late scheduled commands leave, and how fast what is due at one instant drains.

    python -m benchmarks.order [--commands 20000] [--due 100000] [--seconds 20]

The streams role as it is shipped, every command on a registered device of its own, its worker played by a process that
answers every job at once, as in `benchmarks.streams`. Three runs on one broker:

- **rate**: `--commands` that wait when the role starts, due at once: the measured rate, responses a second;
- **lateness**: commands whose times lie evenly over `--seconds`, half of that rate, accepted before the first is due;
  lateness is the append time of the job less the scheduled time;
- **drain**: `--due` commands of priorities 0 to 9, accepted before the one instant they are all due at. Its rate counts
  from that instant to the last response. The order is judged as well: in no partition may a job be followed by one of
  a higher priority, whatever the slots are; a breach ends the run with an error.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, Message

from benchmarks.figures import Figure, tell
from benchmarks.overhead import percentile
from benchmarks.stand import PARTITIONS, Streams, at_end, broker, conditions, fill, name_of
from benchmarks.streams import OPERATION, PATIENCE, SETTLED, commands, played_worker, send, through_role
from schemas import codec, headers, topics
from schemas.records import CommandHeader, Job

ACCEPTED: Final = "meterlog_devices_accepted_total"
SHARE: Final = 0.5  # of the measured rate that is due meanwhile
LATEST_MS: Final = 1_000.0
DRAIN_ASKED: Final = 1.0
QUIET: Final = 3.0  # seconds between the last acceptance and the first due time, at least


class Listener:
    """What comes on a topic from its present end on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bench-{uuid4()}",
                "enable.auto.commit": False,
                "check.crcs": False,
                "fetch.wait.max.ms": 100,
            }
        )
        at_end(self._consumer, [topic])

    def take(self, count: int) -> list[Message]:
        """So many records. Raises SystemExit when nothing comes for PATIENCE seconds."""
        found: list[Message] = []
        until = time.monotonic() + PATIENCE
        while len(found) < count:
            came = [message for message in self._consumer.consume(2_000, timeout=0.1) if message.error() is None]
            found += came
            if came:
                until = time.monotonic() + PATIENCE
            elif time.monotonic() > until:
                raise SystemExit(f"{self._topic}: {len(found)} of {count}, and nothing for {PATIENCE:.0f} s")
        self._consumer.close()
        return found


def scheduled(count: int, due: Callable[[int], int]) -> Iterator[tuple[bytes, bytes, list[tuple[str, object]]]]:
    """Commands for one device after the other, of all priorities in turn, at the times given."""
    now = time.time_ns() // 1_000_000
    for number in range(count):
        header = CommandHeader(str(uuid4()), name_of(number), now, number % 10, due(number), requester="night")
        value = codec.encode_command(OPERATION, header, {"time_zone": "Europe/Amsterdam"})
        yield name_of(number).encode(), value, [*headers.for_command(OPERATION, header)]


def accepted(streams: Streams, bootstrap: str, count: int, due: Callable[[int], int], first: int) -> None:
    """Send commands and wait until each is accepted. Raises SystemExit when that was not before the first is due."""
    before = streams.metrics()[ACCEPTED]
    send(bootstrap, topics.COMMANDS.name, list(scheduled(count, due)))
    until = time.monotonic() + PATIENCE
    while streams.metrics()[ACCEPTED] < before + count:
        if time.monotonic() > until:
            raise SystemExit(f"not every command was accepted within {PATIENCE:.0f} s")
        time.sleep(0.2)
    if time.time() * 1_000 > first:
        raise SystemExit("the first command was due before the last was accepted: the machine is too busy")


def lateness(streams: Streams, bootstrap: str, count: int, seconds: float, lead: float) -> list[float]:
    """Milliseconds that each job of an even schedule came after its time, sorted."""
    first = int((time.time() + lead) * 1_000)
    jobs = Listener(bootstrap, topics.JOBS.name)
    answers = Listener(bootstrap, topics.RESPONSES.name)
    accepted(streams, bootstrap, count, lambda number: first + int(1_000 * seconds * number / count), first)
    found = []
    for message in jobs.take(count):
        job = job_of(message)
        (command,) = job.commands
        at = codec.decode_command(command.command).header.scheduled_at
        assert at is not None
        found.append(float(message.timestamp()[1] - at))
    answers.take(count)
    return sorted(found)


def drain(streams: Streams, bootstrap: str, count: int, lead: float) -> float:
    """Responses a second, from the instant at which all are due to the last. Raises SystemExit when a job overtook."""
    due = int((time.time() + lead) * 1_000)
    jobs = Listener(bootstrap, topics.JOBS.name)
    answers = Listener(bootstrap, topics.RESPONSES.name)
    accepted(streams, bootstrap, count, lambda _: due, due)
    last = max(message.timestamp()[1] for message in answers.take(count))
    judge_order(jobs.take(count))
    return count / (last - due) * 1_000


def judge_order(messages: Sequence[Message]) -> None:
    """Raises SystemExit when a job is followed, in its partition, by one of a higher priority."""
    lowest: dict[int | None, int] = {}
    for message in messages:
        (command,) = job_of(message).commands
        priority, partition = codec.decode_command(command.command).header.priority, message.partition()
        if priority > lowest.get(partition, 9):
            raise SystemExit(
                f"partition {partition}, offset {message.offset()}: priority {priority} after {lowest[partition]}"
            )
        lowest[partition] = priority
    assert len(lowest) == PARTITIONS


def job_of(message: Message) -> Job:
    value = message.value()
    assert isinstance(value, bytes)
    job: Job = codec.decode(value)
    return job


def measure(bootstrap: str, folder: Path, count: int, due: int, seconds: float) -> None:
    rate = through_role(bootstrap, folder, commands(count), {}).rate
    print(f"  rate      {rate:9,.0f} commands/s: {count:,} due at once", flush=True)
    streams = Streams(bootstrap, folder)
    try:
        streams.start()
        several = max(1_000, min(due, int(SHARE * rate * seconds)))
        late = lateness(streams, bootstrap, several, seconds, QUIET + 2 * several / rate)
        p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
        print(
            f"  lateness  {p50:9,.0f} ms p50, {p99:,.0f} ms p99, {late[-1]:,.0f} ms at most: {several:,} in "
            f"{seconds:g} s",
            flush=True,
        )
        drained = drain(streams, bootstrap, due, QUIET + 2 * due / rate)
        print(f"  drain     {drained:9,.0f} commands/s: {due:,} due at one instant, in order of priority", flush=True)
    finally:
        streams.stop()
    print(conditions())
    remark = f"{several:,} in {seconds:g} s, half the rate; p50 {p50:,.0f} ms"
    tell(
        Figure(
            name="lateness of scheduled commands, p99",
            unit="ms",
            ours=p99,
            asked=LATEST_MS,
            at_most=True,
            remark=remark,
        ),
        Figure(
            name=f"{due:,} commands due at one instant, drained in order of priority",
            unit="1/s",
            ours=drained,
            peer=rate,
            peer_name="commands due at once",
            asked=DRAIN_ASKED,
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--due", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with broker() as (bootstrap, folder), played_worker(bootstrap):
        fill(bootstrap, max(options.commands, options.due), SETTLED)
        measure(bootstrap, folder, options.commands, options.due, options.seconds)


if __name__ == "__main__":
    main()

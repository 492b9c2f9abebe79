"""A toy state that shows every way to go wrong: per key a counter and a hash chain over its inputs, in their order.

A command appends to its key's chain. Four of five are answered at once; every fifth sends a message to another key
instead, through the inbox topic `messages`, and is answered when that arrives. The other key lives in the same
partition or, every second time, in the next one: so an inbox holds transactions of its own owner and of another's.
The log says version, previous hash and input, so lost, doubled, reordered and conflicting
inputs all show, each in its own way. A command `wake` waits for a time instead: half a second after it was appended,
its partition answers `woken` to the tick that says so.

Run as a module it is a worker process: `python -m tests.shell.toy '{"stem": ..., "bootstrap": ...}'`.
"""

import hashlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import generate_latest

from streams.keeper import NEVER, Outgoing, Received, ShellSettings
from streams.shell import run_shell
from streams.status import ShellStatus

START = "0" * 16
FORWARDED = 5  # every so many commands one goes through `messages`
ABROAD = 2 * FORWARDED  # ... and every so many to another partition
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Topics:
    """The toy's topics, named apart for each run by their stem."""

    stem: str

    @property
    def commands(self) -> str:
        return f"{self.stem}-commands"

    @property
    def messages(self) -> str:
        return f"{self.stem}-messages"

    @property
    def ticks(self) -> str:
        return f"{self.stem}-ticks"

    @property
    def table(self) -> str:
        return f"{self.stem}-table"

    @property
    def events(self) -> str:
        return f"{self.stem}-events"

    @property
    def answers(self) -> str:
        return f"{self.stem}-answers"

    @property
    def all(self) -> tuple[str, ...]:
        return self.commands, self.messages, self.ticks, self.table, self.events, self.answers


def chain(previous: str, identity: str) -> str:
    """The hash after an input."""
    return hashlib.blake2b(f"{previous}/{identity}".encode(), digest_size=8).hexdigest()


def make_tick(partition: int, now: int, seed: int, ends: Mapping[str, int]) -> bytes:
    return json.dumps({"partition": partition, "now": now, "seed": seed, "ends": dict(ends)}).encode()


class ToyKeeper:
    """Decides the toy's inputs for one partition."""

    def __init__(
        self, topics: Topics, partition: int, values: Mapping[bytes, bytes], partitions: int = PARTITIONS
    ) -> None:
        self._topics = topics
        self._abroad = (partition + 1) % partitions
        self._partition = partition
        self._values = values
        self._states: dict[bytes, tuple[int, str]] = {}
        self._changed: set[bytes] = set()
        self._outgoing: list[Outgoing] = []
        self.wake = NEVER

    def receive(self, received: Received) -> None:
        topics = self._topics
        identity = received.value.decode(errors="replace")
        if received.topic == topics.ticks:
            if json.loads(identity)["now"] >= self.wake:
                self.wake = NEVER
                self._outgoing.append(Outgoing(topics.answers, b"woken", b"woken"))
            return
        if identity == "wake":
            self.wake = received.timestamp + 500
            return
        if received.value == b"raise":
            raise RuntimeError("asked to raise")
        self._append(received.key, f"{received.topic.rsplit('-', 1)[1]}:{identity}")
        number = identity.rsplit("-", 1)[-1]
        if received.topic == topics.commands and number.isdigit() and int(number) % ABROAD == 0:
            self._outgoing.append(
                Outgoing(topics.messages, b"over-" + received.key, received.value, partition=self._abroad)
            )
        elif received.topic == topics.commands and number.isdigit() and int(number) % FORWARDED == 0:
            self._outgoing.append(Outgoing(topics.messages, b"to-" + received.key, received.value))
        else:
            self._outgoing.append(Outgoing(topics.answers, received.key, received.value, received.headers))

    def pass_over(self, topic: str, last: int, at: int) -> None:
        self._outgoing.append(Outgoing(self._topics.answers, b"passed", f"{topic}/{self._partition} {last}".encode()))

    def settle(self) -> tuple[list[Outgoing], dict[bytes, bytes | None]]:
        changes: dict[bytes, bytes | None] = {}
        for key in self._changed:
            version, last = self._states[key]
            changes[key] = f"{version} {last}".encode()
        outgoing = self._outgoing
        self._changed, self._outgoing = set(), []
        return outgoing, changes

    def _append(self, key: bytes, identity: str) -> None:
        state = self._states.get(key)
        if state is None:
            value = self._values.get(key)
            state = (0, START) if value is None else _state(value)
        version, last = state
        self._states[key] = (version + 1, chain(last, identity))
        self._changed.add(key)
        event = f"{version + 1} {last} {identity} {self._partition}"
        self._outgoing.append(Outgoing(self._topics.events, key, event.encode()))


def _state(value: bytes) -> tuple[int, str]:
    version, last = value.decode().split(" ")
    return int(version), last


def settings(
    stem: str,
    bootstrap: str,
    partitions: int = PARTITIONS,
    session: float = 6.0,
    batch_size: int = 2_000,
    interval: float = 1.0,
) -> ShellSettings:
    topics = Topics(stem)
    return ShellSettings(
        application=stem,
        bootstrap=bootstrap,
        inbox=(topics.commands, topics.messages, topics.ticks),
        table=topics.table,
        ticks=topics.ticks,
        watched=(topics.messages,),
        make_tick=make_tick,
        partitions=partitions,
        outputs=(topics.events,),
        session_timeout=session,
        tick_interval=interval,
        batch_size=batch_size,
    )


def main() -> None:
    arguments = json.loads(sys.argv[1])
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    slow = arguments.pop("seconds_to_load", 0)
    topics = Topics(arguments["stem"])

    def make_keeper(partition: int, values: Mapping[bytes, bytes]) -> ToyKeeper:
        time.sleep(slow)
        return ToyKeeper(topics, partition, values, arguments.get("partitions", PARTITIONS))

    status = ShellStatus()
    try:
        run_shell(settings(**arguments), make_keeper, status)
    finally:
        print(generate_latest(status.metrics.registry).decode(), file=sys.stderr)


if __name__ == "__main__":
    main()

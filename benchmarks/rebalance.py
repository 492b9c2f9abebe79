"""How long nobody answers when a second streams process joins, leaves, or is killed, with a table of so many devices.

    python -m benchmarks.rebalance [--devices 10000 100000 1000000]

The table is that of `benchmarks.recovery`. Commands that the streams decide without a meter (SetDeviceLifecycleStatus)
go to every partition twenty times a second all the while; the time without answers is the longest that one of them
waited. Beside it: from what was done (process started, TERM, KILL) until the processes that are left are ready and own
all partitions between them. A killed member is missed when its session is over, 10 s.
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.figures import Figure, tell
from benchmarks.stand import PARTITIONS, START_SECONDS, Streams, broker, conditions, fill, name_of
from connectors.faces.upstream import Upstream
from schemas.partition import partition_of
from streams.device.state import SETTLED_KEPT

EVERY_SECONDS = 0.05
CALM_SECONDS = 5.0
STATUSES = ("IN_USE", "REGISTERED")


@dataclass(slots=True)
class Caller:
    """Asks all partitions without a pause and notes how long each answer took."""

    upstream: Upstream
    devices: list[str]
    asked: dict[str, float] = field(default_factory=dict)
    took: list[tuple[float, float]] = field(default_factory=list)  # monotonic time asked, seconds
    _ending: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        number = 0
        while not self._ending.wait(EVERY_SECONDS):
            number += 1
            for device in self.devices:
                began = time.monotonic()
                status = STATUSES[number % 2]
                self.asked[self.upstream.send("SetDeviceLifecycleStatus", device, {"status": status})] = began

    def hear(self) -> None:
        while not (self._ending.is_set() and not self.asked):
            for response in self.upstream.responses(0.5):
                began = self.asked.pop(response.header.correlation_id, None)
                if began is not None:
                    self.took.append((began, time.monotonic() - began))

    def end(self) -> None:
        self._ending.set()

    def longest(self, since: float) -> float:
        """Seconds the longest answer took to a command asked from then on, those still without one included."""
        now = time.monotonic()
        waiting = [now - began for began in [*self.asked.values()] if began >= since]
        return max([took for began, took in [*self.took] if began >= since] + waiting)


@contextmanager
def calling(bootstrap: str, devices: int) -> Iterator[Caller]:
    """A caller with one device in each partition."""
    chosen: dict[int, str] = {}
    for number in range(devices):
        chosen.setdefault(partition_of(name_of(number).encode(), PARTITIONS), name_of(number))
        if len(chosen) == PARTITIONS:
            break
    with Upstream(bootstrap, requester="bench") as upstream:
        caller = Caller(upstream, [*chosen.values()])
        threads = [threading.Thread(target=act, daemon=True) for act in (caller.ask, caller.hear)]
        for thread in threads:
            thread.start()
        try:
            yield caller
        finally:
            caller.end()
            for thread in threads:
                thread.join(30)


def owned(streams: Streams) -> int:
    """Partitions a process owns and has loaded; none when it is not ready."""
    if not streams.process.ready():
        return 0
    return round(streams.metrics().get("meterlog_shell_partitions", 0))


def until_owned(*several: Streams) -> None:
    """Each owns something, and all partitions are owned."""
    end = time.monotonic() + START_SECONDS
    while True:
        shares = [owned(each) for each in several]
        if sum(shares) == PARTITIONS and all(shares):
            return
        if time.monotonic() > end:
            raise SystemExit(f"the processes own {shares} partitions after {START_SECONDS:.0f} s")
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the group: seconds until all was ready again, and the longest without an answer."""

    name: str
    ready: float
    silent: float


def change(name: str, caller: Caller, act: Callable[[], object], *left: Streams) -> Change:
    since = time.monotonic()
    act()
    until_owned(*left)
    ready = time.monotonic() - since
    time.sleep(CALM_SECONDS)
    return Change(name, ready, caller.longest(since - 1))


def measure(devices: int) -> list[Change]:
    """All changes on one broker."""
    with broker() as (bootstrap, folder):
        fill(bootstrap, devices, SETTLED_KEPT)
        first, second = (Streams(bootstrap, folder, name) for name in ("streams", "streams-2"))
        try:
            first.start()
            until_owned(first)
            with calling(bootstrap, devices) as caller:
                time.sleep(CALM_SECONDS)
                found = [change("nothing happens", caller, lambda: time.sleep(CALM_SECONDS), first)]
                found.append(change("a second joins", caller, second.process.start, first, second))
                found.append(change("it leaves", caller, second.stop, first))
                second.process.start()
                until_owned(first, second)
                time.sleep(CALM_SECONDS)
                found.append(change("it is killed", caller, lambda: os.kill(second.process.pid, signal.SIGKILL), first))
            return found
        finally:
            second.stop()
            first.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    print(f"{conditions()}; {PARTITIONS} partitions, {SETTLED_KEPT} remembered outcomes a device")
    print(f"{'devices':>10}  {'what':18}{'all ready after':>16}{'without answers':>17}")
    for devices in options.devices:
        for found in measure(devices):
            print(f"{devices:>10,}  {found.name:18}{found.ready:>14.1f} s{found.silent:>15.1f} s", flush=True)
            tell(
                Figure(
                    name=f"{found.name}, {devices:,} devices",
                    unit="s without answers",
                    ours=found.silent,
                    remark=f"all ready after {found.ready:.1f} s",
                )
            )


if __name__ == "__main__":
    main()

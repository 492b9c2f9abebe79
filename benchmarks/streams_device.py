"""CPU time of the streams' pure core for a command's whole life, in process: command, dispatch, result, all encoded.

python -m benchmarks.streams_device [--commands 20000] [--devices 10000] [--batch 2000] [--profile]

No broker, no Faust: what is measured is what the shell adds nothing to. Two inputs, three decisions in the log, two
table values, one job, one response, two notifications a command. The goal: 150 us on one core.
"""

import argparse
import cProfile
import pstats
import time
from dataclasses import dataclass
from uuid import UUID

from operations import catalogue
from operations._profile import profiles
from schemas import codec, topics
from schemas.records import (
    CommandEnded,
    CommandHeader,
    Ended,
    Job,
    JobEnded,
    KeyKind,
    Registration,
    SealedKey,
    Security,
    Status,
    Tick,
)
from streams.device.keeper import Partition
from streams.device.limits import Limits
from streams.device.state import SETTLED_KEPT, Device, Settled, remember
from streams.device.wire import encode_device
from streams.hosting import collect_seldom
from streams.keeper import Received

NOON = 1_700_000_000_000
OPERATION = "SynchronizeTime"


@dataclass(slots=True)
class Measured:
    commands: int
    cpu_seconds: float
    records: int
    bytes: int

    @property
    def microseconds(self) -> float:
        return self.cpu_seconds / self.commands * 1e6


def registration() -> Registration:
    keys = tuple(SealedKey(kind, bytes(60)) for kind in (KeyKind.MASTER, KeyKind.AUTHENTICATION, KeyKind.ENCRYPTION))
    return Registration(
        device_type="SMART_METER_E",
        protocol="SMR",
        protocol_version="5.0.0",
        host="10.20.30.40",
        port=4059,
        client_id=1,
        logical_device=1,
        security=Security.HLS5,
        system_title=b"METR0001",
        keys=keys,
        time_zone="Europe/Amsterdam",
    )


def table(devices: int, remembered: int = 16) -> dict[bytes, bytes]:
    """Registered idle devices, each with some outcomes in its memory."""
    ring = b""
    for number in range(min(remembered, SETTLED_KEPT)):
        ring = remember(ring, Settled(UUID(int=1 << 100 | number).bytes, bytes(8), NOON, Status.SUCCESSFUL, 0, 1))
    known = registration()
    found = {}
    for number in range(devices):
        name = f"TEST1{number:012}"
        device = Device(device_id=name, version=40, registration=known, counter=1_000, jobs=20, settled=ring)
        found[name.encode()] = encode_device(device)
    return found


def commands(count: int, devices: int) -> list[Received]:
    found = []
    for number in range(count):
        name = f"TEST1{number % devices:012}"
        header = CommandHeader(str(UUID(int=number + (7 << 120))), name, NOON, requester="night")
        value = codec.encode_command(OPERATION, header, {"time_zone": "Europe/Amsterdam"})
        found.append(Received(topics.COMMANDS.name, 0, number, NOON, name.encode(), value, ()))
    return found


def result(job: Job, offset: int) -> Received:
    outcomes = tuple(CommandEnded(each.correlation_id, Ended.SUCCESSFUL, result=b"") for each in job.commands)
    ended = JobEnded(
        job.device_id, job.number, "worker-1", NOON, NOON + 900, True, job.counter_from + 5, None, outcomes
    )
    return Received(topics.JOB_RESULTS.name, 0, offset, NOON + 900, job.device_id.encode(), codec.encode(ended), ())


def measure(count: int, devices: int, batch: int, profiler: cProfile.Profile | None = None) -> Measured:
    """Commands in batches, each batch's results in the next one. Only the keeper's own time is counted."""
    catalogue(), profiles()
    values, given = table(devices), commands(count, devices)
    collect_seldom()  # as the role does
    keeper = Partition(0, values, lambda _: 0, Limits(slots=2 * batch, silent_slots=1))
    tick = codec.encode(Tick(NOON, 7, 0))
    inputs = [Received(topics.TICKS.name, 0, 0, NOON, b"", tick, ())]
    seconds, sent, size, settled, results, at = 0.0, 0, 0, 0, 0, 0
    while settled < count:
        inputs += given[at : at + batch]
        at += batch
        if profiler is not None:
            profiler.enable()
        began = time.process_time()
        for received in inputs:
            keeper.receive(received)
        records, changed = keeper.settle()
        seconds += time.process_time() - began
        if profiler is not None:
            profiler.disable()
        values.update((key, value) for key, value in changed.items() if value is not None)
        inputs = []
        for record in records:
            sent, size = sent + 1, size + len(record.value)
            if record.topic == topics.JOBS.name:
                inputs.append(result(codec.decode(record.value), results))
                results += 1
            elif record.topic == topics.RESPONSES.name:
                settled += 1
        sent, size = sent + len(changed), size + sum(len(value or b"") for value in changed.values())
    return Measured(count, seconds, sent, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    profiler = cProfile.Profile() if given.profile else None
    found = measure(given.commands, given.devices, given.batch, profiler)
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
    print(
        f"{found.commands} commands on {given.devices} devices: {found.microseconds:.0f} us CPU a command, "
        f"{found.records / found.commands:.1f} records and {found.bytes / found.commands:.0f} bytes sent for each"
    )


if __name__ == "__main__":
    main()

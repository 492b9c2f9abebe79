"""Hours of mixed load on the whole system, and whether anything grew that should not.

    python -m benchmarks.endurance [--minutes 120] [--meters 400] [--rate 2] [--folder FOLDER]
    python -m benchmarks.endurance --samples FOLDER/samples.jsonl      the slopes of a run that has been, or goes on

Kafka, ClickHouse, all roles and a fleet with gas meters and faults run under the supervisor that `meterlog up` has.
FOLDER keeps `samples.jsonl` (written as it goes), `run.jsonl` (what was noticed), `slopes.md` and `judge.txt`. The exit
status is 1 when a series was too steep, a command has no outcome, or the judge of `tests/e2e` finds a promise broken.

Topics of a week or a day cannot show in two hours that they stay as large as they are, so here an eighth of the run is
kept, in segments of a twenty-fourth; the internal topics and the table have such segments as well, so that they are
compacted. The log (`device-events`) is kept whole: it is what everything is folded from.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from clickhouse_driver import Client
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from benchmarks.endurance import samples, verdict
from benchmarks.endurance.record import Recorded, Recorder, recording
from benchmarks.endurance.samples import INTERNAL, Sampler
from benchmarks.endurance.traffic import Traffic, traffic
from connectors.dlms.keys import generate
from connectors.simulator.fleet import FleetSettings, write_shipment
from infra.embedded.ports import LOOPBACK, free_port
from infra.embedded.roles import CLICKHOUSE_SINK, DLMS_WORKER, STREAMS
from infra.embedded.supervisor import Stack, stop_on_signals
from schemas.topics import DEAD_LETTERS, DEVICE_EVENTS, TOPICS
from tests.e2e import judge
from tests.e2e.world import World, fleet_role, until

FAULTS: Final = "stall=0.01,drop=0.02,wrong-tag=0.01,refuse=0.02,lost-answer=0.03"
"""What befalls connections to the meters: nine in a hundred."""
TOLD: Final = {
    STREAMS.name: {
        "METERLOG_STREAMS_OPERATION_SECONDS": "120",
        "METERLOG_STREAMS_CONNECT_SECONDS": "30",
        "METERLOG_STREAMS_GRACE_SECONDS": "15",
        "METERLOG_STREAMS_RETRY_SECONDS": "5",
        "METERLOG_STREAMS_ATTEMPTS": "4",
    },
    DLMS_WORKER.name: {"METERLOG_ANSWER_SECONDS": "10", "METERLOG_CONNECT_SECONDS": "10"},
    CLICKHOUSE_SINK.name: {},
}
SETTLE_SECONDS: Final = 420.0
KEPT_WHOLE: Final = (DEVICE_EVENTS.name, DEAD_LETTERS.name)
KAFKA_HEAP_MB: Final = 320  # a heap is filled up to its bound in any case: so it is before the warm-up is over


@dataclass(frozen=True, slots=True)
class Options:
    minutes: float
    meters: int
    gas: int
    rate: float
    interval: float
    seed: int
    folder: Path

    def notice(self, **what: Any) -> None:
        """A line for people and for `run.jsonl`."""
        print(json.dumps(what), flush=True)
        with (self.folder / "run.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.strftime("%H:%M:%S"), **what}) + "\n")


@contextmanager
def standing(options: Options) -> Iterator[tuple[Stack, World]]:
    """The whole system and its fleet."""
    fleet = FleetSettings(meters=options.meters, seed=options.seed, delay=0.05, gas_meters=options.gas)
    world = World("", LOOPBACK, 0, "default", options.folder, fleet, free_port())
    generate(options.folder / "keys")
    write_shipment(world.shipment, fleet, world.fleet_port)
    roles = [replace(role, environment=TOLD[role.name]) for role in (STREAMS, DLMS_WORKER, CLICKHOUSE_SINK)]

    def announce(line: str) -> None:
        options.notice(stack=line)

    running = [*roles, fleet_role(world, FAULTS)]
    with Stack(options.folder, roles=running, announce=announce, kafka_heap_mb=KAFKA_HEAP_MB) as stack:
        world.kafka, world.port = stack.kafka.bootstrap, stack.clickhouse.port
        yield stack, world


def shorten(admin: AdminClient, minutes: float) -> None:
    """Keep an eighth of the run, in segments of a twenty-fourth of it, so that what is kept can be seen to be kept."""
    segment = str(round(60_000 * minutes / 24))
    settings = {topic.name: {"segment.ms": segment} for topic in TOPICS if topic.name not in KEPT_WHOLE}
    settings |= {name: {"segment.ms": segment} for name in INTERNAL if name != "__cluster_metadata"}
    for topic in TOPICS:
        if topic.compacted:
            settings[topic.name] |= {"max.compaction.lag.ms": segment, "delete.retention.ms": segment}
        elif topic.name not in KEPT_WHOLE:
            settings[topic.name]["retention.ms"] = str(round(60_000 * minutes / 8))
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in each.items()
            ],
        )
        for name, each in settings.items()
    ]
    for future in admin.incremental_alter_configs(resources).values():
        future.result()


def sampling(
    options: Options, sampler: Sampler, load: Traffic, recorder: Recorder, ending: threading.Event
) -> Callable[[], None]:
    began = time.monotonic()

    def run() -> None:
        place = 0
        while not ending.wait(max(0.0, began + place * options.interval - time.monotonic())):
            place += 1
            sample = sampler.take()
            sample |= {"asked": len(load.asked), "done": len(recorder.done), **recorder.pace()}
            samples.write(options.folder / "samples.jsonl", time.monotonic() - began, sample)
            while sampler.reasons:
                options.notice(noticed=sampler.reasons.pop(0))

    return run


def ask_steadily(options: Options, load: Traffic) -> None:
    """What the machine kept us from asking in time is asked at once afterwards."""
    began = time.monotonic()
    asked = 0
    while (now := time.monotonic()) < began + 60 * options.minutes:
        while began + asked / options.rate <= now:
            load.ask(now)
            asked += 1
        time.sleep(max(0.0, min(1.0, began + asked / options.rate - time.monotonic())))
    load.flush()


def settled(options: Options, load: Traffic, recorder: Recorder, what: str) -> None:
    """Until every command has its outcome; what has none in time is for the judge."""
    try:
        until(lambda: bool(recorder.failed) or load.asked <= recorder.done, SETTLE_SECONDS, what)
    except AssertionError as error:
        options.notice(settling=str(error), left=len(load.asked - recorder.done))
    if recorder.failed:
        options.notice(recorder=recorder.failed)


def go(options: Options) -> int:
    """The run; gives the exit status."""
    with standing(options) as (stack, world), ExitStack() as closing:
        admin = AdminClient({"bootstrap.servers": world.kafka, "log_level": 2})
        shorten(admin, options.minutes)
        recorder = closing.enter_context(recording(world.kafka, options.folder / "records"))
        load = closing.enter_context(traffic(world, options.seed))
        for gas in (False, True):
            load.register(gas)
            settled(options, load, recorder, f"{'gas' if gas else 'electricity'} meters registered")
        options.notice(began=len(load.asked), pid=[(part["name"], part["pid"]) for part in stack.status()["parts"]])
        sampler = Sampler(stack, Client(LOOPBACK, port=world.port))
        ending = threading.Event()
        thread = threading.Thread(target=sampling(options, sampler, load, recorder, ending), name="sampler")
        thread.start()
        try:
            ask_steadily(options, load)
        finally:
            ending.set()
            thread.join()
        settled(options, load, recorder, "an outcome of every command")
        time.sleep(3 * options.interval)  # the sink and the groups come to rest
        options.notice(at_rest=sampler.take(), asked=len(load.asked), poisoned=load.poisoned, not_taken=load.refused)
        closing.close()
        broken = judged(options, world)
    return int(broken or tell_slopes(options.folder / "samples.jsonl") or load.refused > 0)


def judged(options: Options, world: World) -> bool:
    """What the third program says of it."""
    evidence = Recorded(options.folder, world.kafka, world.host, world.port, world.database)
    findings = judge.judge(evidence)
    told = judge.table(evidence, findings)
    print(told, flush=True)
    (options.folder / "judge.txt").write_text(told + "\n", encoding="utf-8")
    return any(finding.broken for finding in findings)


def tell_slopes(path: Path) -> bool:
    """Print the table and write it beside the samples; whether anything is too steep."""
    found = samples.read(path)
    lines = verdict.judge(found)
    told = verdict.table(lines)
    minutes, commands = (found[-1]["at"] - found[0]["at"]) / 60, found[-1]["asked"] - found[0]["asked"]
    print(f"{minutes:.0f} minutes, {commands:,.0f} commands, {len(found)} samples\n{told}")
    path.with_name("slopes.md").write_text(told + "\n", encoding="utf-8")
    return not all(line.held for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0, help="of load; start and judgement come on top")
    parser.add_argument("--meters", type=int, default=400)
    parser.add_argument("--gas", type=int, default=1, help="gas meters on each meter")
    parser.add_argument("--rate", type=float, default=2.0, help="commands a second")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between samples")
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("--folder", type=Path, help="new or empty; a temporary one that stays")
    parser.add_argument("--samples", type=Path, help="only tell the slopes of these")
    said = parser.parse_args()
    if said.samples:
        return int(tell_slopes(said.samples))
    folder = said.folder or Path(mkdtemp(prefix="meterlog-endurance-"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(said.minutes, said.meters, said.gas, said.rate, said.interval, said.seed, folder.resolve())
    options.notice(folder=str(options.folder), minutes=options.minutes, meters=options.meters, rate=options.rate)
    with stop_on_signals():
        return go(options)


if __name__ == "__main__":
    sys.exit(main())

"""The third program: joins what was asked, what meters saw, the topics and ClickHouse, and says whether the promises of
design section 6 held. It knows no role and no process, only what they left behind.

    python -m tests.e2e.judge FOLDER --kafka HOST:PORT --clickhouse HOST:PORT [--database NAME]

reads `sent.jsonl` and `ledger.jsonl` in FOLDER, prints a table and ends with 1 if anything was broken. It asks for a
system at rest: every command has its outcome, or should.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from connectors.clickhouse.queries import Queries
from connectors.clickhouse.role import TOPICS as SINK_TOPICS
from connectors.faces.dead_letters import letters
from operations import bundle, catalogue
from schemas._names import full_name
from schemas.records import JobAttempting, JobEnded, Status
from schemas.topics import DEVICES
from streams.device import verify
from streams.device.keeper import is_device_key
from streams.device.wire import decode_device
from tests.e2e.evidence import Evidence, fault_in

FIRST_SET: Final = {"ClearAlarmRegister": "1/0-0:97.98.0.255/2"}
"""The write by which each operation that may not be repeated begins: what the ledger must not show twice."""
TOLD_REGISTERS: Final = {
    "GetActualMeterReads": ("active_energy_import", "log_time"),
    "GetActualMeterReadsGas": ("consumption", "capture_time"),
}
"""Of reads of registers: one of their quantities, and the field of the result that dates it."""
NOTHING: Final = {"stored": 0, "set_aside": 0, "overtaken": 0}
SINK_SECONDS: Final = 90.0
SHOWN: Final = 5  # violations of a promise that are printed


@dataclass(slots=True)
class Finding:
    """One promise: how much was looked at, and what breaks it."""

    promise: str
    looked: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, held: bool, what: str) -> None:
        self.looked += 1
        if not held:
            self.broken.append(what)


def one_outcome_each(evidence: Evidence, finding: Finding) -> None:
    """Each command has one terminal outcome of a kind its operation may have; nobody else has one."""
    known, asked = catalogue(), evidence.asked
    cancelled = {said.cancels for said in asked.values()}
    times = Counter(header.correlation_id for header, _ in evidence.responses if not header.repeated)
    for name, (device_id, operation, *_) in asked.items():
        finding.hold(times[name] == 1, f"{name} ({operation} of {device_id}) has {times[name]} outcomes")
    for name, (header, _) in evidence.outcomes.items():
        said = asked.get(name)
        same = said is not None and said[:2] == (header.device_id, header.operation)
        finding.hold(same, f"{name}: asked was {said}, told {header}")
        allowed = {Status.SUCCESSFUL, Status.ERROR}
        if said is not None and said.statuses is not None:
            allowed = {Status(each) for each in said.statuses}
        if name in cancelled:
            allowed.add(Status.CANCELLED)
        if header.operation == "Cancel":
            allowed.add(Status.REJECTED)  # the command had its outcome before
        if not known[header.operation].repeatable:
            allowed.add(Status.UNKNOWN)
        faultless = header.fault is None
        good = header.status in allowed and faultless is (header.status is Status.SUCCESSFUL)
        finding.hold(good, f"{name}: {header.operation} {header.status} {header.fault}")


def repeats_are_told_the_same(evidence: Evidence, finding: Finding) -> None:
    """A command sent again is told the outcome it had, marked repeated, or waits with the first for it."""
    for header, _ in evidence.responses:
        if header.repeated:
            first = evidence.outcomes.get(header.correlation_id)
            same = first is not None and (first[0].status, first[0].operation) == (header.status, header.operation)
            finding.hold(same, f"{header.correlation_id}: {header.status} when repeated, first {first and first[0]}")


def bundles_are_answered_in_order(evidence: Evidence, finding: Finding) -> None:
    """A bundle that was answered has an entry for each of its actions at its place: that operation's result, or a
    fault. What one of its jobs had obtained is what was told in the end, so it was not asked again.
    """
    known = catalogue()
    for name, entries in evidence.entries.items():
        actions = evidence.asked[name].actions
        finding.hold(len(entries) == len(actions), f"{name}: {len(entries)} entries of {len(actions)} actions")
        for place, (operation, entry) in enumerate(zip(actions, entries, strict=False)):
            fits = fault_in(entry) is not None or entry[0] == full_name(known[operation].result)
            finding.hold(fits, f"{name}: action {place} is {operation}, its entry {entry[0]}")
    for name, kept in evidence.kept.items():
        for entries in kept:
            for before, after in zip(entries, evidence.entries.get(name, ()), strict=False):
                same = fault_in(before) is not None or before == after
                finding.hold(same, f"{name}: {before} was obtained, told is {after}")


def gateways_answer_once(evidence: Evidence, finding: Finding) -> None:
    """Of each command of an M-Bus meter's job one answer comes back from its gateway, and of nothing else."""
    asked = {
        (job.mbus_device_id, job.number, each.correlation_id) for job in evidence.delegated for each in job.commands
    }
    told = Counter((each.device_id, each.number, each.command.correlation_id) for each in evidence.given_back)
    for each in asked | told.keys():
        finding.hold(told[each] == 1 and each in asked, f"{each} was given back {told[each]} times")


def nothing_done_twice(evidence: Evidence, finding: Finding) -> None:
    """What may not be repeated reached the meter once for each success, at most once for each unknown outcome, and
    never without its announcement. One that was in doubt and looked for succeeds as well when the meter is as asked.
    An action of a bundle counts as a command does.
    """
    least: Counter[tuple[str, str]] = Counter()
    most: Counter[tuple[str, str]] = Counter()
    for name, (header, _) in evidence.outcomes.items():
        done = (header.device_id, header.operation)
        most[done] += header.status in (Status.SUCCESSFUL, Status.UNKNOWN)
        least[done] += header.status is Status.SUCCESSFUL and name not in evidence.doubted
    for name, entries in evidence.entries.items():
        said = evidence.asked[name]
        for place, (operation, entry) in enumerate(zip(said.actions, entries, strict=False)):
            fault = fault_in(entry)
            most[said.device_id, operation] += fault is None or fault["outcome"] == bundle.Outcome.UNKNOWN
            least[said.device_id, operation] += fault is None and (name, place) not in evidence.doubted_actions
    announced: Counter[tuple[str, str]] = Counter()
    for told in evidence.job_results:
        if isinstance(told, JobAttempting) and told.correlation_id in evidence.asked:
            said = evidence.asked[told.correlation_id]
            announced[said.device_id, said.operation if told.action is None else said.actions[told.action]] += 1
    devices = {said.device_id for said in evidence.asked.values()}
    for operation, first_set in FIRST_SET.items():
        for device_id in devices:
            seen = evidence.ledger.get(device_id, ())
            sets = sum(entry["did"] == "set" and entry["what"] == first_set for entry in seen)
            fewest, most_of = least[device_id, operation], most[device_id, operation]
            what = f"{device_id}: {operation} was done {sets} times, told were {fewest} to {most_of}"
            finding.hold(fewest <= sets <= most_of, what)
            announcements = announced[device_id, operation]
            finding.hold(sets <= announcements, f"{device_id}: {operation} {sets} times, announced {announcements}")


def no_counter_twice(evidence: Evidence, finding: Finding) -> None:
    """No invocation counter in two jobs' ranges, accepted by a meter twice, or outside of what was given."""
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for job in evidence.jobs:
        if job.registration is not None:
            ranges[job.device_id].append((job.counter_from, job.counter_to))
    for device_id, entries in evidence.ledger.items():
        given = ranges[device_id]
        overlapping = [(one, other) for one, other in pairwise(given) if one[1] >= other[0]]
        finding.hold(not overlapping, f"{device_id}: jobs share counters {overlapping[:2]}")
        seen = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
        again = [other for one, other in pairwise(seen) if one >= other]
        finding.hold(not again, f"{device_id}: accepted again {again[:5]}")
        place = 0
        for counter in seen:  # both rise
            while place < len(given) and given[place][1] < counter:
                place += 1
            inside = place < len(given) and given[place][0] <= counter
            finding.hold(inside, f"{device_id}: counter {counter} was given to no job")


def jobs_are_carried_out_once(evidence: Evidence, finding: Finding) -> None:
    """Of each job one process told the end, for one start; one that is told twice says the same."""
    dispatched = {(job.device_id, job.number) for job in evidence.jobs}
    finding.hold(len(dispatched) == len(evidence.jobs), f"{len(evidence.jobs) - len(dispatched)} jobs sent twice")
    ends: dict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
    for told in evidence.job_results:
        if isinstance(told, JobEnded):
            ends[told.device_id, told.number].add((told.worker, told.started_at))
    for job, starts in ends.items():
        finding.hold(len(starts) == 1, f"{job[0]}: job {job[1]} was started by {sorted(starts)}")
        finding.hold(job in dispatched, f"{job[0]}: job {job[1]} was never dispatched")


def every_read_stored_once(evidence: Evidence, finding: Finding) -> None:
    """ClickHouse holds what lies on the topics of reads, row by row, once; and what callers were told."""
    registers, profiles = evidence.reads
    for what, published, query in (
        (
            "register",
            registers,
            "SELECT device_id, quantity, toUnixTimestamp64Milli(captured_at) FROM register_reads FINAL",
        ),
        (
            "profile row",
            profiles,
            "SELECT device_id, toString(period), toUnixTimestamp64Milli(captured_at) FROM energy_reads FINAL",
        ),
    ):
        stored = Counter(evidence.ask(query))
        for row in published.keys() | stored.keys():
            finding.hold(stored[row] == (row in published), f"{what} {row} is there {stored[row]} times")
    for name, device_id, operation, result in evidence.results:
        if operation in TOLD_REGISTERS:
            quantity, time_of = TOLD_REGISTERS[operation]
            row = (device_id, quantity, round(1_000 * result[time_of].timestamp()))
            finding.hold(row in registers, f"{name}: told but not published {row}")
        if operation == "GetPeriodicMeterReads":
            rows = [(device_id, "INTERVAL", at) for at in result["log_times"]]
            missing = [row for row in rows if row not in profiles]
            finding.hold(bool(rows) and not missing, f"{name}: told but not published {missing[:2]}")


def every_outcome_stored_once(evidence: Evidence, finding: Finding) -> None:
    """The outcomes in ClickHouse are those on the topic."""
    stored = Counter(evidence.ask("SELECT toString(correlation_id), status FROM responses FINAL WHERE NOT repeated"))
    told = Counter((name, header.status.value) for name, (header, _) in evidence.outcomes.items())
    for outcome in stored.keys() | told.keys():
        finding.hold(stored[outcome] == told[outcome], f"{outcome} is stored {stored[outcome]} times")


def the_sink_adds_up(evidence: Evidence, finding: Finding) -> None:
    """Produced = stored + set aside, topic by topic, and nothing was set aside anywhere."""
    produced = {topic.name: sum(1 for _ in evidence.told(topic.name)) for topic in SINK_TOPICS}
    end = time.monotonic() + SINK_SECONDS
    with Queries(evidence.host, evidence.port, database=evidence.database) as queries:
        while True:
            totals = queries.sink_totals()
            if time.monotonic() > end or all(
                sum(totals.get(name, {}).values()) >= count for name, count in produced.items()
            ):
                break
            time.sleep(0.5)
    for name, count in produced.items():
        found = totals.get(name, NOTHING)
        finding.hold(found == {**NOTHING, "stored": count}, f"{name}: {count} produced, {found}")
        finding.looked += count - 1
    dead = Counter(letter.value for letter in letters(evidence.kafka))
    for value in dead.keys() | evidence.poison:
        finding.hold(dead[value] == (value in evidence.poison), f"{dead[value]} dead letters with {value!r}")


def log_and_table_agree(evidence: Evidence, finding: Finding) -> None:
    """`verify-state`."""
    verdict = verify.read(evidence.kafka)
    finding.looked = verdict.decisions
    finding.broken += [f"{kind}: {each}" for kind, examples in verdict.examples.items() for each in examples]
    devices = len({said.device_id for said in evidence.asked.values()})
    finding.hold(verdict.devices == devices, f"{verdict.devices} devices in the log, {devices} were asked")


def nobody_waits(evidence: Evidence, finding: Finding) -> None:
    """No device holds a command or a job."""
    table = {told.key: told.value for told in evidence.told(DEVICES.name) if is_device_key(told.key)}
    for value in table.values():
        device = decode_device(value)
        resting = not device.queue and device.flight is None
        finding.hold(resting, f"{device.device_id}: {len(device.queue)} commands wait, flight {device.flight}")


PROMISES: Final[dict[str, Callable[[Evidence, Finding], None]]] = {
    "one terminal outcome each": one_outcome_each,
    "a repeat is told the same": repeats_are_told_the_same,
    "a bundle is answered in order": bundles_are_answered_in_order,
    "a gateway answers once": gateways_answer_once,
    "nothing non-repeatable twice": nothing_done_twice,
    "no counter twice under one key": no_counter_twice,
    "a job is carried out once": jobs_are_carried_out_once,
    "produced = stored in ClickHouse": the_sink_adds_up,  # before the rows are compared: it waits for the sink
    "every read once in ClickHouse": every_read_stored_once,
    "every outcome once in ClickHouse": every_outcome_stored_once,
    "log and table agree": log_and_table_agree,
    "nothing waits for ever": nobody_waits,
}


def judge(evidence: Evidence) -> list[Finding]:
    findings = []
    for promise, look in PROMISES.items():
        findings.append(finding := Finding(promise))
        look(evidence, finding)
    return findings


def table(evidence: Evidence, findings: list[Finding]) -> str:
    """What was found, for people."""
    told: Counter[str] = Counter()
    for header, _ in evidence.outcomes.values():
        told[f"{header.operation} {header.status.value}"] += 1
    lines = [f"{len(evidence.asked)} commands to {len({each.device_id for each in evidence.asked.values()})} devices"]
    lines += [f"  {kind}: {count}" for kind, count in sorted(told.items())]
    lines += [f"  told again: {sum(header.repeated for header, _ in evidence.responses)}"]
    for finding in findings:
        lines.append(f"{finding.promise:34} {finding.looked:>9,} looked at  {len(finding.broken):>5} broken")
        lines += [f"    {each}" for each in finding.broken[:SHOWN]]
    return "\n".join(lines)


def hold(evidence: Evidence) -> None:
    """Print what was found. Raises AssertionError when a promise was broken."""
    findings = judge(evidence)
    print(told := table(evidence, findings))
    assert not any(finding.broken for finding in findings), told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Say whether the promises held, from what is left behind.")
    parser.add_argument("folder", type=Path, help="holds sent.jsonl and ledger.jsonl")
    parser.add_argument("--kafka", required=True, help="host:port")
    parser.add_argument("--clickhouse", required=True, help="host:port of the native protocol")
    parser.add_argument("--database", default="default")
    said = parser.parse_args(arguments)
    host, _, port = said.clickhouse.rpartition(":")
    evidence = Evidence(said.folder, said.kafka, host, int(port), said.database)
    findings = judge(evidence)
    print(table(evidence, findings))
    return int(any(finding.broken for finding in findings))


if __name__ == "__main__":
    sys.exit(main())

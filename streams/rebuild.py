"""`python -m streams.rebuild [--dry-run] [--json]`: the table made anew from the log, as a command.

A process of its own, since the command line (`meterlog rebuild table`) may not import the streams. Reads what the
streams role reads from the environment. Exit code 0 when the table is what the log says, 1 when something was kept that
the log does not explain, 2 when it could not be done.

No owner can interleave: the streams' group must be empty, and each partition is fenced, as a new owner would, before
its log is read. Streams that are started meanwhile fence this process, which then ends. A partition under way carries a
mark that the streams refuse to start on, so an interrupted rebuild is run again, not forgotten.
"""

import json
import sys
import time
from collections.abc import Mapping
from itertools import islice
from typing import Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from roles.settings import SettingsWrong
from schemas import topics
from streams.app import StreamsSettings, read_settings, shell_settings
from streams.device.committed import records, table
from streams.device.keeper import ENDED, end_entry, end_key
from streams.device.rebuild import Plan, plan
from streams.keeper import ShellSettings
from streams.positions import decode, position_key, rebuild_key
from streams.transactions import Transactions, is_fenced

DONE, KEPT, FAILED = range(3)
TIMEOUT_SECONDS: Final = 60.0
AT_ONCE: Final = 2_000  # values in one transaction


class Refused(Exception):
    """It must not be done now; says why, and what to do."""


def check(admin: AdminClient, settings: StreamsSettings, dry_run: bool) -> int:
    """The number of partitions. Raises Refused."""
    found = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    for topic in (topics.DEVICES, topics.DEVICE_EVENTS):
        if topic.name not in found:
            raise Refused(f"{topic.name} is missing: `meterlog topics apply` creates it")
    counts = {len(found[topic.name].partitions) for topic in (topics.DEVICES, topics.DEVICE_EVENTS)}
    if len(counts) > 1:
        raise Refused(f"table and log differ in their number of partitions ({sorted(counts)}): make them equal first")
    described = admin.describe_consumer_groups([settings.application], request_timeout=TIMEOUT_SECONDS)
    try:
        members = described[settings.application].result().members
    except KafkaException:
        members = []  # a group that never was
    if members and not dry_run:
        raise Refused(
            f"{len(members)} streams process(es) run in the group {settings.application}: stop them first "
            "(`meterlog up --without streams` starts the embedded stack without them)"
        )
    return counts.pop()


def positions(
    admin: AdminClient, settings: ShellSettings, partition: int, known: Mapping[str, int], causes: Mapping[str, int]
) -> dict[str, int]:
    """The inbox position: the furthest that table, log or group know to be done, within what the topics hold."""
    places = [TopicPartition(topic, partition) for topic in settings.inbox]
    group = ConsumerGroupTopicPartitions(settings.application, places)
    try:
        answer = admin.list_consumer_group_offsets([group])[settings.application].result(TIMEOUT_SECONDS)
        committed = {place.topic: place.offset - 1 for place in answer.topic_partitions if place.offset > 0}
    except KafkaException:
        committed = {}
    spec: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    ends = admin.list_offsets(
        {place: spec for place in places},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=TIMEOUT_SECONDS,
    )
    found = {}
    for place, future in ends.items():
        furthest = max(each.get(place.topic, -1) for each in (known, causes, committed))
        if furthest >= 0:
            found[place.topic] = min(furthest, future.result().offset - 1)
    return {topic: offset for topic, offset in found.items() if offset >= 0}


def rebuild(admin: AdminClient, settings: ShellSettings, partition: int, dry_run: bool) -> Plan:
    """One partition. Raises KafkaException, above all when fenced, and TimeoutError."""
    transactions = None
    if not dry_run:
        transactions = Transactions(settings, partition)
        transactions.fence()
    kafka = dict(settings.kafka)
    present = table(settings.bootstrap, kafka, settings.table, TIMEOUT_SECONDS, partition)
    log = records(settings.bootstrap, kafka, topics.DEVICE_EVENTS.name, TIMEOUT_SECONDS, partition)
    found = plan(log, present)
    if transactions is not None:
        _write(admin, settings, partition, transactions, present, found)
    return found


def _write(
    admin: AdminClient,
    settings: ShellSettings,
    partition: int,
    transactions: Transactions,
    present: Mapping[bytes, bytes],
    found: Plan,
) -> None:
    position, mark = present.get(position_key(partition)), rebuild_key(partition)
    try:
        known = decode(position) if position is not None else {}
    except ValueError:
        known = {}
    places = positions(admin, settings, partition, known, found.causes)
    last: dict[bytes, bytes | None] = {mark: None}
    for topic in ENDED:
        if end_key(topic, partition) not in present and topic in places:
            key, value = end_entry(topic, partition, places[topic] + 1)
            last[key] = value
    if not found.changes and places == known and len(last) == 1 and mark not in present:
        return
    transactions.commit((), {mark: b"%d" % time.time_ns()}, places)
    left = iter(found.changes.items())
    while chunk := dict(islice(left, AT_ONCE)):
        transactions.commit((), chunk, places)
    transactions.commit((), last, places)


def main(arguments: list[str]) -> int:
    dry_run, as_json = "--dry-run" in arguments, "--json" in arguments
    try:
        settings = read_settings()
        kafka = dict(settings.role.kafka_config)
        admin = AdminClient({**kafka, "bootstrap.servers": settings.role.kafka, "log_level": 2})
        partitions = check(admin, settings, dry_run)
        shell = shell_settings(settings, partitions)
        plans = []
        for partition in range(partitions):
            began = time.monotonic()
            plans.append(found := rebuild(admin, shell, partition, dry_run))
            print(
                f"partition {partition} ({partition + 1} of {partitions}): {found.decisions:,} decisions, "
                f"{len(found.changes):,} of {found.devices:,} devices {'to write' if dry_run else 'written'}, "
                f"{time.monotonic() - began:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    except (SettingsWrong, Refused, TimeoutError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except KafkaException as error:
        fenced = "the streams were started meanwhile: stop them, and run this again to its end"
        print(fenced if is_fenced(error) else f"Kafka: {error.args[0].str()}", file=sys.stderr)
        return FAILED
    print(_document(plans, dry_run) if as_json else _text(plans, dry_run))
    return KEPT if any(found.counts for found in plans) else DONE


def _totals(plans: list[Plan]) -> dict[str, int]:
    names = ("devices", "decisions", "missing", "differing")
    return {name: sum(getattr(found, name) for found in plans) for name in names}


def _kept(plans: list[Plan]) -> dict[str, int]:
    kinds = {kind for found in plans for kind in found.counts}
    return {kind: sum(found.counts.get(kind, 0) for found in plans) for kind in sorted(kinds)}


def _document(plans: list[Plan], dry_run: bool) -> str:
    examples = {kind: [each for found in plans for each in found.kept.get(kind, [])] for kind in _kept(plans)}
    return json.dumps({"dry_run": dry_run, **_totals(plans), "kept": _kept(plans), "examples": examples})


def _text(plans: list[Plan], dry_run: bool) -> str:
    totals = _totals(plans)
    wrote = "would be written" if dry_run else "were written"
    lines = [
        f"{totals['devices']:,} devices by {totals['decisions']:,} decisions: {totals['missing']:,} that were missing "
        f"and {totals['differing']:,} that differed {wrote}"
    ]
    for kind, count in _kept(plans).items():
        lines.append(f"{count:,} {kind}, kept as in the table:")
        lines += [f"  {each}" for found in plans for each in found.kept.get(kind, [])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What `meterlog doctor` looks at, one function a part; each yields what it found."""

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.clickhouse.queries import Queries
from connectors.clickhouse.role import Settings
from connectors.dlms.keys import KeysUnusable, load_folder
from connectors.faces import groups
from connectors.faces.cli.places import Places
from connectors.faces.dead_letters import letters
from connectors.faces.skew import behind_broker
from infra import migrate
from infra import topics as topic_setup
from infra.embedded import folder, remote

SECONDS: Final = 5.0
SHOWN: Final = 5
PARTICULARS: Final = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]+\b")
SKEW_SECONDS: Final = 2.0  # a lease has half a minute of grace; who is off by seconds is off by more tomorrow
SILENT_SHARE, DOUBT_SHARE, FEW = 0.1, 0.01, 10  # a tenth of the meters called; one in a hundred outcomes; not less
FULL_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: `good`, and when not, what to do."""

    what: str
    good: bool
    says: str
    remedy: str = ""


def kafka(places: Places) -> Iterator[Finding]:
    address = places.kafka
    topic_setup.missing(address, timeout=SECONDS)
    yield Finding("kafka", True, f"answers at {address}")


def topics(places: Places) -> Iterator[Finding]:
    absent = topic_setup.missing(places.kafka, timeout=SECONDS)
    if absent:
        yield Finding("topics", False, f"missing: {', '.join(absent)}", "`meterlog topics apply` creates them.")
    counts = topic_setup.shared_counts(places.kafka)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in sorted(counts.items()))
        yield Finding(
            "topics", False, f"the streams' topics must have one number of partitions, but {listed}",
            "Stop the streams; delete the ones that differ, if nothing is lost with them, and `meterlog topics apply`.",
        )  # fmt: skip
    wrong = topic_setup.settings_wrong(places.kafka)
    for each in wrong[:SHOWN]:
        yield Finding("topics", False, each, "`meterlog topics apply` puts it right.")
    if not absent and not wrong and len(set(counts.values())) == 1:
        partitions = next(iter(counts.values()))
        yield Finding("topics", True, f"all there, {partitions} partitions, with the settings they should have")


def readers(places: Places) -> Iterator[Finding]:
    """Who is there to read, and what waits for it."""
    for group, there, behind in groups.readings(places.kafka):
        count = f"{behind:,}" if behind < groups.COUNTED else f"{behind:,} or more"
        if there:
            yield Finding(f"{group.role} reads", True, f"{there} in group {group.name}, {count} records before them")
        else:
            yield Finding(
                f"{group.role} reads", False, f"nobody is in group {group.name}: {count} records wait for a reader",
                f"Start the role: `meterlog run {group.role}`, or `meterlog up` for all.",
            )  # fmt: skip


def dead_letters(places: Places) -> Iterator[Finding]:
    """By reason; offsets, lengths and octets in it are no reasons of their own."""
    reasons = Counter(f"{letter.role}: {PARTICULARS.sub('..', letter.reason)}" for letter in letters(places.kafka))
    if not reasons:
        yield Finding("dead letters", True, "none")
        return
    listed = "; ".join(f"{count} x {reason[:100]}" for reason, count in reasons.most_common(SHOWN))
    others = f"; and {len(reasons) - SHOWN} other reasons" if len(reasons) > SHOWN else ""
    yield Finding("dead letters", True, f"{reasons.total()} (`meterlog dlq list`): {listed}{others}")


def clocks(places: Places) -> Iterator[Finding]:
    """The streams' clock against the broker's, told by the latest tick."""
    skew = behind_broker(places.kafka)
    if skew is None:
        yield Finding("clocks", True, "no tick to tell them by")
        return
    ahead = "ahead of" if skew < 0 else "behind"
    yield Finding(
        "clocks", abs(skew) <= SKEW_SECONDS, f"the streams' clock is {abs(skew):.1f} s {ahead} the broker's",
        "Leases, schedules and expiry go by these clocks: let both machines follow a time server.",
    )  # fmt: skip


def clickhouse(places: Places) -> Iterator[Finding]:
    settings = _settings(places)
    with _queries(settings, "system") as queries:
        skew = queries.clock() - time.time()
        yield Finding("clickhouse", True, f"answers at {settings.host}:{settings.port}")
        if abs(skew) > SKEW_SECONDS:
            says = f"its clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
            yield Finding("clickhouse", False, says, "Let both machines follow a time server.")


def tables(places: Places) -> Iterator[Finding]:
    settings = _settings(places)
    where: dict[str, Any] = {"database": settings.database, **settings.credentials}
    due = migrate.due(settings.host, settings.port, **where)
    absent = migrate.absent(settings.host, settings.port, **where)
    if due:
        yield Finding("tables", False, f"not migrated yet: {', '.join(due)}", "`meterlog migrate` applies them.")
    elif absent:
        yield Finding(
            "tables", False, f"missing although migrated: {', '.join(absent)}",
            "Somebody dropped them: `meterlog rebuild clickhouse --fresh` makes all anew from the topics.",
        )  # fmt: skip
    else:
        with _queries(settings) as queries:
            rows = queries.rows_by_table()
        yield Finding("tables", True, f"{sum(rows.values()):,} rows in {len(rows)} tables")
        yield from retention(places)
        yield from meters(places)


def retention(places: Places) -> Iterator[Finding]:
    with _queries(_settings(places)) as queries:
        totals = queries.sink_totals()
    gone = {topic: total["overtaken"] for topic, total in sorted(totals.items()) if total["overtaken"]}
    says = ", ".join(f"{count:,} offsets of {topic}" for topic, count in gone.items())
    yield Finding(
        "retention",
        not gone,
        f"deleted before the sink had read it: {says}" if gone else "nothing was deleted unread",
        "ClickHouse's table `overtaken` says which and when. Read those meters again; give the topic longer, or the "
        "sink more processes. `TRUNCATE TABLE overtaken` once it is settled.",
    )


def meters(places: Places) -> Iterator[Finding]:
    """The last day in the field, as the devices' log tells it."""
    with _queries(_settings(places)) as queries:
        day = queries.last_day()
    called, silent, settled, doubted, unknown = (
        day[name] for name in ("called", "silent", "settled", "doubted", "unknown")
    )
    yield Finding(
        "meters", silent < FEW or silent < SILENT_SHARE * called,
        f"{silent:,} of {called:,} called in the last day did not answer when last called",
        "Is their network or gateway down? Do their addresses still hold (`meterlog devices show`)?",
    )  # fmt: skip
    yield Finding(
        "outcomes", doubted + unknown < FEW or doubted + unknown < DOUBT_SHARE * settled,
        f"of {settled:,} in the last day {doubted:,} were in doubt for a while, {unknown:,} stayed Unknown",
        "Answers get lost after writes: look for time-outs and dropped connections (METERLOG_ANSWER_SECONDS, network).",
    )  # fmt: skip


def disks(places: Places) -> Iterator[Finding]:
    """Where ClickHouse keeps its data; and the data folder of the embedded stack, where Kafka's lies as well."""
    with _queries(_settings(places), "system") as queries:
        found = [(f"ClickHouse's disk {name}", free, total) for name, free, total in queries.disks()]
    if places.data.exists():
        usage = shutil.disk_usage(places.data)
        found.append((f"the disk of {places.data}", usage.free, usage.used + usage.free))
    for name, free, total in found:
        used = 1 - free / total if total else 0.0
        good = used < FULL_SHARE and free >= folder.MIN_FREE_BYTES
        says = f"{name} is {used:.0%} full, {free / 2**30:.1f} GiB left"
        yield Finding("disk", good, says, "Free some space or add some: both servers stop when there is none.")


def keys(places: Places) -> Iterator[Finding]:
    try:
        load_folder(places.keys)
    except KeysUnusable as error:
        yield Finding(
            "keys", False, str(error), "`meterlog keys generate` makes new ones, if this platform never had any."
        )
    else:
        yield Finding("keys", True, f"usable, in {places.keys}")


def roles(places: Places) -> Iterator[Finding]:
    found = remote.status(places.data)
    if found is None:
        yield Finding("roles", True, "no embedded stack here; look at the /readyz of each role")
        return
    for part in found.parts:
        restarts = f", started again {part.restarts} times" if part.restarts else ""
        log = places.data / "logs" / f"{part.name}.log"
        yield Finding(part.name, part.state in ("ready", "running"), part.state + restarts, f"Its log is {log}.")


def _settings(places: Places) -> Settings:
    host, port = places.clickhouse
    return Settings.read({**os.environ, "METERLOG_KAFKA": "unused", "METERLOG_CLICKHOUSE": f"{host}:{port}"})


def _queries(settings: Settings, database: str | None = None) -> Queries:
    """Over Meterlog's database, or another that is there before it."""
    return Queries(settings.host, settings.port, database=database or settings.database, **settings.credentials)


Look = Callable[[Places], Iterator[Finding]]
BY_SERVER: Final[Sequence[tuple[Look, Sequence[Look]]]] = (
    (kafka, (topics, readers, dead_letters, clocks)),
    (clickhouse, (tables, disks)),
    (keys, ()),
    (roles, ()),
)
"""A server, and what can only be looked at through it."""

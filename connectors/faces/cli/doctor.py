"""`meterlog doctor`: look at everything, and say in words what is wrong and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

import click
from confluent_kafka import KafkaException

from connectors.clickhouse.queries import Queries, QueryFailed
from connectors.dlms.keys import KeysUnusable, load_folder
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import FAILED, Failure, console, json_option, print_json
from connectors.faces.dead_letters import letters
from infra import topics
from infra.embedded import remote
from infra.embedded.errors import StackError

SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: `good`, and when not, what to do."""

    what: str
    good: bool
    says: str
    remedy: str = ""


@click.command()
@places_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, places: Places, as_json: bool) -> None:
    """Look at broker, topics, ClickHouse, keys, roles and dead letters.

    Exit code 1 when something is wrong.
    """
    findings: list[Finding] = []
    for look in (_kafka, _topics, _clickhouse, _overtaken, _keys, _roles, _dead_letters):
        findings.extend(_carefully(look, places))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "[green]good[/]" if finding.good else "[red]bad [/]"
            console.print(f"{mark} {finding.what}: ", end="")
            console.print(finding.says, markup=False)
            if not finding.good and finding.remedy:
                console.print(f"     {finding.remedy}", markup=False)
    if not all(finding.good for finding in findings):
        ctx.exit(FAILED)


def _carefully(look: Callable[[Places], Iterator[Finding]], places: Places) -> Iterator[Finding]:
    """A look that fails is a finding, not the end of the others."""
    name = look.__name__.strip("_").replace("_", " ")
    try:
        yield from look(places)
    except Failure as error:
        yield Finding(name, False, error.format_message().split("\n")[0], "`meterlog up` starts the embedded stack.")
    except (KafkaException, QueryFailed, StackError, OSError) as error:
        yield Finding(name, False, str(error), "Is it running? Does the address belong to it?")


def _kafka(places: Places) -> Iterator[Finding]:
    address = places.kafka
    topics.missing(address, timeout=SECONDS)
    yield Finding("kafka", True, f"answers at {address}")


def _topics(places: Places) -> Iterator[Finding]:
    absent = topics.missing(places.kafka, timeout=SECONDS)
    says = f"missing: {', '.join(absent)}" if absent else "all there"
    yield Finding("topics", not absent, says, "`meterlog topics apply` creates them.")


def _clickhouse(places: Places) -> Iterator[Finding]:
    host, port = places.clickhouse
    rows = Queries(host, port).rows_by_table()
    yield Finding("clickhouse", True, f"answers at {host}:{port}, {sum(rows.values()):,} rows in {len(rows)} tables")


def _overtaken(places: Places) -> Iterator[Finding]:
    totals = Queries(*places.clickhouse).sink_totals()
    gone = {topic: total["overtaken"] for topic, total in sorted(totals.items()) if total["overtaken"]}
    says = ", ".join(f"{count:,} offsets of {topic}" for topic, count in gone.items())
    yield Finding(
        "retention",
        not gone,
        f"deleted before the sink had read it: {says}" if gone else "nothing was deleted unread",
        "ClickHouse's table `overtaken` says which and when. Read those meters again; give the topic longer, or the "
        "sink more processes. `TRUNCATE TABLE overtaken` once it is settled.",
    )


def _keys(places: Places) -> Iterator[Finding]:
    try:
        load_folder(places.keys)
    except KeysUnusable as error:
        yield Finding(
            "keys", False, str(error), "`meterlog keys generate` makes new ones, if this platform never had any."
        )
    else:
        yield Finding("keys", True, f"usable, in {places.keys}")


def _roles(places: Places) -> Iterator[Finding]:
    found = remote.status(places.data)
    if found is None:
        yield Finding("roles", True, "no embedded stack here; look at the /readyz of each role")
        return
    for part in found.parts:
        restarts = f", started again {part.restarts} times" if part.restarts else ""
        log = places.data / "logs" / f"{part.name}.log"
        yield Finding(part.name, part.state in ("ready", "running"), part.state + restarts, f"Its log is {log}.")


def _dead_letters(places: Places) -> Iterator[Finding]:
    count = sum(1 for _ in letters(places.kafka))
    yield Finding("dead letters", True, f"{count}; `meterlog dlq list` shows them" if count else "none")

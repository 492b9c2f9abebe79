"""`meterlog topics` and `meterlog migrate`: what must exist in Kafka and ClickHouse before a role starts."""

import click

from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, json_option, print_json, print_table
from infra import migrate as migrations
from infra import topics as topic_setup
from schemas.topics import TOPICS


@click.group()
def topics() -> None:
    """The topics of the system."""


@topics.command("list")
@json_option
def list_topics(as_json: bool) -> None:
    """List the topics as declared: what lies on them, who writes and who reads."""
    if as_json:
        print_json([{"name": t.name, "about": t.about, "writers": t.writers, "readers": t.readers} for t in TOPICS])
    else:
        rows = [(t.name, t.about, ", ".join(t.writers), ", ".join(t.readers)) for t in TOPICS]
        print_table("", ("topic", "what", "written by", "read by"), rows)


@topics.command("apply")
@click.option(
    "--partitions", default=topic_setup.DEFAULT_PARTITIONS, show_default=True, help="For topics that do not exist yet."
)
@click.option(
    "--replication", default=1, show_default=True, help="Replication factor of new topics; 3 on a real cluster."
)
@places_option
@json_option
def apply_topics(partitions: int, replication: int, places: Places, as_json: bool) -> None:
    """Create missing topics, and bring the settings of the others up to date.

    Safe to repeat.
    """
    announce = (lambda _: None) if as_json else console.print
    try:
        applied = topic_setup.apply(places.kafka, partitions=partitions, replication=replication, announce=announce)
    except topic_setup.TopicsDiffer as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"created": applied.created, "present": applied.present})
    else:
        console.print(f"{len(applied.created)} created, {len(applied.present)} were there")


@click.command()
@click.option(
    "--log-days",
    type=click.IntRange(1, 3_650),
    default=30,
    show_default=True,
    envvar="METERLOG_DLMS_LOG_DAYS",
    help="How long frames of devices in debug mode are kept.",
)
@places_option
@json_option
def migrate(log_days: int, places: Places, as_json: bool) -> None:
    """Create or bring up to date the tables and views of ClickHouse.

    Safe to repeat.
    """
    host, port = places.clickhouse
    announce = (lambda _: None) if as_json else console.print
    try:
        applied = migrations.migrate(host, port, announce)
        changed = migrations.keep(host, port, "dlms_log", log_days)
    except migrations.MigrationRefused as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"applied": applied, "dlms_log_days": log_days})
    elif changed:
        console.print(f"frames of devices in debug mode are kept {log_days} days")

"""`meterlog doctor`: look at everything, and say in words what is wrong and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import click
from confluent_kafka import KafkaException

from connectors.clickhouse.queries import QueryFailed
from connectors.faces.cli import looks
from connectors.faces.cli.looks import Finding
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import FAILED, Failure, console, json_option, print_json
from infra.embedded.errors import StackError
from infra.migrate import MigrationRefused

START = "`meterlog up` starts the embedded stack."
REACH = "Is it running? Does the address belong to it?"


@click.command()
@places_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, places: Places, as_json: bool) -> None:
    """Look at broker, topics, who reads them, ClickHouse, meters, keys, roles, disks, clocks and dead letters.

    Exit code 1 when something is wrong.
    """
    findings: list[Finding] = []
    for server, others in looks.BY_SERVER:
        found = [*_carefully(server, places)]
        findings += found
        if all(finding.good for finding in found):  # what hangs on a server that is away says nothing more
            for look in others:
                findings += _carefully(look, places)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _tell(finding)
    if not all(finding.good for finding in findings):
        ctx.exit(FAILED)


def _tell(finding: Finding) -> None:
    console.print(f"{'[green]good[/]' if finding.good else '[red]bad [/]'} {finding.what}: ", end="")
    console.print(finding.says, markup=False)
    if not finding.good and finding.remedy:
        console.print(f"     {finding.remedy}", markup=False)


def _carefully(look: Callable[[Places], Iterator[Finding]], places: Places) -> Iterator[Finding]:
    """A look that fails is a finding, not the end of the others."""
    name = look.__name__.replace("_", " ")
    try:
        yield from look(places)
    except Failure as error:
        yield Finding(name, False, error.format_message().split("\n")[0], START)
    except KafkaException as error:
        yield Finding(name, False, f"Kafka at {places.kafka} does not answer: {error.args[0].str()}", REACH)
    except (QueryFailed, MigrationRefused, StackError, OSError) as error:
        yield Finding(name, False, str(error), REACH)

"""`meterlog logs DEVICE`: the frames of a device in debug mode, as ClickHouse has kept them."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import click

from connectors.clickhouse.queries import Queries
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, errors, json_option, moment_option, print_json

_POLL_SECONDS: Final = 1.0
_AT_ONCE: Final = 10_000


@click.command()
@click.argument("device_id")
@click.option("--since", metavar="MOMENT", help="From this moment on, such as 2027-01-31T02:00:00Z.")
@click.option("--until", "until", metavar="MOMENT", help="Up to this moment.")
@click.option("--limit", type=click.IntRange(1, _AT_ONCE), default=200, show_default=True, help="The latest so many.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--xml", is_flag=True, help="The whole APDUs, where the worker could translate them.")
@click.option("--hex", "as_hex", is_flag=True, help="The bytes of the frames.")
@places_option
@json_option
def logs(
    device_id: str,
    since: str | None,
    until: str | None,
    limit: int,
    follow: bool,
    xml: bool,
    as_hex: bool,
    places: Places,
    as_json: bool,
) -> None:
    """Show the frames of DEVICE_ID, oldest first: what was sent and received while it was in debug mode."""
    begin = moment_option(since, "--since") if since is not None else None
    end = moment_option(until, "--until") if until is not None else None
    if follow and end is not None:
        raise click.UsageError("--follow has no end: leave --until out")
    with places.queries as queries:
        found = queries.frames(device_id, begin, end, first=0, limit=limit)
        if not found and not follow:
            raise Failure(
                f"no frames of {device_id!r} are kept",
                "`meterlog send EnableDebugging --device ID` has them logged from the next job on.",
            )
        if len(found) == limit and not as_json:
            errors.print(f"the latest {limit}; --limit shows more")
        _print(reversed(found), xml, as_hex, as_json)
        if follow:
            _follow(queries, device_id, found[0] if found else None, begin, xml, as_hex, as_json)


def _follow(
    queries: Queries,
    device_id: str,
    last: dict[str, Any] | None,
    begin: datetime | None,
    xml: bool,
    as_hex: bool,
    as_json: bool,
) -> None:
    """What comes to be stored after `last`; without it from `begin`, or now, on."""
    since = begin or datetime.now(UTC)
    while True:
        time.sleep(_POLL_SECONDS)
        found = queries.frames(device_id, last["at"] if last else since, None, first=0, limit=_AT_ONCE)
        later = [each for each in reversed(found) if last is None or _place(each) > _place(last)]
        _print(later, xml, as_hex, as_json)
        last = later[-1] if later else last


def _place(frame: dict[str, Any]) -> tuple[datetime, int, int]:
    return frame["at"], frame["job"], frame["sequence"]


def _print(frames: Iterable[dict[str, Any]], xml: bool, as_hex: bool, as_json: bool) -> None:
    for frame in frames:
        if as_json:
            print_json(frame)
            continue
        words = [
            frame["at"].astimezone().isoformat(timespec="milliseconds"),
            f"{frame['job']}.{frame['sequence']}",
            "<-" if frame["incoming"] else "->",
            f"{frame['size']:>5}",
            frame["summary"],
        ]
        if frame["withheld"]:
            words.append(f"[{frame['withheld']} bytes withheld]")
        console.print(" ".join(words), markup=False, soft_wrap=True)
        if as_hex:
            console.print(f"    {frame['frame']}", markup=False, soft_wrap=True)
        if xml and frame["text"]:
            console.print("\n".join(f"    {line}" for line in frame["text"].splitlines()), markup=False, soft_wrap=True)

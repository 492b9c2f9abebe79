"""`meterlog plan`: reading plans: apply one from its file, see what it is and how complete, take it away."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from connectors.clickhouse.plan_queries import PlanQueries
from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, console, json_option, moment, print_json, print_table
from connectors.faces.upstream import Upstream
from connectors.planner.plan import PlanWrong, read_plan
from connectors.planner.plans import NotKept, Plans, following, keep
from schemas.records import ReadingPlan

MONTH_DAYS: Final = 31
_LACKING: Final = ("device_id", "missing", "expected", "last_answer")
_LISTED: Final = ("name", "version", "applied", "zone", "window", "reads")


@click.group()
def plan() -> None:
    """Reading plans: what is read of whom, and when, without anybody asking."""


@plan.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only say whether the file is right.")
@places_option
@json_option
def apply(file: Path, check: bool, places: Places, as_json: bool) -> None:
    """Read by the plan in FILE from now on; a plan of its name that is there becomes an older version."""
    try:
        wanted = read_plan(file.read_text("utf-8"))
    except (PlanWrong, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}", "docs/reading-plans.md has the fields of a plan.") from None
    if check:
        _say({"name": wanted.name, "right": True}, f"{file} is right", as_json)
        return
    version, changed = put(places, wanted)
    told = "applied" if changed else "unchanged"
    _say(_document(version) | {"changed": changed}, f"{version.name} is {told}, version {version.version}", as_json)


@plan.command()
@click.argument("name")
@places_option
@json_option
def delete(name: str, places: Places, as_json: bool) -> None:
    """Read no longer by the plan NAME.

    Its versions and what was read stay.
    """
    latest = _present(places, name)
    ended = replace(latest, version=latest.version + 1, at=Upstream.now(), deleted=True)
    _keep(places, ended)
    _say({"name": name, "version": ended.version, "deleted": True}, f"{name} is taken away", as_json)


@plan.command("list")
@places_option
@json_option
def list_plans(places: Places, as_json: bool) -> None:
    """List the plans by which is read."""
    known = _known(places)
    found = [latest for name in sorted(known) if not (latest := known[name][max(known[name])]).deleted]
    if as_json:
        print_json([_document(each) for each in found])
    elif not found:
        console.print("no plans; `meterlog plan apply FILE` makes one (docs/reading-plans.md)")
    else:
        rows = [
            (each.name, each.version, moment(each.at), each.zone, _window(each), ", ".join(r.name for r in each.reads))
            for each in found
        ]
        print_table("", _LISTED, rows, numbers=("version",))


@plan.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version than the last.")
@places_option
@json_option
def show(name: str, version: int | None, places: Places, as_json: bool) -> None:
    """Show the plan NAME as it was applied, and which versions there are."""
    versions = _known(places).get(name)
    if versions is None:
        raise Failure(f"there is no plan {name!r}", "`meterlog plan list` shows them.")
    found = versions.get(version if version is not None else max(versions))
    if found is None:
        raise Failure(f"{name} has no version {version}", f"Versions: {', '.join(map(str, sorted(versions)))}")
    if as_json:
        print_json(_document(found) | {"source": found.source, "versions": sorted(versions)})
        return
    for each in sorted(versions):
        state = "deleted" if versions[each].deleted else "read by" if each == max(versions) else "before"
        console.print(f"version {each}  {moment(versions[each].at)}  {state}{'  <-' if each == found.version else ''}")
    console.print(found.source, markup=False)


@plan.command()
@click.argument("name")
@click.option(
    "--from", "first", metavar="DAY", help="Such as 2027-01-24; as far back as it catches up, 31 days at most."
)
@click.option("--to", "last", metavar="DAY", help="Yesterday.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Devices that are named.")
@places_option
@json_option
def status(name: str, first: str | None, last: str | None, limit: int, places: Places, as_json: bool) -> None:
    """Show how complete what the plan NAME reads is, day by day, and which devices lack most."""
    latest = _present(places, name)
    yesterday = datetime.now(UTC).astimezone(ZoneInfo(latest.zone)).date() - timedelta(days=1)
    end = _day(last, "--to") if last is not None else yesterday
    back = min(max([1, *(read.catch_up_days for read in latest.reads)]), MONTH_DAYS)
    begin = _day(first, "--from") if first is not None else end - timedelta(days=back - 1)
    if begin > end:
        raise click.BadParameter(f"{begin} is after {end}", param_hint="--from")
    with PlanQueries(*places.clickhouse, database=places.database) as queries:
        days = queries.plan_completeness(name, latest.zone, begin, end)
        missing = queries.plan_missing(name, latest.zone, begin, end, limit=limit)
    if as_json:
        print_json({"plan": _document(latest), "days": days, "missing": missing})
        return
    console.print(f"{name}, version {latest.version}: {_window(latest)} {latest.zone}")
    if not days:
        console.print("no device of it has a profile that is read; `meterlog devices list` shows what there is")
        return
    columns = ("read", "day", "devices", "complete", "expected", "present", "missing")
    print_table("", columns, ([row[column] for column in columns] for row in days), numbers=columns[2:])
    if missing:
        rows = ([row[column] for column in _LACKING] for row in missing)
        print_table("who lacks most", _LACKING, rows, numbers=("missing", "expected"))


def put(places: Places, wanted: ReadingPlan) -> tuple[ReadingPlan, bool]:
    """Read by this plan from now on: the version that counts, and whether it is another than before. Raises Failure,
    KafkaException.
    """
    latest = _latest(_known(places), wanted.name)
    version = following(wanted, latest, Upstream.now())
    if version is None:
        assert latest is not None
        return latest, False
    _keep(places, version)
    return version, True


def _known(places: Places) -> dict[str, dict[int, ReadingPlan]]:
    plans = Plans(places.kafka)
    plans.close()
    return plans.versions


def _latest(known: dict[str, dict[int, ReadingPlan]], name: str) -> ReadingPlan | None:
    return known[name][max(known[name])] if name in known else None


def _present(places: Places, name: str) -> ReadingPlan:
    latest = _latest(_known(places), name)
    if latest is None or latest.deleted:
        raise Failure(f"there is no plan {name!r}", "`meterlog plan list` shows them.")
    return latest


def _keep(places: Places, version: ReadingPlan) -> None:
    try:
        keep(places.kafka, version)
    except NotKept as error:
        raise Failure(f"the plan was not kept: {error}") from None


def _say(document: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        console.print(line, markup=False)


def _document(found: ReadingPlan) -> dict[str, Any]:
    document = {name: getattr(found, name) for name in found.__slots__ if name not in ("source", "reads", "at")}
    reads = [{name: getattr(read, name) for name in read.__slots__} for read in found.reads]
    return {**document, "applied_at": moment(found.at), "reads": reads}


def _window(found: ReadingPlan) -> str:
    return " to ".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (found.window_begin, found.window_end))


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day such as 2027-01-24", param_hint=option) from None

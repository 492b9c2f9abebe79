"""What an analyst would ask after a night, from ClickHouse: printed by the demo, and judged: all should be there."""

from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

from connectors.clickhouse.queries import Found
from connectors.clickhouse.report_queries import ReportQueries
from connectors.faces.cli import plot, street
from connectors.faces.cli.terminal import console, print_table
from connectors.faces.night import ZONE, Day
from connectors.simulator.fleet import FleetSettings, identity

SLOWEST: Final = 5
EVENTS: Final = 6
HEIGHT: Final = 8
WIDE: Final = 110  # columns of a terminal that show a day in quarters of an hour
METER_ROWS: Final = 4  # of one meter's day; the rest is one query away
HOURS: Final = ("0:00", "6:00", "12:00", "18:00", "24:00")


def show(queries: ReportQueries, fleet: FleetSettings, day: Day, planned: street.Street) -> list[str]:
    """Print rows by table, the fleet's load and gas of the day, completeness, one meter's evening, events, voltages,
    what the plan has and the slowest commands. Gives what is not as it should be after a night in which all went well.
    """
    _rows(queries)
    wrong = _load_curve(queries, fleet, day) + _gas_curve(queries, day)
    wrong += _completeness(queries, fleet, day)
    _meter_day(queries, identity(fleet, 1).device_id, day)
    wrong += _events(queries) + _voltages(queries, day) + _plan(queries, planned)
    _slowest(queries)
    return wrong


def _rows(queries: ReportQueries) -> None:
    counts = queries.rows_by_table()
    print_table(
        "\n[bold]What lies in ClickHouse[/]",
        ("table", "rows"),
        [(table, f"{rows:,}") for table, rows in counts.items()],
        numbers=("rows",),
    )


def _load_curve(queries: ReportQueries, fleet: FleetSettings, day: Day) -> list[str]:
    local = day.start.astimezone(ZONE).date()
    curve = queries.load_curve(local, ZONE.key)
    each = 1 if console.width >= WIDE else 2  # quarters of an hour a character
    console.print(
        f"\n[bold]The fleet's load on {local:%A %d %B}[/], taken from the grid; {15 * each} minutes a character"
    )
    load = [float(point["import_kw"] or 0) for point in curve]
    drawn = [sum(load[at : at + each]) / len(load[at : at + each]) for at in range(0, len(load), each)]
    for line in plot.columns(drawn, height=HEIGHT, labels=HOURS, unit="kW"):
        console.print(line, markup=False)
    used = sum(float(point["imported_kwh"] or 0) for point in curve)
    made = sum(float(point["exported_kwh"] or 0) for point in curve)
    console.print(f"   {used:,.0f} kWh taken, {made:,.0f} kWh fed in, peak {max(load, default=0):,.0f} kW")
    least = min((point["meters"] for point in curve), default=0)
    return [] if least >= fleet.meters else [f"the load curve has a quarter-hour of {least} meters"]


def _gas_curve(queries: ReportQueries, day: Day) -> list[str]:
    local = day.start.astimezone(ZONE).date()
    curve = queries.gas_curve(local, ZONE.key)
    each = 4 if console.width >= WIDE else 2  # characters an hour: as wide as the load
    console.print("\n[bold]Its gas on that day[/], by hour, of the times that the gas meters say")
    used = [float(point["consumed_m3"]) for point in curve]
    drawn = [hour for hour in used for _ in range(each)]
    for line in plot.columns(drawn, height=HEIGHT // 2, labels=HOURS, unit="m3"):
        console.print(line, markup=False)
    console.print(f"   {sum(used):,.0f} m3 used by {max((point['meters'] for point in curve), default=0)} meters")
    hours = (day.end.astimezone(UTC) - day.start.astimezone(UTC)) // timedelta(hours=1)  # of the zone: 23 to 25
    return [] if len(curve) >= hours - 1 and sum(used) > 0 else [f"there is gas of {len(curve)} of {hours} hours"]


def _completeness(queries: ReportQueries, fleet: FleetSettings, day: Day) -> list[str]:
    local = day.start.astimezone(ZONE).date()
    found = [
        ("quarter-hours", fleet.meters, queries.completeness(local, local, ZONE.key)),
        ("hours of gas", fleet.meters * (fleet.gas_meters or 0), queries.gas_completeness(local, local, ZONE.key)),
    ]
    columns = ("day", "devices", "complete", "expected", "present", "percent")
    print_table(
        "\n[bold]Is it complete?[/]",
        ("rows of", *columns),
        [(name, *_cells(row, columns)) for name, _, rows in found for row in rows],
        numbers=columns[1:],
    )
    return [
        f"{name} of {sum(row['complete'] for row in rows)} devices are complete, {devices} are there"
        for name, devices, rows in found
        if sum(row["complete"] for row in rows) < devices
    ]


def _meter_day(queries: ReportQueries, device_id: str, day: Day) -> None:
    rows = queries.meter_day(device_id, day.start.astimezone(ZONE).date(), ZONE.key)
    evening = rows[-6 * 4 : -6 * 4 + METER_ROWS] or rows[:METER_ROWS]
    print_table(
        f"\n[bold]One meter's evening[/], {device_id} ({len(rows)} quarter-hours of the day are stored)",
        ("from", "taken kWh", "fed in kWh", "quality"),
        [
            (f"{row['interval_start']:%H:%M}", row["imported_kwh"], row["exported_kwh"], row["quality"])
            for row in evening
        ],
        numbers=("taken kWh", "fed in kWh"),
    )


def _events(queries: ReportQueries) -> list[str]:
    return _shown(
        "What the meters' logs tell",
        queries.most_frequent_events(EVENTS),
        ("event", "log", "meters", "entries", "latest"),
        ("meters", "entries"),
        "there is no event of any meter",
    )


def _voltages(queries: ReportQueries, day: Day) -> list[str]:
    return _shown(
        "Voltages of the day, by phase",
        queries.voltages(day.start.astimezone(ZONE).date(), ZONE.key),
        ("phase", "meters", "samples", "lowest_v", "mean_v", "highest_v", "percent_within"),
        ("meters", "samples", "lowest_v", "mean_v", "highest_v", "percent_within"),
        "there is no voltage of any meter",
    )


def _plan(queries: ReportQueries, planned: street.Street) -> list[str]:
    rows = queries.plan_completeness(street.NAME, ZONE.key, planned.first, planned.last)
    columns = ("read", "day", "devices", "complete", "expected", "present", "missing")
    title = f"What the plan has of street {planned.number}"
    return _shown(title, rows, columns, columns[2:], f"the plan {street.NAME} has nothing to read")


def _slowest(queries: ReportQueries) -> None:
    columns = ("operation", "status", "commands", "median_seconds", "p99_seconds")
    print_table(
        "\n[bold]How long commands took[/]",
        ("operation", "status", "commands", "median s", "p99 s"),
        [_cells(row, columns) for row in queries.outcomes()],
        numbers=("commands", "median s", "p99 s"),
    )
    print_table(
        "\n[bold]The slowest[/]",
        ("device", "operation", "status", "attempts", "seconds"),
        [
            (row["device_id"], row["operation"], row["status"], row["attempts"], f"{row['seconds']:.2f}")
            for row in queries.slowest_commands(SLOWEST)
        ],
        numbers=("attempts", "seconds"),
    )


def _shown(
    title: str, rows: Sequence[Found], columns: Sequence[str], numbers: Sequence[str], otherwise: str
) -> list[str]:
    """Print the columns of these rows; when there are none, that is what is wrong."""
    print_table(f"\n[bold]{title}[/]", columns, [_cells(row, columns) for row in rows], numbers=numbers)
    return [] if rows else [otherwise]


def _cells(row: Found, columns: Iterable[str]) -> list[Any]:
    return [row[column] for column in columns]

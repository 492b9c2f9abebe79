"""What an analyst would ask after a night, from ClickHouse: printed by the demo."""

from datetime import timedelta
from typing import Final

from connectors.clickhouse.queries import Queries
from connectors.faces.cli import plot
from connectors.faces.cli.terminal import console, print_table
from connectors.faces.night import ZONE, Day

SLOWEST: Final = 5
HEIGHT: Final = 8
WIDE: Final = 110  # columns of a terminal that show a day in quarters of an hour
METER_ROWS: Final = 8  # of one meter's day; the rest is one query away


def show(queries: Queries, day: Day, device_id: str) -> None:
    """Print rows by table, the fleet's load curve of the day, completeness, one meter's day and the slowest
    commands."""
    _rows(queries)
    _load_curve(queries, day)
    _completeness(queries, day)
    _meter_day(queries, day, device_id)
    _slowest(queries)


def _rows(queries: Queries) -> None:
    counts = queries.rows_by_table()
    print_table(
        "\n[bold]What lies in ClickHouse[/]",
        ("table", "rows"),
        [(table, f"{rows:,}") for table, rows in counts.items()],
        numbers=("rows",),
    )


def _load_curve(queries: Queries, day: Day) -> None:
    local = day.start.astimezone(ZONE).date()
    curve = queries.load_curve(local, ZONE.key)
    each = 1 if console.width >= WIDE else 2  # quarters of an hour a character
    console.print(
        f"\n[bold]The fleet's load on {local:%A %d %B}[/], taken from the grid; {15 * each} minutes a character"
    )
    if not curve:
        console.print("   no quarter-hours are stored for this day")
        return
    load = [float(point["import_kw"] or 0) for point in curve]
    drawn = [sum(load[at : at + each]) / len(load[at : at + each]) for at in range(0, len(load), each)]
    for line in plot.columns(drawn, height=HEIGHT, labels=("0:00", "6:00", "12:00", "18:00", "24:00"), unit="kW"):
        console.print(line, markup=False)
    used = sum(float(point["imported_kwh"] or 0) for point in curve)
    made = sum(float(point["exported_kwh"] or 0) for point in curve)
    console.print(f"   {used:,.0f} kWh taken, {made:,.0f} kWh fed in, peak {max(load):,.0f} kW")


def _completeness(queries: Queries, day: Day) -> None:
    last = (day.end - timedelta(hours=12)).astimezone(ZONE).date()
    rows = queries.completeness(last, last, ZONE.key)
    print_table(
        "\n[bold]Is it complete?[/]",
        ("day", "devices", "complete", "rows expected", "present", "percent"),
        [
            (row["day"], row["devices"], row["complete"], row["expected"], row["present"], f"{row['percent']:.2f}")
            for row in rows
        ],
        numbers=("devices", "complete", "rows expected", "present", "percent"),
    )


def _meter_day(queries: Queries, day: Day, device_id: str) -> None:
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


def _slowest(queries: Queries) -> None:
    print_table(
        "\n[bold]How long commands took[/]",
        ("operation", "status", "commands", "median s", "p99 s"),
        [
            (row["operation"], row["status"], row["commands"], row["median_seconds"], row["p99_seconds"])
            for row in queries.outcomes()
        ],
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

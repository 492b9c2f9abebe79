"""What nobody asks for in the demo: a reading plan of one street, its electricity and its gas of the last days. It is
applied as `meterlog plan apply` does, works while the night is read, and is watched until it has everything.
"""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from connectors.clickhouse.report_queries import ReportQueries
from connectors.faces.cli.places import Places
from connectors.faces.cli.plan import put
from connectors.faces.night import ZONE
from connectors.planner.plan import read_plan

NAME: Final = "street"
DAYS: Final = 3  # until yesterday
PATIENCE: Final = 180.0  # seconds after the window has closed
POLL_SECONDS: Final = 0.5
_FILE: Final = """\
# A reading plan (docs/reading-plans.md): what is missing of street {street} is asked for, within one minute of the day.
name = "{name}"
zone = "{zone}"
devices = {{ labels = {{ street = "{street}" }} }}
window = {{ from = "{begin:%H:%M}", to = "{end:%H:%M}" }}
catch_up = {{ days = {days} }}
reads = [
    {{ name = "electricity", operation = "GetPeriodicMeterReads", profile = "INTERVAL" }},
    {{ name = "gas", operation = "GetPeriodicMeterReadsGas", profile = "INTERVAL" }},
]
"""


class Street(NamedTuple):
    """The plan at work. `first` and `last`: the days it is to have; `closes`: the end of its window."""

    file: Path
    number: str
    first: date
    last: date
    opens: datetime
    closes: datetime


def apply(places: Places, number: str) -> Street:
    """Apply the plan of a street, with a window that opens at the next full minute and is open for one."""
    now = datetime.now(UTC).astimezone(ZONE)
    begin = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = begin + timedelta(minutes=1)
    file = places.data / f"{NAME}.toml"
    text = _FILE.format(name=NAME, zone=ZONE.key, street=number, begin=begin, end=end, days=DAYS - 1)
    file.write_text(text, "utf-8")
    put(places, read_plan(text))
    last = now.date() - timedelta(days=1)
    return Street(file, number, last - timedelta(days=DAYS - 1), last, begin, end)


def await_complete(queries: ReportQueries, street: Street, seen: Callable[[int, int], None]) -> bool:
    """Wait until nothing is missing; `seen` is told how many rows there are of how many. False when it takes too
    long.
    """
    until = time.monotonic() + max(0.0, (street.closes - datetime.now(UTC)).total_seconds()) + PATIENCE
    while True:
        rows = queries.plan_completeness(NAME, ZONE.key, street.first, street.last)
        expected, present = (sum(row[name] for row in rows) for name in ("expected", "present"))
        seen(present, expected)
        if expected and not any(row["missing"] for row in rows):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)

"""What the demo asks after its night, beside what `Queries` has: gas, events, voltages, whether all outcomes came."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from connectors.clickhouse.plan_queries import PlanQueries
from connectors.clickhouse.queries import Found

_AT_ONCE: Final = 2_000  # ids in one question: the server takes 256 KiB of it


class ReportQueries(PlanQueries):
    """Every method raises QueryFailed."""

    def registered(self) -> int:
        """How many devices are registered."""
        return int(self._ask("SELECT uniqExact(device_id) AS devices FROM device_registrations")[0]["devices"])

    def with_outcome(self, correlation_ids: Sequence[str]) -> set[str]:
        """Those of these commands (ids that are UUIDs) whose outcome is stored."""
        found: set[str] = set()
        query = "SELECT toString(correlation_id) AS id FROM responses WHERE correlation_id IN %(ids)s"
        for first in range(0, len(correlation_ids), _AT_ONCE):
            rows = self._ask(query, {"ids": list(correlation_ids[first : first + _AT_ONCE])})
            found.update(row["id"] for row in rows)
        return found

    def gas_curve(self, day: date, zone: str) -> list[Found]:
        """The fleet's gas of a local day by hour: hour, meters, consumed_m3."""
        query = "SELECT * FROM gas_curve(day = %(day)s, zone = %(zone)s) ORDER BY hour"
        return self._ask(query, {"day": day.isoformat(), "zone": zone})

    def gas_completeness(self, first: date, last: date, zone: str) -> list[Found]:
        """As `completeness`, of the hours of gas."""
        return self._by_day("gas_completeness", first, last, zone)

    def most_frequent_events(self, limit: int) -> list[Found]:
        """What most meters had to say, ever: log, event, entries, meters, latest."""
        query = """
            SELECT log, event, count() AS entries, uniqExact(device_id) AS meters, max(captured_at) AS latest
            FROM meter_events FINAL GROUP BY log, event ORDER BY meters DESC, entries DESC, event LIMIT %(limit)s"""
        return self._ask(query, {"limit": limit})

    def voltages(self, day: date, zone: str) -> list[Found]:
        """Average voltages of a local day by phase: phase, meters, samples, lowest_v, mean_v, highest_v, and how many
        samples lie within the limits of EN 50160, in per cent.
        """
        query = """
            SELECT phase, uniqExact(device_id) AS meters, sum(v.samples) AS samples, min(v.lowest_v) AS lowest_v,
                round(sum(v.mean_v * v.samples) / samples, 1) AS mean_v, max(v.highest_v) AS highest_v,
                round(100 * (1 - sum(v.below + v.above) / samples), 2) AS percent_within
            FROM voltage_quality(zone = %(zone)s, from_day = %(day)s, to_day = %(day)s) AS v
            GROUP BY phase ORDER BY phase"""
        return self._ask(query, {"day": day.isoformat(), "zone": zone})

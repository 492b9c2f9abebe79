"""What the planner and `meterlog plan` read from ClickHouse: a plan's devices, and what is stored of them."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from connectors.clickhouse.queries import Found, Queries
from operations import catalogue

_GRID: Final = "(period != 'INTERVAL' OR toUnixTimestamp64Milli(captured_at) %% 900000 = 0)"
_GAS_GRID: Final = "(profile != 'MBUS_INTERVAL_PROFILE' OR toUnixTimestamp64Milli(captured_at) %% 3600000 = 0)"


def _connecting() -> list[str]:
    return [name for name, operation in catalogue().items() if operation.connects]


class PlanQueries(Queries):
    """Every method raises QueryFailed. Times are milliseconds since 1970 UTC."""

    def plan_devices(self, plan: str) -> list[Found]:
        """Devices of a plan, as it was stored: device_id, device_type, protocol, protocol_version, gateway_id (empty:
        none), channel, registered_at.
        """
        query = """
            SELECT d.device_id AS device_id, d.device_type AS device_type, d.protocol AS protocol,
                d.protocol_version AS protocol_version, d.gateway_id AS gateway_id, d.channel AS channel,
                toUnixTimestamp64Milli(d.registered_at) AS registered_at
            FROM devices AS d
            WHERE d.device_id IN (SELECT device_id FROM plan_devices WHERE plan = %(plan)s) ORDER BY device_id"""
        return self._ask(query, {"plan": plan})

    def plan_version(self, plan: str) -> int:
        """The version of a plan that is stored; 0 when none is."""
        found = self._ask("SELECT max(version) AS version FROM plan_versions WHERE name = %(plan)s", {"plan": plan})
        return int(found[0]["version"])

    def rows_by_period(
        self, devices: Sequence[str], profile: str, starts: Sequence[int], end: int
    ) -> dict[tuple[str, int], int]:
        """Rows of each electricity meter in each period; `starts` ascending, `end` of the last."""
        return self._rows_by_period("energy_reads", f"period = %(profile)s AND {_GRID}", devices, profile, starts, end)

    def gas_rows_by_period(
        self, devices: Sequence[str], profile: str, starts: Sequence[int], end: int
    ) -> dict[tuple[str, int], int]:
        """The same of M-Bus meters. A row without a value is one: the gateway has nothing else for that hour."""
        where = f"quantity = 'consumption' AND profile = concat('MBUS_', %(profile)s, '_PROFILE') AND {_GAS_GRID}"
        return self._rows_by_period("profile_reads", where, devices, profile, starts, end)

    def _rows_by_period(
        self, table: str, where: str, devices: Sequence[str], profile: str, starts: Sequence[int], end: int
    ) -> dict[tuple[str, int], int]:
        if not devices or not starts:
            return {}
        query = f"""
            SELECT device_id, roundDown(toUnixTimestamp64Milli(captured_at), %(starts)s) AS start,
                uniqExact(captured_at) AS rows
            FROM {table}
            WHERE device_id IN %(devices)s AND {where}
                AND captured_at >= fromUnixTimestamp64Milli(%(first)s)
                AND captured_at < fromUnixTimestamp64Milli(%(end)s)
            GROUP BY device_id, start"""  # noqa: S608 - text of our own
        values = {
            "devices": list(devices),
            "profile": profile,
            "starts": list(starts),
            "first": starts[0],
            "end": end,
        }
        return {(row["device_id"], int(row["start"])): row["rows"] for row in self._ask(query, values)}

    def outcomes_since(self, devices: Sequence[str], operations: Sequence[str], since: int) -> list[Found]:
        """First outcomes of commands of these operations: device_id, correlation_id, status, settled_at, unreached."""
        query = f"""
            SELECT device_id, toString(correlation_id) AS correlation_id, status,
                toUnixTimestamp64Milli(settled_at) AS settled_at, {_UNREACHED} AS unreached
            FROM responses
            WHERE device_id IN %(devices)s AND operation IN %(operations)s AND NOT repeated
                AND settled_at >= fromUnixTimestamp64Milli(%(since)s)
                AND NOT (status = 'Rejected' AND fault_field = 'correlation_id')"""  # noqa: S608 - text of our own
        values = {"devices": list(devices), "operations": list(operations), "since": since}
        return self._ask(query, values) if devices else []

    def heard(self, devices: Sequence[str], since: int) -> dict[str, tuple[int | None, int | None, int]]:
        """When each meter answered last, when it last did not, and how often it did not since it last answered (32 at
        most), of any command; None: not since then.
        """
        query = f"""
            SELECT device_id, maxIf(toUnixTimestamp64Milli(settled_at), NOT unreached) AS answered,
                maxIf(toUnixTimestamp64Milli(settled_at), unreached) AS silent,
                arrayCount(at -> -at > answered,
                    groupArraySortedIf(32)(-toUnixTimestamp64Milli(settled_at), unreached)) AS failures
            FROM (SELECT DISTINCT device_id, settled_at, {_UNREACHED} AS unreached FROM responses
                WHERE device_id IN %(devices)s AND operation IN %(operations)s AND attempts > 0 AND NOT repeated
                    AND settled_at >= fromUnixTimestamp64Milli(%(since)s))
            GROUP BY device_id"""  # noqa: S608 - text of our own
        values = {"devices": list(devices), "operations": _connecting(), "since": since}
        found = self._ask(query, values) if devices else []
        return {row["device_id"]: (row["answered"] or None, row["silent"] or None, row["failures"]) for row in found}

    def plan_completeness(self, plan: str, zone: str, first: date, last: date) -> list[Found]:
        """By read and local day, both included: devices, complete ones, rows expected, present and missing."""
        query = """
            SELECT read, day, count() AS devices, countIf(c.missing = 0) AS complete, sum(c.expected) AS expected,
                sum(c.present) AS present, sum(c.missing) AS missing
            FROM plan_completeness(plan = %(plan)s, zone = %(zone)s, from_day = %(first)s, to_day = %(last)s) AS c
            GROUP BY read, day ORDER BY read, day"""
        return self._ask(query, {"plan": plan, "zone": zone, "first": first.isoformat(), "last": last.isoformat()})

    def plan_missing(self, plan: str, zone: str, first: date, last: date, *, limit: int) -> list[Found]:
        """Devices with rows missing, the worst first; and when each was last heard of."""
        query = f"""
            SELECT device_id, missing, expected, last_answer FROM
            (
                SELECT device_id, sum(c.missing) AS missing, sum(c.expected) AS expected
                FROM plan_completeness(plan = %(plan)s, zone = %(zone)s, from_day = %(first)s, to_day = %(last)s) AS c
                GROUP BY device_id HAVING missing > 0
                ORDER BY missing DESC, device_id LIMIT %(limit)s
            ) AS w
            LEFT JOIN
            (
                SELECT toString(device_id) AS device_id, maxIf(toNullable(settled_at), NOT {_UNREACHED}) AS last_answer
                FROM responses WHERE operation IN %(operations)s AND attempts > 0 GROUP BY device_id
            ) AS r ON r.device_id = w.device_id
            ORDER BY missing DESC, device_id"""  # noqa: S608 - text of our own
        values: dict[str, Any] = {"plan": plan, "zone": zone, "limit": limit, "operations": _connecting()}
        return self._ask(query, values | {"first": first.isoformat(), "last": last.isoformat()})


# Codes of a connection that did not come to be, or broke (operations-managing 2.16); an expired one was tried in vain.
_UNREACHED: Final = """
    (attempts > 0 AND (status = 'Expired' OR (status != 'Successful' AND fault_code BETWEEN 211 AND 234)))"""

"""What the faces and the demo read from ClickHouse. Answers are plain values; parameters are escaped by the driver."""

import contextlib
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Final, Self

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException

Found = dict[str, Any]

UNKNOWN_DATABASE, UNKNOWN_TABLE = 81, 60
ANSWER_SECONDS: Final = 5
COUNTED: Final = (
    "energy_reads",
    "profile_reads",
    "register_reads",
    "meter_events",
    "meter_outages",
    "responses",
    "large_results",
    "device_events",
    "device_registrations",
)


_FRAMES: Final = """
    device_id = %(device)s
    AND at BETWEEN fromUnixTimestamp64Milli(%(since)s) AND fromUnixTimestamp64Milli(%(until)s)"""
_EVER: Final = (946_684_800_000, 4_102_444_800_000)  # 2000 and 2100, as `rows` has it


class QueryFailed(Exception):
    """ClickHouse cannot be reached, or refuses; says what to do."""


class Queries:
    """Questions to one server, over one connection opened when needed. `connection` goes to the driver (user ...).

    Every method raises QueryFailed.
    """

    def __init__(self, host: str, port: int, *, database: str = "default", **connection: Any) -> None:
        self._where = f"{host}:{port}"
        self._connection = {"host": host, "port": port, "database": database, **connection}
        self._client = Client(client_name="meterlog", connect_timeout=5, **self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go; the next question opens another."""
        self._client.disconnect()

    def away(self) -> str:
        """Why the server does not answer a question, on a connection of its own; empty when it does. Any thread."""
        return away(**self._connection)

    def rows_by_table(self) -> dict[str, int]:
        """Rows of each table, each counted once however often it was delivered."""
        each = (f"SELECT '{table}' AS name, count() AS rows FROM {table} FINAL" for table in COUNTED)  # noqa: S608
        return {row["name"]: row["rows"] for row in self._ask(" UNION ALL ".join(each) + " ORDER BY name")}

    def sink_totals(self) -> dict[str, dict[str, int]]:
        """By topic: records stored and set aside, together what was produced; and offsets that retention overtook."""
        query = """
            SELECT topic, sum(sink_totals.stored) AS stored, sum(sink_totals.set_aside) AS set_aside,
                sum(sink_totals.overtaken) AS overtaken
            FROM sink_totals GROUP BY topic"""
        return {row.pop("topic"): row for row in self._ask(query)}

    def load_curve(self, day: date, zone: str = "UTC") -> list[Found]:
        """The fleet's load of a local day by quarter-hour: interval_start, meters, kWh and kW each way."""
        query = "SELECT * FROM load_curve(day = %(day)s, zone = %(zone)s) ORDER BY interval_start"
        return self._ask(query, {"day": day.isoformat(), "zone": zone})

    def completeness(self, first: date, last: date, zone: str = "UTC") -> list[Found]:
        """By local day, both included: devices, complete ones, rows expected and present, percent."""
        return self._by_day("completeness", first, last, zone)

    def _by_day(self, view: str, first: date, last: date, zone: str) -> list[Found]:
        query = f"""
            SELECT day, count() AS devices, countIf(missing = 0) AS complete, sum(expected) AS expected,
                sum(present) AS present, round(100 * least(present / expected, 1), 2) AS percent
            FROM {view}(zone = %(zone)s, from_day = %(first)s, to_day = %(last)s)
            GROUP BY day ORDER BY day"""  # noqa: S608 - names of our own
        return self._ask(query, {"first": first.isoformat(), "last": last.isoformat(), "zone": zone})

    def incomplete(self, day: date, zone: str = "UTC", *, limit: int = 50) -> list[Found]:
        """Devices with rows missing on a local day, the worst first."""
        query = """
            SELECT device_id, expected, present, missing, flagged
            FROM completeness(zone = %(zone)s, from_day = %(day)s, to_day = %(day)s)
            WHERE missing > 0 ORDER BY missing DESC, device_id LIMIT %(limit)s"""
        return self._ask(query, {"day": day.isoformat(), "zone": zone, "limit": limit})

    def meter_day(self, device_id: str, day: date, zone: str = "UTC") -> list[Found]:
        """One meter's quarter-hours of a local day, with what was used in each and the flags of their status."""
        query = """
            SELECT toDateTime(interval_start, %(zone)s) AS interval_start, imported_kwh, exported_kwh, quality,
                status_flags
            FROM interval_consumption
            WHERE device_id = %(device)s
                AND interval_start >= toDateTime(toDate(%(day)s), %(zone)s)
                AND interval_start < toDateTime(toDate(%(day)s) + 1, %(zone)s)
            ORDER BY interval_start"""
        return self._ask(query, {"device": device_id, "day": day.isoformat(), "zone": zone})

    def slowest_commands(self, limit: int = 10) -> list[Found]:
        """Commands that took longest from arrival to outcome."""
        query = """
            SELECT toString(correlation_id) AS correlation_id, device_id, operation, status, fault_name, attempts,
                seconds
            FROM command_durations ORDER BY seconds DESC LIMIT %(limit)s"""
        return self._ask(query, {"limit": limit})

    def outcomes(self) -> list[Found]:
        """By operation and status: how many, and seconds at the median and the 99th percentile."""
        query = """
            SELECT operation, status, count() AS commands, round(quantile(0.5)(seconds), 3) AS median_seconds,
                round(quantile(0.99)(seconds), 3) AS p99_seconds
            FROM command_durations GROUP BY operation, status ORDER BY operation, status"""
        return self._ask(query)

    def devices(self, *, like: str | None = None, limit: int = 50) -> list[Found]:
        """Registered devices by identification; `like`: only those that contain this text, whatever the case."""
        where = "WHERE positionCaseInsensitive(device_id, %(like)s) > 0" if like else ""
        query = f"SELECT * FROM devices {where} ORDER BY device_id LIMIT %(limit)s"  # noqa: S608 - text of our own
        return self._ask(query, {"like": like or "", "limit": limit})

    def device(self, device_id: str) -> Found | None:
        """One device: its registration, the M-Bus meters behind it, latest reads and latest commands. None when it is
        not registered.
        """
        found = self._ask("SELECT * FROM devices WHERE device_id = %(device)s", {"device": device_id})
        if not found:
            return None
        reads = """
            SELECT quantity, value, unit, captured_at FROM latest_reads
            WHERE device_id = %(device)s ORDER BY quantity"""
        commands = """
            SELECT toString(correlation_id) AS correlation_id, operation, status, fault_name, attempts, settled_at,
                seconds
            FROM command_durations WHERE device_id = %(device)s ORDER BY settled_at DESC LIMIT 20"""
        behind = """
            SELECT device_id, device_type, channel FROM devices
            WHERE gateway_id = %(device)s ORDER BY channel, device_id"""
        return {
            **found[0],
            "mbus_meters": self._ask(behind, {"device": device_id}),
            "latest_reads": self._ask(reads, {"device": device_id}),
            "latest_commands": self._ask(commands, {"device": device_id}),
        }

    def events(self, device_id: str, limit: int = 100) -> list[Found]:
        """The latest events of a device's log, newest first."""
        query = """
            SELECT at, version, kind, cause, detail FROM device_events FINAL
            WHERE device_id = %(device)s ORDER BY at DESC, version DESC, number DESC LIMIT %(limit)s"""
        return self._ask(query, {"device": device_id, "limit": limit})

    def response(self, correlation_id: str, device_id: str | None = None) -> Found | None:
        """The first outcome told of a command, with its result as JSON text. None when it is not known. `device_id`:
        whose command, where several devices may have one of this id.

        Whoever sends another request under an id that is taken is refused under the same id: that is not the outcome.
        """
        try:
            where, named = "correlation_id = %(id)s", str(uuid.UUID(correlation_id))
        except ValueError:
            where, named = "correlation_text = %(id)s", correlation_id
        if device_id is not None:
            where += " AND device_id = %(device)s"
        asked = {"id": named, "device": device_id or ""}
        query = f"""
            SELECT * EXCEPT (topic_partition, topic_offset) REPLACE (toString(correlation_id) AS correlation_id)
            FROM responses FINAL WHERE {where}
            ORDER BY repeated, status = 'Rejected' AND fault_field = 'correlation_id', settled_at, topic_offset
            LIMIT 1"""  # noqa: S608 - text of our own
        found = self._ask(query, asked)
        if not found:
            return None
        if found[0]["large_result"]:
            query = "SELECT result FROM large_results FINAL WHERE correlation_id = %(id)s AND device_id = %(device)s"
            large = self._ask(query, {"id": named, "device": found[0]["device_id"]})
            found[0]["result"] = large[0]["result"] if large else ""
        return found[0]

    def set_aside(self, limit: int = 50) -> list[Found]:
        """Records the sink could not store, newest first, and why."""
        query = """
            SELECT at, topic, partition, offset, device_id, reason
            FROM set_aside FINAL ORDER BY at DESC, topic, partition, offset LIMIT %(limit)s"""
        return self._ask(query, {"limit": limit})

    def last_day(self) -> dict[str, int]:
        """Of the last 24 hours: devices `called`, of them `silent` when last called; commands `settled`, of them
        `unknown` in the end; attempts `doubted`.
        """
        query = """
            SELECT called, silent, settled, unknown, doubted FROM
                (SELECT count() AS called, countIf(unanswered) AS silent FROM (
                    SELECT argMax(JSONExtractBool(detail, 'unreached'), (at, version)) AS unanswered FROM device_events
                    WHERE kind = 'JobReported' AND at > now64(3) - INTERVAL 1 DAY
                    AND JSONExtractRaw(detail, 'called') != 'false' GROUP BY device_id
                )) AS calls,
                (SELECT countIf(kind = 'CommandDoubted') AS doubted FROM device_events FINAL
                    WHERE at > now64(3) - INTERVAL 1 DAY
                ) AS doubts,
                (SELECT count() AS settled, countIf(status = 'Unknown') AS unknown FROM responses FINAL
                    WHERE NOT repeated AND settled_at > now64(3) - INTERVAL 1 DAY
                ) AS ends"""
        (row,) = self._ask(query)
        return row

    def disks(self) -> list[tuple[str, int, int]]:
        """Name, bytes free, bytes in all, of each disk of the server."""
        found = self._ask("SELECT name, free_space, total_space FROM system.disks ORDER BY name")
        return [(row["name"], row["free_space"], row["total_space"]) for row in found]

    def clock(self) -> float:
        """The server's clock, seconds since the epoch."""
        (row,) = self._ask("SELECT toUnixTimestamp64Milli(now64(3)) / 1000 AS now")
        return float(row["now"])

    def frames(
        self, device_id: str, since: datetime | None, until: datetime | None, *, first: int, limit: int
    ) -> list[Found]:
        """Frames of a device in debug mode, newest first, from the `first` one on (0: the newest); `frame` is hex. Both
        ends of the period belong to it; None: no end.
        """
        query = f"""
            SELECT at, job, association, sequence, incoming, valid, toString(correlation_id) AS correlation_id,
                lower(hex(frame)) AS frame, size, withheld, summary, text
            FROM dlms_log FINAL WHERE {_FRAMES}
            ORDER BY at DESC, job DESC, sequence DESC LIMIT %(limit)s OFFSET %(first)s"""  # noqa: S608 - text of our own
        return self._ask(query, _period(device_id, since, until) | {"first": first, "limit": limit})

    def frame_count(self, device_id: str, since: datetime | None, until: datetime | None) -> int:
        """How many `frames` there are in all."""
        query = f"SELECT count() AS frames FROM dlms_log FINAL WHERE {_FRAMES}"  # noqa: S608 - text of our own
        return int(self._ask(query, _period(device_id, since, until))[0]["frames"])

    def _ask(self, query: str, values: Mapping[str, Any] | None = None) -> list[Found]:
        try:
            rows, columns = self._client.execute(query, dict(values) if values else None, with_column_types=True)
        except (Error, OSError, EOFError) as error:
            self._client.disconnect()
            raise QueryFailed(self._told(error)) from error
        names = [name for name, _ in columns]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _told(self, error: Exception) -> str:
        if not isinstance(error, ServerException):
            return f"ClickHouse at {self._where} cannot be reached: {error}"
        reason = str(error.message).split(" Stack trace:", 1)[0][:300]
        if error.code in {UNKNOWN_DATABASE, UNKNOWN_TABLE}:
            return f"ClickHouse at {self._where} lacks a table (`meterlog migrate` creates them): {reason}"
        return f"ClickHouse at {self._where} refuses, code {error.code}: {reason}"


def away(host: str, port: int, **connection: Any) -> str:
    """Why a server does not answer a question within seconds; empty when it does. `connection` as in `Queries`."""
    short = {"connect_timeout": ANSWER_SECONDS, "send_receive_timeout": ANSWER_SECONDS}
    client = Client(host, port=port, client_name="meterlog", **{**connection, **short})
    try:
        client.execute("SELECT 1")
    except (Error, OSError, EOFError) as error:
        reason = str(getattr(error, "message", "") or error).split("\n", 1)[0][:500]
        return f"ClickHouse at {host}:{port} is away: {reason}"
    finally:
        with contextlib.suppress(Exception):
            client.disconnect()
    return ""


def _period(device_id: str, since: datetime | None, until: datetime | None) -> Found:
    first, last = _EVER
    return {
        "device": device_id,
        "since": first if since is None else int(since.timestamp() * 1_000),
        "until": last if until is None else int(until.timestamp() * 1_000),
    }

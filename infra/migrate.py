"""`meterlog migrate`: bring the tables and views of ClickHouse up to date from the numbered SQL in `infra/clickhouse/`.

Each file is applied once, in order, and remembered in `schema_migrations` with its checksum: a file that was changed
after it was applied is refused, because nobody could say what the tables look like then. A change is a new file.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from clickhouse_driver import Client
from clickhouse_driver.errors import Error

FILE_NAME: Final = re.compile(r"\d{3}_[a-z0-9_]+\.sql")

MAKES: Final = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TABLE|(?:MATERIALIZED\s+)?VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>\w+)"
)

# `statements` counts those of the file that are done. ClickHouse has no transaction over DDL: a file that fails
# half-way goes on from there.
JOURNAL: Final = """\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name String,
    checksum FixedString(64) COMMENT 'SHA-256 of the file, hex',
    statements UInt16 COMMENT 'statements of the file that were applied',
    done Bool,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (name, statements)
"""


class MigrationRefused(Exception):
    """The tables cannot be brought up to date; says which file, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name, its SHA-256 in hex, and its statements in order."""

    name: str
    checksum: str
    statements: tuple[str, ...]

    @classmethod
    def read(cls, name: str, text: str) -> "Migration":
        """Cut a file into statements: each ends with a semicolon at the end of a line."""
        bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        statements = tuple(part.strip() for part in re.split(r";\s*(?:\n|\Z)", bare) if part.strip())
        return cls(name, hashlib.sha256(text.encode()).hexdigest(), statements)


def shipped() -> tuple[Migration, ...]:
    """The files of this release, in the order of their numbers. Raises MigrationRefused: a number is taken twice."""
    folder = resources.files("infra") / "clickhouse"
    found = sorted((each for each in folder.iterdir() if FILE_NAME.fullmatch(each.name)), key=lambda each: each.name)
    numbers = [entry.name[:3] for entry in found]
    if len(set(numbers)) != len(numbers):
        raise MigrationRefused(f"two files in infra/clickhouse have the same number: {', '.join(numbers)}")
    return tuple(Migration.read(entry.name, entry.read_text("utf-8")) for entry in found)


def migrate(
    host: str,
    port: int,
    announce: Callable[[str], None] = lambda _: None,
    *,
    database: str = "default",
    migrations: Sequence[Migration] | None = None,
    **connection: Any,
) -> list[str]:
    """Apply what is missing in `database` (created if need be); gives the names of the files applied now.

    `connection` goes to the driver (user, password, secure ...). Raises MigrationRefused: a file was changed after it
    was applied, the database holds a file that this release lacks, the server refuses a statement or cannot be reached.
    """
    client = Client(host, port=port, **connection)
    try:
        client.execute(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        client.execute(f"USE `{database}`")
        client.execute(JOURNAL)
        missing = _missing(client, shipped() if migrations is None else migrations)
        for one in missing:
            _apply(client, one)
            announce(f"applied {one.name}")
        return [one.name for one in missing]
    except (Error, OSError) as error:
        raise MigrationRefused(f"ClickHouse at {host}:{port}: {_first_line(error)}") from error
    finally:
        client.disconnect()


def absent(host: str, port: int, *, database: str = "default", **connection: Any) -> list[str]:
    """Tables and views of this release that the database lacks. Raises MigrationRefused: it cannot be asked."""
    client = Client(host, port=port, **connection)
    try:
        rows = client.execute("SELECT name FROM system.tables WHERE database = %(database)s", {"database": database})
    except (Error, OSError) as error:
        raise MigrationRefused(f"ClickHouse at {host}:{port}: {_first_line(error)}") from error
    finally:
        client.disconnect()
    there = {name for (name,) in rows}
    return [name for name in made() if name not in there]


def due(host: str, port: int, *, database: str = "default", **connection: Any) -> list[str]:
    """Files of this release that were not applied to the end. Raises MigrationRefused as `migrate` does."""
    client = Client(host, port=port, **connection)
    try:
        journal = client.execute(
            "SELECT count() FROM system.tables WHERE database = %(database)s AND name = 'schema_migrations'",
            {"database": database},
        )
        if not journal[0][0]:
            return [one.name for one in shipped()]
        client.execute(f"USE `{database}`")
        return [one.name for one in _missing(client, shipped())]
    except (Error, OSError) as error:
        raise MigrationRefused(f"ClickHouse at {host}:{port}: {_first_line(error)}") from error
    finally:
        client.disconnect()


def drop(host: str, port: int, *, database: str = "default", **connection: Any) -> None:
    """Drop everything that `migrate` makes, and its journal. Raises MigrationRefused: the server refuses."""
    client = Client(host, port=port, **connection)
    try:
        for name in ("schema_migrations", *reversed(made())):
            client.execute(f"DROP TABLE IF EXISTS `{database}`.`{name}` SYNC")
    except (Error, OSError) as error:
        raise MigrationRefused(f"ClickHouse at {host}:{port}: {_first_line(error)}") from error
    finally:
        client.disconnect()


def made() -> tuple[str, ...]:
    """Names of the tables and views of this release, in the order they are made."""
    found = (MAKES.match(statement) for migration in shipped() for statement in migration.statements)
    return tuple(dict.fromkeys(match["name"] for match in found if match is not None))


def _missing(client: Client, migrations: Sequence[Migration]) -> list[Migration]:
    applied: dict[str, str] = {}
    finished: set[str] = set()
    journal = client.execute("SELECT name, checksum, done FROM schema_migrations FINAL ORDER BY name, statements")
    for name, checksum, done in journal:
        applied[name] = checksum
        if done:
            finished.add(name)
    unknown = sorted(set(applied) - {one.name for one in migrations})
    if unknown:
        names = ", ".join(unknown)
        raise MigrationRefused(
            f"the database is of a later release: it has {names}, which this one lacks; upgrade Meterlog"
        )
    for one in migrations:
        if one.name in finished and applied[one.name] != one.checksum:
            raise MigrationRefused(
                f"{one.name} was changed after it was applied; put it back, make the change in a new file"
            )
    return [one for one in migrations if one.name not in finished]


def keep(host: str, port: int, table: str, days: int, *, database: str = "default", **connection: Any) -> bool:
    """Rows of a table are kept so many days from their `at` on, those that are there already included. Gives whether
    that is a change. `connection` as in `migrate`.

    Raises MigrationRefused: the table is not there, or the server refuses or cannot be reached.
    """
    client = Client(host, port=port, database=database, **connection)
    wanted = f"TTL toDateTime(at) + toIntervalDay({days})"
    try:
        found = client.execute(
            "SELECT engine_full FROM system.tables WHERE database = %(d)s AND name = %(t)s", {"d": database, "t": table}
        )
        if found and f"{wanted} " in f"{found[0][0]} ":
            return False
        client.execute(f"ALTER TABLE {table} MODIFY {wanted}")
        return True
    except (Error, OSError) as error:
        raise MigrationRefused(f"ClickHouse at {host}:{port}: {_first_line(error)}") from error
    finally:
        client.disconnect()


def _apply(client: Client, one: Migration) -> None:
    rows = client.execute("SELECT max(statements) FROM schema_migrations WHERE name = %(name)s", {"name": one.name})
    done = int(rows[0][0])
    total = len(one.statements)
    for number, statement in enumerate(one.statements[done:], start=done + 1):
        try:
            client.execute(statement)
        except Error as error:
            raise MigrationRefused(f"{one.name}, statement {number} of {total}: {_first_line(error)}") from error
        entry = (one.name, one.checksum, number, number == total)
        client.execute("INSERT INTO schema_migrations (name, checksum, statements, done) VALUES", [entry])


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", "") or error).split("\n", 1)[0][:500]

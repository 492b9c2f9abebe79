"""Rows out of ClickHouse into a file: the server writes the format and streams it over HTTP, so that a year of a fleet
takes no memory here. The file has its name only once it is whole.
"""

import contextlib
import http.client
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import urlencode

from connectors.clickhouse.queries import QueryFailed

FORMATS: Final = {".parquet": "Parquet", ".csv": "CSVWithNames", ".jsonl": "JSONEachRow"}
CHUNK: Final = 1 << 20
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Server:
    """ClickHouse's HTTP interface."""

    host: str
    port: int
    user: str = "default"
    password: str = ""
    database: str = "default"
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is: rows read of those that have to be, 0 when nobody knows yet, and bytes written."""

    rows: int = 0
    total_rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Seen:
    rows: int = 0
    total_rows: int = 0


def export(server: Server, query: str, path: Path, told: Callable[[Progress], None]) -> int:
    """Write what a query answers to `path`, in the format its suffix says (`FORMATS`); the bytes written.

    `told` hears how far it is. Read-only, whoever the user is; of a row that was stored twice the later one counts.
    Raises QueryFailed when the server refuses, breaks off or is away, KeyError for another suffix, OSError when the
    file cannot be written; then nothing is left behind.
    """
    asked = f"{query.strip().rstrip(';')} FORMAT {FORMATS[path.suffix]}"
    name, part = str(uuid.uuid4()), path.with_name(f".{path.name}.part")
    seen, done = _Seen(), Event()
    watcher = Thread(target=_watch, args=(server, name, seen, done), daemon=True)
    try:
        with _answer(server, asked, query_id=name, readonly="2", final="1") as answer, part.open("wb") as file:
            watcher.start()
            written = 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                written += len(chunk)
                told(Progress(seen.rows, seen.total_rows, written))
        part.replace(path)
    except http.client.HTTPException as error:  # the server breaks the stream off when the query fails on its way
        raise QueryFailed(f"ClickHouse at {server.host}:{server.port} broke off, the query failed") from error
    finally:
        done.set()
        part.unlink(missing_ok=True)
    return written


def _watch(server: Server, name: str, seen: _Seen, done: Event) -> None:
    """Ask now and then how far the query is: its answer does not say."""
    query = f"SELECT read_rows, total_rows_approx FROM system.processes WHERE query_id = '{name}' FORMAT JSONEachRow"
    nothing = (QueryFailed, OSError, http.client.HTTPException, ValueError)
    while not done.wait(LOOK_SECONDS):
        with (
            contextlib.suppress(*nothing),
            _answer(server, query, output_format_json_quote_64bit_integers="0") as answer,
        ):
            for line in answer.read().splitlines():
                found: dict[str, Any] = json.loads(line)
                seen.rows, seen.total_rows = found["read_rows"], found["total_rows_approx"]


@contextlib.contextmanager
def _answer(server: Server, query: str, **settings: str) -> Iterator[http.client.HTTPResponse]:
    kind = http.client.HTTPSConnection if server.secure else http.client.HTTPConnection
    connection = kind(server.host, server.port, timeout=120)
    try:
        headers = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
        target = f"/?{urlencode({'database': server.database, **settings})}"
        connection.request("POST", target, body=query.encode(), headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise QueryFailed(f"ClickHouse at {server.host}:{server.port} refuses: {_first_line(answer.read())}")
        yield answer
    except ConnectionError as error:
        raise QueryFailed(f"ClickHouse at {server.host}:{server.port} cannot be reached: {error}") from error
    finally:
        connection.close()


def _first_line(told: bytes) -> str:
    return told.decode(errors="replace").split("\n", 1)[0].split(" Stack trace:", 1)[0][:300]

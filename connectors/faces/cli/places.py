"""Where things are: the servers a command talks to, and the platform's keys.

Named by the environment (METERLOG_KAFKA, METERLOG_CLICKHOUSE, METERLOG_KEYS), else those of the embedded stack that
`meterlog up` started in the data folder (METERLOG_DATA, else ./var).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from connectors.clickhouse.export import Server
from connectors.clickhouse.queries import Queries
from connectors.faces.cli.terminal import Failure
from infra.embedded import folder

F = TypeVar("F", bound=Callable[..., Any])
CLICKHOUSE_PORT: Final = 9000
HINT: Final = "Start the embedded stack with `meterlog up`, or name a server in {name}."


@dataclass(frozen=True, slots=True)
class Places:
    """The data folder, and from it and the environment all else.

    Each property raises Failure, saying what to do, when it is not known.
    """

    data: Path

    @property
    def stack(self) -> dict[str, Any] | None:
        """What the embedded stack of the data folder says of itself, when one is running."""
        return folder.read_state(self.data) if folder.holder(self.data) is not None else None

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        named = os.environ.get("METERLOG_KAFKA")
        if named:
            return named
        stack = self.stack
        if stack is None:
            raise Failure("no Kafka broker is known", HINT.format(name="METERLOG_KAFKA"))
        return str(stack["kafka"])

    @property
    def clickhouse(self) -> tuple[str, int]:
        """Host and native port."""
        named = os.environ.get("METERLOG_CLICKHOUSE")
        stack = None if named else self.stack
        if not named and stack is None:
            raise Failure("no ClickHouse server is known", HINT.format(name="METERLOG_CLICKHOUSE"))
        host, _, port = (named or str((stack or {})["clickhouse"])).partition(":")
        return host, int(port or CLICKHOUSE_PORT)

    @property
    def clickhouse_http(self) -> Server:
        """ClickHouse's HTTP interface, with the user METERLOG_CLICKHOUSE_USER, _PASSWORD and _DATABASE name."""
        named = os.environ.get("METERLOG_CLICKHOUSE_HTTP")
        stack = None if named else self.stack
        if not named and stack is None:
            hint = HINT.format(name="METERLOG_CLICKHOUSE_HTTP, such as http://localhost:8123")
            raise Failure("no HTTP interface of ClickHouse is known", hint)
        url = urlsplit(named or str((stack or {})["clickhouse_http"]))
        if url.scheme not in ("http", "https") or not url.hostname:
            raise Failure(f"METERLOG_CLICKHOUSE_HTTP: {named!r} is no address such as http://localhost:8123")
        return Server(
            url.hostname,
            url.port or (8443 if url.scheme == "https" else 8123),
            user=os.environ.get("METERLOG_CLICKHOUSE_USER") or "default",
            password=os.environ.get("METERLOG_CLICKHOUSE_PASSWORD", ""),
            database=os.environ.get("METERLOG_CLICKHOUSE_DATABASE") or "default",
            secure=url.scheme == "https",
        )

    @property
    def queries(self) -> Queries:
        """What can be asked of ClickHouse; METERLOG_CLICKHOUSE_DATABASE names another database than `default`."""
        return Queries(*self.clickhouse, database=self.database)

    @property
    def database(self) -> str:
        """Of ClickHouse."""
        return os.environ.get("METERLOG_CLICKHOUSE_DATABASE") or "default"

    @property
    def keys(self) -> Path:
        """Folder of the platform's keys."""
        return Path(os.environ.get("METERLOG_KEYS") or self.data / "keys")


def places_option(command: F) -> F:
    """`--data FOLDER` for a command, given to it as `places`."""

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="METERLOG_DATA",
        default="var",
        show_default=True,
        help="Data folder of the embedded stack.",
    )
    @wraps(command)
    def with_places(*args: Any, data: Path, **kwargs: Any) -> Any:
        return command(*args, places=Places(data.absolute()), **kwargs)

    return with_places  # type: ignore[return-value]

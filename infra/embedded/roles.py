"""Which processes make up a running Meterlog, and how each is started: the one list `meterlog up`, the demo and
the tests share.

A role is configured by environment variables alone, the same as in a container (`docker-compose.yml`):

METERLOG_KAFKA            bootstrap servers
METERLOG_CLICKHOUSE       host:port of the native protocol
METERLOG_CLICKHOUSE_HTTP  http://host:port
METERLOG_DATA             folder the role may write to
METERLOG_KEYS             folder with the platform's keys
METERLOG_METRICS_PORT     where the role serves /metrics, /livez and /readyz
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

CLI = (sys.executable, "-m", "connectors.faces.cli")


@dataclass(frozen=True, slots=True)
class Role:
    """A process that runs as long as the stack does and is started again when it dies.

    It is ready when `/readyz` on METERLOG_METRICS_PORT answers 200; with `probe` off, as soon as it runs (for tests).
    `environment` is added to what every role gets. `grace` is the time in seconds it has to stop before it is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: bool = True
    grace: float = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """A command that must end well, once, after the servers are ready and before any role starts."""

    name: str
    argv: tuple[str, ...]
    seconds: float = 60.0


TASKS = (
    Task("topics", (*CLI, "topics", "apply")),
    Task("migrate", (*CLI, "migrate")),
)

STREAMS = Role("streams", (*CLI, "run", "streams"))
CELLS = Role("cells", (*CLI, "run", "cells"))
DLMS_WORKER = Role("dlms-worker", (*CLI, "run", "dlms-worker"), grace=20.0)  # sessions may go on for 10 s
CLICKHOUSE_SINK = Role("clickhouse-sink", (*CLI, "run", "clickhouse-sink"))
STORE_READER = Role("store-reader", (*CLI, "run", "store-reader"))
PLANNER = Role("planner", (*CLI, "run", "planner"))
SIMULATOR = Role("simulator", (*CLI, "simulator", "run"))

ROLES = (STREAMS, CELLS, DLMS_WORKER, CLICKHOUSE_SINK, STORE_READER, PLANNER)

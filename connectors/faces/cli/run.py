"""`meterlog run ROLE`: one role of the system in the foreground, as a service manager or container starts it.

Settings come from the environment (`docs/operating.md`). Roles are started as processes of their own: one imports
Faust, another must not.
"""

import os
import sys
from typing import Final

import click

ROLES: Final[dict[str, str]] = {
    "streams": "streams.app",
    "cells": "streams.cell.app",
    "dlms-worker": "connectors.dlms.worker",
    "clickhouse-sink": "connectors.clickhouse.sink",
    "store-reader": "connectors.clickhouse.reader",
    "planner": "connectors.planner.role",
}


@click.command()
@click.argument("role", type=click.Choice(list(ROLES)))
def run(role: str) -> None:
    """Run one ROLE until it is stopped (TERM or Ctrl-C)."""
    os.execv(sys.executable, [sys.executable, "-m", ROLES[role]])  # noqa: S606 - the role takes over this process and its signals

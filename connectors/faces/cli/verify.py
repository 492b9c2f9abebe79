"""`meterlog verify-state`: whether the streams' table is what their log says.

The check itself is the streams' (`streams/verify_state.py`), and connectors do not import streams: it runs as a
process of its own, as `meterlog run` starts the roles.
"""

import os
import subprocess
import sys

import click

from connectors.faces.cli.places import Places, places_option
from connectors.faces.cli.terminal import Failure, json_option


@click.command("verify-state")
@places_option
@json_option
@click.pass_context
def verify_state(ctx: click.Context, places: Places, as_json: bool) -> None:
    """Fold the devices' log and compare it with the table.

    Exit code 1 when they differ. Ask when the system is at rest: decisions taken meanwhile show as differences.
    """
    command = [sys.executable, "-m", "streams.verify_state", *(["--json"] if as_json else [])]
    child = subprocess.run(command, env={**os.environ, "METERLOG_KAFKA": places.kafka})
    if child.returncode < 0:
        raise Failure(f"the check was ended by signal {-child.returncode}")
    ctx.exit(child.returncode)

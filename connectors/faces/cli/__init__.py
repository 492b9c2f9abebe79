"""`meterlog`: the command line.

Each command is a module of this folder, imported when it is called, so that `--help` stays quick.
"""

import importlib
from typing import Any, Final

import click

COMMANDS: Final[dict[str, str]] = {
    "up": "stack:up",
    "down": "stack:down",
    "status": "stack:status",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "topics": "topics:topics",
    "migrate": "topics:migrate",
    "devices": "devices:devices",
    "send": "send:send",
    "watch": "send:watch",
    "responses": "responses:responses",
    "logs": "logs:logs",
    "plan": "plan:plan",
    "decode": "decode:decode",
    "export": "export:export_command",
    "dlq": "dlq:dlq",
    "keys": "keys:keys",
    "verify-state": "verify:verify_state",
    "rebuild": "rebuild:rebuild",
    "operations": "operations:operations",
    "profiles": "profiles:profiles",
    "simulator": "simulator:simulator",
    "run": "run:run",
}


class LazyGroup(click.Group):
    """Finds a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.format_message()}\nCommands: {', '.join(COMMANDS)}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would say "Aborted!" and end with 1
            from connectors.faces.cli.terminal import errors

            errors.print("stopped")
            ctx.exit(130)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="meterlog")
def cli() -> None:
    """Meterlog: a head-end for DLMS/COSEM smart meters.

    Start with `meterlog demo`, or `meterlog up` for a stack that stays. Commands find the stack that `meterlog up`
    started in the data folder (METERLOG_DATA, else ./var), or the servers named by METERLOG_KAFKA and
    METERLOG_CLICKHOUSE.
    """


def main() -> None:
    """Entry point of the `meterlog` command."""
    from connectors.faces.cli.terminal import exit_on_known_errors

    with exit_on_known_errors():
        cli()

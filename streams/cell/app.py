"""The cells role: settings in, the cells' keeper into the shell, probes beside it. Computes nothing.

METERLOG_CELLS_CONNECTS        new connections a second in a cell at most; -1 no limit, 0 none; 30
METERLOG_CELLS_SESSIONS        sessions at once in a cell at most; -1 no limit, 0 none; 1000
METERLOG_CELLS_FILE            TOML with other limits for single cells, a table for each; none
METERLOG_CELLS_LEAD_SECONDS    from a permit to its connection: what the way to the worker may take; 2
METERLOG_CELLS_WINDOW_SECONDS  how late a worker may be with a connection, before the permit lapses; 0.25
METERLOG_CELLS_SPREAD_SECONDS  between the clocks of workers and between the ways to meters, together; 0.25
METERLOG_CELLS_APPLICATION     consumer group, and stem of the transactional ids; meterlog-cells

and what all roles share (`roles/settings.py`). Such a file says

    ["21/7"]
    connects = 5
    sessions = 20

Window and spread are paid for by throughput: of the connections a second 1 / (1 + window + spread) are used.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from roles import settings as roles
from roles.settings import RoleSettings, SettingsWrong
from schemas import topics
from schemas.codec import encode
from schemas.records import Tick
from streams.cell.keeper import Counts, Partition
from streams.cell.limits import MOST_CONNECTS, NO_LIMIT, Bounds, CellLimits
from streams.hosting import Keepers, host, refuse
from streams.keeper import ShellSettings

APPLICATION: Final = "meterlog-cells"
_ABOUT: Final = {
    "asked": "Requests for a permit that wait, or waited",
    "granted": "Permits granted",
    "returned": "Permits given back",
    "expired": "Permits that nobody gave back",
    "refused": "Requests refused for want of room",
    "late": "Requests and returns that changed nothing",
    "dead_lettered": "Records set aside",
}
_HELD: Final[Mapping[str, tuple[Callable[[Partition], int], str]]] = {
    "waiting": (lambda keeper: keeper.waiting, "Devices that wait for a permit"),
    "open": (lambda keeper: keeper.open, "Permits that are out"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsSettings:
    """All the role is told."""

    role: RoleSettings
    limits: CellLimits
    application: str = APPLICATION


def read_settings(environment: Mapping[str, str] = os.environ) -> CellsSettings:
    """From the environment. Raises SettingsWrong."""
    default = Bounds(
        connects=roles.whole(environment, "METERLOG_CELLS_CONNECTS", Bounds().connects, NO_LIMIT, MOST_CONNECTS),
        sessions=roles.whole(environment, "METERLOG_CELLS_SESSIONS", Bounds().sessions, NO_LIMIT, 1_000_000),
    )
    seconds = partial(roles.number, environment, least=0)
    file = environment.get("METERLOG_CELLS_FILE")
    return CellsSettings(
        role=roles.read_settings(environment),
        limits=CellLimits(
            default=default,
            overrides=read_overrides(Path(file), default) if file else {},
            lead=int(1_000 * seconds("METERLOG_CELLS_LEAD_SECONDS", 2, most=60)),
            within=int(1_000 * seconds("METERLOG_CELLS_WINDOW_SECONDS", 0.25, most=5)),
            spread=int(1_000 * seconds("METERLOG_CELLS_SPREAD_SECONDS", 0.25, most=3)),
        ),
        application=environment.get("METERLOG_CELLS_APPLICATION") or APPLICATION,
    )


def read_overrides(path: Path, default: Bounds) -> dict[str, Bounds]:
    """Limits by cell; what a cell does not say is the default. Raises SettingsWrong, naming cell and field."""
    said = "METERLOG_CELLS_FILE"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsWrong(f"{said}: {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"{said}: {path}: no TOML: {error}") from None
    return {cell: _bounds(f"{said}: cell {cell!r}", table, default) for cell, table in tables.items()}


def _bounds(where: str, table: Any, default: Bounds) -> Bounds:
    known = {field.name for field in fields(Bounds)}
    if not isinstance(table, dict):
        raise SettingsWrong(f"{where}: {table!r} is no table with {' and '.join(sorted(known))}")
    for name, value in table.items():
        if name not in known:
            raise SettingsWrong(f"{where}: {name!r} is none of {', '.join(sorted(known))}")
        if not isinstance(value, int) or isinstance(value, bool):
            raise SettingsWrong(f"{where}: {name}: {value!r} is not a whole number")
    try:
        return Bounds(**{name: table.get(name, getattr(default, name)) for name in known})
    except ValueError as error:
        raise SettingsWrong(f"{where}: {error}") from None


def make_tick(_partition: int, now: int, seed: int, _ends: Mapping[str, int]) -> bytes:
    return encode(Tick(now, seed, 0))


def keepers(limits: CellLimits, partitions: int) -> Keepers[Partition]:
    """Of cells."""
    return Keepers("meterlog_cells", Partition, limits, Counts(), partitions, _ABOUT, _HELD)


def shell_settings(settings: CellsSettings, partitions: int) -> ShellSettings:
    return ShellSettings(
        application=settings.application,
        bootstrap=settings.role.kafka,
        inbox=tuple(topic.name for topic in topics.CELL_INBOX),
        table=topics.CELLS.name,
        ticks=topics.CELL_TICKS.name,
        watched=(),
        make_tick=make_tick,
        partitions=partitions,
        kafka=settings.role.kafka_config,
    )


def run(settings: CellsSettings) -> NoReturn:
    """Run the role until it is told to stop or a fault ends it. Raises SettingsWrong or KafkaException before that."""
    host(
        "cells",
        settings.role,
        topics.CELLS.name,
        partial(shell_settings, settings),
        partial(keepers, settings.limits),
    )


def main() -> NoReturn:
    """`python -m streams.cell.app`."""
    try:
        run(read_settings())
    except SettingsWrong as wrong:
        refuse("cells", wrong)


if __name__ == "__main__":
    main()

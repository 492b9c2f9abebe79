"""The cells role's settings, its file of exceptions, and what it counts; the process itself is tried end to end."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from roles.settings import SettingsWrong
from schemas import codec, topics
from schemas.records import Tick
from streams.cell.app import keepers, make_tick, read_settings, shell_settings
from streams.cell.limits import NO_LIMIT, Bounds, CellLimits
from streams.keeper import Received
from tests.unit.streams.test_cell import CELL, ask
from tests.unit.streams.world import NOON

KAFKA = {"METERLOG_KAFKA": "broker:9092"}


def test_defaults_are_the_references() -> None:
    settings = read_settings(KAFKA)
    assert settings.limits == CellLimits()
    assert settings.limits.of("any") == Bounds(connects=30, sessions=1_000)


def test_everything_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "cells.toml"
    file.write_text('["21/7"]\nconnects = 5\n\n["21/8"]\nconnects = -1\nsessions = 0\n')
    given = KAFKA | {
        "METERLOG_CELLS_CONNECTS": "7",
        "METERLOG_CELLS_SESSIONS": "9",
        "METERLOG_CELLS_FILE": str(file),
        "METERLOG_CELLS_LEAD_SECONDS": "3",
        "METERLOG_CELLS_WINDOW_SECONDS": "1",
        "METERLOG_CELLS_SPREAD_SECONDS": "0.1",
        "METERLOG_CELLS_APPLICATION": "other",
    }
    settings = read_settings(given)
    limits = settings.limits
    assert [limits.of(cell) for cell in ("21/7", "21/8", "21/9")] == [
        Bounds(connects=5, sessions=9),
        Bounds(connects=NO_LIMIT, sessions=0),
        Bounds(connects=7, sessions=9),
    ]
    assert (limits.lead, limits.within, limits.spread) == (3_000, 1_000, 100)
    assert limits.spacing(limits.of("21/7")) == 420
    shell = shell_settings(settings, 4)
    assert (shell.application, shell.partitions, shell.table) == ("other", 4, topics.CELLS.name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("connects = 5", "'connects': 5 is no table"),
        ('["1"]\nconects = 5', "cell '1': 'conects' is none of"),
        ('["1"]\nconnects = "5"', "cell '1': connects: '5' is not a whole number"),
        ('["1"]\nconnects = true', "cell '1': connects: True is not a whole number"),
        ('["1"]\nsessions = -2', "cell '1': sessions: -2 is not within"),
        ("[", "no TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_cell_and_field(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "cells.toml"
    file.write_text(text)
    with pytest.raises(SettingsWrong, match="METERLOG_CELLS_FILE") as refused:
        read_settings(KAFKA | {"METERLOG_CELLS_FILE": str(file)})
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METERLOG_CELLS_FILE", "/nowhere/cells.toml"),
        ("METERLOG_CELLS_CONNECTS", "-2"),
        ("METERLOG_CELLS_CONNECTS", "1001"),
        ("METERLOG_CELLS_SESSIONS", "few"),
        ("METERLOG_CELLS_WINDOW_SECONDS", "9"),
        ("METERLOG_CELLS_SPREAD_SECONDS", "-1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsWrong, match=name):
        read_settings(KAFKA | {name: value})


def test_metrics_sum_over_partitions_and_keep_no_partition_alive() -> None:
    kept = keepers(CellLimits(default=Bounds(sessions=0)), 1)
    registry = CollectorRegistry()
    registry.register(kept)
    keeper = kept.make(0, {})
    asked = codec.encode(ask(1))
    keeper.receive(Received(topics.PERMIT_REQUESTS.name, 0, 0, NOON, CELL.encode(), asked, ()))
    shown = generate_latest(registry).decode()
    assert "meterlog_cells_asked_total 1.0" in shown and "meterlog_cells_waiting 1.0" in shown
    del keeper
    shown = generate_latest(registry).decode()
    assert "meterlog_cells_asked_total 1.0" in shown and "meterlog_cells_waiting 0.0" in shown


def test_a_tick_is_the_time() -> None:
    assert codec.decode(make_tick(3, NOON, 9, {})) == Tick(NOON, 9, 0)

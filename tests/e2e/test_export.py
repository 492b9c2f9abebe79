"""`meterlog export` on a real ClickHouse: whole files, each row once, and nothing left of what failed."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.clickhouse.export import Progress, Server, export
from connectors.clickhouse.queries import QueryFailed
from connectors.faces.cli import cli
from tests.e2e.sink_world import energy
from tests.e2e.tables import Tables


@pytest.fixture
def tables(clickhouse: Any) -> Tables:
    return Tables(clickhouse.host, clickhouse.port)


@pytest.fixture
def server(clickhouse: Any, tables: Tables) -> Server:
    return Server(clickhouse.host, clickhouse.http_port, database=tables.database)


def test_every_format_holds_each_row_once(tables: Tables, server: Server, tmp_path: Path) -> None:
    read = energy("EM0001", "2026-11-01T00:15", [1_000, None, 3_000])
    tables.store([read])
    tables.store([read, energy("EM0002", "2026-11-01T00:15", [5])])  # the first once more, in another part
    told: list[Progress] = []
    query = "SELECT device_id, captured_at, import_total FROM energy_reads ORDER BY device_id, captured_at;"
    for suffix in (".parquet", ".csv", ".jsonl"):
        size = export(server, query, tmp_path / f"reads{suffix}", told.append)
        assert size == (tmp_path / f"reads{suffix}").stat().st_size == told[-1].bytes
    assert sorted(each.name for each in tmp_path.iterdir()) == ["reads.csv", "reads.jsonl", "reads.parquet"]
    assert (tmp_path / "reads.parquet").read_bytes()[:4] == (tmp_path / "reads.parquet").read_bytes()[-4:] == b"PAR1"
    with (tmp_path / "reads.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["device_id"], row["import_total"]) for row in rows] == [
        ("EM0001", "1"), ("EM0001", "\\N"), ("EM0001", "3"), ("EM0002", "0.005"),
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "reads.jsonl").read_text().splitlines()]
    assert [line["import_total"] for line in lines] == [1, None, 3, 0.005]


def test_what_fails_on_its_way_leaves_nothing(server: Server, tmp_path: Path) -> None:
    query = "SELECT throwIf(number = 30000000, 'it broke') FROM numbers(40000000)"
    with pytest.raises(QueryFailed):
        export(server, query, tmp_path / "numbers.csv", lambda progress: None)
    with pytest.raises(QueryFailed, match="refuses: Code: 60"):
        export(server, "SELECT * FROM nothing", tmp_path / "nothing.csv", lambda progress: None)
    with pytest.raises(QueryFailed, match="readonly"):
        export(server, "DROP TABLE energy_reads", tmp_path / "dropped.csv", lambda progress: None)
    with pytest.raises(QueryFailed, match="cannot be reached"):
        export(Server("127.0.0.1", 1), "SELECT 1", tmp_path / "nobody.csv", lambda progress: None)
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(tables: Tables, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.store([energy(f"EM000{n}", "2026-11-01T00:15", [n, n]) for n in (1, 2)])
    monkeypatch.setenv("METERLOG_CLICKHOUSE_HTTP", f"http://{server.host}:{server.port}")
    monkeypatch.setenv("METERLOG_CLICKHOUSE_DATABASE", server.database)
    runner, file = CliRunner(), tmp_path / "profile.csv"
    done = runner.invoke(cli, ["export", "energy_profile", str(file), "--where", "device_id = 'EM0002'"])
    assert done.exit_code == 0, done.output
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ['"device_id"', '"EM0002"', '"EM0002"']
    again = runner.invoke(cli, ["export", "energy_profile", str(file)])
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    wrong = runner.invoke(cli, ["export", "energy_profile", str(tmp_path / "profile.xlsx")])
    assert (wrong.exit_code, ".parquet, .csv, .jsonl" in wrong.output) == (2, True)
    nowhere = runner.invoke(cli, ["export", "energy", str(tmp_path / "none.csv")])
    assert (nowhere.exit_code, "there is no table or view 'energy'" in nowhere.output) == (1, True)
    condition = "device_id IN (SELECT device_id FROM energy)"
    for asked, *more in (["SELECT * FROM energy"], ["energy_profile", "--where", condition]):
        unknown = runner.invoke(cli, ["export", asked, str(tmp_path / "none.csv"), *more])
        assert isinstance(unknown.exception, QueryFailed), "ClickHouse's own words"
        assert re.search(r"refuses: Code: 60.*\benergy\b", str(unknown.exception))

"""The command line without a stack: help, wrong arguments, errors that say what to do."""

import csv
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
from click.testing import CliRunner, Result

from connectors.faces.cli import COMMANDS, cli
from connectors.faces.cli.plot import columns
from connectors.faces.cli.send import request_fields
from operations import bundled, catalogue
from schemas import codec
from schemas.records import JobAttempting
from schemas.topics import RESPONSES, TOPICS

NEED_A_STACK = [
    ["devices", "list"],
    ["devices", "show", "ML5"],
    ["send", "ReadAlarmRegister", "--device", "ML500000000000001"],
    ["watch"],
    ["responses", "show", "x"],
    ["dlq", "list"],
    ["dlq", "show", "0:0"],
    ["dlq", "replay", "0:0"],
    ["topics", "apply"],
    ["migrate"],
    ["logs", "ML500000000000001"],
    ["plan", "list"],
    ["plan", "status", "nightly"],
    ["verify-state"],
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder where nothing runs."""
    for name in ("METERLOG_KAFKA", "METERLOG_CLICKHOUSE", "METERLOG_CLICKHOUSE_HTTP", "METERLOG_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METERLOG_DATA", str(tmp_path / "var"))
    return tmp_path


def run(*arguments: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=data)


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
    return found


ALL = commands(cli)
ENDLESS = {("up",), ("demo",), ("run",), ("simulator", "run")}


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_speaks_json_or_never_ends(path: tuple[str, ...]) -> None:
    text = run(*path, "--help").output
    assert "--json" in text or "Commands:" in text or path in ENDLESS


def test_all_that_was_promised_is_there() -> None:
    promised = "up down status demo topics migrate devices send watch responses decode export dlq keys verify-state"
    more = "rebuild simulator profiles doctor run operations logs plan"
    assert {*promised.split(), *more.split()} == set(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sned"], "Commands: up"),
        (["send", "Explode", "--device", "ML5"], "Operations: AddDevice"),
        (["send", "ReadAlarmRegister"], "--device"),
        (["send", "ReadAlarmRegister", "--device", "ML5", "--priority", "12"], "priority"),
        (["send", "ReadAlarmRegister", "--device", "ML5", "--at", "soon"], "a moment such as"),
        (["run", "mailman"], "streams"),
        (["operations", "Explode"], "no operation 'Explode'"),
        (["simulator", "run", "--meters", "0"], "1 to 16383"),
        (["simulator", "run", "--port", "99999"], "65535"),
        (["simulator", "run", "--faults", "nap=1"], "nap"),
        (["simulator", "run", "--lls", "2"], "shares"),
        (["simulator", "run", "--profile", "SMR-6"], "Profiles: DSMR-2.2"),
        (["simulator", "shipment", "/no/such/folder/x.csv"], "No such file"),
        (["decode", "xyz"], "hexadecimal"),
        (["decode", "C301"], "not a readable record"),
        (["keys", "seal", "0g"], "hexadecimal"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_named(home: Path, arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert told in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", NEED_A_STACK, ids=" ".join)
def test_without_a_stack_it_says_what_to_do(home: Path, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert "meterlog up" in result.output
    assert "METERLOG_" in result.output


@pytest.mark.parametrize("as_json", [False, True])
def test_status_and_down_without_a_stack(home: Path, as_json: bool) -> None:
    more = ["--json"] if as_json else []
    status, down = run("status", *more), run("down", *more)
    assert (status.exit_code, down.exit_code) == (1, 0)
    assert (json.loads(status.output) is None) if as_json else ("meterlog up" in " ".join(status.output.split()))
    assert (json.loads(down.output) == {"stopped": False}) if as_json else ("no stack" in down.output)


def test_doctor_says_all_that_is_wrong(home: Path) -> None:
    result = run("doctor", "--json")
    assert result.exit_code == 1
    findings = {finding["what"]: finding for finding in json.loads(result.output)}
    assert not findings["kafka"]["good"]
    assert "meterlog up" in findings["kafka"]["remedy"]
    assert not findings["keys"]["good"]
    assert "keys generate" in findings["keys"]["remedy"]


def test_keys_are_made_once_and_seal(home: Path) -> None:
    assert run("keys", "public").exit_code == 1
    assert run("keys", "generate").exit_code == 0
    again = run("keys", "generate")
    assert again.exit_code == 1
    assert "not replaced" in again.output
    assert "BEGIN PUBLIC KEY" in run("keys", "public").output
    sealed = [json.loads(run("keys", "seal", "00" * 16, "--json").output)["sealed"] for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert len(bytes.fromhex(sealed[0])) >= 256
    assert len(bytes.fromhex(run("keys", "seal", data=b"00112233\n").output.strip())) >= 256


def test_operations_are_listed_with_their_fields() -> None:
    listed = json.loads(run("operations", "--json").output)
    assert [each["name"] for each in listed] == list(catalogue())
    fields = {
        field["name"] for field in json.loads(run("operations", "GetPeriodicMeterReads", "--json").output)["request"]
    }
    assert {"period_type", "begin_date", "end_date"} <= fields
    assert "begin_date" in run("operations", "GetPeriodicMeterReads").output


def test_topics_are_listed() -> None:
    names = [topic["name"] for topic in json.loads(run("topics", "list", "--json").output)]
    assert names == [topic.name for topic in TOPICS]
    assert RESPONSES.name[:12] in run("topics", "list").output  # a narrow terminal folds the rest


def test_a_record_is_decoded(tmp_path: Path) -> None:
    record = codec.encode(JobAttempting("ML500000000000007", 3, str(UUID(int=1)), 1_790_000_000_000))
    found = json.loads(run("decode", record.hex(), "--json").output)
    assert found["record"] == "meterlog.JobAttempting"
    (tmp_path / "record").write_bytes(record)
    assert "meterlog.JobAttempting" in run("decode", "--file", str(tmp_path / "record")).output
    assert "meterlog.JobAttempting" in run("decode", data=record).output


def test_a_frame_is_decoded() -> None:
    result = run("decode", "C001C100080000010000FF0200")
    assert result.exit_code == 0
    assert "GetRequest" in result.output
    broken = run("decode", "000100100001001860")
    assert broken.exit_code == 1
    assert "neither an Avro record" in broken.output


@pytest.mark.parametrize(
    ("pairs", "fields"),
    [
        (("port=4059",), {"port": 4059}),
        (("host=127.0.0.1",), {"host": "127.0.0.1"}),
        (('labels={"a": "b"}',), {"labels": {"a": "b"}}),
        (("text=a=b", "empty="), {"text": "a=b", "empty": ""}),
        (("begin_date=2022-11-22T00:00:00+01:00",), {"begin_date": "2022-11-22T00:00:00+01:00"}),
        (("flag=true", "none=null", "list=[1, 2]"), {"flag": True, "none": None, "list": [1, 2]}),
    ],
)
def test_fields_are_json_or_text(pairs: tuple[str, ...], fields: dict[str, Any]) -> None:
    assert request_fields(pairs) == fields


@pytest.mark.parametrize("pair", ["port", "=4059", ""])
def test_a_field_without_a_value_is_none(pair: str) -> None:
    with pytest.raises(click.BadParameter, match="FIELD=VALUE"):
        request_fields((pair,))


def test_json_that_is_none_is_named_with_its_place() -> None:
    with pytest.raises(click.BadParameter, match=r"actions is no JSON: .* at character 47"):
        request_fields(('actions=[{"SynchronizeTime": {"time_zone": "UTC"}, "x"]',))


def test_the_actions_of_a_bundle_are_listed_by_name() -> None:
    told = run("operations", "Bundle", "--json")
    (field,) = json.loads(told.output)["request"]
    assert "ClearAlarmRegister" in bundled()
    assert field["type"] == f"list of {{name: {{field: value}}}}; names: {', '.join(bundled())}"


def test_a_plot_has_its_axis_and_its_top() -> None:
    lines = columns([0, 1, 2, 4], height=2, labels=("0", "24"), unit="kW")
    assert len(lines) == 3
    assert lines[0].strip().startswith("4 kW")
    assert [line.endswith("█") for line in lines[:2]] == [True, True]
    assert columns([], height=2, labels=(), unit="kW")
    assert columns([0.0, 0.0], height=1, labels=("a",), unit="kW")


def test_profiles_are_listed_and_shown() -> None:
    listed = json.loads(run("profiles", "list", "--json").output)
    assert [each["profile"] for each in listed] == [
        "DSMR-2.2", "DSMR-4.2.2", "SMR-4.3", "SMR-5.0.0", "SMR-5.1", "SMR-5.2", "SMR-5.5",
    ]  # fmt: skip
    assert len(json.loads(run("profiles", "show", "SMR-5.1", "--json").output)) == listed[4]["objects"]
    table = run("profiles", "show", "dsmr 4.2.2").output
    assert table.startswith("DSMR-4.2.2") and "0-4:24.2.1.255" in table and "1-0:52.24.0.255" in table


def test_one_object_of_a_profile() -> None:
    shown = json.loads(run("profiles", "show", "SMR-4.3", "--object", "definable_load_profile", "--json").output)
    assert (shown["class"], shown["logical_name"], shown["columns"][-1]) == (
        7,
        "0-1:94.31.6.255",
        "CDMA_DIAGNOSTIC.6#3",
    )
    assert [each["management"] for each in shown["attributes"]] == ["r", "r", "rw", "rw", "r", "r", "r", "rw"]
    told = run("profiles", "show", "SMR-5.5", "--object", "INSTANTANEOUS_VOLTAGE_L2").output
    assert "Only poly-phase meters have it." in told and "{-1, 35}" in told
    for arguments, hint in (
        (("SMR-5",), "Profiles: DSMR-2.2"),
        (("SMR-5.5", "--object", "thd"), "THD_VALUE_THRESHOLD"),
    ):
        refused = run("profiles", "show", *arguments)
        assert refused.exit_code == 1 and hint in refused.output


def test_a_fleet_is_of_the_profiles_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "shipment.csv"
    named = ("--profile", "dsmr-2.2", "--profile", "SMR-5.1")
    assert run("simulator", "shipment", str(path), "--meters", "3", *named).exit_code == 0
    with path.open(newline="") as text:
        told = [(row["protocol"], row["protocol_version"], row["security"]) for row in csv.DictReader(text)]
    assert told == [("DSMR", "2.2", "lls"), ("SMR", "5.1", "hls5"), ("DSMR", "2.2", "lls")]


def test_ctrl_c_ends_with_a_word_and_the_code_of_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: str | None, path: Path | None) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("connectors.faces.cli.decode._octets", interrupted)
    done = CliRunner().invoke(cli, ["decode"])
    assert (done.exit_code, done.output) == (130, "stopped\n")

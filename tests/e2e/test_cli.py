"""`meterlog` as an operator has it: one embedded stack in a folder, every command against it, nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors.simulator.fleet import HOST
from infra.embedded.ports import free_port
from schemas import codec
from schemas.records import JobAttempting
from schemas.topics import TOPICS

CLI = (sys.executable, "-m", "connectors.faces.cli")
METERS = 4
READY_SECONDS = 90.0
Meterlog = Callable[..., subprocess.CompletedProcess[str]]


def environment(folder: Path) -> dict[str, str]:
    told = {name: value for name, value in os.environ.items() if not name.startswith("METERLOG_")}
    return {**told, "METERLOG_DATA": str(folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def meterlog(folder: Path) -> Meterlog:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [*CLI, *arguments], env=environment(folder), capture_output=True, text=True, timeout=90, check=False
        )
        assert found.returncode == code, found.stdout + found.stderr
        return found

    return run


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[int]:
    """A fleet on a port of its own."""
    port = free_port()
    command = [*CLI, "simulator", "run", "--meters", str(METERS), "--port", str(port)]
    process = subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert f"{METERS} meters listen on {HOST}:{port}" in " ".join(process.stdout.readline().split())
    yield port
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


@pytest.fixture(scope="module")
def stack(folder: Path, meterlog: Meterlog) -> Iterator[psutil.Process]:
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen([*CLI, "up"], env=environment(folder), stdout=out, stderr=out)
    try:
        until = time.monotonic() + READY_SECONDS
        while subprocess.run([*CLI, "status"], env=environment(folder), capture_output=True).returncode:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.3)
        yield psutil.Process(process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        if process.poll() is None:
            process.kill()


def document(meterlog: Meterlog, *arguments: str, code: int = 0) -> Any:
    return json.loads(meterlog(*arguments, "--json", code=code).stdout)


def awaited(ask: Callable[[], subprocess.CompletedProcess[str]], seconds: float = 20) -> Any:
    """What a command says once it succeeds: ClickHouse holds an outcome about a second after it was told."""
    until = time.monotonic() + seconds
    while (found := ask()).returncode:
        assert time.monotonic() < until, found.stdout + found.stderr
        time.sleep(0.3)
    return json.loads(found.stdout)


@pytest.mark.timeout(300)
def test_a_day_at_the_command_line(
    folder: Path, meterlog: Meterlog, stack: psutil.Process, fleet: int, tmp_path: Path
) -> None:
    processes = {process["name"] for process in document(meterlog, "status")["processes"]}
    assert {"streams", "dlms-worker", "clickhouse-sink"} <= processes
    assert [topic["name"] for topic in document(meterlog, "topics", "list")] == [topic.name for topic in TOPICS]
    assert document(meterlog, "topics", "apply")["created"] == []
    assert document(meterlog, "migrate")["applied"] == []

    shipment = tmp_path / "shipment.csv"
    meterlog("simulator", "shipment", str(shipment), "--meters", str(METERS), "--port", str(fleet))
    lines = shipment.read_text().splitlines()
    bad = lines[1].replace("ML5", "MLX", 1).replace("5.0.0", "9.9.9")
    shipment.write_text("\n".join([*lines, bad, "x,y"]) + "\n")
    imported = document(meterlog, "devices", "import", str(shipment), "--plain-keys", code=1)
    assert (imported["added"], imported["unchanged"], imported["unanswered"]) == (METERS, 0, 0)
    assert [(line["line"], line["field"]) for line in imported["refused"]] == [
        (METERS + 2, "protocol_version"),
        (METERS + 3, None),
    ]
    again = meterlog("devices", "import", str(shipment), "--plain-keys", code=1)
    assert f"0 added, {METERS} known already, 2 refused" in again.stdout
    assert f"line {METERS + 2}: protocol_version: " in again.stderr

    device = lines[1].split(",")[0]
    sent = document(meterlog, "send", "GetActualMeterReads", "--device", device, "--wait")
    assert (sent["status"], sent["device_id"], sent["attempts"]) == ("Successful", device, 1)
    assert "Successful" in meterlog("send", "ReadAlarmRegister", "--device", device, "--wait").stdout
    later = document(meterlog, "send", "SynchronizeTime", "--device", device, "--set", "time_zone=Europe/Amsterdam")
    nobody = document(meterlog, "send", "ReadAlarmRegister", "--device", "NOBODY0000000001", "--wait", code=1)
    assert nobody["status"] == "Rejected"

    def show(correlation_id: str) -> subprocess.CompletedProcess[str]:
        command = [*CLI, "responses", "show", correlation_id, "--json"]
        return subprocess.run(command, env=environment(folder), capture_output=True, text=True)

    for correlation_id in (sent["correlation_id"], later["correlation_id"]):
        assert awaited(lambda asked=correlation_id: show(asked))["status"] == "Successful"  # type: ignore[misc]
    assert "meterlog watch" in meterlog("responses", "show", "nothing", code=1).stderr
    assert {each["device_id"] for each in document(meterlog, "devices", "list")} == {
        line.split(",")[0] for line in lines[1:]
    }
    assert device in meterlog("devices", "show", device).stdout
    assert "devices list" in meterlog("devices", "show", "ML9", code=1).stderr

    record = codec.encode(JobAttempting(device, 1, sent["correlation_id"], 0))
    assert document(meterlog, "decode", record.hex())["record"] == "meterlog.JobAttempting"
    assert "GetRequest" in meterlog("decode", "C001C100080000010000FF0200").stdout
    assert document(meterlog, "dlq", "list") == []
    assert "no dead letter" in meterlog("dlq", "replay", "0:0", code=1).stderr
    assert "BEGIN PUBLIC KEY" in meterlog("keys", "public").stdout
    assert len(document(meterlog, "keys", "seal", "00" * 16)["sealed"]) >= 512
    assert all(finding["good"] for finding in document(meterlog, "doctor"))
    verdict = document(meterlog, "verify-state")
    assert (verdict["agrees"], verdict["counts"]) == (True, {})
    assert verdict["devices"] >= METERS
    assert "the table is what the log says" in meterlog("verify-state").stdout
    assert "in use by a stack" in meterlog("up", code=1).stderr

    family = [stack, *stack.children(recursive=True)]
    assert len(family) > 5
    assert document(meterlog, "down") == {"stopped": True}
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert "meterlog up" in meterlog("status", code=1).stdout

"""Shipment files: each bad line with number, field and reason, the rest as requests."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.faces.shipment import FIELDS, BadLine, GoodLine, NotAShipment, read
from connectors.simulator.fleet import FleetSettings, gas_meter_id, identity, write_shipment

METER: dict[str, Any] = {
    "device_id": "ML500000000000001",
    "device_type": "SMART_METER_E",
    "protocol": "SMR",
    "protocol_version": "5.0.0",
    "host": "127.0.0.1",
    "port": "4059",
    "security": "hls5",
    "system_title": "4D4C470000000001",
    "master_key": "00" * 16,
    "authentication_key": "11" * 16,
    "encryption_key": "22" * 16,
}
Write = Callable[..., Path]


def seal(secret: bytes) -> bytes:
    return b"sealed " + secret


def write_csv(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "shipment.csv"
    names = list({name: None for line in lines for name in line})
    with path.open("w", newline="") as text:
        rows = csv.DictWriter(text, names)
        rows.writeheader()
        rows.writerows(lines)
    return path


def write_json(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "shipment.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def meter(number: int = 1, **changes: Any) -> dict[str, Any]:
    fields = {**METER, "device_id": f"ML5{number:014d}", **changes}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(("write", "first"), [(write_csv, 2), (write_json, 1)], ids=["csv", "jsonl"])
def test_good_lines_are_requests_with_sealed_secrets(tmp_path: Path, write: Write, first: int) -> None:
    path = write(tmp_path, meter(1, labels="street=Dorpsstraat;feeder=12"), meter(2, cell_id="c7"))
    found = list(read(path, seal_plain=seal))
    assert [(line.number, getattr(line, "device_id", line)) for line in found] == [
        (first, "ML500000000000001"),
        (first + 1, "ML500000000000002"),
    ]
    request: Any = found[0].request  # type: ignore[union-attr]
    assert request.encryption_key == b"sealed " + bytes.fromhex("22" * 16)
    assert request.system_title == bytes.fromhex("4D4C470000000001")
    assert request.port == 4059
    assert dict(request.labels) == {"street": "Dorpsstraat", "feeder": "12"}


def test_encrypted_secrets_are_passed_on(tmp_path: Path) -> None:
    sealed = {name: "ab" * 256 for name in ("master_key", "authentication_key", "encryption_key")}
    (line,) = read(write_csv(tmp_path, meter(1, **sealed)), seal_plain=None)
    assert isinstance(line, GoodLine)
    assert line.request.master_key == bytes.fromhex("ab" * 256)


@pytest.mark.parametrize("write", [write_csv, write_json], ids=["csv", "jsonl"])
@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"device_id": ""}, "device_id", "missing"),
        ({"port": "4o59"}, "port", "whole number"),
        ({"port": "70000"}, "port", "70000"),
        ({"master_key": "0g"}, "master_key", "hexadecimal"),
        ({"encryption_key": None}, "encryption_key", "missing"),
        ({"security": "hls9"}, "security", "hls9"),
        ({"device_type": "TOASTER"}, "device_type", "TOASTER"),
        ({"host": None}, "host", "missing"),
        ({"system_title": "4D4C47"}, "system_title", "8"),
        ({"labels": "street"}, "labels", "name=value"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "Mars/Olympus"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_goes_on(
    tmp_path: Path, write: Write, changes: dict[str, Any], field: str, reason: str
) -> None:
    found = list(read(write(tmp_path, meter(1), meter(2, **changes), meter(3)), seal_plain=seal))
    first, bad, last = found
    assert isinstance(first, GoodLine)
    assert isinstance(last, GoodLine)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.field) == (first.number + 1, field)
    assert reason in bad.reason


def test_a_device_stands_once_in_a_file(tmp_path: Path) -> None:
    _, bad = read(write_csv(tmp_path, meter(1), meter(1)), seal_plain=seal)
    assert bad == BadLine(3, "device_id", "ML500000000000001 stands already on line 2")


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [("{", None, "not JSON"), ("[1]", None, "not a JSON object"), ('{"colour": 1}', "colour", "unknown field")],
)
def test_a_json_line_that_is_none(tmp_path: Path, line: str, field: str | None, reason: str) -> None:
    path = tmp_path / "shipment.ndjson"
    path.write_text(f"\n{line}\n{json.dumps(meter(1))}\n")
    bad, good = read(path, seal_plain=seal)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.field) == (2, field)
    assert reason in bad.reason
    assert isinstance(good, GoodLine)


@pytest.mark.parametrize("row", ["ML500000000000001,SMR", "ML500000000000001,SMR,5.0.0,too,many"])
def test_a_csv_line_of_another_length(tmp_path: Path, row: str) -> None:
    path = tmp_path / "shipment.csv"
    path.write_text(f"device_id,protocol,protocol_version\n{row}\n")
    (bad,) = read(path, seal_plain=seal)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.field) == (2, None)
    assert "as many fields" in bad.reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("shipment.csv", b"device_id,colour\n", "unknown field 'colour'"),
        ("shipment.csv", b"protocol\n", "no field device_id"),
        ("shipment.csv", b"", "no field device_id"),
        ("shipment.xlsx", b"PK", ".csv or .jsonl"),
        ("shipment", b"", "without a suffix"),
        ("shipment.jsonl", b"\xff\xfe{", "UTF-8"),
    ],
)
def test_what_is_no_shipment(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotAShipment, match=reason):
        list(read(tmp_path / name, seal_plain=seal))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotAShipment, match="No such file"):
        list(read(tmp_path / "none.csv", seal_plain=seal))


def test_a_fleets_shipment_is_one(tmp_path: Path) -> None:
    """Meters with keys, by password and without secrets, each as AddDevice wants it."""
    settings = FleetSettings(meters=60, lls=0.3, public=0.2)
    path = tmp_path / "fleet.csv"
    write_shipment(path, settings, 4059)
    found = list(read(path, seal_plain=seal))
    assert [line for line in found if isinstance(line, BadLine)] == []
    kinds = [identity(settings, number).security for number in range(1, 61)]
    assert [line.request.security.value for line in found if isinstance(line, GoodLine)] == kinds
    assert {kinds.count(kind) > 5 for kind in ("hls5", "lls", "none")} == {True}
    assert set(path.read_text().splitlines()[0].split(",")) <= set(FIELDS)


def test_a_fleets_gas_meters_are_devices_of_its_shipment(tmp_path: Path) -> None:
    settings = FleetSettings(meters=2, gas_meters=4)
    path = tmp_path / "fleet.csv"
    write_shipment(path, settings, 4059)
    lines = [line for line in read(path, seal_plain=seal) if isinstance(line, GoodLine)]
    gas = [line for line in lines if line.request.device_type == "SMART_METER_G"]
    assert len(lines) == 10
    assert [(line.device_id, line.request.gateway_id, line.request.channel) for line in gas] == [
        (gas_meter_id(number, channel), identity(settings, number).device_id, channel)
        for number in (1, 2)
        for channel in (1, 2, 3, 4)
    ]
    with pytest.raises(ValueError, match="0 to 4"):
        FleetSettings(meters=1, gas_meters=5)

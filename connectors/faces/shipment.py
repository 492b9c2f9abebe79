"""A shipment file: the meters of a delivery, one device a line, as CSV or JSON Lines; each line one AddDevice.

Reference operations-managing 1.2 (what such files hold) and 1.1 (what AddDevice wants). Each bad line is reported with
its number, field and reason; the rest is imported. Secrets are hex: encrypted for the platform's public key, or plain
in a laboratory, in which case they are encrypted here, before anything leaves this process.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from operations import build_request
from operations._errors import Rejected

SECRETS: Final = ("master_key", "authentication_key", "encryption_key", "password", "mbus_key")
NUMBERS: Final = ("port", "client_id", "logical_device", "invocation_counter", "channel", "with_list_max")
FIELDS: Final = (
    "device_id",
    "device_type",
    "protocol",
    "protocol_version",
    "host",
    "port",
    "client_id",
    "logical_device",
    "security",
    "system_title",
    "master_key",
    "authentication_key",
    "encryption_key",
    "password",
    "invocation_counter",
    "gateway_id",
    "channel",
    "mbus_identification",
    "mbus_key",
    "cell_id",
    "labels",
    "time_zone",
    "with_list_max",
    "selective_access",
    "polyphase",
    "communication_method",
)
Seal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not imported, and why."""

    number: int
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class GoodLine:
    """A line that is a device: its request, checked."""

    number: int
    device_id: str
    request: Any


class NotAShipment(Exception):
    """The file as a whole cannot be read: nothing of it is imported."""


def read(path: Path, *, seal_plain: Seal | None) -> Iterator[GoodLine | BadLine]:
    """The lines of a shipment file, in order.

    `seal_plain` encrypts secrets that stand in clear; None: they are encrypted already.     `.csv` has a header line;
    `.jsonl` and `.ndjson` one JSON object a line. Blank lines are passed over. Raises NotAShipment when the file
    cannot be opened, is of another kind, or its header names an unknown field.
    """
    seen: dict[str, int] = {}
    for number, fields in _lines(path):
        if isinstance(fields, BadLine):
            yield fields
            continue
        try:
            device_id, request = _request(fields, seal_plain)
        except Rejected as error:
            yield BadLine(number, error.field, error.reason)
            continue
        if device_id in seen:
            yield BadLine(number, "device_id", f"{device_id} stands already on line {seen[device_id]}")
            continue
        seen[device_id] = number
        yield GoodLine(number, device_id, request)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    try:
        text = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise NotAShipment(f"{path}: {error.strerror}") from error
    with text:
        try:
            match path.suffix.lower():
                case ".csv":
                    yield from _csv_lines(path, text)
                case ".jsonl" | ".ndjson":
                    yield from _json_lines(text)
                case other:
                    raise NotAShipment(
                        f"{path}: a shipment is .csv or .jsonl, not {other or 'a file without a suffix'}"
                    )
        except UnicodeDecodeError as error:
            raise NotAShipment(f"{path}: not UTF-8 text: {error.reason}") from error


def _csv_lines(path: Path, text: Any) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    rows = csv.DictReader(text)
    unknown = [name for name in rows.fieldnames or () if name not in FIELDS]
    if unknown or "device_id" not in (rows.fieldnames or ()):
        wrong = f"unknown field {unknown[0]!r} in the header" if unknown else "the header has no field device_id"
        raise NotAShipment(f"{path}: {wrong}; fields are {', '.join(FIELDS)}")
    for row in rows:
        if None in row or None in row.values():
            yield (
                rows.line_num,
                BadLine(rows.line_num, None, f"has not as many fields as the header ({len(rows.fieldnames or ())})"),
            )
        else:
            yield rows.line_num, {name: value for name, value in row.items() if value != ""}


def _json_lines(text: Any) -> Iterator[tuple[int, dict[str, Any] | BadLine]]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, BadLine(number, None, f"not JSON: {error.msg} at column {error.colno}")
            continue
        if not isinstance(fields, dict):
            yield number, BadLine(number, None, "not a JSON object")
            continue
        unknown = next((name for name in fields if name not in FIELDS), None)
        if unknown:
            yield number, BadLine(number, unknown, "unknown field")
        else:
            yield number, {name: value for name, value in fields.items() if value is not None}


def _request(fields: Mapping[str, Any], seal_plain: Seal | None) -> tuple[str, Any]:
    values = dict(fields)
    device_id = values.pop("device_id", None)
    if not isinstance(device_id, str) or not device_id:
        raise Rejected("is missing", field="device_id")
    for name in ("system_title", *SECRETS):
        if name in values:
            values[name] = _octets(name, values[name])
    if seal_plain is not None:
        values |= {name: seal_plain(values[name]) for name in SECRETS if name in values}
    for name in NUMBERS:
        if isinstance(values.get(name), str):
            values[name] = _number(name, values[name])
    if isinstance(values.get("labels"), str):
        values["labels"] = _labels(values["labels"])
    return device_id, build_request("AddDevice", values)


def _octets(name: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (ValueError, TypeError):
        raise Rejected("must be hexadecimal digits, two an octet", field=name) from None


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise Rejected(f"{value!r} is not a whole number", field=name) from None


def _labels(value: str) -> dict[str, str]:
    """`street=Dorpsstraat;feeder=12`"""
    pairs = [pair.partition("=") for pair in value.split(";") if pair]
    if any(not separator for _, separator, _ in pairs):
        raise Rejected("must be name=value pairs, separated by ';'", field="labels")
    return {name: text for name, _, text in pairs}

"""The devices' log to rows: events without secrets and without command bytes, and what they say of a device now.

Decoded without the streams' classes (connectors and streams never import each other), so an event nobody knew when this
was written is stored as well.
"""

from datetime import datetime
from typing import Any, Final

from connectors.clickhouse.rows import Row, Rows, SetAside, as_json, correlation, device, moment

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "device_events_in": (
        "device_id",
        "at",
        "version",
        "kind",
        "cause",
        "correlation",
        "detail",
        "topic_partition",
        "topic_offset",
        "number",
    ),
    "device_registrations_in": (
        "device_id",
        "version",
        "at",
        "device_type",
        "protocol",
        "protocol_version",
        "host",
        "port",
        "client_id",
        "logical_device",
        "security",
        "system_title",
        "key_kinds",
        "time_zone",
        "gateway_id",
        "channel",
        "mbus_identification",
        "cell_id",
        "label_names",
        "label_values",
        "polyphase",
        "communication_method",
    ),
    "device_time_zones_in": ("device_id", "version", "at", "time_zone"),
    "device_lifecycles_in": ("device_id", "version", "at", "lifecycle"),
}
# Bytes are secrets or whole records until somebody says otherwise: only these are told.
PUBLIC_BYTES: Final = frozenset({"system_title"})
WITHHELD: Final = frozenset({"keys", "key", "secret", "sealed", "command", "digest"})


def events(record: dict[str, Any], partition: int, offset: int) -> Rows:
    """Rows of one `DeviceEvents` record, decoded plain. Raises SetAside when it is not what the log holds."""
    try:
        return tuple(_rows(record, partition, offset))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SetAside(f"not a record of the devices' log: {type(error).__name__} {error}") from error


def _rows(record: dict[str, Any], partition: int, offset: int) -> list[tuple[str, Row]]:
    identification = device(record["device_id"])
    version = int(record["version"])
    at = moment(millis(record["at"]), "at")
    cause = str(record["cause"]).encode()
    rows: list[tuple[str, Row]] = []
    for number, (full_name, event) in enumerate(record["events"]):
        kind = full_name.rpartition(".")[2]
        detail = as_json(public(event))
        about = _about(event)
        row = (identification, at, version, kind.encode(), cause, about, detail, partition, offset, number)
        rows.append(("device_events_in", row))
        if kind == "DeviceRegistered":
            row = _registration(identification, version, at, event["registration"])
            rows.append(("device_registrations_in", row))
        elif kind == "TimeZoneSet":
            rows.append(("device_time_zones_in", (identification, version, at, event["time_zone"].encode())))
        elif kind == "LifecycleSet":
            rows.append(("device_lifecycles_in", (identification, version, at, str(event["lifecycle"]).encode())))
    return rows


def millis(value: Any) -> int:
    """Milliseconds since 1970 of a decoded time, which is an aware datetime or a number already."""
    return int(value.timestamp() * 1000 + 0.5) if isinstance(value, datetime) else int(value)


def public(value: Any) -> Any:
    """The same values without what must not be told: secrets, records of callers, digests."""
    if isinstance(value, dict):
        return {
            name: each if name in PUBLIC_BYTES else public(each)
            for name, each in value.items()
            if name not in WITHHELD and (name in PUBLIC_BYTES or not isinstance(each, bytes))
        }
    if isinstance(value, list | tuple):
        return tuple(public(each) for each in value if not isinstance(each, bytes))
    return value


def _about(event: dict[str, Any]) -> bytes | None:
    try:
        return correlation(str(event["correlation_id"])) if "correlation_id" in event else None
    except SetAside:
        return None  # it is in the detail


def _registration(identification: bytes, version: int, at: int, known: dict[str, Any]) -> Row:
    labels: dict[str, str] = known.get("labels") or {}
    return (
        identification,
        version,
        at,
        known["device_type"].encode(),
        known["protocol"].encode(),
        known["protocol_version"].encode(),
        known["host"].encode(),
        known["port"],
        known["client_id"],
        known["logical_device"],
        str(known["security"]).encode(),
        known["system_title"].hex().encode(),
        [str(key["kind"]).encode() for key in known.get("keys", ())],
        (known.get("time_zone") or "").encode(),
        (known.get("gateway_id") or "").encode(),
        known.get("channel"),
        (known.get("mbus_identification") or "").encode(),
        (known.get("cell_id") or "").encode(),
        [name.encode() for name in labels],
        [text.encode() for text in labels.values()],
        known.get("polyphase", False),
        str(known.get("communication_method") or "").encode(),
    )

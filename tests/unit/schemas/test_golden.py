"""Our bytes against those the Java Avro library made, in both directions; tests/golden/test_java.py asks it live.

The schemas in tests/golden/schemas are copies kept for this, so they stay what they were: today's classes must read
them too, as they read the records of an earlier release.
"""

from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Any

import fastavro
import pytest

from schemas import _avsc, codec
from schemas.records import (
    CommandEnded,
    CommandHeader,
    DeviceRegistered,
    Ended,
    EnergyReads,
    Fault,
    Job,
    JobCommand,
    JobEnded,
    KeyKind,
    Registration,
    ResponseHeader,
    SealedKey,
    Security,
    Status,
    TimeZoneSet,
)
from tests.golden import java

ID, OTHER = "0b7f3d51-2f0e-4b5e-9d58-6f9d3c1a7d11", "6a1f2f0e-4b5e-4d58-8f9d-3c1a7d110b7f"
GOLDEN = java.golden()
TITLE = b"KFM\x00\x01\xff\x03\x04"
KEYS = (SealedKey(KeyKind.AUTHENTICATION, b"\x01\x02"), SealedKey(KeyKind.ENCRYPTION, b"\x03"))
E_METER = Registration(
    *("SMART_METER_E", "SMR", "5.0.0", "192.0.2.1", 4059, 1, 1, Security.HLS5, TITLE, KEYS),
    **{"time_zone": "Europe/Amsterdam", "with_list_max": 32, "selective_access": False, "channel": 2},  # type: ignore[arg-type]
    labels={"street": "Dorpsstraat"},
)
G_METER = Registration(
    *("SMART_METER_G", "DSMR", "4.2.2", "", 0, 1, 1, Security.NONE, b"", ()),
    gateway_id="E0001",
    channel=1,
    mbus_identification="00001234",
)
FAULT = Fault(211, "CONNECTION_ERROR", "METERLOG", "refused", "ECONNREFUSED")
RECORDS: dict[str, object] = {
    "EnergyReads-daily": EnergyReads(
        *("E0001", ID, "DAILY", 1_790_000_000_200, b"{\x00\x10\xc4\xa0\x01\x00\x00", b"\x80"),
        import_total=(-(1 << 63)).to_bytes(8, "little", signed=True),
        export_total=(1_000_000).to_bytes(8, "little"),
    ),
    "Job-add": Job("E0001", 1, 1_790_000_060_000, 0, 0, None, (JobCommand(ID, "AddDevice", 1, b"\xc3\x01"),)),
    "Job-full": Job("E0001", 70_000, 1_790_000_060_000, 4_294_960_000, 4_294_967_295, E_METER, ()),
    "JobEnded-facts": JobEnded(
        *("E0001", 70_000, "w-1", 1_790_000_000_000, 1_790_000_003_000, True, 4_294_960_009, 17),
        (
            CommandEnded(ID, Ended.SUCCESSFUL, None, b"", None, (TimeZoneSet("UTC"), DeviceRegistered(G_METER, 5))),
            CommandEnded(OTHER, Ended.NOT_STARTED, Fault(0, "X", "Y", "Z"), None, "metering.results.large.v1:0:5"),
        ),
    ),
    "SynchronizeTimeCommand-full": codec.Command(
        CommandHeader(ID, "E0001", 1_790_000_000_123, 9, 1_790_000_060_000, 1_790_003_600_000, True, "golden"),
        "SynchronizeTime",
        {"time_zone": "Europe/Amsterdam"},
    ),
    "SynchronizeTimeCommand-plain": codec.Command(
        CommandHeader(ID, "E0001", 1_790_000_000_123), "SynchronizeTime", {"time_zone": "UTC"}
    ),
    "GetActualMeterReadsResponse-fault": (
        ResponseHeader(
            *(ID, "E0001", "GetActualMeterReads", Status.ERROR, FAULT, 3, True),
            *(None, 1_790_000_000_200, 1_790_000_100_000),
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_java_and_we_make_the_same_bytes(name: str) -> None:
    body = codec._Body(java.schema_of(name), {})
    body.prepare()
    assert body.header == GOLDEN[name][: codec.HEADER_BYTES]
    value = body.read(GOLDEN[name], codec.HEADER_BYTES)
    assert avro_json(body, GOLDEN[name]) == java.said(name)
    assert body.write(value) == GOLDEN[name]


def avro_json(body: codec._Body, data: bytes) -> Any:
    """What fastavro reads, as Avro's JSON encoding."""
    source = BytesIO(data[codec.HEADER_BYTES :])
    return _json(fastavro.schemaless_reader(source, body.avro, None, True), body.published, body.names)


def _json(value: Any, schema: Any, names: dict[str, Any]) -> Any:
    schema = names.get(schema, schema) if isinstance(schema, str) else schema
    kind = schema if isinstance(schema, str | list) else schema["type"]
    if isinstance(kind, list):
        if value is None:
            return None
        branches = [branch for branch in kind if branch != "null"]
        if isinstance(value, tuple):
            name, value = value
            return {name: _json(value, name, names)}
        (branch,) = branches
        full = names.get(branch, branch) if isinstance(branch, str) else branch
        label = full if isinstance(full, str) else full.get("name", full["type"])
        return {label: _json(value, full, names)}
    if kind == "record":
        return {field["name"]: _json(value[field["name"]], field["type"], names) for field in schema["fields"]}
    if kind == "array":
        return [_json(each, schema["items"], names) for each in value]
    if kind == "bytes":
        return value.decode("latin-1")
    return value


@pytest.fixture(scope="module")
def registry() -> codec._Registry:
    """Today's schemas, and the golden ones as if they were those of a release."""
    golden: Traversable = java.FOLDER / "schemas"
    return codec._Registry(_avsc.schema_folder(), golden, codec.bound())


@pytest.mark.parametrize("name", RECORDS)
def test_todays_classes_read_javas_bytes(name: str, registry: codec._Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_registry", lambda: registry)
    assert codec.decode(GOLDEN[name]) == RECORDS[name]


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if type(record) in codec.bound().values()])
def test_todays_classes_write_javas_bytes_while_the_schema_is_the_same(name: str) -> None:
    ours = codec.encode(RECORDS[name])
    if ours[: codec.HEADER_BYTES] == GOLDEN[name][: codec.HEADER_BYTES]:
        assert ours == GOLDEN[name]
    else:  # the schema has moved on since: what is written is read back as the same record at least
        assert codec.decode(ours) == RECORDS[name]

"""The schema files: fresh, self-contained, documented, safe to read; and what the generator makes of an operation's
types.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations import _schemas, catalogue
from operations._schema_docs import field_comments
from schemas import _avsc, asyncapi, codec
from schemas._names import full_name
from schemas.topics import TOPICS

FILES = sorted(_schemas.AVRO.rglob("*.avsc"))


def test_generated_files_are_fresh() -> None:
    assert _schemas.stale() == {}


def test_check_fails_with_a_diff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    present = _schemas.generated()
    path = _schemas.AVRO / "commands" / "SynchronizeTimeCommand.avsc"
    assert _schemas.main(["--check"]) == 0
    monkeypatch.setattr(_schemas, "generated", lambda: {**present, path: present[path].replace("time_zone", "zone")})
    assert _schemas.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert '+            "name": "zone"' in said
    assert "make schemas" in said


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_one_record_of_its_name_documented_throughout(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    assert schema["name"] == path.stem
    space = {"shared": "meterlog", "commands": "meterlog.commands", "responses": "meterlog.responses"}
    assert schema["namespace"] == space[path.parent.name]
    assert schema["doc"]
    if path.parent.name == "shared":
        for each in _avsc.names_in(codec.schema(f"meterlog.{path.stem}")).values():
            for entry in each.get("fields", ()):
                assert entry.get("doc"), f"{each['name']}.{entry['name']} has no doc"


def test_a_shared_record_is_the_same_wherever_it_lies() -> None:
    seen: dict[str, tuple[str, Any]] = {}
    for name in codec.names():
        for inner, definition in _avsc.names_in(codec.schema(name)).items():
            _, other = seen.setdefault(inner, (name, bare(definition)))
            assert bare(definition) == other, f"{inner} in {name} and in {seen[inner][0]}"


def bare(schema: Any) -> Any:
    """Names, types and order alone: what the bytes depend on."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema["type"] in _avsc.NAMED and "fields" in schema:
        return [(each["name"], outline(each["type"])) for each in schema["fields"]]
    return schema.get("symbols", schema["type"])


def outline(schema: Any) -> Any:
    """A field's type, records and enums by name: a second mention has only that."""
    if isinstance(schema, list):
        return [outline(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema["type"] in _avsc.NAMED:
        return schema["name"]
    return {key: outline(schema[key]) for key in ("type", "items", "values", "logicalType") if key in schema}


class Colour(StrEnum):
    """Of the lamp."""

    RED = "RED"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Raises nothing."""

    at: datetime  # when; None never
    amount: Decimal | None
    on: date = date(1970, 1, 2)


@dataclass(frozen=True, slots=True)
class Request:
    # above the line
    rows: tuple[Row, ...]
    one: Row | None = None
    colour: Colour = Colour.RED
    zone: str | None = "UTC"
    labels: Mapping[str, int] = field(default_factory=dict)
    raw: bytes = b"\xff"
    limit: Decimal = Decimal("1.5")


def test_types_become_avro() -> None:
    schema = _schemas._Mapping().record(Request, "Asks.")
    space = full_name(Request).rpartition(".")[0]
    by_name = {each["name"]: each for each in schema["fields"]}
    row = by_name["rows"]["type"]["items"]
    assert (schema["doc"], row["doc"], row["namespace"]) == ("Asks.", "One row.", space)
    assert row["fields"][0] == {
        "name": "at",
        "type": {"type": "long", "logicalType": "timestamp-millis"},
        "doc": "when; null never",
    }
    assert row["fields"][1]["type"][1]["logicalType"] == "decimal"
    assert row["fields"][2]["default"] == 1
    assert by_name["rows"]["doc"] == "above the line"
    assert by_name["one"] == {"name": "one", "type": ["null", f"{space}.Row"], "default": None}
    assert by_name["colour"]["type"]["symbols"] == ["RED"]
    assert by_name["colour"]["default"] == "RED"
    assert by_name["zone"] == {"name": "zone", "type": ["string", "null"], "default": "UTC"}
    assert by_name["labels"]["type"] == {"type": "map", "values": "long"}
    assert by_name["raw"]["default"] == "ÿ"
    assert by_name["limit"]["default"] == "\x16ã`"


def test_the_made_schema_carries_the_values() -> None:
    body = codec._Body(_schemas._Mapping().record(Request, None), {}, part=True)
    body.prepare()
    value = Request((Row(datetime.fromisoformat("2026-01-01T00:00:00.5+00:00"), Decimal("-0.000001")),))
    read = body.read(body.write(value), 0)
    assert read["rows"][0]["amount"] == Decimal("-0.000001")
    assert read["rows"][0]["at"] == value.rows[0].at
    assert (read["raw"], read["limit"], read["zone"], read["colour"]) == (b"\xff", Decimal("1.5"), "UTC", "RED")
    sparse = body.write({"rows": ()})  # everything else has a default
    assert body.read(sparse, 0) == {**read, "rows": ()}


@dataclass(frozen=True, slots=True)
class Unfit:
    what: complex


@dataclass(frozen=True, slots=True)
class Nested:
    inner: "Nested | None"


def test_what_has_no_avro_form_names_the_field() -> None:
    with pytest.raises(TypeError, match=r"Unfit\.what: <class 'complex'> has no Avro form"):
        _schemas._Mapping().record(Unfit, None)
    with pytest.raises(TypeError, match="Nested holds itself"):
        _schemas._Mapping().record(Nested, None)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array", "items": "null"}, "must take a byte"),
        ({"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}, "must take a byte"),
        ({"type": "array", "items": {"type": "fixed", "name": "Nothing", "size": 0}}, "must take a byte"),
        (["null", "Whole"], "Whole is recursive"),
    ],
)
def test_schemas_that_hostile_bytes_could_blow_up_are_refused(schema: Any, reason: str) -> None:
    whole = {"type": "record", "name": "Whole", "fields": [{"name": "part", "type": schema}]}
    with pytest.raises(ValueError, match=reason):
        codec._Body(whole, {})


def test_comments_of_every_request_are_found() -> None:
    for operation in catalogue().values():
        assert set(field_comments(operation.request)) <= {each.name for each in fields(operation.request)}


def test_the_asyncapi_document_leads_everywhere() -> None:
    text = yaml.safe_load(_schemas.ASYNCAPI.read_text("utf-8"))
    assert text["asyncapi"].startswith("3.")
    assert {channel["address"] for channel in text["channels"].values()} == {topic.name for topic in TOPICS}
    for reference in references(text):
        if reference.startswith("#/"):
            found = text
            for part in reference[2:].split("/"):
                found = found[part]
        else:
            assert (_schemas.ASYNCAPI.parent / reference).is_file()
    carried = set(text["channels"]["commands"]["messages"])
    assert carried == {f"{name}Command" for name in catalogue()}


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


def test_the_yaml_is_what_was_meant() -> None:
    value = {"a-b": "yes", "c": {"d": [{"e": 1, "f": {"g": None}}], "h": []}, "i": "x: y", "j": {}}
    assert yaml.safe_load("\n".join(asyncapi._yaml(value, 0))) == value

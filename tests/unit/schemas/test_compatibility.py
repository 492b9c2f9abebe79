"""What was released stays readable both ways: against the real releases, and on made-up ones that an unwise change
would break.
"""

import json
import shutil
from collections.abc import Callable
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import pytest

from operations import _schemas
from schemas import _avsc, codec, compatibility
from schemas.records import Fault, Tick

Schema = dict[str, Any]


def test_the_present_schemas_go_with_every_release() -> None:
    assert compatibility.faults(_schemas.AVRO, _schemas.RELEASED) == []


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the present schemas, and of them as release 0.1.0."""
    current, released = tmp_path / "avro", tmp_path / "released"
    shutil.copytree(_schemas.AVRO, current)
    _schemas.release("0.1.0", current, released)
    return current, released


def change(path: Path, edit: Callable[[Schema], object]) -> None:
    schema = json.loads(path.read_text("utf-8"))
    edit(schema)
    path.write_text(json.dumps(schema), "utf-8")


def add(field: Schema) -> Callable[[Schema], object]:
    return lambda schema: schema["fields"].append(field)


def retype(schema: Schema) -> None:
    schema["fields"][0]["type"] = "string"


def drop(schema: Schema) -> None:
    del schema["fields"][0]


WITH_DEFAULT = {"name": "zone", "type": ["null", "string"], "default": None}
WITHOUT_DEFAULT = {"name": "zone", "type": "string"}


def test_a_release_is_a_copy_that_never_changes(folders: tuple[Path, Path]) -> None:
    current, released = folders
    copied = sorted(path.relative_to(released / "0.1.0") for path in released.rglob("*.avsc"))
    assert copied == sorted(path.relative_to(current) for path in current.rglob("*.avsc"))
    with pytest.raises(ValueError, match="0.1.0 is released"):
        _schemas.release("0.1.0", current, released)


def test_a_field_with_a_default_may_come(folders: tuple[Path, Path]) -> None:
    current, released = folders
    change(current / "shared" / "Tick.avsc", add(WITH_DEFAULT))
    assert compatibility.faults(current, released) == []
    assert _schemas.release("0.2.0", current, released) == released / "0.2.0"


@pytest.mark.parametrize(
    ("edit", "direction"),
    [
        (add(WITHOUT_DEFAULT), "read by the present schema"),
        (drop, "reading the present schema"),
        (retype, "read by the present schema"),
    ],
)
def test_an_unwise_change_is_caught(
    folders: tuple[Path, Path], edit: Callable[[Schema], object], direction: str
) -> None:
    current, released = folders
    change(current / "shared" / "Tick.avsc", edit)
    faults = compatibility.faults(current, released)
    assert any(fault.startswith(f"meterlog.Tick of 0.1.0, {direction}") for fault in faults), faults
    with pytest.raises(ValueError, match="meterlog.Tick of 0.1.0"):
        _schemas.release("0.2.0", current, released)
    assert not (released / "0.2.0").exists()


def test_every_release_counts_not_only_the_last(folders: tuple[Path, Path]) -> None:
    """A field comes, goes and comes back as something else: the last release does not mind, the one before does."""
    current, released = folders
    path = current / "shared" / "Tick.avsc"
    change(path, add({"name": "extra", "type": "long", "default": 0}))
    _schemas.release("0.2.0", current, released)
    change(path, lambda schema: schema["fields"].pop())
    _schemas.release("0.3.0", current, released)
    change(path, add({"name": "extra", "type": "string", "default": ""}))
    faults = compatibility.faults(current, released)
    assert faults
    assert all(fault.startswith("meterlog.Tick of 0.2.0") for fault in faults)


def test_a_new_symbol_needs_a_default_and_a_schema_may_not_go(folders: tuple[Path, Path]) -> None:
    current, released = folders

    def another_ending(schema: Schema) -> None:
        commands = next(field for field in schema["fields"] if field["name"] == "commands")
        commands["type"]["items"]["fields"][1]["type"]["symbols"].append("Postponed")

    change(current / "shared" / "JobEnded.avsc", another_ending)
    assert compatibility.faults(current, released) == []
    (current / "shared" / "Fault.avsc").unlink()
    assert [fault.partition(":")[0] for fault in compatibility.faults(current, released)] == ["meterlog.Fault of 0.1.0"]


def test_bundles_may_grow_one_way(folders: tuple[Path, Path]) -> None:
    current, released = folders
    bundle = {"type": "record", "name": "BundleCommand", "namespace": "meterlog.commands", "fields": []}
    for folder, kinds in ((current, ["long", "string"]), (released / "0.1.0", ["long"])):
        schema = {**bundle, "fields": [{"name": "action", "type": kinds}]}
        (folder / "commands" / "BundleCommand.avsc").write_text(json.dumps(schema), "utf-8")
    assert compatibility.faults(current, released) == []


def test_records_of_a_release_are_read_as_todays(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """An older program's record: without a field that has come since, with its default in place."""
    current, released = folders

    def without_inner(schema: Schema) -> None:
        schema["fields"] = [field for field in schema["fields"] if field["name"] not in {"inner", "field"}]

    change(released / "0.1.0" / "shared" / "Fault.avsc", without_inner)
    with as_file(_avsc.schema_folder()) as folder:
        assert folder == _schemas.AVRO
    registry = codec._Registry(current, released, codec.bound())
    monkeypatch.setattr(codec, "_registry", lambda: registry)
    (old,) = (head for head, entry in registry.by_header.items() if entry.older and entry.body.name == "meterlog.Fault")
    assert codec.decode(old + b"\x02\x02A\x02B\x02C") == Fault(1, "A", "B", "C")
    assert codec.name_of(old + b"?") == "meterlog.Fault"
    with pytest.raises(codec.Unreadable, match="meterlog.Fault"):
        codec.decode(old + b"\x02\x02A")
    assert codec.decode(codec.encode(Tick(1, 2, 3))) == Tick(1, 2, 3)

"""May old and new programs read one another's records? Asked of every released version, in CI and before a release.

Full transitive: each present schema reads what any release wrote, and each release reads what the present one writes.
Bundles need only the first half: they hold a union of every operation's body, which grows. The judge is the Apache
`avro` package (development only, so imported late); fastavro has none.
"""

import json
from pathlib import Path
from typing import Any

ONE_WAY = ("meterlog.commands.BundleCommand", "meterlog.responses.BundleResponse")


def faults(current: Path, released: Path) -> list[str]:
    """What stands against it, one line a schema, version and direction; empty when nothing does."""
    present = _schemas(current)
    found = []
    for version in sorted(released.iterdir()) if released.is_dir() else ():
        for name, old in _schemas(version).items():
            where = f"{name} of {version.name}"
            if name not in present:
                found.append(f"{where}: is gone, and records of it may still be on a topic")
                continue
            found += [f"{where}, read by the present schema: {fault}" for fault in _refusals(present[name], old)]
            if name not in ONE_WAY:
                found += [f"{where}, reading the present schema: {fault}" for fault in _refusals(old, present[name])]
    return found


def _schemas(folder: Path) -> dict[str, dict[str, Any]]:
    read = (json.loads(path.read_text("utf-8")) for path in sorted(folder.rglob("*.avsc")))
    return {f"{schema['namespace']}.{schema['name']}": schema for schema in read}


def _refusals(reader: dict[str, Any], writer: dict[str, Any]) -> list[str]:
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
    from avro.schema import parse

    checker: Any = ReaderWriterCompatibilityChecker  # has no annotations
    result = checker().get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [f"{'/'.join(sorted(result.locations))} {'; '.join(sorted(result.messages))}"]

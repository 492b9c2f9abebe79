"""The broker's jars are the reviewed ones, or nothing starts."""

import hashlib
from pathlib import Path

import pytest

from infra.embedded import jars
from infra.embedded.errors import JarRefused


def test_the_lock_names_one_broker_and_every_jar_once() -> None:
    locked = jars.locked()
    assert f"{locked[0].group}" and len({jar.artifact for jar in locked}) == len(locked)
    versions = {jar.artifact: jar.version for jar in locked}
    assert f"org.apache.kafka:kafka_2.13:{versions['kafka_2.13']}" == jars.BROKER
    assert {version for name, version in versions.items() if name.startswith("kafka")} == {versions["kafka_2.13"]}
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked)


def test_a_cached_jar_that_was_changed_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = jars.Jar("org.example", "thing", "1.0", hashlib.sha256(b"as released").hexdigest())
    monkeypatch.setenv("METERLOG_CACHE", str(tmp_path))
    monkeypatch.setattr(jars, "locked", lambda: (jar,))
    path = jar.path(tmp_path / "maven")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"as released")
    assert jars.class_path() == str(path)
    path.write_bytes(b"with something added")
    with pytest.raises(JarRefused, match=r"org\.example:thing:1\.0 has SHA-256 .* kafka\.lock wants"):
        jars.class_path()
    assert not path.exists()


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("METERLOG_CACHE", str(tmp_path / "file"))
    with pytest.raises(JarRefused, match="METERLOG_CACHE"):
        jars.class_path()

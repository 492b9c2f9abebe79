"""The Java Avro library itself, on this machine: it still makes the golden bytes, and reads ours as what they were."""

import json
from pathlib import Path

import pytest

from schemas import codec
from tests.golden import java


@pytest.mark.skipif(java.compiler() is None, reason="no javac on the path: the committed golden bytes stand for Java")
def test_java_makes_the_golden_bytes_and_reads_ours(tmp_path: Path) -> None:
    made = java.run("encode", str(java.FOLDER))
    assert {name: bytes.fromhex(text) for name, text in made.items()} == java.golden()
    ours = tmp_path / "ours.txt"
    ours.write_text("".join(f"{name} {_by_us(name).hex()}\n" for name in made))
    read = java.run("decode", str(java.FOLDER), str(ours))
    assert {name: json.loads(text) for name, text in read.items()} == {name: java.said(name) for name in made}


def _by_us(name: str) -> bytes:
    """The golden record, read and written by us."""
    body = codec._Body(java.schema_of(name), {})
    body.prepare()
    return body.write(body.read(java.golden()[name], codec.HEADER_BYTES))

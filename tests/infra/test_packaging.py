"""General names for packages are only safe while they are ours: `import streams` must find this project."""

import importlib
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PACKAGES = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_this_projects_own(package: str) -> None:
    assert Path(str(importlib.import_module(package).__file__)).parent == PROJECT / package


def test_every_package_is_checked_by_every_tool() -> None:
    tools = SETTINGS["tool"]
    assert set(PACKAGES) <= set(tools["mypy"]["files"])
    assert tools["importlinter"]["root_packages"] == PACKAGES


def test_the_project_cannot_be_uploaded_by_accident() -> None:
    assert "Private :: Do Not Upload" in SETTINGS["project"]["classifiers"]


def test_every_direct_dependency_is_pinned() -> None:
    project = SETTINGS["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert [one for one in wanted if "==" not in one] == []

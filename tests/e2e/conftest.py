"""One running system for the whole session: starting it takes longer than most tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.simulator.fleet import FleetSettings
from tests.e2e.world import System, running

FLEET = FleetSettings(meters=10, seed=38)
"""Two meters of each profile; all clocks are off by more than a meter's limit, and one meter holds an alarm."""


@pytest.fixture(scope="session")
def system(kafka: str, clickhouse: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(kafka, clickhouse.host, clickhouse.port, tmp_path_factory.mktemp("system"), FLEET) as made:
        yield made

"""A running system for a module: starting it takes longer than most tests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from connectors.simulator.fleet import FleetSettings
from tests.e2e.world import System, running

FLEET = FleetSettings(meters=14, seed=38)
"""Two meters of each profile; all clocks are off by more than a meter's limit, and one meter holds an alarm."""


@pytest.fixture(scope="module")
def system(
    serve_kafka: Callable[[], AbstractContextManager[str]],
    clickhouse: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """All roles on a broker of their own, as topics have the names they have; the fleet is registered."""
    folder = tmp_path_factory.mktemp("system")
    with serve_kafka() as kafka, running(kafka, clickhouse.host, clickhouse.port, folder, FLEET) as made:
        yield made

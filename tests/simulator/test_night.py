"""The demo's night on simulated meters of all seven profiles: every command of it succeeds, and reads come of it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from connectors.faces.night import Day, of_electricity, of_gas
from operations._profile import profile
from schemas.records import EnergyReads, Fault, ProfileReads
from tests.simulator.seven import VERSIONS, Seven, Version, listening


@pytest.fixture(scope="module")
def seven() -> Iterator[Seven]:
    with listening() as made:
        yield made


@pytest.mark.parametrize("version", VERSIONS, ids=" ".join)
def test_every_meter_answers_all_of_the_night(seven: Seven, version: Version) -> None:
    day = Day.yesterday(datetime.now(UTC))
    told, reads = seven.ask(version, *of_electricity(day, profile(*version)))
    of_gas_meter, gas = seven.ask_gas(version, 1, *of_gas(day))
    assert not [each for each in (*told, *of_gas_meter) if isinstance(each, Fault)]
    assert {read.period for read in reads if isinstance(read, EnergyReads)} == {"INTERVAL", "DAILY", "MONTHLY"}
    assert [read.profile for read in gas if isinstance(read, ProfileReads)] == ["MBUS_INTERVAL_PROFILE"]

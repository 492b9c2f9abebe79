"""The demo's night: every profile can be asked all of it."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from connectors.faces.night import Day, commands, generic_profile, of_electricity, of_gas
from connectors.simulator.fleet import FleetSettings
from operations import build_request, catalogue
from operations._profile import Profile, profiles

DAY = Day.yesterday(datetime(2026, 10, 26, 12, tzinfo=UTC))  # the one of 25 hours


@pytest.mark.parametrize("meter", profiles().values(), ids=lambda profile: f"{profile.protocol} {profile.version}")
def test_every_profile_has_what_is_asked(meter: Profile) -> None:
    for operation, request in (*of_electricity(DAY, meter), *of_gas(DAY)):
        catalogue()[operation].check(meter, build_request(operation, request))
    assert generic_profile(meter) in meter.objects.values()


def test_the_day_has_the_hours_of_its_zone() -> None:
    assert (DAY.end.astimezone(UTC) - DAY.start.astimezone(UTC)).total_seconds() == 25 * 3_600


def test_all_meters_are_asked_one_operation_after_the_other() -> None:
    fleet = FleetSettings(meters=6, gas_meters=2)
    asked = commands(fleet, DAY)
    assert [each.operation for each in asked[:6]] == ["SynchronizeTime"] * 6
    assert len({each.device_id for each in asked[:6]}) == 6
    by_device = Counter(each.device_id for each in asked)
    assert len(by_device) == 6 * 3 and set(by_device.values()) == {2, 8}

"""What a meter measures of the grid: a household, in step with its registers (meter-model 9.2 to 9.4, 10.4)."""

from datetime import UTC, datetime, timedelta
from math import isclose
from typing import Any

import pytest

from connectors.dlms.cosem import Data, axdr
from connectors.simulator import history
from connectors.simulator.curves import DAY, EPOCH, household
from connectors.simulator.grid import Measured
from connectors.simulator.premises import Premises
from operations._profile import profiles

from .stand import NOW, Stand, between

SECOND = int(NOW.timestamp())
HOME = Premises(household(42, sun=True), 3, 2)


def number(stand: Stand, tag: str) -> float:
    """A register's value in its unit."""
    value, scaling = stand.get(tag), stand.get(tag, 3)
    assert isinstance(value, Data)
    assert isinstance(scaling, Data)
    return float(value.value * 10 ** axdr.plain(scaling)[0])


@pytest.mark.parametrize(("protocol", "version"), list(profiles()))
def test_a_supply_is_that_of_a_household(protocol: str, version: str) -> None:
    stand = Stand(protocol, version)
    for phase in ("L1", "L2", "L3"):
        assert 207 < number(stand, f"INSTANTANEOUS_VOLTAGE_{phase}") < 253
        assert 207 < number(stand, f"AVERAGE_VOLTAGE_{phase}") < 253
        assert 0 <= number(stand, f"INSTANTANEOUS_CURRENT_{phase}") < 25
    currents = [number(stand, f"INSTANTANEOUS_CURRENT_L{phase}") for phase in (1, 2, 3)]
    assert abs(number(stand, "INSTANTANEOUS_CURRENT_TOTAL") - sum(currents)) <= (2 if protocol == "DSMR" else 1.6)


def test_power_is_what_the_registers_rose() -> None:
    at = [SECOND - 900 * k for k in range(95, -1, -1)]
    imported = [sum(HOME.household.energy(second)[:2]) for second in [at[0] - 900, *at]]
    rises = [4 * (high - low) for low, high in zip(imported, imported[1:], strict=False)]
    phases = [Measured(HOME, at).of(f"AVERAGE_ACTIVE_POWER_IMPORT_L{phase}") for phase in (1, 2, 3)]
    assert all(
        isclose(sum(row), rise, abs_tol=0.01) for row, rise in zip(zip(*phases, strict=True), rises, strict=True)
    )
    assert max(rises) > 0


def test_current_is_what_the_power_draws_at_the_voltage() -> None:
    measured = Measured(HOME, [SECOND])
    (volts,), (amperes,) = measured.of("AVERAGE_VOLTAGE_L2"), measured.of("AVERAGE_CURRENT_L2")
    parts = [measured.of(f"AVERAGE_{kind}_L2")[0] for kind in (
        "ACTIVE_POWER_IMPORT", "ACTIVE_POWER_EXPORT", "REACTIVE_POWER_IMPORT")]  # fmt: skip
    assert isclose(amperes * volts, ((parts[0] + parts[1]) ** 2 + parts[2] ** 2) ** 0.5)
    total = measured.of("INSTANTANEOUS_CURRENT_TOTAL")
    assert isclose(total[0], sum(measured.of(f"INSTANTANEOUS_CURRENT_L{phase}")[0] for phase in (1, 2, 3)))


def test_voltage_varies_by_the_time_of_day_and_by_the_meter() -> None:
    day = [SECOND // DAY * DAY + hour * 3_600 for hour in range(24)]
    here = Measured(HOME, day).of("AVERAGE_VOLTAGE_L1")
    assert here[18] < here[12]  # the evening draws the street down
    assert here == Measured(HOME, day).of("AVERAGE_VOLTAGE_L1")
    other = Premises(household(43), 3, 0)
    assert here != Measured(other, day).of("AVERAGE_VOLTAGE_L1")


def test_what_names_no_quantity_is_not_measured() -> None:
    with pytest.raises(KeyError):
        Measured(HOME, [SECOND]).of("AVERAGE_MOOD_L1")


@pytest.mark.parametrize("happening", [history.SHORT_FAILURE, history.LONG_FAILURE, history.SAG, history.SESSION])
def test_the_count_is_that_of_all_times_it_happened(happening: history.Happening) -> None:
    """Law: a counter at an instant is the number of incidents begun by then, and never falls."""
    for days in (0, 1, 400, 4_700):
        second = EPOCH + days * DAY + 12_345
        done = happening.times(7, second, 1)
        begun = [each.begin for each in happening.last(7, second, 10_000, 1)]
        assert len(begun) == done
        assert begun == sorted(begun)
        assert all(EPOCH <= begin <= second for begin in begun)
        assert happening.times(7, second + 3 * happening.days * DAY, 1) >= done + 2
    assert [each.begin for each in happening.last(7, second, 3, 1)] == begun[-3:]


def test_counters_agree_with_each_other_and_with_the_logs() -> None:
    stand = Stand("SMR", "5.2", past=True)
    failures, long = (number_of(stand, f"NUMBER_OF_{name}POWER_FAILURES") for name in ("", "LONG_"))
    assert failures > long > 0
    outages: Any = stand.rows("LONG_POWER_FAILURE_LOG")
    assert len(outages) == min(10, long)
    assert all(190 <= seconds <= 4 * 3_600 for _, seconds in outages)
    assert stand.get("LONG_POWER_FAILURE_DURATION") == axdr.double_long_unsigned(outages[-1][1])
    extended: Any = stand.rows("POWER_QUALITY_EXTENDED_EVENT_LOG")
    last = [row for row in extended if row[1] == 94][-1]
    assert stand.get("MAGNITUDE_OF_LAST_VOLTAGE_SAG_L2") == axdr.long_unsigned(last[2])
    assert stand.get("DURATION_OF_LAST_VOLTAGE_SAG_L2") == axdr.long_unsigned(last[3])
    assert 1_500 <= last[2] < 2_070


def number_of(stand: Stand, tag: str) -> int:
    value = stand.get(tag)
    assert isinstance(value, Data)
    return int(value.value)


def test_a_load_profile_holds_what_the_registers_showed() -> None:
    """Each column of each row is what the register reads at that instant."""
    stand = Stand("SMR", "5.0.0")
    rows: Any = stand.rows("POWER_QUALITY_PROFILE_2", between(NOW - timedelta(hours=2), NOW))
    assert len(rows) == 12
    columns = [
        column.tag for column in stand.meter.model.objects[stand.at("POWER_QUALITY_PROFILE_2").instance_id].columns
    ]
    stand.now = (NOW - timedelta(minutes=7, seconds=30)).timestamp()
    shown = [stand.get(tag) for tag in columns]
    assert [getattr(value, "value", None) for value in shown] == list(rows[-1])


@pytest.mark.parametrize("polyphase", [True, False])
def test_columns_of_a_load_profile_are_those_the_meter_has(polyphase: bool) -> None:
    stand = Stand("SMR", "5.1", polyphase=polyphase)
    captured = stand.get("POWER_QUALITY_PROFILE_1", 3)
    assert isinstance(captured, Data)
    assert len(captured.value) == (13 if polyphase else 5)
    assert {len(row) for row in stand.rows("POWER_QUALITY_PROFILE_1")} == {len(captured.value)}


def test_signal_and_m_bus_in_a_load_profile() -> None:
    """Data index 3 and 4 of a modem's cell information: signal quality and error rate, not the structure."""
    stand = Stand("SMR", "5.2", gas_meters=1)
    rows: Any = stand.rows("DEFINABLE_LOAD_PROFILE", between(NOW - timedelta(hours=1), NOW))
    assert len(rows) == 4
    for row in rows:
        (signal, gprs, errors, _, first, second, strength, silent, lost, none) = row[8:]
        assert 0 <= min(signal, gprs) <= max(signal, gprs) <= 31
        assert 0 <= errors <= 7
        assert (first, second, silent, none) == (0, 0, 0, 0)
        assert strength > 100 and lost > 0


def test_a_modem_tells_the_cell_of_the_worked_case() -> None:
    """operations-reading 14.4"""
    stand = Stand("SMR", "5.2")
    for tag, packet in (("GPRS_DIAGNOSTIC", 1), ("CDMA_DIAGNOSTIC", 6), ("LTE_DIAGNOSTIC", 5)):
        told: list[Any] = [stand.get(tag, index) for index in (2, 3, 4, 5, 6, 7)]
        assert [each.value for each in told[:4]] == ["Utility Connect", 5, 0, packet]
        assert axdr.plain(told[4]) == (77, 2230, 13, 6, 66, 204, 107)
        assert [tuple(each) for each in axdr.plain(told[5])] == [(93, 11), (94, 12)]


def test_distortion() -> None:
    stand = Stand("SMR", "5.5")
    fingerprint = stand.get("THD_FINGERPRINT_L3")
    assert isinstance(fingerprint, Data)
    assert [each.tag for each in fingerprint.value] == [18] * 15
    assert 0 < number(stand, "THD_INSTANTANEOUS_CURRENT_L1") < 21
    assert number(stand, "THD_OVER_LIMIT_COUNTER_L2") > 10
    assert datetime.fromtimestamp(stand.now, UTC) == NOW

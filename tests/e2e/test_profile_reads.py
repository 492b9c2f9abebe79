"""Reads of profile buffers through every hop: what lies in ClickHouse is what the meters' curves say.

A fleet of one meter of each profile, each with two gas meters; asked are those of DSMR 4.2.2 (combined profiles) and of
SMR 5.2 (profiles of their own).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from connectors.faces.upstream import Response
from connectors.simulator.columns import REGISTER_MASK, Columns
from connectors.simulator.curves import HOUR
from connectors.simulator.fleet import FleetSettings, gas_meter_id, identity
from connectors.simulator.meter import Meter
from schemas.records import Status
from tests.e2e.world import System, outcomes, running

FLEET: Final = FleetSettings(meters=4, seed=29, gas_meters=2)
OLD, NEW = 3, 4  # numbers of the meters of DSMR 4.2.2 and SMR 5.2
DAYS: Final = {"INTERVAL": 2, "DAILY": 20, "MONTHLY": 300}
VOLTS: Final = "average_voltage_l1"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def asked(
    serve_kafka: Callable[[], AbstractContextManager[str]],
    clickhouse: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[System, dict[tuple[str, str, str], Response]]]:
    """The system, and the outcome of every read by device, operation and what was asked; all of it is stored."""
    folder = tmp_path_factory.mktemp("profiles")
    with serve_kafka() as kafka, running(kafka, clickhouse.host, clickhouse.port, folder, FLEET) as system:
        end = datetime.now(UTC)
        with system.world.upstream() as upstream:
            sent: dict[str, tuple[str, str, str]] = {}
            for number in (OLD, NEW):
                for period, days in DAYS.items():
                    request = {"period_type": period, "begin_date": end - timedelta(days=days), "end_date": end}
                    gas = gas_meter_id(number, 2)
                    name = "GetPeriodicMeterReadsGas"
                    sent[upstream.send(name, gas, request)] = (gas, name, period)
                device = identity(FLEET, number).device_id
                range_ = {"begin_date": end - timedelta(days=1), "end_date": end}
                some = {
                    "obis_code": "1.0.99.1.0.255",
                    "selected_values": [{"class_id": 3, "logical_name": "1.0.2.8.0.255", "attribute_index": 2}],
                }
                whole = {"obis_code": "1-0:99.1.0.255"}
                name = "GetProfileGenericData"
                sent[upstream.send(name, device, {**some, **range_})] = (device, name, "some")
                sent[upstream.send(name, device, {**whole, **range_})] = (device, name, "whole")
                for kind in ("PUBLIC", "PRIVATE"):
                    name = "GetPowerQualityProfile"
                    sent[upstream.send(name, device, {"profile_type": kind, **range_})] = (device, name, kind)
            upstream.flush()
            found = outcomes(upstream, sent)
        system.world.await_stored()
        yield system, {sent[correlation_id]: response for correlation_id, response in found.items()}


def device_of(number: int) -> str:
    return identity(FLEET, number).device_id


def meter(system: System, number: int) -> Meter:
    return system.world.meters()[device_of(number)]


def result(outcome: Response) -> Mapping[str, Any]:
    assert outcome.header.status is Status.SUCCESSFUL, outcome.header
    assert outcome.result is not None
    return outcome.result


@pytest.mark.parametrize("period", DAYS)
@pytest.mark.parametrize("number", [OLD, NEW])
def test_gas_is_what_the_gas_meters_curve_says(asked: Any, number: int, period: str) -> None:
    system, outcome = asked
    device = gas_meter_id(number, 2)
    told = result(outcome[device, "GetPeriodicMeterReadsGas", period])
    stored = system.world.ask(
        "SELECT toUnixTimestamp64Milli(captured_at), value, toUnixTimestamp64Milli(assumeNotNull(value_at)), unit "
        "FROM profile_values WHERE device_id = %(device)s AND profile = %(profile)s ORDER BY captured_at",
        device=device,
        profile=f"MBUS_{period}_PROFILE",
    )
    expected = {"INTERVAL": range(48, 50), "DAILY": range(20, 22), "MONTHLY": range(9, 12)}[period]
    assert len(stored) in expected
    times = [at // 1_000 for at, _, _, _ in stored]
    litres = meter(system, number).household.gas(2).series([at - HOUR for at in times])
    assert [value for _, value, _, _ in stored] == [Decimal(each & REGISTER_MASK) / 1_000 for each in litres]
    assert [taken for _, _, taken, _ in stored] == [1_000 * (at - HOUR) for at in times]
    assert {unit for _, _, _, unit in stored} == {"m3"}
    assert list(told["log_times"]) == [at for at, _, _, _ in stored]
    assert list(told["consumption"]) == [value * 1_000_000 for _, value, _, _ in stored]


@pytest.mark.parametrize("number", [OLD, NEW])
def test_any_profile_is_read_with_all_its_columns_or_some(asked: Any, number: int) -> None:
    system, outcome = asked
    device = device_of(number)
    whole, some = (result(outcome[device, "GetProfileGenericData", each])["rows"] for each in ("whole", "some"))
    names = [each["quantity"] for each in whole["columns"]]
    assert names[1:] == ["active_energy_import_total", "active_energy_export_total"]
    assert [each["quantity"] for each in some["columns"]] == names[2:]
    assert some["columns"][0] == whole["columns"][2]
    assert some["log_times"] == whole["log_times"]
    stored = system.world.ask(
        "SELECT toUnixTimestamp64Milli(captured_at), quantity, value, unit FROM profile_values "
        "WHERE device_id = %(device)s AND profile = 'INTERVAL_PROFILE' ORDER BY quantity DESC, captured_at",
        device=device,
    )
    times = [at // 1_000 for at in whole["log_times"]]
    assert len(times) in (96, 97)
    household = meter(system, number).household
    expected = []
    for name, parts in (("active_energy_import_total", (0, 1)), ("active_energy_export_total", (2, 3))):
        raw = household.series(parts, times)
        expected += [
            (1_000 * at, name, Decimal(value & REGISTER_MASK) / 1_000, "kWh")
            for at, value in zip(times, raw, strict=True)
        ]
    assert stored == expected


@pytest.mark.parametrize("number", [OLD, NEW])
def test_power_quality_is_what_the_meter_recorded(asked: Any, number: int) -> None:
    system, outcome = asked
    device = device_of(number)
    buffers = {}
    for kind in ("PUBLIC", "PRIVATE"):
        for rows in result(outcome[device, "GetPowerQualityProfile", kind])["profiles"]:
            assert len(rows["log_times"]) in (96, 97, 144, 145)
            for column in rows["columns"]:
                buffers[rows["profile"], column["quantity"]] = dict(
                    zip(rows["log_times"], column["numbers"], strict=True)
                )
    assert any(quantity == VOLTS for _, quantity in buffers)
    stored: dict[tuple[str, str], dict[int, int]] = {}
    for profile, quantity, at, value in system.world.ask(
        "SELECT profile, quantity, toUnixTimestamp64Milli(captured_at), value FROM profile_values "
        "WHERE device_id = %(device)s AND profile != 'INTERVAL_PROFILE'",
        device=device,
    ):
        stored.setdefault((profile, quantity), {})[at] = int(value * 1_000_000)
    assert stored == buffers
    local = system.world.meters()[device]
    profile, _ = next(key for key in stored if key[1] == VOLTS)
    buffer = local.model.objects[local.model.profile[profile].obis]
    place = [each.tag for each in buffer.columns].index(VOLTS.upper())
    times = [at // 1_000 for at in stored[profile, VOLTS]]
    scaler, scale = (0, 1_000_000) if number == OLD else (-1, 100_000)
    encoded = Columns(local.premises, times).encode(buffer.columns[place], scaler)
    assert encoded is not None
    assert [int.from_bytes(each[1:], "big") * scale for each in encoded] == list(stored[profile, VOLTS].values())


def test_analysts_see_gas_by_hour_and_voltage_by_day(asked: Any) -> None:
    system, _ = asked
    device = gas_meter_id(NEW, 2)
    hours = system.world.ask(
        "SELECT consumed_m3, quality FROM gas_consumption WHERE device_id = %(device)s ORDER BY captured_at",
        device=device,
    )
    assert hours[0] == (None, "first")
    assert {quality for _, quality in hours[1:]} == {"ok"}
    today = datetime.now(UTC).date()
    days = system.world.ask(
        "SELECT DISTINCT phase, below, above FROM voltage_quality(zone = 'Europe/Amsterdam', "
        f"from_day = '{today - timedelta(days=1)}', to_day = '{today}') WHERE phase = 'L1'"
    )
    assert days == [("L1", 0, 0)]

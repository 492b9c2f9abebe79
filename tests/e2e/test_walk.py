"""Every operation of every profile through every hop: asked on a topic, done at a meter, told, and stored.

What comes back is held against what the simulator's curves say, computed here from the fleet's seed.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from uuid import uuid4

import pytest

from connectors.clickhouse.queries import Queries
from connectors.dlms.cosem import Attribute
from connectors.faces.upstream import Response
from connectors.simulator.buffers import ZONE
from connectors.simulator.fleet import MODEMS, identity, is_polyphase
from connectors.simulator.meter import Meter
from operations._profile import MANAGEMENT_CLIENT, profiles
from schemas import codec
from schemas.records import Notice, Status
from schemas.topics import MAX_RESULT_BYTES
from tests.e2e.world import System, World, asked_of_all, import_shipment, outcomes, until

ENERGY: Final = {  # result field: column, the household's registers it sums
    "active_energy_import": ("import_total", (0, 1)),
    "active_energy_export": ("export_total", (2, 3)),
    "active_energy_import_tariff_one": ("import_rate1", (0,)),
    "active_energy_import_tariff_two": ("import_rate2", (1,)),
    "active_energy_export_tariff_one": ("export_rate1", (2,)),
    "active_energy_export_tariff_two": ("export_rate2", (3,)),
}
TOTALS: Final = ("active_energy_import", "active_energy_export")
TARIFFS: Final = tuple(name for name in ENERGY if name not in TOTALS)
ALARM_REGISTERS: Final = ("ALARM_REGISTER_1", "ALARM_REGISTER_2", "ALARM_REGISTER_3")
SLACK: Final = 3  # seconds between the reading of the clock and of a register, in one request
MICRO: Final = Decimal(1_000_000)


def all_successful(found: dict[str, Response]) -> None:
    failed = {device: response.header for device, response in found.items() if response.header.fault is not None}
    assert not failed
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}
    assert {(response.header.attempts, response.header.repeated) for response in found.values()} == {(1, False)}


def all_noticed(system: System, found: dict[str, Response]) -> None:
    """Each was told twice: when it came, and when its result was there."""
    asked = {response.header.correlation_id: device for device, response in found.items()}
    for correlation_id, told in system.world.notifications(asked).items():
        assert [(each.notice, each.status, each.device_id) for each in told] == [
            (Notice.RECEIVED, None, asked[correlation_id]),
            (Notice.RESULT_READY, Status.SUCCESSFUL, asked[correlation_id]),
        ]


def energy(meter: Meter, name: str, second: float) -> int:
    """A register at an instant, in Wh."""
    registers = meter.household.energy(second)
    return sum(registers[part] for part in ENERGY[name][1])


def test_a_shipment_registers_its_meters_once(system: System) -> None:
    world = system.world
    nothing = {"refused": [], "unanswered": 0}
    assert system.imported == {"added": len(world.devices), "unchanged": 0, **nothing}
    assert import_shipment(world) == {"added": 0, "unchanged": len(world.devices), **nothing}
    world.await_stored()
    with world.queries() as queries:
        found = {device["device_id"]: device for device in queries.devices()}
    assert sorted(found) == sorted(world.devices)
    for device_id, meter in world.meters().items():
        told, profile = found[device_id], meter.model.profile
        assert (told["protocol"], told["protocol_version"]) == (profile.protocol, profile.version)
        security = identity(world.fleet, meter.number).security
        assert (told["logical_device"], told["port"], told["security"]) == (meter.number, world.fleet_port, security)
        assert told["polyphase"] == is_polyphase(world.fleet, meter.number)
        assert told["communication_method"] == MODEMS.get(profile.version, "GPRS")
        kinds = ["authentication", "encryption", "master", *(["password"] if security == "lls" else [])]
        assert sorted(told["key_kinds"]) == kinds
    assert {(device["protocol"], device["protocol_version"]) for device in found.values()} == profiles().keys()
    assert {device["security"] for device in found.values()} == {"hls5", "lls"}


def test_a_clock_is_set_logged_by_the_meter_and_its_zone_learnt(system: System) -> None:
    world = system.world
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices, "SynchronizeTime", {"time_zone": "Europe/Brussels"})
        log = {"class_id": 7, "obis_code": "0-0:99.98.0.255", "attribute": 2}
        logs = asked_of_all(upstream, world.devices, "GetSpecificAttributeValue", log)
    all_successful(found)
    all_successful(logs)
    all_noticed(system, found)
    done = world.ledger()
    for device_id, meter in world.meters().items():
        assert [entry["did"] for entry in done[device_id] if entry.get("what") == "8/0-0:1.0.0.255/2"].count("set") == 1
        assert abs(meter.drift) > 5, "the fleet was chosen so that every meter logs its step"
        (old, old_code), (new, new_code) = events(logs[device_id])[-2:]
        assert (old_code, new_code) == (4, 5)
        assert (new - old).total_seconds() == pytest.approx(-meter.drift, abs=5)
    world.await_stored()
    with world.queries() as queries:
        assert {device["time_zone"] for device in queries.devices()} == {"Europe/Brussels"}


def events(response: Response) -> list[tuple[datetime, int]]:
    """(local time, event code) of each row of a standard log that was read as text."""
    assert response.result is not None
    text = response.result["value"]
    moments = [dict(re.findall(r"(\w+)=(-?\d+)", line)) for line in text.splitlines() if "year=" in line]
    names = ("year", "month", "day", "hour", "minute", "second")
    texts = ["{:0>4}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}".format(*map(moment.__getitem__, names)) for moment in moments]
    times = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]
    codes = [int(code) for code in re.findall(r"value=\[Number\]: (\d+)", text)]
    return list(zip(times, codes, strict=True))


def test_actual_reads_are_the_registers_at_the_meters_own_time(system: System) -> None:
    world = system.world
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices, "GetActualMeterReads", {})
    all_successful(found)
    all_noticed(system, found)
    world.await_stored()
    for device_id, meter in world.meters().items():
        header, result = found[device_id].header, found[device_id].result
        assert result is not None
        at = seconds_of(result["log_time"])
        for name in ENERGY:
            low, high = energy(meter, name, at - SLACK), energy(meter, name, at + SLACK)
            assert low <= result[name] * 1_000 <= high, f"{name} of {device_id}"
        stored = world.ask(
            "SELECT quantity, value, unit, captured_at FROM register_reads FINAL WHERE correlation_id = %(id)s",
            id=header.correlation_id,
        )
        captured = datetime.fromtimestamp(at, UTC)
        assert sorted(stored) == sorted((name, result[name], "kWh", captured) for name in ENERGY)


def seconds_of(moment: Any) -> float:
    return float(moment.timestamp() if isinstance(moment, datetime) else moment / 1_000)


def midnights(first: datetime, last: datetime) -> list[datetime]:
    days = (first + timedelta(days=number) for number in range((last - first).days + 2))
    return [day.replace(hour=0, fold=0) for day in days if day <= last]  # local arithmetic keeps the hour


def periods() -> list[tuple[str, datetime, datetime, list[float], tuple[str, ...]]]:
    """(period, begin, end, instants of the rows expected, columns), asked of every meter."""
    today = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday, month, year = (today - timedelta(days=days) for days in (1, 30, 330))
    quarters = [float(second) for second in range(int(yesterday.timestamp()), int(today.timestamp()) + 1, 900)]
    days = [day.timestamp() for day in midnights(month, today)]
    months = [day.timestamp() for day in midnights(year, today) if day.day == 1]
    return [
        ("INTERVAL", yesterday, today, quarters, TOTALS),
        ("DAILY", month, today, days, TARIFFS),
        ("MONTHLY", year, today, months, TARIFFS),
    ]


def test_profiles_are_the_curves_row_by_row(system: System) -> None:
    world = system.world
    asked: dict[str, tuple[str, Any]] = {}
    with world.upstream() as upstream:
        for period in periods():
            name, begin, end = period[:3]
            request = {"period_type": name, "begin_date": begin.astimezone(UTC), "end_date": end.astimezone(UTC)}
            for device_id in world.devices:
                asked[upstream.send("GetPeriodicMeterReads", device_id, request)] = (device_id, period)
        upstream.flush()
        found = outcomes(upstream, asked)
    all_successful(found)
    world.await_stored()
    meters = world.meters()
    columns = ", ".join(column for column, _ in ENERGY.values())
    for correlation_id, (device_id, (name, _, _, instants, there)) in asked.items():
        result = found[correlation_id].result
        assert result is not None
        assert [second * 1_000 for second in instants] == list(result["log_times"]), f"{name} of {device_id}"
        expected = {
            field: [energy(meters[device_id], field, second) * 1_000 for second in instants] if field in there else []
            for field in ENERGY
        }
        assert {field: list(result[field]) for field in ENERGY} == expected
        stored = world.ask(
            f"SELECT captured_at, {columns}, device_id, toString(period) FROM energy_reads FINAL "
            "WHERE correlation_id = %(id)s ORDER BY captured_at",
            id=correlation_id,
        )
        assert stored == [
            (
                datetime.fromtimestamp(second, UTC),
                *(expected[field][row] / MICRO if expected[field] else None for field in ENERGY),
                device_id,
                name,
            )
            for row, second in enumerate(instants)
        ]


def test_any_attribute_is_read_and_told_as_text(system: System) -> None:
    world = system.world
    name = {"class_id": 1, "obis_code": "0-0:42.0.0.255", "attribute": 2}
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices, "GetSpecificAttributeValue", name)
    all_successful(found)
    all_noticed(system, found)
    for device_id, response in found.items():
        assert response.result is not None
        octets = ", ".join(str(octet) for octet in device_id[:16].encode())
        assert response.result["value"].endswith(f"bytes[{octets}]")


def test_alarms_are_read_then_cleared_once(system: System) -> None:
    world = system.world
    with world.upstream() as upstream:
        before = asked_of_all(upstream, world.devices, "ReadAlarmRegister", {})
        cleared = asked_of_all(upstream, world.devices, "ClearAlarmRegister", {})
        after = asked_of_all(upstream, world.devices, "ReadAlarmRegister", {})
    for found in (before, cleared, after):
        all_successful(found)
        all_noticed(system, found)
    done = world.ledger()
    raised = []
    for device_id, meter in world.meters().items():
        told, nothing = before[device_id].result, after[device_id].result
        assert told is not None and nothing is not None
        profile = meter.model.profile.objects
        objects = [profile[tag] for tag in ALARM_REGISTERS if tag in profile]
        held: Any = meter.get(MANAGEMENT_CLIENT, Attribute(objects[0].class_id, objects[0].obis, 2), None)
        assert told["register_1"] == held.value
        assert bool(told["alarms"]) == bool(told["register_1"])
        raised += told["alarms"]
        assert nothing["register_1"] == 0 and not nothing["alarms"]
        there = [number for number in (1, 2, 3) if told[f"register_{number}"] is not None]
        assert len(there) == len(objects)
        sets = [entry for entry in done[device_id] if entry["did"] == "set" and "-0:97.98." in entry["what"]]
        assert [(entry["value"], entry.get("result", 0)) for entry in sets] == [("0", 0)] * len(there)
        outcome = cleared[device_id].result
        assert outcome is not None and list(outcome["cleared"]) == there
    assert raised, "the fleet was chosen so that an alarm is there to be cleared"


def test_what_became_of_a_command_can_be_asked_in_sql(system: System) -> None:
    world = system.world
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices[:2], "ReadAlarmRegister", {})
    world.await_stored()
    with world.queries() as queries:
        for device_id, response in found.items():
            told = queries.response(response.header.correlation_id)
            assert told is not None
            assert (told["device_id"], told["operation"]) == (device_id, "ReadAlarmRegister")
            assert (told["status"], told["attempts"], told["repeated"]) == ("Successful", 1, False)
            assert response.result is not None
            assert json.loads(told["result"])["register_1"] == response.result["register_1"]


def sets(world: World, device_id: str) -> int:
    """How often the meter's clock was set."""
    return [entry["did"] for entry in world.ledger()[device_id] if entry.get("what") == "8/0-0:1.0.0.255/2"].count(
        "set"
    )


def test_a_command_waits_for_its_time_expires_or_is_cancelled_and_each_outcome_can_be_asked(system: System) -> None:
    """Each of the three has one outcome, the meters saw what was to be seen, and `responses show` tells it later."""
    world = system.world
    name, request = "SynchronizeTime", {"time_zone": "Europe/Brussels"}
    timely, cancelled, late, stored = world.devices[:4]
    before = {device: sets(world, device) for device in world.devices}
    with world.upstream() as upstream:
        now, hour = upstream.now(), 3_600_000
        due = now + 3_000
        asked = {
            "timely": upstream.send(name, timely, request, scheduled_at=due, expires_at=now + hour),
            "cancelled": upstream.send(name, cancelled, request, scheduled_at=now + hour),
            "late": upstream.send(name, late, request, scheduled_at=due, expires_at=due + 1),  # ticks come each second
        }
        upstream.flush()
        asked["cancel"] = upstream.send("Cancel", cancelled, {"correlation_id": asked["cancelled"]})
        asked["unknown"] = upstream.send("Cancel", timely, {"correlation_id": str(uuid4())})
        asked["stored"] = upstream.send("SetDeviceLifecycleStatus", stored, {"status": "IN_USE"}, scheduled_at=due)
        found = outcomes(upstream, asked.values())
        asked["too late"] = upstream.send("Cancel", late, {"correlation_id": asked["late"]})
        asked["again"] = upstream.send(name, cancelled, request, correlation_id=asked["cancelled"])
        later = outcomes(upstream, [asked["too late"], asked["again"]])
    told = {what: found[asked[what]].header for what in asked if asked[what] in found}
    told["too late"], repeated = later[asked["too late"]].header, later[asked["again"]].header
    codes = {what: header.fault.code if header.fault else None for what, header in told.items()}
    assert {what: (header.status.value, codes[what]) for what, header in told.items()} == {
        "timely": ("Successful", None),
        "cancelled": ("Cancelled", 0),
        "late": ("Expired", 417),
        "cancel": ("Successful", None),
        "unknown": ("Rejected", 405),
        "stored": ("Successful", None),
        "too late": ("Rejected", 401),
        "again": ("Cancelled", 0),
    }
    assert (repeated.status, repeated.repeated) == (Status.CANCELLED, True)
    assert found[asked["cancel"]].result == {"became": "CANCELLED"}
    assert min(told["timely"].settled_at, told["stored"].settled_at) >= due
    assert told["too late"].fault is not None and "Expired" in told["too late"].fault.message
    assert {device: sets(world, device) - before[device] for device in world.devices} == {
        device: int(device == timely) for device in world.devices
    }
    world.await_stored()
    with world.queries() as queries:
        for what, header in told.items():
            shown = queries.response(asked[what])  # what `meterlog responses show` prints
            assert shown is not None, what
            assert queries.response(asked[what], header.device_id) == shown, what
            assert queries.response(asked[what], "NOBODY") is None, what
            assert (shown["status"], shown["repeated"]) == (header.status.value, False), what
            assert (shown["device_id"], shown["fault_code"]) == (header.device_id, codes[what])
        lives = {device["device_id"]: device["lifecycle"] for device in queries.devices()}
    assert lives == {device: "IN_USE" if device == stored else "NEW_IN_INVENTORY" for device in world.devices}


def test_a_result_too_large_for_a_response_is_found_by_its_id(system: System) -> None:
    """A whole profile buffer as text has more than 256 KiB."""
    world = system.world
    buffer = {"class_id": 7, "obis_code": "1-0:99.1.0.255", "attribute": 2}
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices[:1], "GetSpecificAttributeValue", buffer)
    (response,) = found.values()
    all_successful(found)
    assert response.result is None and response.header.large_result is not None
    topic, partition, offset = response.header.large_result.rsplit(":", 2)

    def shown(queries: Queries) -> dict[str, Any]:
        return queries.response(response.header.correlation_id) or {"result": ""}

    (large,) = [
        codec.decode(told.value)
        for told in world.committed(topic)
        if (told.partition, told.offset) == (int(partition), int(offset))
    ]
    assert large.correlation_id == response.header.correlation_id and len(large.result) > MAX_RESULT_BYTES
    world.await_stored()
    with world.queries() as queries:
        until(lambda: bool(shown(queries)["result"]), what="the large result in ClickHouse")
        assert json.loads(shown(queries)["result"]) == codec.decode_result("GetSpecificAttributeValue", large.result)


def test_meters_saw_rising_counters_only_and_no_role_died(system: System) -> None:
    world = system.world
    for device_id, entries in world.ledger().items():
        counters = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
        assert rising(counters), device_id
        assert not [entry for entry in entries if entry["did"] == "fault"]
    assert system.unharmed()


def rising(numbers: Iterable[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))

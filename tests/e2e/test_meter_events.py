"""Events and everything else that is read by looking into a meter, through every hop on the real thing: what the meters
hold, the answers, and the rows in ClickHouse are the same.

One meter of DSMR 4.2.2 and one of SMR 5.2. Their clocks are far off, so that setting them is logged.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from connectors.faces.upstream import Response
from connectors.simulator.fleet import MODEMS, identity, is_polyphase
from connectors.simulator.meter import Meter
from operations._events import name_of
from operations._profile import MANAGEMENT_CLIENT
from operations.find_events import EventLogCategory, tag_of
from schemas.records import Status
from tests.e2e.world import System, asked_of_all

VERSIONS: Final = ("4.2.2", "5.2")
SET_CLOCK: Final = [4, 5]  # codes: the old time and the new
CLEARED: Final = {"4.2.2": [11], "5.2": [11, 24]}  # codes of the registers

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def meters(system: System) -> dict[str, Meter]:
    """A meter of each version: its device, as it was made."""
    made = system.world.meters()
    found: dict[str, Meter] = {}
    for device in system.world.devices:
        found.setdefault(made[device].model.profile.version, made[device])
    return {version: found[version] for version in VERSIONS}


def asked(system: System, meters: dict[str, Meter], operation: str, request: dict[str, Any]) -> dict[str, Response]:
    """By version."""
    devices = {meter.device_id: version for version, meter in meters.items()}
    with system.world.upstream() as upstream:
        told = asked_of_all(upstream, devices, operation, request)
    return {version: told[device] for device, version in devices.items()}


def result(response: Response) -> Any:
    assert response.header.status is Status.SUCCESSFUL, response.header.fault
    return response.result


def logs_of(meter: Meter) -> list[str]:
    return [each.value for each in EventLogCategory if tag_of(each) in meter.model.profile]


def queries(logs: list[str], since: datetime) -> dict[str, Any]:
    last = datetime.now(UTC) + timedelta(days=400)
    return {"queries": [{"event_log_category": log, "from_date": since, "until_date": last} for log in logs]}


SINCE: Final = datetime(2010, 1, 1, tzinfo=UTC)


def flat(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("event_log_category", "timestamp", "event_code", "event_type", "event_counter", "magnitude", "duration")
    return sorted(tuple(event[name] for name in names) for event in events)


def test_events_are_in_the_answer_and_in_clickhouse_each_once(system: System, meters: dict[str, Meter]) -> None:
    world = system.world
    for response in asked(system, meters, "SynchronizeTime", {"time_zone": "Europe/Amsterdam"}).values():
        result(response)
    for response in asked(system, meters, "ClearAlarmRegister", {}).values():
        result(response)
    told: dict[str, list[dict[str, Any]]] = {}
    for version, meter in meters.items():
        for _ in range(2):  # twice: a log that is read again adds nothing
            (response,) = asked(system, {version: meter}, "FindEvents", queries(logs_of(meter), SINCE)).values()
            told[version] = result(response)["events"]
    world.await_stored()
    for version, meter in meters.items():
        events, protocol = told[version], meter.model.profile.protocol
        standard = [each["event_code"] for each in events if each["event_log_category"] == "STANDARD_EVENT_LOG"]
        assert standard[-2 - len(CLEARED[version]) :] == [*SET_CLOCK, *CLEARED[version]]
        assert {each["event_type"] == name_of(each["event_code"], protocol) for each in events} == {True}
        rows = world.ask(
            "SELECT log, captured_at, code, event, counter, magnitude, duration FROM meter_events FINAL "
            "WHERE device_id = %(device)s ORDER BY ALL",
            device=meter.device_id,
        )
        assert sorted(rows, key=repr) == sorted(flat(events), key=repr)
        timeline = world.ask(
            "SELECT source, count() FROM event_timeline WHERE device_id = %(device)s GROUP BY source",
            device=meter.device_id,
        )
        assert dict(timeline)["meter"] == len(rows)
        assert dict(timeline)["meterlog"] > 0


def test_a_log_or_an_object_the_profile_lacks_is_rejected(system: System, meters: dict[str, Meter]) -> None:
    old = {"4.2.2": meters["4.2.2"]}
    for operation, request, tag in (
        ("FindEvents", queries(["POWER_QUALITY_THD_EVENT_LOG"], SINCE), "POWER_QUALITY_THD_EVENT_LOG"),
        ("GetThdFingerprint", {}, "THD_INSTANTANEOUS_CURRENT_L1"),
        ("GetGsmDiagnostic", {"communication_method": "LTE"}, "LTE_DIAGNOSTIC"),
    ):
        (response,) = asked(system, old, operation, request).values()
        fault = response.header.fault
        assert fault is not None and (response.header.status, fault.code) == (Status.REJECTED, 416)
        assert fault.message == f"No address found for {tag} in protocol DSMR 4.2.2"


def test_the_object_list_is_that_of_the_meter(system: System, meters: dict[str, Meter]) -> None:
    for version, response in asked(system, meters, "GetAssociationLnObjects", {}).items():
        seen = {each["tag"]: each for each in result(response)["objects"]}
        own = {
            each.tag: each
            for each in meters[version].model.objects.values()
            if any(attribute.access(MANAGEMENT_CLIENT) for attribute in each.attributes.values())
        }
        assert seen.keys() == own.keys()
        assert {(each["class_id"], each["version"], each["logical_name"]) for each in seen.values()} == {
            (each.class_id, each.version, each.name) for each in own.values()
        }


def test_every_attribute_is_a_row(system: System, meters: dict[str, Meter]) -> None:
    told = asked(system, meters, "GetAllAttributeValues", {})
    system.world.await_stored()
    for version, response in told.items():
        assert response.header.status is Status.SUCCESSFUL, response.header.fault
        rows = system.world.ask(
            "SELECT tag, name, access, value, refused, note FROM attribute_values "
            "WHERE device_id = %(device)s AND correlation_id = %(id)s",
            device=meters[version].device_id,
            id=response.header.correlation_id,
        )
        own = [each for each in meters[version].model.objects.values()]
        assert len(rows) == sum(len(each.attributes) for each in own)
        unread = [row for row in rows if row[3] is None]
        assert {row[4] for row in rows} == {None}, "the meter refuses nothing of what its list says can be read"
        assert all(row[1] == "buffer" or "READ" not in row[2] for row in unread)
        names = {row[0]: row[3] for row in rows if (row[0], row[1]) == ("DEVICE_ID_2", "value")}
        assert names["DEVICE_ID_2"].endswith(f"bytes[{', '.join(map(str, meters[version].device_id.encode()))}]")


def test_channels_and_outages(system: System, meters: dict[str, Meter]) -> None:
    for version, response in asked(system, meters, "ScanMbusChannels", {}).items():
        meter = meters[version]
        coupled = (f"{meter.number:08d}", "MLG", 0x50, 3)
        assert [
            (
                each["identification_number"],
                each["manufacturer_identification"],
                each["version_identification"],
                each["device_type_identification"],
            )
            for each in result(response)["channels"]
        ] == [coupled if channel <= meter.premises.gas_meters else ("00000000", None, 0, 0) for channel in (1, 2, 3, 4)]
    told = asked(system, meters, "GetOutages", {})
    system.world.await_stored()
    for version, response in told.items():
        rows = system.world.ask(
            "SELECT ended_at, duration FROM meter_outages FINAL WHERE device_id = %(device)s",
            device=meters[version].device_id,
        )
        assert sorted(rows) == sorted((each["end_time"], each["duration"]) for each in result(response)["outages"])


def registers(system: System, meter: Meter, response: Response) -> dict[str, tuple[Decimal | None, str]]:
    rows = system.world.ask(
        "SELECT quantity, value, unit FROM register_reads FINAL "
        "WHERE device_id = %(device)s AND correlation_id = %(id)s",
        device=meter.device_id,
        id=response.header.correlation_id,
    )
    return {quantity: (value, unit) for quantity, value, unit in rows}


def test_power_quality_is_register_reads(system: System, meters: dict[str, Meter]) -> None:
    told = {
        kind: asked(system, meters, "GetActualPowerQuality", {"profile_type": kind}) for kind in ("PUBLIC", "PRIVATE")
    }
    system.world.await_stored()
    for kind, responses in told.items():
        for version, response in responses.items():
            meter = meters[version]
            found = registers(system, meter, response)
            polyphase = is_polyphase(system.world.fleet, meter.number)
            assert len(found) == {"PUBLIC": (6, 14), "PRIVATE": (11, 27)}[kind][polyphase]
            assert found == {
                each["quantity"]: (each["value"], each["unit"] or "") for each in result(response)["values"]
            }
            assert {each["value"] is None for each in result(response)["values"]} == {False}


def test_modem_and_distortion_are_register_reads(system: System, meters: dict[str, Meter]) -> None:
    new = {"5.2": meters["5.2"]}
    (modem,) = asked(system, new, "GetGsmDiagnostic", {}).values()
    (thd,) = asked(system, new, "GetThdFingerprint", {}).values()
    system.world.await_stored()
    meter = new["5.2"]
    assert MODEMS[identity(system.world.fleet, meter.number).version] == "LTE"
    cell = result(modem)["cell_info"]
    found = registers(system, meter, modem)
    assert found["gsm_cell_id"] == (Decimal(cell["cell_id"]), "")
    assert found["gsm_signal_strength"][1] == "dBm"
    phases = result(thd)["phases"]
    assert [each["phase"] for each in phases] == ["L1", "L2", "L3"][
        : 3 if is_polyphase(system.world.fleet, meter.number) else 1
    ]
    found = registers(system, meter, thd)
    assert len(found) == 17 * len(phases)
    for each in phases:
        phase = each["phase"].lower()
        assert found[f"thd_instantaneous_current_{phase}"] == (Decimal(each["instantaneous_current"]), "%")
        assert found[f"thd_fingerprint_{phase}_15"] == (Decimal(each["fingerprint"][14]), "")


def entries(response: Response) -> Iterator[tuple[str, Any]]:
    for name, fields in result(response)["entries"]:
        yield name.removeprefix("meterlog.operations."), fields


def test_a_bundle_carries_them(system: System, meters: dict[str, Meter]) -> None:
    actions = [
        {"FindEvents": queries(["STANDARD_EVENT_LOG"], SINCE)},
        {"FindEvents": queries(["POWER_QUALITY_THD_EVENT_LOG"], SINCE)},
        "ScanMbusChannels",
        "GetOutages",
        "GetAssociationLnObjects",
    ]
    told = asked(system, meters, "Bundle", {"actions": actions})
    for version, response in told.items():
        found = list(entries(response))
        refused = ("bundle.FaultEntry", 416) if version == "4.2.2" else ("find_events.Result", None)
        assert [name for name, _ in found] == [
            "find_events.Result",
            refused[0],
            "scan_mbus_channels.Result",
            "get_outages.Result",
            "get_association_ln_objects.Result",
        ]
        assert found[1][1].get("code") == refused[1]

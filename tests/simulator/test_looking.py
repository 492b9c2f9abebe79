"""Looking into simulated meters of every version, over a port: what a job brings back is what the meter holds.

The logs have the entries of the worked cases (operations-reading 9.3), at most as many as a buffer has room for.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from operations._events import UNKNOWN
from operations._profile import MANAGEMENT_CLIENT, Access
from operations.find_events import EventLogCategory, tag_of
from operations.get_gsm_diagnostic import tag_of as modem_of
from schemas.records import CommunicationMethod, MeterEvents, MeterOutages, RegisterReads
from tests.simulator.seven import VERSIONS, Seven, Version, is_polyphase_one, listening
from tests.simulator.test_job import Asked
from tests.unit.operations.test_find_events import COUNTS, LOGS

FIRST: Final = 1_441_065_600.0  # 2015-09-01
SINCE, UNTIL = datetime(2015, 8, 31, tzinfo=UTC), datetime(2015, 10, 1, tzinfo=UTC)
versions = pytest.mark.parametrize("version", VERSIONS, ids=" ".join)


@pytest.fixture(scope="module")
def seven() -> Iterator[Seven]:
    with listening() as made:
        yield made


def query(log: str) -> Asked:
    asked = {"event_log_category": log, "from_date": SINCE, "until_date": UNTIL}
    return "FindEvents", {"queries": [asked]}


@versions
def test_every_log_of_every_version(seven: Seven, version: Version) -> None:
    meter = seven.meter(version)
    for log, (_, entries) in LOGS.items():
        for minute, values in enumerate(entries):
            meter.log(tag_of(EventLogCategory(log)), *values, at=FIRST + 60 * minute)
    told, reads = seven.ask(version, *map(query, LOGS))
    by_log = {record.category: record for record in reads if isinstance(record, MeterEvents)}
    for (log, (_, entries)), count, answer in zip(LOGS.items(), COUNTS[version], told, strict=True):
        if not count:
            assert answer.code == 416
            continue
        held = entries[-meter.model.profile[tag_of(EventLogCategory(log))].entries :]
        codes = [values[0] for values in held]
        assert [event["event_code"] for event in answer["events"]] == codes
        assert UNKNOWN not in {event["event_type"] for event in answer["events"]}
        assert [event.code for event in by_log[log].events] == codes
        further = [
            [each for each in (e.counter, e.magnitude, e.duration) if each is not None] for e in by_log[log].events
        ]
        assert [len(each) for each in further] == [len(values) - 1 for values in held]


@versions
def test_every_object_and_attribute(seven: Seven, version: Version) -> None:
    meter = seven.meter(version)
    (objects, values), _ = seven.ask(version, ("GetAssociationLnObjects", {}), ("GetAllAttributeValues", {}))
    own = {
        each.tag: each
        for each in meter.model.objects.values()
        if any(part.access(MANAGEMENT_CLIENT) for part in each.attributes.values())
    }
    assert [each["tag"] for each in objects["objects"]] == [each["tag"] for each in values["objects"]] == list(own)
    for found in values["objects"]:
        known = own[found["tag"]]
        assert (found["class_id"], found["version"], found["logical_name"], found["note"]) == (
            known.class_id,
            known.version,
            known.name,
            None,
        )
        for each in found["attributes"]:
            attribute = known.attributes[each["attribute_id"]]
            readable = Access.READ in attribute.management and attribute.name != "buffer"
            assert (each["name"], each["refused"], each["value"] is not None) == (attribute.name, None, readable), known
            if readable:
                assert f"Choice={attribute.type.name}," in each["value"]


@versions
def test_channels_outages_and_power_quality(seven: Seven, version: Version) -> None:
    meter = seven.meter(version)
    meter.log("LONG_POWER_FAILURE_LOG", 180, at=FIRST)
    meter.log("LONG_POWER_FAILURE_LOG", 360, at=FIRST + 86_400)
    kinds = [("GetActualPowerQuality", {"profile_type": kind}) for kind in ("PUBLIC", "PRIVATE")]
    told, reads = seven.ask(version, ("ScanMbusChannels", {}), ("GetOutages", {}), *kinds)
    channels, outages, *quality = told
    there = (f"{meter.number:08d}", "MLG", 0x50, 3)
    free = ("00000000", None, 0, 0)
    assert [tuple(each.values())[1:] for each in channels["channels"]] == [there, there, free, free]
    assert [(each["end_time"].timestamp(), each["duration"]) for each in outages["outages"]] == [
        (FIRST, 180),
        (FIRST + 86_400, 360),
    ]
    (record,) = (each for each in reads if isinstance(each, MeterOutages))
    assert [each.duration for each in record.outages] == [180, 360]
    poly = is_polyphase_one(version)
    assert [1 + len(each["values"]) for each in quality] == (
        [(7, 15)[poly], (3, 5)[poly]] if version == ("DSMR", "2.2") else [(7, 15)[poly], (12, 28)[poly]]
    )
    assert {each["value"] is None for answer in quality for each in answer["values"]} == {False}
    assert [len(each.registers) for each in reads if isinstance(each, RegisterReads)] == [
        len(each["values"]) for each in quality
    ]


@versions
def test_modems_and_distortion(seven: Seven, version: Version) -> None:
    meter = seven.meter(version)
    asked: list[Asked] = [("GetGsmDiagnostic", {"communication_method": each}) for each in ("GPRS", "CDMA", "LTE")]
    told, reads = seven.ask(version, *asked, ("GetThdFingerprint", {}))
    *modems, thd = told
    for method, answer in zip(CommunicationMethod, modems, strict=True):
        if modem_of(method) in meter.model.profile:
            assert len(answer["cell_info"]) == 8
        else:
            assert answer.code == 416
    phases = ["L1", "L2", "L3"][: 3 if is_polyphase_one(version) else 1]
    if version[1] in ("5.2", "5.5"):
        assert [each["phase"] for each in thd["phases"]] == phases
        assert {len(each["fingerprint"]) for each in thd["phases"]} == {15}
    else:
        assert thd.code == 416
    assert len([each for each in reads if isinstance(each, RegisterReads)]) == sum(
        not hasattr(answer, "code") for answer in told
    )


def test_the_registered_modem_is_the_one_that_is_asked(seven: Seven) -> None:
    version = ("SMR", "5.2")
    (answer,), _ = seven.ask(version, ("GetGsmDiagnostic", {}), communication_method=CommunicationMethod.LTE)
    assert "cell_info" in answer
    (answer,), _ = seven.ask(version, ("GetGsmDiagnostic", {}))
    assert answer.code == 401

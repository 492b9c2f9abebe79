"""A plan's file: what is right is read whole, what is wrong names its field."""

from typing import Any

import pytest

from connectors.planner.calendar import HOUR, MINUTE
from connectors.planner.plan import PlanWrong, plan_of, read_plan
from connectors.planner.plans import following
from schemas import codec

WHOLE = """
name = "nightly"
zone = "Europe/Amsterdam"
priority = 2
[devices]
types = ["SMART_METER_E"]
profiles = ["SMR 5.0.0", "SMR 5.1"]
cells = ["21"]
labels = { street = "Long Lane" }
ids = ["ML500000000000001"]
[window]
from = "01:00"
to = "05:30"
[catch_up]
days = 8
retry = "90m"
expires = "2h"
outside_window = false
[[reads]]
operation = "GetPeriodicMeterReads"
profile = "INTERVAL"
[[reads]]
name = "months"
operation = "GetPeriodicMeterReads"
profile = "MONTHLY"
catch_up_days = 62
[[reads]]
operation = "GetPeriodicMeterReadsGas"
profile = "INTERVAL"
[[reads]]
operation = "GetSpecificAttributeValue"
request = { class_id = 1, obis_code = "0-0:42.0.0.255", attribute = 2 }
"""
SHORT = """
name = "short"
zone = "UTC"
window = { from = "22:00", to = "02:00" }
reads = [{ operation = "GetActualMeterReads" }]
"""


def test_everything_that_is_said_is_kept() -> None:
    record = read_plan(WHOLE)
    assert codec.decode(codec.encode(record)) == record
    assert (record.name, record.zone, record.priority, record.source) == ("nightly", "Europe/Amsterdam", 2, WHOLE)
    assert (record.profiles, record.cells) == (("SMR 5.0.0", "SMR 5.1"), ("21",))
    assert (record.labels, record.device_ids) == ({"street": "Long Lane"}, ("ML500000000000001",))
    assert (record.window_begin, record.window_end) == (60, 330)
    assert (record.retry, record.expires, record.outside_window) == (90 * MINUTE, 2 * HOUR, False)
    assert [(read.name, read.profile, read.catch_up_days) for read in record.reads] == [
        ("GetPeriodicMeterReads-INTERVAL", "INTERVAL", 8),
        ("months", "MONTHLY", 62),
        ("GetPeriodicMeterReadsGas-INTERVAL", "INTERVAL", 8),
        ("GetSpecificAttributeValue", "", 8),
    ]
    plan = plan_of(record)
    assert plan.reads[3].request == {"class_id": 1, "obis_code": "0-0:42.0.0.255", "attribute": 2}
    assert plan.window.length == 4.5 * HOUR


def test_what_is_not_said_has_a_default() -> None:
    record = read_plan(SHORT)
    assert (record.priority, record.retry, record.expires, record.outside_window) == (3, HOUR, HOUR, True)
    assert (record.device_types, record.labels, record.reads[0].catch_up_days) == ((), {}, 10)
    assert plan_of(record).window.length == 4 * HOUR, "over midnight"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('name = "nightly"', "", "name"),
        ('name = "nightly"', 'name = "Nightly!"', "name"),
        ('name = "nightly"', "name = 3", "name"),
        ("Europe/Amsterdam", "Mars/Olympus", "zone"),
        ("priority = 2", "priority = 10", "priority"),
        ("priority = 2", "priority = true", "priority"),
        ("priority = 2", "prioritty = 2", "prioritty"),
        ("SMART_METER_E", "SMART_METER_X", "devices.types"),
        ('cells = ["21"]', 'cells = "21"', "devices.cells"),
        ('cells = ["21"]', "cells = [21]", "devices.cells"),
        ('cells = ["21"]', 'sells = ["21"]', "devices.sells"),
        ('street = "Long Lane"', "street = 3", "devices.labels.street"),
        ('from = "01:00"', 'from = "25:00"', "window.from"),
        ('to = "05:30"', 'to = "5"', "window.to"),
        ("days = 8", "days = 401", "catch_up.days"),
        ('retry = "90m"', 'retry = "soon"', "catch_up.retry"),
        ('retry = "90m"', 'retry = "2d"', "catch_up.retry"),
        ('expires = "2h"', 'expires = "0s"', "catch_up.expires"),
        ("outside_window = false", 'outside_window = "no"', "catch_up.outside_window"),
        ('profile = "INTERVAL"', 'profile = "WEEKLY"', "reads[0].profile"),
        ('profile = "INTERVAL"', 'profile = "INTERVAL"\nrequest = { a = 1 }', "reads[0].request"),
        ('name = "months"', 'name = "GetPeriodicMeterReads-INTERVAL"', "reads[1].name"),
        ("catch_up_days = 62", "catch_up_days = -1", "reads[1].catch_up_days"),
        ('"GetSpecificAttributeValue"', '"GetNothing"', "reads[3].operation"),
        ('"GetSpecificAttributeValue"', '"ClearAlarmRegister"', "reads[3].operation"),
        ('"GetSpecificAttributeValue"', '"SetDeviceLifecycleStatus"', "reads[3].operation"),
        ("class_id = 1,", "", "reads[3].request.class_id"),
        ("attribute = 2 }", 'attribute = 2 }\nprofile = "DAILY"', "reads[3].profile"),
    ],
)
def test_what_is_wrong_names_its_field(old: str, new: str, field: str) -> None:
    assert WHOLE.count(old) >= 1
    with pytest.raises(PlanWrong) as wrong:
        read_plan(WHOLE.replace(old, new, 1))
    assert wrong.value.field == field and wrong.value.reason


@pytest.mark.parametrize(("text", "field"), [("", "name"), ("name = ", "file"), (SHORT.split("reads")[0], "reads")])
def test_what_is_no_plan(text: str, field: str) -> None:
    with pytest.raises(PlanWrong) as wrong:
        read_plan(text)
    assert wrong.value.field == field


def test_versions_follow_one_another_and_the_same_is_none() -> None:
    first: Any = following(read_plan(SHORT), None, 100)
    assert (first.version, first.at) == (1, 100)
    assert following(read_plan(SHORT), first, 200) is None
    second = following(read_plan(SHORT.replace("22:00", "23:00")), first, 200)
    assert second is not None and (second.version, second.at) == (2, 200)

"""Bundles as they are asked for and kept: what may be in one, who is told what is wrong with which action."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import Device, Operation, build_request, bundle, catalogue
from operations._errors import Rejected
from operations._rules import ASSOCIATION
from operations._steps import Act
from operations.bundle import FaultEntry, Outcome, Request, Result
from schemas import codec
from schemas.records import CommandHeader, Ended, Fault
from tests import strategies
from tests.unit.operations.conversation import meter_of

BUNDLED = [each for each in catalogue().values() if each.bundled]
HEADER = CommandHeader("0b7f3d51-2f0e-4b5e-9d58-6f9d3c1a7d11", "E0001", 1_790_000_000_000)
ZONE = {"SynchronizeTime": {"time_zone": "UTC"}}
LOST = Fault(229, "SOCKET_CLOSED_BY_REMOTE", "METERLOG", "closed")
ELECTRICITY = Device("E" * 17, registered=True, device_type="SMART_METER_E")
GAS = Device("G" * 17, registered=True, device_type="SMART_METER_G")


def asked(*actions: Any) -> Request:
    request = build_request("Bundle", {"actions": list(actions)})
    assert isinstance(request, Request)
    return request


def test_every_operation_that_calls_the_meter_may_be_an_action_and_no_other() -> None:
    assert {each.name for each in BUNDLED} >= {"ClearAlarmRegister", "GetPeriodicMeterReads", "SynchronizeTime"}
    assert not {"AddDevice", "Bundle", "SetDeviceLifecycleStatus"} & {each.name for each in BUNDLED}
    assert all(each.connects for each in BUNDLED)


@pytest.mark.parametrize("each", BUNDLED, ids=lambda each: each.name)
def test_the_schemas_hold_every_bundled_operation(each: Operation) -> None:
    command = codec.schema("meterlog.commands.BundleCommand")
    response = codec.schema("meterlog.responses.BundleResponse")
    assert f"'name': 'meterlog.{each.request.__module__}.Request'" in str(command)
    assert f"'name': 'meterlog.{each.result.__module__}.Result'" in str(response)


@pytest.mark.parametrize(
    "action",
    [
        {"SynchronizeTime": {"time_zone": "UTC"}},
        ("meterlog.operations.synchronize_time.Request", {"time_zone": "UTC"}),
        ["meterlog.operations.synchronize_time.Request", {"time_zone": "UTC"}],
    ],
)
def test_an_action_is_its_operation_with_its_fields(action: Any) -> None:
    (built,) = asked(action).actions
    assert bundle.operation_of(built).name == "SynchronizeTime"
    assert built.time_zone == "UTC"


def test_an_operation_without_fields_is_named_alone() -> None:
    request = asked("GetActualMeterReads", {"ReadAlarmRegister": None}, {"ClearAlarmRegister": {}})
    names = [bundle.operation_of(action).name for action in request.actions]
    assert names == ["GetActualMeterReads", "ReadAlarmRegister", "ClearAlarmRegister"]
    assert build_request("Bundle", {"actions": "GetActualMeterReads, ReadAlarmRegister"}).actions == request.actions[:2]


@pytest.mark.parametrize(
    ("actions", "field", "reason"),
    [
        ([], "actions", "not from 1 to 100"),
        (["ReadAlarmRegister"] * 101, "actions", "101 is not"),
        ([ZONE, ZONE, "SynchronizeTime"], "actions[2].time_zone", "is missing"),
        ([ZONE, {"SynchronizeTime": {"time_zone": "Mars"}}], "actions[1].time_zone", "not an IANA time zone"),
        ([{"SynchronizeTime": {"time_zone": "UTC", "dst": True}}], "actions[0].dst", "no field"),
        ([ZONE, {"AddDevice": {}}], "actions[1]", "'AddDevice' is none of ClearAlarmRegister, "),
        ([{"Bundle": {"actions": [ZONE]}}], "actions[0]", "'Bundle' is none of"),
        ([ZONE | {"ReadAlarmRegister": {}}], "actions[0]", "a name with its fields"),
        ([7], "actions[0]", "a name with its fields"),
        ([{"SynchronizeTime": 7}], "actions[0]", "must be a record"),
        (ZONE, "actions", "must be a list"),
    ],
)
def test_what_is_wrong_names_the_action_and_its_field(actions: Any, field: str, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        build_request("Bundle", {"actions": actions})
    assert rejected.value.field == field
    assert reason in str(rejected.value)


def test_it_is_refused_whole_for_a_gas_meter_and_when_an_action_refuses_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = asked(ZONE, "ReadAlarmRegister")
    bundle.decide(request, ELECTRICITY)
    with pytest.raises(Rejected) as refused:
        bundle.decide(request, GAS)
    assert (refused.value.code, refused.value.field) == (401, "device_id")

    def never(request: Any, device: Device) -> None:
        raise Rejected("not today", field="hour", code=401)

    second = type(request.actions[1])
    monkeypatch.setitem(bundle._BY_REQUEST, second, replace(catalogue()["ReadAlarmRegister"], decide=never))
    with pytest.raises(Rejected) as refused:
        bundle.decide(request, ELECTRICITY)
    assert refused.value.field == "actions[1].hour"


def test_it_costs_the_sum_of_its_actions() -> None:
    cost = catalogue()["Bundle"].cost_of(asked(ZONE, "GetActualMeterReads", ZONE))
    assert (cost.seconds, cost.frames) == (30 + 60 + 30, 3 * ASSOCIATION + 1 + 32 + 1)


def test_actions_are_asked_for_in_order_and_answered_together() -> None:
    request = asked("ReadAlarmRegister", ZONE)
    steps = bundle.steps(request, meter_of("SMR", "5.1"))
    first = next(steps)
    assert first == Act(0, "ReadAlarmRegister", request.actions[0])
    assert steps.send("one") == Act(1, "SynchronizeTime", request.actions[1])
    with pytest.raises(StopIteration) as end:
        steps.send("two")
    assert end.value.value.result == Result(("one", "two"))


class TestKept:
    REQUEST = asked("ReadAlarmRegister", "ClearAlarmRegister", ZONE)

    def test_nothing_yet(self) -> None:
        entries = bundle.kept_entries(self.REQUEST, None)
        assert [bundle.not_done(entry) for entry in entries] == [True] * 3

    def test_what_is_kept_comes_back_in_order(self) -> None:
        read = catalogue()["ReadAlarmRegister"].result((), 5)
        fault = bundle.fault_entry(Ended.RETRIABLE, LOST)
        body = codec.encode_result("Bundle", Result((read, fault, fault)))
        entries = bundle.kept_entries(self.REQUEST, bundle.keep(body))
        name, fields = entries[0]
        assert (name, fields["register_1"]) == ("meterlog.operations.read_alarm_register.Result", 5)
        assert entries[1:] == [fault, fault]
        assert codec.encode_result("Bundle", Result(tuple(entries))) == body
        assert bundle.kept_result(bundle.keep(body)) == body

    def test_of_a_lost_job_only_what_may_be_repeated_is_open(self) -> None:
        kept = bundle.lose(self.REQUEST, None, [1], LOST)
        entries = bundle.kept_entries(self.REQUEST, kept)
        assert [entry.outcome for entry in entries] == [Outcome.RETRIABLE, Outcome.UNKNOWN, Outcome.RETRIABLE]
        assert {entry.code for entry in entries} == {229}
        assert bundle.in_doubt(self.REQUEST.actions[1], entries[1])
        assert not bundle.in_doubt(self.REQUEST.actions[1], replace(entries[1], looked=True))
        again = bundle.lose(self.REQUEST, kept, [1, 9], replace(LOST, code=233))
        assert [entry.code for entry in bundle.kept_entries(self.REQUEST, again)] == [233, 229, 233]

    def test_another_version_or_another_request_is_not_misread(self) -> None:
        kept = bundle.lose(self.REQUEST, None, [0], LOST)
        with pytest.raises(codec.Unreadable, match="another version"):
            bundle.kept_entries(self.REQUEST, b"\xc3\x01" + bytes(8) + kept[10:])
        with pytest.raises(codec.Unreadable, match="3 entries of 1"):
            bundle.kept_entries(asked(ZONE), kept)


def test_operations_that_share_a_request_could_not_be_told_apart() -> None:
    assert len({each.request for each in BUNDLED}) == len(BUNDLED)


@given(st.lists(st.sampled_from(BUNDLED), min_size=1, max_size=5), st.data())
def test_bundles_of_any_operations_come_back_as_they_were_sent(chosen: list[Operation], data: st.DataObject) -> None:
    """Through bytes: the requests that schemas allow, whether the operations would take them or not."""
    actions = tuple(
        (f"meterlog.{each.request.__module__}.Request", data.draw(strategies.command(each.name))["request"])
        for each in chosen
    )
    sent = codec.encode_command("Bundle", HEADER, {"actions": actions})
    received: Mapping[str, Any] = codec.decode_command(sent).request
    assert received == {"actions": actions}
    try:
        request = build_request("Bundle", received)
    except Rejected as rejected:
        assert rejected.field and rejected.field.startswith("actions[")
        return
    assert [bundle.operation_of(action).name for action in request.actions] == [each.name for each in chosen]
    again = codec.decode_command(codec.encode_command("Bundle", HEADER, request))
    assert build_request("Bundle", again.request) == request


@given(st.data())
def test_what_is_kept_of_any_results_is_what_was_obtained(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(BUNDLED), min_size=1, max_size=4))
    entries: list[Any] = []
    for each in chosen:
        result = data.draw(strategies.response(each.name))["result"]
        entries.append(
            FaultEntry(Outcome.FAILED, 1, "N", "C", "m")
            if result is None
            else (f"meterlog.{each.result.__module__}.{each.result.__name__}", result)
        )
    request = Request.__new__(Request)
    object.__setattr__(request, "actions", tuple(chosen))
    body = codec.encode_result("Bundle", {"entries": tuple(entries)})
    assert bundle.kept_entries(request, bundle.keep(body)) == entries

"""What holds for every operation of the catalogue: a new one is tested before its author writes a test."""

import inspect
from collections.abc import Generator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from operations import Device, Operation, bundle, catalogue, operation
from operations._build import build
from operations._data import Data, Tag
from operations._errors import Rejected
from operations._meter import Meter
from operations._profile import Profile, profiles
from operations._steps import Answer, Attribute, CannotTell, Get, NotDone, Now, Set, Steps, Verifying
from operations.synchronize_time import Request, Result

OF_MBUS_METERS = {"GetActualMeterReadsGas", "GetPeriodicMeterReadsGas"}
OPERATIONS = list(catalogue().values())
each_operation = pytest.mark.parametrize("each", OPERATIONS, ids=lambda each: each.name)


def test_the_operations_there_are() -> None:
    assert list(catalogue()) == sorted(catalogue())
    assert {
        "AddDevice",
        "ClearAlarmRegister",
        "FindEvents",
        "GetActualMeterReads",
        "GetActualMeterReadsGas",
        "GetPeriodicMeterReads",
        "GetSpecificAttributeValue",
        "ReadAlarmRegister",
        "SetDeviceLifecycleStatus",
        "SynchronizeTime",
    } <= set(catalogue())


@each_operation
def test_says_what_it_is(each: Operation) -> None:
    assert each.summary.endswith(".")
    assert 10 < len(each.summary) <= 120
    assert each.seconds > 0 if each.steps else each.seconds == 0
    assert each.frames > 0 if each.connects else each.frames == 0


@each_operation
def test_records_are_frozen_with_slots_and_documented(each: Operation) -> None:
    for record in (each.request, each.result):
        assert is_dataclass(record)
        assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert "__slots__" in vars(record)
        assert record.__doc__ and not record.__doc__.startswith(f"{record.__name__}(")
        for field in fields(record):
            assert field.name == field.name.lower()


@each_operation
def test_needs_are_tags_of_some_profile(each: Operation) -> None:
    for tag in each.needs:
        assert any(tag in profile for profile in profiles().values())


@each_operation
def test_every_profile_can_carry_it_out_or_says_which_object_is_missing(each: Operation) -> None:
    for profile in profiles().values():
        lacking = [tag for tag in each.needs if tag not in profile]
        if not lacking:
            each.check(profile)
            continue
        with pytest.raises(Rejected, match=f"{lacking[0]} in protocol {profile.protocol} {profile.version}") as caught:
            each.check(profile)
        assert caught.value.code == 416
    if each.needs:
        with pytest.raises(Rejected, match=f"No address found for {each.needs[0]} in protocol DSMR 2.2"):
            each.check(Profile("DSMR", "2.2", {}))


@each_operation
def test_some_profile_can_carry_it_out(each: Operation) -> None:
    assert any(all(tag in profile for tag in each.needs) for profile in profiles().values())


@each_operation
def test_every_request_field_can_be_built(each: Operation) -> None:
    """A field of a type `build_request` does not know stops here, not at the first caller."""
    try:
        build(each.request, {})
    except Rejected as rejected:
        assert rejected.field


@each_operation
def test_is_carried_out_by_steps_or_decided_without_a_meter(each: Operation) -> None:
    if each.steps is not None:
        assert inspect.isgeneratorfunction(each.steps)
    else:
        assert each.decide is not None and not each.connects and each.repeatable


@each_operation
def test_what_calls_a_meter_is_for_electricity_meters_or_for_those_on_a_gateway(each: Operation) -> None:
    electricity = Device("E" * 17, registered=True, device_type="SMART_METER_E")
    gas = Device("G" * 17, registered=True, device_type="SMART_METER_G", gateway_id="E" * 17, channel=1)
    if each.connects:
        assert each.decide is not None
        request = bundle.Request((Request("UTC"),)) if each.name == bundle.NAME else None
        own, other, reason = (electricity, gas, "ask its gateway")
        if each.name in OF_MBUS_METERS:
            own, other, reason = (gas, electricity, "asked of an M-Bus meter")
        each.decide(request, own)
        with pytest.raises(Rejected, match=reason):
            each.decide(request, other)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="SynchronizeTime is declared twice"):

        @operation("SynchronizeTime", repeatable=True, seconds=1, frames=1)
        def steps(request: Request, meter: Meter) -> Steps[Result]:
            yield Now()
            return Answer(Result())


@each_operation
def test_what_may_not_be_repeated_can_be_verified(each: Operation) -> None:
    assert each.repeatable == (each.verify is None)


def looks(request: Request, meter: Meter) -> Verifying[Result]:
    yield Now()
    return CannotTell("")


def writes(request: Request, meter: Meter) -> Generator[Get | Set, Any, Answer[Result] | NotDone | CannotTell]:
    yield Set(Attribute(1, bytes(6), 2), Data(Tag.BOOLEAN, True))
    return CannotTell("")


def only_writes(request: Request, meter: Meter) -> Generator[Set, Any, Answer[Result] | NotDone | CannotTell]:
    yield Set(Attribute(1, bytes(6), 2), Data(Tag.BOOLEAN, True))
    return CannotTell("")


def tells_another_result(request: Request, meter: Meter) -> Verifying[Request]:
    yield Now()
    return CannotTell("")


def never_doubts(request: Request, meter: Meter) -> Generator[Now, Any, Answer[Result]]:
    yield Now()
    return Answer(Result())


def is_no_conversation(request: Request, meter: Meter) -> Any:
    return CannotTell("")


@pytest.mark.parametrize(
    ("repeatable", "verify", "why"),
    [
        (False, None, "has no verify"),
        (True, looks, "may be repeated"),
        (False, writes, "asks for Set"),
        (False, only_writes, "asks for Set"),
        (False, tells_another_result, "has to return what"),
        (False, never_doubts, "has to return what"),
        (False, is_no_conversation, "no conversation"),
    ],
)
def test_a_lost_answer_must_be_verifiable_by_looking_only(repeatable: bool, verify: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"Refused.*{why}"):

        @operation("Refused", repeatable=repeatable, verify=verify, seconds=1, frames=1)
        def steps(request: Request, meter: Meter) -> Steps[Result]:
            yield Now()
            return Answer(Result())

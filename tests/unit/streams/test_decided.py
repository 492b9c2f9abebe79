"""Operations that need no meter: decided with their command, or by the tick after their time."""

from dataclasses import replace

import pytest

from operations import Device as View
from operations import catalogue
from operations._errors import Rejected
from operations._steps import Answer
from operations.set_device_lifecycle_status import Request, Result
from schemas import codec, topics
from schemas.records import CommandEnded, CommandHeader, Ended, Lifecycle, LifecycleSet, Notice, Status
from streams.device import decided
from streams.device.decide import decide
from streams.device.events import CommandAccepted, CommandReceived, CommandSettled
from streams.device.evolve import replay
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.unit.streams.mbus import gas_meter
from tests.unit.streams.world import (
    MINUTE,
    NOON,
    World,
    command,
    ended,
    jobs,
    log,
    notices,
    on,
    registered,
    responses,
    succeeded,
    tick,
    uid,
)

NAME = "SetDeviceLifecycleStatus"


def say(number: int, status: str = "IN_USE", **given: object) -> Received:
    return command(number, operation=NAME, request={"status": status}, **given)  # type: ignore[arg-type]


def results(sent: list[Outgoing]) -> list[dict[str, object] | None]:
    return [codec.decode_response(record.value)[1] for record in on(topics.RESPONSES, sent)]


def test_is_carried_out_with_its_command_without_a_job() -> None:
    world = World().holding(registered())
    sent = world.batch(tick(NOON), say(1))
    (decision,) = log(sent)
    assert [type(event) for event in decision.events] == [LifecycleSet, CommandSettled]
    (response,) = responses(sent)
    assert (response.status, response.attempts, response.fault) == (Status.SUCCESSFUL, 0, None)
    assert results(sent) == [{"previous": Lifecycle.NEW_IN_INVENTORY}]
    assert [notice.notice for notice in notices(sent)] == [Notice.RESULT_READY]
    assert jobs(sent) == []
    assert world.device().lifecycle is Lifecycle.IN_USE and world.device().idle


@pytest.mark.parametrize("status", list(Lifecycle))
@pytest.mark.parametrize("before", list(Lifecycle))
def test_any_state_of_life_may_follow_any_other(before: Lifecycle, status: Lifecycle) -> None:
    world = World().holding(registered(lifecycle=before))
    (decision,) = log(world.batch(say(1, status.value)))
    assert (LifecycleSet(status) in decision.events) == (before is not status)
    assert world.device().lifecycle is status


def test_the_log_explains_the_result_and_makes_the_table() -> None:
    world = World()
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice")))
    world.batch(ended(job), say(2, "DESTROYED"))
    decisions = log(world.sent)
    (settled,) = [
        event for each in decisions for event in each.events if isinstance(event, CommandSettled) and event.result
    ]
    assert codec.decode_result(NAME, settled.result or b"")["previous"] == "NEW_IN_INVENTORY"
    assert replay(decisions) == world.device()


def test_a_repeat_is_told_the_outcome_and_changes_nothing() -> None:
    world = World().holding(registered())
    world.batch(say(1, "DESTROYED"), say(2, "IN_USE"))
    (again,) = responses(world.batch(say(1, "DESTROYED")))
    assert (again.status, again.repeated) == (Status.SUCCESSFUL, True)
    assert world.device().lifecycle is Lifecycle.IN_USE


@pytest.mark.parametrize(
    ("given", "code"), [({"status": "BROKEN"}, 401), ({}, 401)], ids=["no state of life", "nothing said"]
)
def test_a_wrong_request_is_rejected(given: dict[str, str], code: int) -> None:
    header = CommandHeader(uid(1), registered().device_id, NOON)
    (event,) = decide(registered(), CommandReceived(header, NAME, given, b"", NOON), Limits())
    assert isinstance(event, CommandSettled) and event.status is Status.REJECTED
    assert event.fault is not None and event.fault.code == code


def test_an_unknown_device_is_201() -> None:
    (response,) = responses(World().batch(say(1)))
    assert response.status is Status.REJECTED and response.fault is not None and response.fault.code == 201


def test_needs_no_slot_no_room_and_waits_for_no_job() -> None:
    world = World(Limits(slots=1, silent_slots=1, queue_commands=1)).holding(registered())
    (_,) = jobs(world.batch(tick(NOON), command(1)))
    (response,) = responses(world.batch(say(2)))
    assert (response.correlation_id, response.status) == (uid(2), Status.SUCCESSFUL)
    assert world.device().flight is not None


@pytest.mark.parametrize("coupled", [True, False])
def test_an_m_bus_meter_has_a_life_of_its_own(coupled: bool) -> None:
    """No meter is called, so no gateway is needed."""
    meter = gas_meter()
    assert meter.registration is not None
    if not coupled:
        meter = replace(meter, registration=replace(meter.registration, gateway_id=None, channel=None))
    world = World().holding(meter)
    (response,) = responses(world.batch(tick(NOON), say(1, "IN_USE", device_id=meter.device_id)))
    assert response.status is Status.SUCCESSFUL
    assert world.device(meter.device_id).lifecycle is Lifecycle.IN_USE


class TestScheduled:
    def test_is_decided_by_the_tick_of_its_time(self) -> None:
        world = World().holding(registered())
        (decision,) = log(world.batch(tick(NOON), say(1, scheduled_at=NOON + MINUTE)))
        assert isinstance(decision.events[0], CommandAccepted)
        assert world.batch(tick(NOON + MINUTE - 1)) == []
        world.takeover()
        sent = world.batch(tick(NOON + MINUTE))
        (response,) = responses(sent)
        assert (response.status, response.attempts) == (Status.SUCCESSFUL, 0)
        assert jobs(sent) == [] and world.device().lifecycle is Lifecycle.IN_USE and world.device().idle

    def test_is_decided_while_a_job_is_out(self) -> None:
        world = World().holding(registered())
        world.batch(tick(NOON), command(1), say(2, scheduled_at=NOON + 5))
        (response,) = responses(world.batch(tick(NOON + 5)))
        assert response.correlation_id == uid(2) and world.device().flight is not None

    def test_two_of_one_moment_are_decided_one_after_the_other(self) -> None:
        world = World().holding(registered())
        world.batch(tick(NOON), say(1, "IN_USE", scheduled_at=NOON + 5), say(2, "DESTROYED", scheduled_at=NOON + 5))
        sent = world.batch(tick(NOON + 9))
        assert [result["previous"] for result in results(sent)] == ["NEW_IN_INVENTORY", "IN_USE"]  # type: ignore[index]
        assert world.device().lifecycle is Lifecycle.DESTROYED

    def test_expires(self) -> None:
        world = World().holding(registered())
        world.batch(tick(NOON), say(1, scheduled_at=NOON + 5, expires_at=NOON + 6))
        (response,) = responses(world.batch(tick(NOON + 6)))
        assert response.status is Status.EXPIRED and world.device().lifecycle is Lifecycle.NEW_IN_INVENTORY


def test_waits_for_the_registration_that_is_on_its_way() -> None:
    world = World()
    world.batch(tick(NOON))
    sent = world.batch(command(1, operation="AddDevice"), say(2))
    assert responses(sent) == []
    (told,) = responses(world.batch(ended(jobs(sent)[0])))
    assert told.correlation_id == uid(1)
    (told,) = responses(world.batch(tick(NOON + 1)))
    assert (told.correlation_id, told.status) == (uid(2), Status.SUCCESSFUL)
    assert world.device().lifecycle is Lifecycle.IN_USE


GONE = Limits(refused_lifecycles=frozenset({Lifecycle.DESTROYED}), retry_jitter=0.0)


class TestDevicesThatAreLeftAlone:
    """METERLOG_STREAMS_REFUSED_LIFECYCLES: commands other than a change of the state of life are Rejected 207."""

    @pytest.mark.parametrize("lifecycle", list(Lifecycle))
    @pytest.mark.parametrize("limits", [Limits(), GONE], ids=["by default", "destroyed ones"])
    def test_by_state_of_life(self, lifecycle: Lifecycle, limits: Limits) -> None:
        world = World(limits).holding(registered(lifecycle=lifecycle))
        sent = world.batch(tick(NOON), command(1))
        if lifecycle in limits.refused_lifecycles:
            (response,) = responses(sent)
            assert response.status is Status.REJECTED and response.fault is not None
            assert (response.fault.code, response.fault.name) == (207, "INACTIVE_DEVICE")
            assert jobs(sent) == []
        else:
            assert responses(sent) == [] and len(jobs(sent)) == 1

    def test_the_way_back_is_open(self) -> None:
        world = World(GONE).holding(registered(lifecycle=Lifecycle.DESTROYED))
        (response,) = responses(world.batch(tick(NOON), say(1, "IN_USE")))
        assert response.status is Status.SUCCESSFUL
        assert len(jobs(world.batch(command(2)))) == 1

    def test_what_waits_when_it_is_destroyed_is_rejected_in_its_turn(self) -> None:
        world = World(GONE).holding(registered())
        world.batch(tick(NOON), command(1, scheduled_at=NOON + 5), say(2, "DESTROYED"))
        assert world.batch(tick(NOON + 4)) == []
        sent = world.batch(tick(NOON + 5))
        (response,) = responses(sent)
        assert (response.correlation_id, response.status) == (uid(1), Status.REJECTED)
        assert response.fault is not None and response.fault.code == 207
        assert jobs(sent) == [] and world.device().idle

    def test_what_waits_is_carried_out_when_it_was_repaired_in_time(self) -> None:
        world = World(GONE).holding(registered())
        world.batch(tick(NOON), command(1, scheduled_at=NOON + 5), say(2, "DESTROYED"), say(3, "IN_USE"))
        assert len(jobs(world.batch(tick(NOON + 5)))) == 1

    def test_what_is_in_flight_ends_and_is_not_tried_again(self) -> None:
        world = World(GONE).holding(registered())
        (job,) = jobs(world.batch(tick(NOON), command(1), command(2)))
        world.batch(say(3, "DESTROYED"))
        again = CommandEnded(uid(2), Ended.RETRIABLE)
        (response,) = responses(world.batch(ended(job, succeeded(uid(1)), again)))
        assert (response.correlation_id, response.status) == (uid(1), Status.SUCCESSFUL)
        (response,) = responses(world.batch(tick(NOON + MINUTE)))
        assert (response.correlation_id, response.status, response.attempts) == (uid(2), Status.REJECTED, 1)


def refuse(request: Request, device: View) -> Answer[Result]:
    raise Rejected("not today", field="status")


def fail(request: Request, device: View) -> Answer[Result]:
    raise ZeroDivisionError("a mistake")


def say_nothing(request: Request, device: View) -> None:
    return None


def answer_nonsense(request: Request, device: View) -> Answer[object]:
    return Answer(17)


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(
    ("how", "status", "says"),
    [
        (refuse, Status.REJECTED, "not today"),
        (fail, Status.REJECTED, "ZeroDivisionError"),
        (say_nothing, Status.REJECTED, "no answer"),
        (answer_nonsense, Status.ERROR, "cannot be written"),
    ],
)
def test_an_operation_that_refuses_or_breaks_concerns_its_command_alone(
    monkeypatch: pytest.MonkeyPatch, how: object, status: Status, says: str, scheduled: bool
) -> None:
    broken = dict(catalogue()) | {NAME: replace(catalogue()[NAME], decide=how)}  # type: ignore[arg-type]
    for module in ("accept", "decided"):
        monkeypatch.setattr(f"streams.device.{module}.catalogue", lambda: broken)
    assert decided.carried_out_here(NAME)
    world = World().holding(registered())
    sent = world.batch(tick(NOON), say(1, scheduled_at=NOON + 1 if scheduled else None))
    (response,) = responses(world.batch(tick(NOON + 1)) if scheduled else sent)
    assert response.status is status and response.fault is not None and says in response.fault.message
    assert world.device().lifecycle is Lifecycle.NEW_IN_INVENTORY and world.device().idle

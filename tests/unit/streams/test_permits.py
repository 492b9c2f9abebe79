"""A device in a radio cell: it asks before it is called, waits without a slot, and gives back what it does not need."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas import codec, headers, topics
from schemas.partition import partition_of
from schemas.records import (
    CommandEnded,
    Ended,
    Fault,
    Permit,
    PermitAsked,
    PermitGranted,
    PermitRefused,
    PermitReturned,
    Status,
)
from streams.cell.limits import CellLimits
from streams.device.events import PermitDeclined, PermitPostponed
from streams.device.limits import Limits
from streams.device.permits import usable
from streams.device.state import Claim, Device
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import (
    DEVICE,
    MINUTE,
    NOON,
    REGISTRATION,
    World,
    command,
    ended,
    jobs,
    log,
    on,
    raw,
    registered,
    responses,
    tick,
    uid,
)

CELL = "21/7"
LIMITS = Limits(retry_jitter=0.0)
HOLD = LIMITS.connect + 1_000 * LIMITS.seconds_a_job + 2 * LIMITS.grace


def celled(device_id: str = DEVICE, **changes: Any) -> Device:
    return registered(device_id, registration=replace(REGISTRATION, cell_id=CELL), **changes)


def said(records: list[Outgoing]) -> list[PermitAsked | PermitReturned]:
    return [codec.decode(record.value) for record in on(topics.PERMIT_REQUESTS, records)]


def permit(asked: PermitAsked, *connects: int, within: int = 250) -> Permit:
    times = connects or (NOON + 2_000,)
    return Permit(asked.cell_id, asked.number, times, within, times[-1] + within + asked.hold)


def granted(asked: PermitAsked, *connects: int, within: int = 250, at: int = NOON) -> Received:
    told = PermitGranted(asked.device_id, permit(asked, *connects, within=within))
    return raw(codec.encode(told), key=asked.device_id.encode(), at=at, topic=topics.PERMITS.name)


def refused(asked: PermitAsked, at: int = NOON) -> Received:
    told = PermitRefused(asked.device_id, asked.cell_id, asked.number)
    return raw(codec.encode(told), key=asked.device_id.encode(), at=at, topic=topics.PERMITS.name)


def asking(world: World, *inputs: Received) -> PermitAsked:
    """The one request that follows."""
    (asked,) = said(world.batch(*inputs))
    assert isinstance(asked, PermitAsked)
    return asked


def test_a_device_asks_its_cell_and_is_called_when_it_may() -> None:
    world = World(LIMITS).holding(celled())
    sent = world.batch(command(1, priority=6, at=NOON - 3), tick(NOON))
    asked = PermitAsked(CELL, DEVICE, 1, 6, NOON - 3, 1, HOLD)
    assert said(sent) == [asked] and jobs(sent) == []
    assert [record.key for record in on(topics.PERMIT_REQUESTS, sent)] == [CELL.encode()]
    (job,) = jobs(world.batch(granted(asked)))
    assert job.permit == permit(asked)
    assert job.deadline == NOON + 2_250 + LIMITS.connect + 30_000
    sent = world.batch(ended(job))
    assert said(sent) == [PermitReturned(CELL, DEVICE, 1)] and len(responses(sent)) == 1
    assert world.device().idle


def test_a_device_of_no_cell_notices_nothing() -> None:
    world = World(LIMITS).holding(registered())
    (job,) = jobs(world.batch(command(1), tick(NOON)))
    assert job.permit is None
    world.batch(ended(job))
    assert said(world.sent) == [] and world.device().permits == 0


def test_an_mbus_meter_asks_for_none_its_gateway_does() -> None:
    gateway, gas = celled(), "TEST1024000000002"
    registration = replace(
        REGISTRATION, device_type="SMART_METER_G", gateway_id=DEVICE, channel=1, cell_id=CELL, host=""
    )
    world = World(LIMITS).holding(gateway, registered(gas, registration=registration))
    sent = world.batch(command(1, device_id=gas, operation="GetActualMeterReadsGas", request={}), tick(NOON))
    assert said(sent) == []
    (message,) = on(topics.DEVICE_MESSAGES, sent)
    asked = asking(world, raw(message.value, key=message.key, topic=topics.DEVICE_MESSAGES.name))
    assert asked.device_id == DEVICE
    (job,) = jobs(world.batch(granted(asked)))
    assert [each.delegated is not None for each in job.commands] == [True]


def test_who_waits_holds_no_slot() -> None:
    other = "TEST1024000000002"
    world = World(Limits(slots=1, silent_slots=1)).holding(celled(), registered(other))
    sent = world.batch(command(1, priority=9), command(2, device_id=other, priority=0), tick(NOON))
    assert [job.device_id for job in jobs(sent)] == [other]


def test_a_granted_device_takes_its_place_among_those_that_wait_for_a_slot() -> None:
    first, second = "TEST1024000000002", "TEST1024000000003"
    world = World(Limits(slots=1, silent_slots=1)).holding(celled(), registered(first), registered(second))
    asked = asking(world, command(1, priority=9), command(2, device_id=first), tick(NOON))
    sent = world.batch(command(3, device_id=second), granted(asked, NOON + 60_000))
    assert jobs(sent) == []
    (job,) = (job for job in jobs(world.sent) if job.device_id == first)
    assert [each.device_id for each in jobs(world.batch(ended(job)))] == [DEVICE]


def test_a_permit_whose_time_passes_for_want_of_a_slot_goes_back_and_is_asked_for_again() -> None:
    other = "TEST1024000000002"
    world = World(Limits(slots=1, silent_slots=1)).holding(celled(), registered(other))
    world.batch(command(2, device_id=other, priority=9), tick(NOON))
    asked = asking(world, command(1))
    assert jobs(world.batch(granted(asked))) == []
    assert said(world.batch(tick(NOON + 2_250))) == []
    assert said(world.batch(tick(NOON + 2_251))) == [PermitReturned(CELL, DEVICE, 1, lapsed=True)]
    claim = world.device().claim
    assert claim is not None and NOON + 52_251 <= claim.again_at <= NOON + 72_251
    assert said(world.batch(tick(claim.again_at - 1))) == []
    assert asking(world, tick(claim.again_at)).number == 2


def test_commands_in_a_hurry_ask_again_sooner() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1, priority=5), tick(NOON))
    assert said(world.batch(refused(asked, NOON + 10))) == [PermitReturned(CELL, DEVICE, 1, lapsed=True)]
    assert said(world.batch(tick(NOON + 2_009))) == []
    assert asking(world, tick(NOON + 2_010)).number == 2


def test_a_command_of_higher_priority_is_told_to_the_cell() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1, at=NOON - 9), tick(NOON))
    assert said(world.batch(command(2, priority=4))) == []
    again = asking(world, command(3, priority=9))
    assert again == replace(asked, number=2, priority=9, since=NOON)
    assert said(world.batch(granted(asked))) == [PermitReturned(CELL, DEVICE, 1)], "of the request that is forgotten"
    (job,) = jobs(world.batch(granted(again)))
    assert [each.correlation_id for each in job.commands] == [uid(3), uid(1), uid(2)]


def test_a_cell_that_says_nothing_is_asked_again() -> None:
    world = World(LIMITS).holding(celled())
    asking(world, command(1), tick(NOON))
    assert said(world.batch(tick(NOON + LIMITS.permit_patience - 1))) == []
    assert asking(world, tick(NOON + LIMITS.permit_patience)).number == 2


def test_a_permit_nobody_waits_for_goes_back() -> None:
    world = World(LIMITS).holding(celled())
    stray = PermitAsked(CELL, DEVICE, 7, 4, NOON, 1, HOLD)
    sent = world.batch(granted(stray))
    assert said(sent) == [PermitReturned(CELL, DEVICE, 7)]
    (decision,) = log(sent)
    assert (decision.version, decision.events) == (0, (PermitDeclined(7, CELL),))
    nobody = replace(stray, device_id="TEST1024000000009")
    assert said(world.batch(granted(nobody))) == [PermitReturned(CELL, nobody.device_id, 7)]


def test_repeated_grants_and_refusals_change_nothing() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1), tick(NOON))
    (job,) = jobs(world.batch(granted(asked)))
    assert log(world.batch(granted(asked), refused(asked))) == []
    sent = world.batch(ended(job))
    assert said(sent) == [PermitReturned(CELL, DEVICE, 1)]
    assert said(world.batch(granted(asked))) == [PermitReturned(CELL, DEVICE, 1)], "the cell knows it no more"
    assert world.device().idle and len(responses(world.sent)) == 1


def test_a_permit_of_a_lost_job_comes_back_and_the_next_attempt_asks_for_more_connections() -> None:
    """Three: the meter may want its counter read before it takes ours, and that is a connection of its own."""
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1), tick(NOON))
    (job,) = jobs(world.batch(granted(asked)))
    lost = job.deadline + LIMITS.grace
    assert lost <= permit(asked).until, "the cell counts it as long as it may be out"
    assert said(world.batch(tick(lost))) == [PermitReturned(CELL, DEVICE, 1)]
    (again,) = said(world.batch(tick(lost + MINUTE)))
    assert isinstance(again, PermitAsked) and (again.number, again.connections) == (2, 3)
    assert asked.connections == 1


def test_one_attempt_alone_may_put_the_counter_right() -> None:
    """Who bypasses retries has no next attempt that could ask for more connections."""
    assert asking(World(LIMITS).holding(celled()), command(1, bypass_retry=True), tick(NOON)).connections == 3
    assert asking(World(LIMITS).holding(celled()), command(1), tick(NOON)).connections == 1


def test_a_permit_outlives_the_deadline_and_grace_of_its_job() -> None:
    deadline = NOON + MINUTE
    lasting = Permit(CELL, 1, (NOON,), 250, deadline + LIMITS.grace)
    device = celled(claim=Claim(1, CELL, 4, NOON, lasting))
    assert usable(device, deadline, LIMITS) and not usable(device, deadline + 1, LIMITS)


LAPSED = Fault(233, "LAPSED", "METERLOG", "the permit of the cell lapsed before the worker had the job")


@pytest.mark.parametrize(("priority", "earliest", "latest"), [(4, 50_000, 70_000), (5, 2_000, 2_000)])
def test_a_job_not_started_for_its_permit_lapsed_costs_no_attempt(priority: int, earliest: int, latest: int) -> None:
    """Reference 2.8: denied for want of a permit, it waits 2 s when it is in a hurry, else 50 to 70."""
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1, priority=priority), tick(NOON))
    (job,) = jobs(world.batch(granted(asked)))
    sent = world.batch(ended(job, CommandEnded(uid(1), Ended.NOT_STARTED, LAPSED), reached=False, lapsed=True))
    assert said(sent) == [PermitReturned(CELL, DEVICE, 1, lapsed=True)] and responses(sent) == []
    (held,) = world.device().queue
    assert held.attempts == 0
    assert NOON + earliest <= held.not_before <= NOON + latest
    assert said(world.batch(tick(held.not_before - 1))) == []
    assert asking(world, tick(held.not_before)).connections == 1


def test_a_look_whose_permit_lapsed_waits_for_the_next_permit_no_longer_than_others() -> None:
    world = World(LIMITS).holding(celled())
    clear = command(1, operation="ClearAlarmRegister", request={}, priority=9)
    (job,) = jobs(world.batch(granted(asking(world, clear, tick(NOON)))))
    world.batch(ended(job, CommandEnded(uid(1), Ended.UNKNOWN, LAPSED)))
    asked = asking(world, tick(NOON + 30_000))
    (job,) = jobs(world.batch(granted(asked, NOON + 32_000)))
    assert job.commands[0].verify
    end = CommandEnded(uid(1), Ended.NOT_STARTED, LAPSED)
    world.batch(ended(job, end, at=NOON + 33_000, reached=False, lapsed=True))
    (held,) = world.device().queue
    assert (held.not_before, held.looks) == (NOON + 35_000, 0)


def test_who_is_denied_permits_until_it_expires_is_told_417_not_that_the_meter_was_silent() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1, expires_at=NOON + 49_999), tick(NOON))
    (job,) = jobs(world.batch(granted(asked)))
    sent = world.batch(ended(job, CommandEnded(uid(1), Ended.NOT_STARTED, LAPSED), reached=False, lapsed=True))
    (response,) = responses(sent)
    assert response.fault is not None
    assert (response.status, response.fault.code, response.attempts) == (Status.EXPIRED, 417, 0)


@pytest.mark.parametrize("grant_first", [False, True])
def test_a_cancelled_command_gives_the_permit_back(grant_first: bool) -> None:
    world = World(Limits(slots=1, silent_slots=1)).holding(celled(), registered("TEST1024000000002"))
    world.batch(command(9, device_id="TEST1024000000002"), tick(NOON))
    asked = asking(world, command(1))
    if grant_first:
        world.batch(granted(asked))
    sent = world.batch(command(2, operation="Cancel", request={"correlation_id": uid(1)}))
    assert said(sent) == [PermitReturned(CELL, DEVICE, 1)]
    assert [each.status for each in responses(sent)] == [Status.CANCELLED, Status.SUCCESSFUL]
    assert world.device().idle
    assert jobs(world.batch(granted(asked))) == []


def test_a_command_expires_while_it_waits() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1, expires_at=NOON + MINUTE), tick(NOON))
    sent = world.batch(tick(NOON + MINUTE))
    assert [each.status for each in responses(sent)] == [Status.EXPIRED]
    assert said(sent) == [PermitReturned(CELL, DEVICE, 1)] and world.device().idle
    assert jobs(world.batch(granted(asked))) == []


def test_what_needs_no_meter_is_answered_while_a_permit_is_waited_for() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1), tick(NOON))
    status = {"status": "IN_USE"}
    sent = world.batch(command(2, operation="SetDeviceLifecycleStatus", request=status))
    assert [each.status for each in responses(sent)] == [Status.SUCCESSFUL]
    assert len(jobs(world.batch(granted(asked)))) == 1


def test_a_longer_operation_that_came_meanwhile_needs_a_permit_of_its_own() -> None:
    world = World(Limits(seconds_a_job=1)).holding(celled())
    asked = asking(world, command(1), tick(NOON))
    assert asked.hold == LIMITS.connect + 30_000 + 2 * LIMITS.grace
    day = datetime(2024, 1, 1, tzinfo=UTC)
    request = {"period_type": "INTERVAL", "begin_date": day, "end_date": day + timedelta(days=1)}
    older = command(2, operation="GetPeriodicMeterReads", request=request, at=NOON - 1)
    assert said(world.batch(older)) == []
    returned, again = said(world.batch(granted(asked)))
    assert returned == PermitReturned(CELL, DEVICE, 1)
    assert isinstance(again, PermitAsked) and again.hold == LIMITS.connect + 300_000 + 2 * LIMITS.grace
    (job,) = jobs(world.batch(granted(again)))
    assert job.deadline + LIMITS.grace <= permit(again).until


def test_a_new_owner_goes_on_where_the_last_one_was() -> None:
    world = World(LIMITS).holding(celled())
    asked = asking(world, command(1), tick(NOON))
    world.takeover()
    assert said(world.batch(tick(NOON + 1))) == []
    (job,) = jobs(world.batch(granted(asked)))
    world.takeover()
    assert said(world.batch(tick(NOON + 2), ended(job))) == [PermitReturned(CELL, DEVICE, 1)]


def test_rests_differ_between_devices_so_that_they_do_not_return_together() -> None:
    names = [f"TEST10240000{number:05}" for number in range(20)]
    world = World(LIMITS).holding(*(celled(name) for name in names))
    world.batch(tick(NOON), *(command(1, device_id=name) for name in names))
    asked = [each for each in said(world.sent) if isinstance(each, PermitAsked)]
    sent = world.batch(*(refused(each) for each in asked))
    rests = {
        event.again_at for decision in log(sent) for event in decision.events if isinstance(event, PermitPostponed)
    }
    assert len(rests) > 15 and min(rests) >= NOON + 50_000 and max(rests) <= NOON + 70_000


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"poison", "single-object"),
        (codec.encode(PermitReturned(CELL, DEVICE, 1)), "neither PermitGranted nor PermitRefused"),
        (codec.encode(PermitRefused("other", CELL, 1)), "not the key"),
    ],
)
def test_what_cannot_be_used_is_set_aside(value: bytes, reason: str) -> None:
    (record,) = World().holding(celled()).batch(raw(value, key=DEVICE.encode(), topic=topics.PERMITS.name))
    assert record.topic == topics.DEAD_LETTERS.name
    assert reason in headers.dead_letter(record.headers).reason


def test_a_permit_in_the_wrong_partition_is_set_aside() -> None:
    world = World(partitions=8, partition=(partition_of(DEVICE.encode(), 8) + 1) % 8)
    (record,) = world.batch(refused(PermitAsked(CELL, DEVICE, 1, 4, NOON, 1, HOLD)))
    assert record.topic == topics.DEAD_LETTERS.name


def test_the_cells_own_patience_is_less_than_the_devices() -> None:
    """A permit that lies unused is back before the device would ask again."""
    assert CellLimits().unspaced < Limits().permit_patience

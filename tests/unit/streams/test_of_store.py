"""What is asked of the store: a job like any other, on a topic of its own, with one outcome whatever becomes of it."""

from dataclasses import replace
from typing import Any

from schemas import codec, topics
from schemas.records import CommandEnded, Ended, Fault, Job, Lifecycle, Status
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.unit.streams.mbus import gas_meter
from tests.unit.streams.world import (
    DEVICE,
    MINUTE,
    NOON,
    REGISTRATION,
    World,
    command,
    ended,
    jobs,
    on,
    registered,
    responses,
    tick,
    uid,
)

FOUND = codec.encode_result("FindMessageLogs", {"total_pages": 0, "message_logs": ()})
AWAY = Fault(211, "CONNECTION_ERROR", "METERLOG", "ClickHouse is away")


def find(number: int, **given: Any) -> Received:
    return command(number, operation="FindMessageLogs", request={"page": 0, "since": None, "until": None}, **given)


def store_jobs(sent: list[Outgoing]) -> list[Job]:
    return [codec.decode(record.value) for record in on(topics.STORE_JOBS, sent)]


def test_its_job_goes_to_the_store_alone_without_keys_and_counters() -> None:
    world = World().holding(registered())
    sent = world.batch(tick(NOON), find(1), command(2))
    (job,) = store_jobs(sent)
    assert jobs(sent) == []
    assert [each.correlation_id for each in job.commands] == [uid(1)]
    assert job.registration is None and job.counter_to < job.counter_from
    sent = world.batch(ended(job, CommandEnded(uid(1), Ended.SUCCESSFUL, result=FOUND), reached=False))
    (response,) = responses(sent)
    assert (response.status, response.attempts) == (Status.SUCCESSFUL, 1)
    (job,) = jobs(sent)  # and now the meter's turn
    assert [each.correlation_id for each in job.commands] == [uid(2)] and job.registration is not None
    assert world.device().failures == 0, "nobody called the meter"


def test_what_it_says_is_nothing_of_the_meter() -> None:
    """One that does not answer goes on to be called within its quota."""
    world = World().holding(registered(failures=3, unreachable_since=NOON - MINUTE))
    (job,) = store_jobs(world.batch(tick(NOON), find(1)))
    world.batch(ended(job, CommandEnded(uid(1), Ended.SUCCESSFUL, result=FOUND), reached=False))
    assert (world.device().failures, world.device().unreachable_since) == (3, NOON - MINUTE)


def test_the_quota_of_meters_that_do_not_answer_is_not_for_it() -> None:
    """It calls nobody: it waits for none of those calls, nor do they for it."""
    names = [f"TEST10240000{number:05}" for number in range(3)]
    silent = [registered(name, failures=1, unreachable_since=NOON) for name in names]
    world = World(Limits(slots=4, silent_slots=1)).holding(*silent)
    sent = world.batch(tick(NOON), find(1, device_id=names[0]), command(2, device_id=names[1]))
    assert len(store_jobs(sent)) == len(jobs(sent)) == 1
    sent = world.batch(find(3, device_id=names[2]), command(4, device_id=names[2], at=NOON + 1))
    (job,) = store_jobs(sent)
    assert job.device_id == names[2] and jobs(sent) == []
    sent = world.batch(ended(job, CommandEnded(uid(3), Ended.SUCCESSFUL, result=FOUND), reached=False))
    assert jobs(sent) == [], "what calls the meter waits for the quota as ever"


def test_a_store_that_is_away_is_asked_again_until_the_attempts_are_used_up() -> None:
    world = World(Limits(retry_jitter=0.0)).holding(registered())
    sent, now = world.batch(tick(NOON), find(1)), NOON
    for attempt in range(1, 4):
        (job,) = store_jobs(sent)
        sent = world.batch(ended(job, CommandEnded(uid(1), Ended.RETRIABLE, AWAY), reached=False, at=now))
        if attempt < 3:
            assert responses(sent) == []
            now += 10 * MINUTE
            sent = world.batch(tick(now))
    (response,) = responses(sent)
    assert (response.status, response.fault, response.attempts) == (Status.ERROR, AWAY, 3)
    assert world.device().failures == 0


def test_a_reader_that_never_answers_is_missed() -> None:
    world = World(Limits(retry_jitter=0.0)).holding(registered())
    (job,) = store_jobs(world.batch(tick(NOON), find(1)))
    assert world.batch(tick(job.deadline)) == []
    world.batch(tick(job.deadline + Limits().grace))
    (again,) = store_jobs(world.batch(tick(job.deadline + 10 * MINUTE)))
    assert (again.number, again.commands[0].attempt) == (job.number + 1, 2)


def test_an_m_bus_meter_needs_no_gateway_for_it() -> None:
    meter = gas_meter()
    (job,) = store_jobs(World().holding(meter).batch(tick(NOON), find(1, device_id=meter.device_id)))
    assert job.device_id == meter.device_id


def test_a_device_in_a_radio_cell_needs_no_permit_for_it() -> None:
    """Nobody calls the meter; what does waits for the cell as ever."""
    celled = registered(registration=replace(REGISTRATION, cell_id="21/7"))
    world = World().holding(celled)
    sent = world.batch(tick(NOON), find(1))
    (job,) = store_jobs(sent)
    assert on(topics.PERMIT_REQUESTS, sent) == [] and job.permit is None
    sent = world.batch(ended(job, CommandEnded(uid(1), Ended.SUCCESSFUL, result=FOUND), reached=False))
    assert len(responses(sent)) == 1 and world.device().idle
    sent = world.batch(command(2))
    assert len(on(topics.PERMIT_REQUESTS, sent)) == 1 and jobs(sent) == []
    sent = world.batch(find(3), tick(NOON + 1))
    assert store_jobs(sent) == [], "one claim a device: it goes when the permit is there, before or after the other"


def test_it_is_answered_in_any_state_of_life_and_not_of_devices_nobody_knows() -> None:
    limits = Limits(refused_lifecycles=frozenset({Lifecycle.DESTROYED}))
    world = World(limits).holding(registered(lifecycle=Lifecycle.DESTROYED))
    assert len(store_jobs(world.batch(tick(NOON), find(1)))) == 1
    (response,) = responses(World().batch(tick(NOON), find(1)))
    assert response.device_id == DEVICE and response.fault is not None and response.fault.code == 201

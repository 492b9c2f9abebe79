"""How commands come to their outcome: results, leases, expiry; and what a device learns on the way."""

from dataclasses import replace

import pytest

from schemas import codec, topics
from schemas.records import CommandEnded, DeviceRegistered, Ended, Fault, Job, Status, TimeZoneSet
from streams.device.events import CommandPostponed, CounterDoubted, CounterRaised, JobLost, JobReported
from streams.device.limits import Limits
from streams.device.state import Device
from streams.keeper import Outgoing
from tests.unit.streams.world import (
    DEVICE,
    MINUTE,
    NOON,
    REGISTRATION,
    World,
    attempting,
    command,
    ended,
    jobs,
    log,
    on,
    raw,
    registered,
    responses,
    succeeded,
    tick,
    uid,
)

REFUSED = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
LIMITS = Limits(retry_jitter=0.0)
GRACE = LIMITS.grace


def flying(world: World, *numbers: int, **header: object) -> Job:
    """A job with these commands, out at noon."""
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(*(command(number, **header) for number in numbers)))  # type: ignore[arg-type]
    assert len(job.commands) == len(numbers)
    return job


def world(limits: Limits = LIMITS) -> World:
    return World(limits).holding(registered())


def one(job: Job, how: Ended, fault: Fault | None = REFUSED) -> CommandEnded:
    return CommandEnded(job.commands[0].correlation_id, how, fault)


@pytest.mark.parametrize(
    ("how", "status"), [(Ended.FAILED, Status.ERROR), (Ended.UNKNOWN, Status.UNKNOWN)], ids=["failed", "unknown"]
)
def test_what_a_retry_does_not_mend_is_settled_at_once(how: Ended, status: Status) -> None:
    here = world()
    job = flying(here, 1)
    (response,) = responses(here.batch(ended(job, one(job, how))))
    assert (response.status, response.fault, response.attempts) == (status, REFUSED, 1)
    assert here.device().idle


def test_a_result_is_copied_into_the_response_and_never_into_the_log() -> None:
    here = world()
    job = flying(here, 1)
    body = codec.encode_result("SynchronizeTime", {})
    told = CommandEnded(uid(1), Ended.SUCCESSFUL, result=body, large_result=None)
    sent = here.batch(ended(job, told))
    (record,) = on(topics.RESPONSES, sent)
    assert codec.decode_response(record.value)[1] == {}


def test_a_large_result_is_pointed_at() -> None:
    here = world()
    job = flying(here, 1)
    told = CommandEnded(uid(1), Ended.SUCCESSFUL, large_result="metering.results.large.v1:0:17")
    sent = here.batch(ended(job, told))
    assert responses(sent)[0].large_result == "metering.results.large.v1:0:17"
    assert codec.decode_response(on(topics.RESPONSES, sent)[0].value)[1] is None


class TestRetry:
    def test_waits_longer_each_time_and_ends_after_three_attempts(self) -> None:
        here = world()
        job, at = flying(here, 1), NOON
        for attempt, delay in ((1, 30_000), (2, 60_000)):
            assert job.commands[0].attempt == attempt
            sent = here.batch(ended(job, one(job, Ended.RETRIABLE), at=at, reached=False))
            assert responses(sent) == []
            assert here.device().queue[0].not_before == at + delay
            assert jobs(here.batch(tick(at + delay - 1))) == []
            at += delay
            (job,) = jobs(here.batch(tick(at)))
        (response,) = responses(here.batch(ended(job, one(job, Ended.RETRIABLE), at=at, reached=False)))
        assert (response.status, response.fault, response.attempts) == (Status.ERROR, REFUSED, 3)

    def test_is_bypassed(self) -> None:
        here = world()
        job = flying(here, 1, bypass_retry=True)
        (response,) = responses(here.batch(ended(job, one(job, Ended.RETRIABLE))))
        assert (response.status, response.attempts) == (Status.ERROR, 1)

    def test_a_command_that_was_not_started_has_used_no_attempt(self) -> None:
        here = world()
        job = flying(here, 1, bypass_retry=True)
        (event,) = [e for e in log(here.batch(ended(job, one(job, Ended.NOT_STARTED, None))))[0].events[1:]]
        assert event == CommandPostponed(uid(1), NOON + 30_000, 0, None)

    def test_a_command_the_result_does_not_name_was_not_started(self) -> None:
        here = world()
        job = flying(here, 1, 2)
        here.batch(ended(job, succeeded(uid(1))))
        (held,) = here.device().queue
        assert (held.correlation_id, held.attempts) == (uid(2), 0)

    def test_a_retry_after_the_expiry_is_not_waited_for(self) -> None:
        here = world()
        job = flying(here, 1, expires_at=NOON + 29_999)
        (response,) = responses(here.batch(ended(job, one(job, Ended.RETRIABLE))))
        assert (response.status, response.fault) == (Status.EXPIRED, REFUSED)

    def test_spreads_by_the_seed_of_the_tick(self) -> None:
        delays = set()
        for seed in range(20):
            here = World(Limits()).holding(registered())
            here.batch(tick(NOON, seed=seed))
            (job,) = jobs(here.batch(command(1)))
            here.batch(ended(job, one(job, Ended.RETRIABLE)))
            delays.add(here.device().queue[0].not_before - NOON)
        assert len(delays) > 15
        assert min(delays) >= 24_000 and max(delays) <= 36_000


class TestLateResults:
    def test_settle_nothing(self) -> None:
        here = world()
        job = flying(here, 1)
        here.batch(ended(job))
        before = here.device()
        assert here.batch(ended(job, one(job, Ended.FAILED))) == []
        assert here.device() == before

    def test_teach_all_the_same(self) -> None:
        here = world()
        job = flying(here, 1)
        here.batch(ended(job))
        fact = CommandEnded(uid(1), Ended.SUCCESSFUL, facts=(TimeZoneSet("Europe/Amsterdam"),))
        sent = here.batch(ended(job, fact, counter_floor=5_000))
        assert responses(sent) == []
        device = here.device()
        assert device.counter == 5_000
        assert device.registration is not None and device.registration.time_zone == "Europe/Amsterdam"

    def test_register_no_device(self) -> None:
        """Its caller may have been told Error; another AddDevice brings the registration again."""
        here = World(replace(LIMITS, attempts=1))
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(command(1, operation="AddDevice")))
        here.batch(ended(job, one(job, Ended.RETRIABLE)))
        assert here.batch(ended(job)) == []
        assert here.device().registration is None


class TestCounters:
    def test_a_job_has_a_range_of_its_own(self) -> None:
        here = world()
        first = flying(here, 1)
        assert first.counter_from == 100
        here.batch(ended(first))
        (second,) = jobs(here.batch(command(2)))
        assert second.counter_from == first.counter_to + 1

    def test_what_the_meter_expects_raises_the_floor_and_nothing_lowers_it(self) -> None:
        here = world()
        job = flying(here, 1)
        sent = here.batch(ended(job, counter_floor=70_000))
        assert CounterRaised(70_000) in log(sent)[0].events
        (job,) = jobs(here.batch(command(2)))
        assert job.counter_from == 70_000
        here.batch(ended(job, counter_floor=3))
        assert here.device().counter == job.counter_to + 1

    @pytest.mark.parametrize(
        ("ahead", "followed"), [(0, True), (1_000_000, True), (1_000_001, False), (0xFFFF_FFFF - 200, False)]
    )
    def test_a_meter_that_is_said_to_be_far_ahead_is_not_believed(self, ahead: int, followed: bool) -> None:
        """Nothing proves who said so: one lie must not use up the counters of a key."""
        here = world()
        job = flying(here, 1)
        ours = here.device().counter
        sent = here.batch(ended(job, one(job, Ended.RETRIABLE), counter_floor=ours + ahead))
        assert here.device().counter == (ours + ahead if followed else ours)
        assert (CounterDoubted(ours + ahead) in log(sent)[0].events) is not followed
        assert here.keeper.counts.counters_doubted == (not followed)
        fault = here.device().queue[0].fault
        assert fault is not None and (fault.name == "COUNTER_DOUBTED") is not followed
        if not followed:
            assert str(ours + ahead) in fault.message and fault.inner is not None and REFUSED.name in fault.inner

    def test_what_the_worker_itself_used_is_always_believed(self) -> None:
        here = world()
        job = flying(here, 1)
        here.batch(ended(job, counter_floor=0xFFFF_FFFF, counter_next=job.counter_to + 9))
        assert here.device().counter == job.counter_to + 9

    def test_used_up_is_an_error_and_not_a_second_use(self) -> None:
        here = World(LIMITS).holding(registered(counter=0xFFFF_FFFF))
        here.batch(tick(NOON))
        (response,) = responses(here.batch(command(1)))
        assert response.status is Status.ERROR
        assert response.fault is not None and response.fault.code == 808

    def test_the_registration_brings_the_first_one(self) -> None:
        here = World(LIMITS)
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(command(1, operation="AddDevice")))
        told = CommandEnded(uid(1), Ended.SUCCESSFUL, facts=(DeviceRegistered(REGISTRATION, 900),))
        here.batch(ended(job, told))
        assert here.device().counter == 900


class TestRegistration:
    def begun(self, *numbers: int) -> tuple[World, Job, list[Outgoing]]:
        here = World(LIMITS)
        here.batch(tick(NOON))
        sent = here.batch(command(1, operation="AddDevice"), *(command(number) for number in numbers))
        return here, jobs(sent)[0], sent

    def test_that_fails_rejects_what_waited_for_it(self) -> None:
        here, job, _ = self.begun(2, 3)
        sent = here.batch(ended(job, one(job, Ended.FAILED)))
        told = {response.correlation_id: response for response in responses(sent)}
        assert told[uid(1)].status is Status.ERROR
        for number in (2, 3):
            fault = told[uid(number)].fault
            assert told[uid(number)].status is Status.REJECTED and fault is not None and fault.code == 201
        assert here.device().idle

    def test_that_fails_leaves_the_next_one_its_turn(self) -> None:
        here, job, _ = self.begun(2)
        here.batch(command(3, operation="AddDevice"))
        sent = here.batch(ended(job, one(job, Ended.FAILED)))
        assert [response.correlation_id for response in responses(sent)] == [uid(1)]
        (job,) = jobs(sent)
        assert [each.correlation_id for each in job.commands] == [uid(3)]

    def test_that_succeeds_makes_the_second_one_a_duplicate(self) -> None:
        here, job, _ = self.begun(2)
        here.batch(command(3, operation="AddDevice"))
        told = {response.correlation_id: response for response in responses(here.batch(ended(job)))}
        assert told[uid(1)].status is Status.SUCCESSFUL
        fault = told[uid(3)].fault
        assert told[uid(3)].status is Status.REJECTED and fault is not None and fault.code == 204

    def test_that_tells_no_registration_is_no_success(self) -> None:
        here, job, _ = self.begun()
        (response,) = responses(here.batch(ended(job, CommandEnded(uid(1), Ended.SUCCESSFUL))))
        assert response.status is Status.ERROR
        assert here.device().registration is None


class TestLeases:
    """A job without a result is judged at deadline and grace, once all results up to the tick are decided."""

    def test_run_out_at_deadline_and_grace(self) -> None:
        here = world()
        job = flying(here, 1)
        assert here.batch(tick(job.deadline + GRACE - 1)) == []
        (decision,) = log(here.batch(tick(job.deadline + GRACE)))
        assert decision.events[0] == JobLost(job.number, job.deadline + GRACE)
        held = here.device().queue[0]
        assert (held.attempts, held.fault is not None) == (1, True)
        (again,) = jobs(here.batch(tick(job.deadline + GRACE + 30_000)))
        assert again.number == job.number + 1 and again.counter_from == job.counter_to + 1

    def test_wait_for_results_that_are_still_to_be_decided(self) -> None:
        here = world()
        job = flying(here, 1)
        late = job.deadline + GRACE + MINUTE
        assert here.batch(tick(late, results_end=1)) == []
        (response,) = responses(here.batch(ended(job, at=late)))
        assert response.status is Status.SUCCESSFUL

    def test_are_judged_by_a_later_tick_once_the_results_are_decided(self) -> None:
        here = world()
        job = flying(here, 1)
        late = job.deadline + GRACE
        here.batch(tick(late, results_end=1))
        other = raw(b"rubbish", key=b"x", topic=topics.JOB_RESULTS.name)
        here.batch(other)
        (decision,) = log(here.batch(tick(late + 1, results_end=1)))
        assert isinstance(decision.events[0], JobLost)

    def test_a_new_owner_knows_what_is_decided(self) -> None:
        here = world()
        here.batch(raw(b"rubbish", key=b"x", topic=topics.JOB_RESULTS.name))
        job = flying(here, 1)
        here.takeover()
        assert log(here.batch(tick(job.deadline + GRACE, results_end=1)))

    def test_a_command_whose_attempt_had_begun_is_unknown_when_nobody_can_look_for_it(self) -> None:
        here = world()
        job = flying(here, 1, 2)
        here.batch(attempting(job, uid(2)))
        sent = here.batch(tick(job.deadline + GRACE, results_end=1))
        (response,) = responses(sent)
        assert (response.correlation_id, response.status, response.attempts) == (uid(2), Status.UNKNOWN, 1)
        assert [held.correlation_id for held in here.device().queue] == [uid(1)]

    @pytest.mark.parametrize("number", [1, 3])
    def test_attempts_of_another_job_or_command_are_passed_over(self, number: int) -> None:
        here = world()
        job = flying(here, 1)
        stale = replace(job, number=number)
        assert here.batch(attempting(stale, uid(1)), attempting(job, uid(9))) == []
        flight = here.device().flight
        assert flight is not None and flight.attempting == ()

    def test_a_result_in_the_same_batch_comes_first(self) -> None:
        here = world()
        job = flying(here, 1)
        sent = here.batch(tick(job.deadline + GRACE, results_end=1), ended(job))
        assert [response.status for response in responses(sent)] == [Status.SUCCESSFUL]


class TestExpiry:
    def test_of_a_command_that_waits_for_a_slot(self) -> None:
        here = World(replace(LIMITS, slots=1, silent_slots=1)).holding(registered(), registered("TEST1024000000002"))
        flying(here, 1)
        here.batch(command(2, device_id="TEST1024000000002", expires_at=NOON + 500))
        (response,) = responses(here.batch(tick(NOON + 500)))
        assert (response.correlation_id, response.status, response.attempts) == (uid(2), Status.EXPIRED, 0)

    def test_of_a_command_behind_a_job(self) -> None:
        here = world()
        flying(here, 1)
        here.batch(command(2, expires_at=NOON + 500))
        (response,) = responses(here.batch(tick(NOON + 501)))
        assert response.correlation_id == uid(2)
        assert here.device().flight is not None

    def test_does_not_touch_a_command_in_flight(self) -> None:
        here = world()
        flying(here, 1, expires_at=NOON + 500)
        assert here.batch(tick(NOON + 501)) == []

    def test_of_a_registration_takes_those_along_that_waited(self) -> None:
        here = World(LIMITS)
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(command(1, operation="AddDevice", expires_at=NOON + MINUTE), command(2)))
        here.batch(ended(job, one(job, Ended.RETRIABLE), at=NOON + 1))
        assert here.device().queue[0].attempts == 1
        told = responses(here.batch(tick(NOON + 40_000), tick(NOON + 40_001)))
        assert told == []
        (job,) = jobs(here.sent[-2:])
        told = responses(here.batch(ended(job, one(job, Ended.RETRIABLE), at=NOON + 41_000)))
        assert [response.status for response in told] == [Status.EXPIRED, Status.REJECTED]


def test_a_result_of_nobody_is_set_aside() -> None:
    here = World()
    sent = here.batch(ended(Job(DEVICE, 1, NOON, 1, 2, None, ())))
    assert len(on(topics.DEAD_LETTERS, sent)) == 1


def test_a_result_under_another_key_is_set_aside() -> None:
    here = world()
    job = flying(here, 1)
    assert len(on(topics.DEAD_LETTERS, here.batch(replace(ended(job), key=b"other")))) == 1
    assert here.device().flight is not None


def test_a_silent_meter_is_known_until_it_answers() -> None:
    here = world()
    job = flying(here, 1)
    here.batch(ended(job, one(job, Ended.RETRIABLE), at=NOON + 5, reached=False))
    device: Device = here.device()
    assert (device.failures, device.unreachable_since) == (1, NOON + 5)
    (job,) = jobs(here.batch(tick(NOON + MINUTE)))
    here.batch(ended(job))
    assert (here.device().failures, here.device().unreachable_since) == (0, None)


@pytest.mark.parametrize("before", [(0, None), (2, NOON - MINUTE)], ids=["answering", "silent"])
@pytest.mark.parametrize(
    ("how", "reached", "says"),
    [
        (Ended.RETRIABLE, False, "silent"),
        (Ended.UNKNOWN, False, "silent"),
        (Ended.FAILED, False, "nothing"),  # refused before it was called
        (Ended.NOT_STARTED, False, "nothing"),  # the permit of its cell had lapsed, or the worker stopped
        (Ended.NOT_STARTED, True, "answering"),
        (Ended.RETRIABLE, True, "answering"),
    ],
)
def test_a_meter_is_silent_from_a_call_it_did_not_answer_until_one_that_it_does(
    before: tuple[int, int | None], how: Ended, reached: bool, says: str
) -> None:
    """Who did not answer lately has a quota of the slots (design 5): a job that calls nobody lets no dead meter out."""
    failures, since = before
    here = World(LIMITS).holding(registered(failures=failures, unreachable_since=since))
    job = flying(here, 1)
    sent = here.batch(ended(job, one(job, how), at=NOON + 5, reached=reached))
    (event,) = [each for each in log(sent)[0].events if isinstance(each, JobReported)]
    assert (event.unreached, event.called) == (says == "silent", says != "nothing"), "what the analysts see of it"
    known = {"silent": (failures + 1, since or NOON + 5), "answering": (0, None), "nothing": before}
    assert (here.device().failures, here.device().unreachable_since) == known[says]


def test_a_device_is_not_silent_after_adding_it_for_that_calls_no_meter() -> None:
    here = World(LIMITS)
    here.batch(tick(NOON))
    (job,) = jobs(here.batch(command(1, operation="AddDevice")))
    here.batch(ended(job, reached=False))
    assert (here.device().failures, here.device().unreachable_since) == (0, None)

"""A command that may not be repeated and whose answer was lost: it is looked for, and seen done, seen not done, or
Unknown. Given, message, then.
"""

from dataclasses import replace
from typing import Any

import pytest

from schemas import codec, topics
from schemas.records import CommandEnded, Ended, Fault, Job, Lifecycle, Status, TimeZoneSet
from streams.device.events import AttemptDisproved, CommandDoubted, CommandPostponed, VerifyPostponed
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import (
    MINUTE,
    NOON,
    World,
    attempting,
    command,
    ended,
    jobs,
    log,
    on,
    registered,
    responses,
    succeeded,
    tick,
    uid,
)

LOST = Fault(233, "RESPONSE_TIMEOUT", "METERLOG", "no answer within 30 s")
AWAY = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
NOTHING_TO_SEE = Fault(0, "TECHNICAL", "METERLOG", "register 1 is 0x00000002")
LIMITS = Limits(retry_jitter=0.0)
RESULT = codec.encode_result("ClearAlarmRegister", {"cleared": [1]})
DONE = CommandEnded(uid(1), Ended.SUCCESSFUL, result=RESULT)
NOT_DONE = CommandEnded(uid(1), Ended.NOT_DONE, NOTHING_TO_SEE)


def clear(number: int = 1, **header: Any) -> Received:
    return command(number, operation="ClearAlarmRegister", request={}, **header)


def flying(limits: Limits = LIMITS, **header: Any) -> tuple[World, Job]:
    """A meter whose alarm registers are being cleared since noon."""
    here = World(limits).holding(registered())
    here.batch(tick(NOON))
    (job,) = jobs(here.batch(clear(**header)))
    return here, job


def how(job: Job, what: Ended, fault: Fault | None = LOST) -> CommandEnded:
    return CommandEnded(job.commands[0].correlation_id, what, fault)


def in_doubt(limits: Limits = LIMITS, **header: Any) -> tuple[World, Job]:
    """The worker said at noon that the answer was lost."""
    here, job = flying(limits, **header)
    assert responses(here.batch(ended(job, how(job, Ended.UNKNOWN)))) == []
    return here, job


def looking(limits: Limits = LIMITS, **header: Any) -> tuple[World, Job]:
    """And half a minute later a job is out that looks."""
    here, _ = in_doubt(limits, **header)
    (job,) = jobs(here.batch(tick(NOON + 30_000)))
    return here, job


def test_a_worker_that_lost_the_answer_brings_doubt_and_no_outcome() -> None:
    here, job = flying()
    sent = here.batch(attempting(job, uid(1)), ended(job, how(job, Ended.UNKNOWN)))
    assert responses(sent) == [] and jobs(sent) == []
    assert CommandDoubted(uid(1), NOON + 30_000, 1, LOST) in log(sent)[-1].events
    (held,) = here.device().queue
    assert (held.doubt, held.attempts, held.looks, held.not_before) == (LOST, 1, 0, NOON + 30_000)
    assert here.keeper.counts.doubted == 1


def test_a_job_lost_after_its_attempt_began_brings_doubt() -> None:
    here, job = flying()
    here.batch(attempting(job, uid(1)))
    sent = here.batch(tick(job.deadline + LIMITS.grace, results_end=1))
    assert responses(sent) == [] and jobs(sent) == []
    (held,) = here.device().queue
    assert held.doubt is not None and held.doubt.code == 233 and held.attempts == 1


def test_a_job_lost_before_its_attempt_began_is_tried_again() -> None:
    here, job = flying()
    here.batch(tick(job.deadline + LIMITS.grace))
    (again,) = jobs(here.batch(tick(job.deadline + LIMITS.grace + 30_000)))
    assert not again.commands[0].verify and again.commands[0].attempt == 2


def test_what_the_worker_knows_it_did_not_send_is_tried_again_though_it_was_announced() -> None:
    here, job = flying()
    here.batch(attempting(job, uid(1)), ended(job, how(job, Ended.RETRIABLE, AWAY)))
    (again,) = jobs(here.batch(tick(NOON + 30_000)))
    assert not again.commands[0].verify and again.commands[0].attempt == 2


@pytest.mark.parametrize("told", [(), (CommandEnded(uid(1), Ended.NOT_STARTED),)], ids=["unnamed", "not-started"])
def test_a_result_that_is_silent_about_what_was_announced_brings_doubt(told: tuple[CommandEnded, ...]) -> None:
    here, job = flying()
    here.batch(attempting(job, uid(1)), ended(job, *(told or (succeeded(uid(99)),))))
    assert here.device().queue[0].doubt is not None


def test_what_nobody_can_look_for_is_unknown_at_once() -> None:
    """Of an operation that may be repeated no worker says it; then it is believed."""
    here = World(LIMITS).holding(registered())
    here.batch(tick(NOON))
    (job,) = jobs(here.batch(command(1)))
    (response,) = responses(here.batch(ended(job, how(job, Ended.UNKNOWN))))
    assert (response.status, response.fault, response.attempts) == (Status.UNKNOWN, LOST, 1)


def test_the_next_job_only_looks() -> None:
    here, job = looking()
    (asked,) = job.commands
    assert (asked.correlation_id, asked.operation, asked.verify, asked.attempt) == (
        uid(1), "ClearAlarmRegister", True, 1,
    )  # fmt: skip
    assert asked.command == clear().value


def test_looks_come_first_in_their_job() -> None:
    here, _ = in_doubt()
    here.batch(clear(2, priority=9, scheduled_at=NOON + 29_000), command(3, priority=9, scheduled_at=NOON + 29_000))
    (job,) = jobs(here.batch(tick(NOON + 30_000)))
    assert [(each.correlation_id, each.verify) for each in job.commands] == [
        (uid(1), True), (uid(2), False), (uid(3), False),
    ]  # fmt: skip


def test_a_device_in_doubt_does_its_other_work() -> None:
    here, _ = in_doubt()
    (job,) = jobs(here.batch(command(2)))
    assert [each.correlation_id for each in job.commands] == [uid(2)]
    here.batch(ended(job))
    assert [held.correlation_id for held in here.device().queue] == [uid(1)]


def test_seen_done_is_successful_with_the_result() -> None:
    here, job = looking()
    sent = here.batch(ended(job, DONE))
    (response,) = responses(sent)
    assert (response.status, response.fault, response.attempts) == (Status.SUCCESSFUL, None, 1)
    assert codec.decode_response(on(topics.RESPONSES, sent)[0].value)[1] == {"cleared": (1,)}
    assert here.device().idle


def test_seen_not_done_is_tried_again_and_counted() -> None:
    here, job = looking()
    sent = here.batch(ended(job, NOT_DONE, at=NOON + 31_000))
    assert log(sent)[0].events[1:] == (
        AttemptDisproved(uid(1)),
        CommandPostponed(uid(1), NOON + 61_000, 1, LOST),
    )
    (again,) = jobs(here.batch(tick(NOON + 61_000)))
    assert (again.commands[0].verify, again.commands[0].attempt) == (False, 2)


def test_seen_not_done_after_the_last_attempt_is_an_error() -> None:
    here, job = looking(replace(LIMITS, attempts=1))
    (response,) = responses(here.batch(ended(job, NOT_DONE)))
    assert (response.status, response.fault, response.attempts) == (Status.ERROR, LOST, 1)


def test_seen_not_done_and_too_late_for_another_attempt_is_expired() -> None:
    here, job = looking(expires_at=NOON + 50_000)
    (response,) = responses(here.batch(ended(job, NOT_DONE, at=NOON + 31_000)))
    assert (response.status, response.fault) == (Status.EXPIRED, LOST)


@pytest.mark.parametrize("what", [Ended.UNKNOWN, Ended.FAILED])
def test_what_cannot_be_told_is_unknown_under_the_first_fault(what: Ended) -> None:
    here, job = looking()
    (response,) = responses(here.batch(ended(job, how(job, what, NOTHING_TO_SEE))))
    assert (response.status, response.attempts) == (Status.UNKNOWN, 1)
    assert response.fault == replace(LOST, inner="not verified: register 1 is 0x00000002")
    assert here.device().idle


class TestLooksAreRepeated:
    def test_with_longer_waits_and_as_often_as_attempts(self) -> None:
        here, job = looking()
        now = NOON + 30_000
        for looks, delay in ((1, 30_000), (2, 60_000)):
            sent = here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), at=now, reached=False))
            assert VerifyPostponed(uid(1), now + delay, looks, AWAY) in log(sent)[0].events
            assert jobs(here.batch(tick(now + delay - 1))) == []
            now += delay
            (job,) = jobs(here.batch(tick(now)))
            assert (job.commands[0].verify, job.commands[0].attempt) == (True, 1)
        (response,) = responses(here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), at=now, reached=False)))
        assert (response.status, response.attempts) == (Status.UNKNOWN, 1)
        assert response.fault == replace(LOST, inner="not verified: nobody listens")

    def test_when_their_job_is_lost(self) -> None:
        here, job = looking()
        over = job.deadline + LIMITS.grace
        here.batch(tick(over))
        (again,) = jobs(here.batch(tick(over + 30_000)))
        assert again.commands[0].verify and here.device().queue[0].looks == 1

    def test_without_a_count_when_their_turn_never_came(self) -> None:
        here, job = looking(bypass_retry=True)
        sent = here.batch(ended(job, how(job, Ended.NOT_STARTED, None), at=NOON + 30_000))
        assert VerifyPostponed(uid(1), NOON + 60_000, 0, LOST) in log(sent)[0].events

    def test_and_succeed_in_the_end(self) -> None:
        here, job = looking()
        here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), at=NOON + 30_000, reached=False))
        (job,) = jobs(here.batch(tick(NOON + 60_000)))
        (response,) = responses(here.batch(ended(job, DONE, at=NOON + 60_000)))
        assert (response.status, response.attempts) == (Status.SUCCESSFUL, 1)

    def test_by_a_new_owner_who_knows_the_table_alone(self) -> None:
        here, job = looking()
        here.takeover()
        here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), at=NOON + 30_000, reached=False))
        here.takeover()
        (job,) = jobs(here.batch(tick(NOON + 60_000)))
        assert job.commands[0].verify


class TestNothingElseEndsIt:
    """Never Expired, and never Error, for what may have been done."""

    def unknown(self, sent: list[Outgoing]) -> Fault:
        (response,) = responses(sent)
        assert response.status is Status.UNKNOWN and response.fault is not None
        return response.fault

    def test_expired_while_it_waits_to_be_looked_for(self) -> None:
        here, _ = in_doubt(expires_at=NOON + 40_000)
        here.batch(tick(NOON + 29_999))
        here.takeover()
        assert self.unknown(here.batch(tick(NOON + 40_000))) == LOST

    def test_expired_while_its_meter_waits_for_a_slot(self) -> None:
        other = "TEST1024000000002"
        here = World(replace(LIMITS, slots=1, silent_slots=1)).holding(registered(), registered(other))
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(clear(expires_at=NOON + 40_000)))
        assert jobs(here.batch(ended(job, how(job, Ended.UNKNOWN)), command(2, device_id=other)))
        assert self.unknown(here.batch(tick(NOON + 40_000))) == LOST

    def test_about_to_expire_before_anybody_could_look(self) -> None:
        here, job = flying(expires_at=NOON + 30_000)
        assert self.unknown(here.batch(ended(job, how(job, Ended.UNKNOWN)))) == LOST

    def test_about_to_expire_before_anybody_could_look_again(self) -> None:
        here, job = looking(expires_at=NOON + 50_000)
        fault = self.unknown(here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), at=NOON + 30_000)))
        assert fault == replace(LOST, inner="not verified: nobody listens")

    def test_its_device_is_to_be_left_alone_meanwhile(self) -> None:
        here, _ = in_doubt(replace(LIMITS, refused_lifecycles=frozenset({Lifecycle.DESTROYED})))
        here.holding(replace(here.device(), lifecycle=Lifecycle.DESTROYED))
        fault = self.unknown(here.batch(tick(NOON + 30_000)))
        assert fault.code == 233 and fault.inner is not None and "not verified" in fault.inner

    def test_counters_used_up(self) -> None:
        here, _ = in_doubt()
        here.holding(replace(here.device(), counter=0xFFFF_FFFF))
        fault = self.unknown(here.batch(tick(NOON + 30_000)))
        assert fault.code == 233 and fault.inner is not None and "used up" in fault.inner


class TestBypassedRetry:
    """The caller wants no second attempt, but does want to know of the first."""

    def test_one_look_is_made(self) -> None:
        here, job = looking(bypass_retry=True)
        assert job.commands[0].verify
        (response,) = responses(here.batch(ended(job, DONE)))
        assert response.status is Status.SUCCESSFUL

    def test_a_look_that_fails_is_not_repeated(self) -> None:
        here, job = looking(bypass_retry=True)
        (response,) = responses(here.batch(ended(job, how(job, Ended.RETRIABLE, AWAY), reached=False)))
        assert response.status is Status.UNKNOWN

    def test_seen_not_done_is_no_reason_for_another_attempt(self) -> None:
        here, job = looking(bypass_retry=True)
        (response,) = responses(here.batch(ended(job, NOT_DONE)))
        assert (response.status, response.fault, response.attempts) == (Status.ERROR, LOST, 1)


class TestLateResults:
    """Of the attempt in doubt: they settle nothing; what they teach is learnt."""

    @pytest.mark.parametrize("looks", [False, True], ids=["waiting", "looked-for"])
    @pytest.mark.parametrize("what", list(Ended))
    def test_settle_nothing(self, what: Ended, looks: bool) -> None:
        here, lost = flying()
        here.batch(attempting(lost, uid(1)))
        over = lost.deadline + LIMITS.grace
        here.batch(tick(over, results_end=1))
        if looks:
            (job,) = jobs(here.batch(tick(over + 30_000, results_end=1)))
            assert job.commands[0].verify
        before = here.device()
        facts = (TimeZoneSet("Europe/Amsterdam"),)
        late = CommandEnded(uid(1), what, result=RESULT, facts=facts)
        sent = here.batch(ended(lost, late, at=over + 30_001, counter_floor=9_000))
        assert responses(sent) == [] and jobs(sent) == []
        after = here.device()
        assert (after.queue, after.flight) == (before.queue, before.flight)
        assert after.counter == 9_000
        assert after.registration is not None and after.registration.time_zone == "Europe/Amsterdam"

    def test_that_something_was_begun_brings_no_doubt_any_more(self) -> None:
        here, job = looking()
        (response,) = responses(here.batch(ended(job, DONE)))
        before = here.device()
        assert response.status is Status.SUCCESSFUL
        assert here.batch(attempting(replace(job, number=job.number - 1), uid(1))) == []
        assert here.device() == before


def test_the_same_command_again_is_told_that_it_is_in_work() -> None:
    here, _ = in_doubt()
    sent = here.batch(clear())
    assert responses(sent) == []
    assert here.device().queue[0].doubt == LOST


def test_one_alone_may_be_in_doubt() -> None:
    here, job = flying()
    here.batch(ended(job, how(job, Ended.UNKNOWN)))
    (job,) = jobs(here.batch(clear(2)))
    here.batch(ended(job, CommandEnded(uid(2), Ended.UNKNOWN, AWAY), at=NOON + MINUTE))
    assert [(held.correlation_id, held.doubt) for held in here.device().queue] == [(uid(1), LOST), (uid(2), AWAY)]

"""Bundles in the device: refused whole, kept in part, answered with what there is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from operations import bundle, catalogue
from operations.bundle import Result
from schemas import codec, topics
from schemas.records import CommandEnded, Ended, Fault, Job, JobAttempting, Status
from streams.device.limits import Limits
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import (
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

LIMITS = Limits(retry_jitter=0.0)
LOST = Fault(229, "SOCKET_CLOSED_BY_REMOTE", "METERLOG", "closed")
NAMES = ("SynchronizeTime", "ClearAlarmRegister", "ReadAlarmRegister")
ACTIONS: Any = (
    ("meterlog.operations.synchronize_time.Request", {"time_zone": "UTC"}),
    ("meterlog.operations.clear_alarm_register.Request", {}),
    ("meterlog.operations.read_alarm_register.Request", {}),
)
RESULTS = {
    "SynchronizeTime": catalogue()["SynchronizeTime"].result(),
    "ClearAlarmRegister": catalogue()["ClearAlarmRegister"].result((1,)),
    "ReadAlarmRegister": catalogue()["ReadAlarmRegister"].result((), 5),
}
DONE = object()


def bundled(number: int = 1, actions: Any = ACTIONS, **header: Any) -> Received:
    return command(number, operation="Bundle", request={"actions": actions}, **header)


def world(limits: Limits = LIMITS) -> World:
    return World(limits).holding(registered())


def flying(here: World, **header: Any) -> Job:
    here.batch(tick(NOON))
    (job,) = jobs(here.batch(bundled(**header)))
    return job


def body(*entries: Any) -> bytes:
    """A Result: for each action DONE, or how it ended."""
    made = [
        RESULTS[name] if entry is DONE else bundle.fault_entry(entry, LOST)
        for name, entry in zip(NAMES, entries, strict=True)
    ]
    return codec.encode_result("Bundle", Result(tuple(made)))


def partly(*entries: Any) -> CommandEnded:
    return CommandEnded(uid(1), Ended.RETRIABLE, LOST, result=body(*entries))


def attempting(job: Job, action: int | None) -> Received:
    record = JobAttempting(job.device_id, job.number, job.commands[0].correlation_id, NOON, action)
    return raw(codec.encode(record), key=job.device_id.encode(), at=NOON, topic=topics.JOB_RESULTS.name)


def answered(sent: Sequence[Outgoing]) -> list[str]:
    """The entries of the one response: the operation, or the outcome of a fault."""
    (record,) = on(topics.RESPONSES, sent)
    header, result = codec.decode_response(record.value)
    assert result is not None, header
    return [
        fields["outcome"] if name.endswith("bundle.FaultEntry") else name.split(".")[2]
        for name, fields in result["entries"]
    ]


class TestAccepted:
    def test_is_refused_whole_naming_the_action(self) -> None:
        here = world()
        mars = (ACTIONS[0][0], {"time_zone": "Mars"})
        (response,) = responses(here.batch(bundled(actions=(*ACTIONS, mars))))
        assert response.status is Status.REJECTED
        assert response.fault is not None
        assert (response.fault.code, response.fault.field) == (401, "actions[3].time_zone")

    def test_is_refused_for_a_gas_meter(self) -> None:
        here = World(LIMITS).holding(
            registered(registration=replace(REGISTRATION, device_type="SMART_METER_G", gateway_id="E" * 17))
        )
        (response,) = responses(here.batch(bundled()))
        assert (response.status, response.fault and response.fault.code) == (Status.REJECTED, 401)

    def test_one_job_has_time_and_counters_for_all_actions(self) -> None:
        here = world()
        job = flying(here)
        costs = [catalogue()[name] for name in NAMES]
        seconds, frames = sum(each.seconds for each in costs), sum(each.frames for each in costs)
        assert job.deadline == NOON + LIMITS.connect + 1_000 * seconds
        assert job.counter_to - job.counter_from + 1 == frames + LIMITS.association_frames

    def test_goes_with_other_commands_in_one_job(self) -> None:
        here = world()
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(command(2), bundled(), command(3)))
        assert [each.operation for each in job.commands] == ["SynchronizeTime", "Bundle", "SynchronizeTime"]


class TestResumed:
    def test_what_is_answered_goes_with_the_next_job_and_comes_back_whole(self) -> None:
        here = world()
        job = flying(here)
        assert job.commands[0].kept is None
        sent = here.batch(ended(job, partly(DONE, DONE, Ended.RETRIABLE)))
        assert responses(sent) == []
        (next_job,) = jobs(here.batch(tick(NOON + 30_000)))
        assert next_job.commands[0].kept == bundle.keep(body(DONE, DONE, Ended.RETRIABLE))
        assert (next_job.commands[0].attempt, next_job.commands[0].command) == (2, job.commands[0].command)
        told = CommandEnded(uid(1), Ended.SUCCESSFUL, result=body(DONE, DONE, DONE))
        sent = here.batch(ended(next_job, told, at=NOON + 31_000))
        (response,) = responses(sent)
        assert (response.status, response.fault, response.attempts) == (Status.SUCCESSFUL, None, 2)
        assert answered(sent) == ["synchronize_time", "clear_alarm_register", "read_alarm_register"]
        assert here.device().idle

    def test_a_new_owner_of_the_partition_hands_it_on_as_well(self) -> None:
        here = world()
        here.batch(ended(flying(here), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        here.takeover()
        (job,) = jobs(here.batch(tick(NOON + 30_000)))
        assert job.commands[0].kept == bundle.keep(body(DONE, Ended.RETRIABLE, Ended.NOT_STARTED))

    def test_a_job_that_did_not_come_to_it_loses_nothing_and_counts_no_attempt(self) -> None:
        here = world()
        here.batch(ended(flying(here), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        (job,) = jobs(here.batch(tick(NOON + 30_000)))
        here.batch(ended(job, CommandEnded(uid(1), Ended.NOT_STARTED), at=NOON + 31_000))
        held = here.device().queue[0]
        assert (held.attempts, held.kept) == (1, bundle.keep(body(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))

    def test_faults_and_lost_connections_have_the_same_number_of_attempts(self) -> None:
        here = world()
        job, at = flying(here), NOON
        for attempt in (1, 2):
            here.batch(ended(job, partly(DONE, DONE, Ended.RETRIABLE), at=at))
            at += 30_000 * 2 ** (attempt - 1)
            (job,) = jobs(here.batch(tick(at)))
        sent = here.batch(ended(job, partly(DONE, DONE, Ended.RETRIABLE), at=at))
        (response,) = responses(sent)
        assert (response.status, response.fault, response.attempts) == (Status.SUCCESSFUL, None, 3)
        assert answered(sent) == ["synchronize_time", "clear_alarm_register", "Retriable"]


class TestEndedInPart:
    def test_bypass_retry_is_answered_at_once_with_what_there_is(self) -> None:
        here = world()
        sent = here.batch(ended(flying(here, bypass_retry=True), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        assert responses(sent)[0].status is Status.SUCCESSFUL
        assert answered(sent) == ["synchronize_time", "Retriable", "NotStarted"]

    def test_when_nothing_was_ever_carried_out_it_is_an_error_like_any(self) -> None:
        here = world()
        job = flying(here, bypass_retry=True)
        (response,) = responses(here.batch(ended(job, CommandEnded(uid(1), Ended.RETRIABLE, LOST), reached=False)))
        assert (response.status, response.fault) == (Status.ERROR, LOST)

    def test_a_last_job_that_reaches_nobody_leaves_what_earlier_ones_obtained(self) -> None:
        here = world(replace(LIMITS, attempts=2))
        here.batch(ended(flying(here), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        (job,) = jobs(here.batch(tick(NOON + 30_000)))
        at = NOON + 31_000
        sent = here.batch(ended(job, CommandEnded(uid(1), Ended.RETRIABLE, LOST), at=at, reached=False))
        assert responses(sent)[0].status is Status.SUCCESSFUL
        assert answered(sent) == ["synchronize_time", "Retriable", "NotStarted"]

    def test_expiry_leaves_it_as_well(self) -> None:
        here = world()
        job = flying(here, expires_at=NOON + 40_000)
        here.batch(ended(job, partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        sent = here.batch(tick(NOON + 50_000))
        assert responses(sent)[0].status is Status.SUCCESSFUL
        assert answered(sent) == ["synchronize_time", "Retriable", "NotStarted"]

    def test_a_cancelled_one_is_cancelled_and_tells_what_there_is(self) -> None:
        here = world()
        here.batch(ended(flying(here), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        sent = here.batch(command(2, operation="Cancel", request={"correlation_id": uid(1)}))
        (record,) = [
            each for each in on(topics.RESPONSES, sent) if codec.decode_response(each.value)[0].correlation_id == uid(1)
        ]
        assert codec.decode_response(record.value)[0].status is Status.CANCELLED
        assert answered([record]) == ["synchronize_time", "Retriable", "NotStarted"]

    def test_and_expiry_before_anything_was_obtained_is_expiry(self) -> None:
        here = world()
        job = flying(here, expires_at=NOON + 40_000)
        here.batch(ended(job, CommandEnded(uid(1), Ended.RETRIABLE, LOST)))
        assert responses(here.batch(tick(NOON + 50_000)))[0].status is Status.EXPIRED

    @pytest.mark.parametrize("bound", [0, 1 << 20], ids=["no room in the device", "too large for its record"])
    def test_what_cannot_be_kept_is_told_at_once(self, bound: int) -> None:
        here = world(replace(LIMITS, kept_bytes=bound))
        outcome = partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)
        if bound:
            outcome = replace(outcome, result=None, large_result="metering.results.large.v1:0:17")
        sent = here.batch(ended(flying(here), outcome))
        (response,) = responses(sent)
        assert (response.status, response.large_result) == (Status.SUCCESSFUL, outcome.large_result)
        if not bound:
            assert answered(sent) == ["synchronize_time", "Retriable", "NotStarted"]

    def test_the_bound_is_the_devices_not_the_bundles(self) -> None:
        half = len(bundle.keep(body(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        here = world(replace(LIMITS, kept_bytes=2 * half - 1))
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(bundled(1), bundled(2)))
        first = partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)
        here.batch(ended(job, first, CommandEnded(uid(2), Ended.NOT_STARTED)))
        (job,) = jobs(here.batch(tick(NOON + 30_000)))
        unchanged = CommandEnded(uid(1), Ended.NOT_STARTED)
        sent = here.batch(ended(job, unchanged, replace(first, correlation_id=uid(2)), at=NOON + 31_000))
        assert [each.correlation_id for each in responses(sent)] == [uid(2)]

    def test_two_bundles_of_one_job_share_the_bound(self) -> None:
        half = len(bundle.keep(body(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        here = world(replace(LIMITS, kept_bytes=2 * half - 1))
        here.batch(tick(NOON))
        (job,) = jobs(here.batch(bundled(1), bundled(2)))
        first = partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)
        sent = here.batch(ended(job, first, replace(first, correlation_id=uid(2))))
        assert [each.correlation_id for each in responses(sent)] == [uid(2)]


class TestLostJob:
    def after(self, *actions: int | None) -> tuple[World, list[Outgoing], int]:
        """A job whose end nobody heard, after these announcements."""
        here = world()
        job = flying(here)
        here.batch(*(attempting(job, action) for action in actions))
        at = job.deadline + LIMITS.grace
        return here, here.batch(tick(at, results_end=len(actions))), at

    def test_what_had_begun_and_may_not_be_repeated_is_unknown_and_the_rest_is_run(self) -> None:
        here, sent, at = self.after(1)
        assert responses(sent) == []
        (job,) = jobs(here.batch(tick(at + 30_000, results_end=1)))
        entries = bundle.kept_entries(
            bundle.Request(
                tuple(catalogue()[name].request(*args) for name, args in zip(NAMES, (("UTC",), (), ()), strict=True))
            ),
            job.commands[0].kept,
        )
        assert [entry.outcome.value for entry in entries] == ["Retriable", "Unknown", "Retriable"]

    def test_an_announcement_is_noted_once(self) -> None:
        here = world()
        job = flying(here)
        sent = here.batch(attempting(job, 1), attempting(job, 1), attempting(job, 2))
        assert [[event.action for event in decision.events] for decision in log(sent)] == [[1], [2]]  # type: ignore[union-attr]

    def test_without_an_announcement_everything_is_run_again(self) -> None:
        here, sent, at = self.after()
        assert responses(sent) == []
        (job,) = jobs(here.batch(tick(at + 30_000)))
        assert job.commands[0].kept is None

    def test_what_cannot_be_read_any_more_is_unknown(self) -> None:
        here = world()
        here.batch(ended(flying(here), partly(DONE, Ended.RETRIABLE, Ended.NOT_STARTED)))
        device = here.device()
        here.holding(replace(device, queue=(replace(device.queue[0], kept=b"\xc3\x01" + bytes(9)),)))
        here.batch(tick(NOON + 30_000))
        job = jobs(here.sent)[-1]
        here.batch(attempting(job, 1))
        sent = here.batch(tick(job.deadline + LIMITS.grace, results_end=2))
        assert [each.status for each in responses(sent)] == [Status.UNKNOWN]

"""Schedule, retries and their end: reference operations-managing 2.3 to 2.6, line by line, through the keeper."""

from dataclasses import replace
from typing import Any

import pytest

from operations import catalogue
from schemas.records import CommandEnded, Ended, Fault, Status, TimeZoneSet
from streams.device.dispatch import priority
from streams.device.limits import Limits
from streams.device.state import Pending
from tests.unit.streams.world import MINUTE, NOON, World, command, ended, jobs, registered, responses, tick, uid

SECOND = 1_000
LIMITS = Limits(retry_jitter=0.0)
REFUSED = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
LATE = Fault(417, "MAX_SCHEDULE_TIME_EXCEEDED", "METERLOG", "not begun")
TECHNICAL = Fault(0, "METER_ANSWER_UNUSABLE", "METERLOG", "no number")
R, F, N = Ended.RETRIABLE, Ended.FAILED, Ended.NOT_STARTED


def play(limits: Limits, header: dict[str, Any], ends: list[tuple[Ended, Fault | None]]) -> tuple[World, list[int]]:
    """A command whose jobs end so, at once each; how long after the one before each job went out."""
    world = World(limits).holding(registered())
    now, begun = NOON, []
    sent = world.batch(tick(now), command(1, **header))
    for end, fault in ends:
        last = now
        while not jobs(sent):
            now += SECOND
            assert now < last + 20 * MINUTE, "never sent"
            sent = world.batch(tick(now))
        begun.append(now - last)
        (job,) = jobs(sent)
        sent = world.batch(ended(job, CommandEnded(uid(1), end, fault), at=now))
    return world, begun


@pytest.mark.parametrize(
    ("header", "limits", "ends", "delays", "outcome"),
    [
        # 2.5: the first attempt and two retries, after 30 s and 60 s; the last fault is the answer
        ({}, LIMITS, [(R, REFUSED)] * 3, [0, 30, 60], (Status.ERROR, 225, 3)),
        ({}, replace(LIMITS, attempts=5), [(R, REFUSED)] * 5, [0, 30, 60, 120, 240], (Status.ERROR, 225, 5)),
        # 0.6: what a retry does not mend is answered at once
        ({}, LIMITS, [(F, REFUSED)], [0], (Status.ERROR, 225, 1)),
        ({}, LIMITS, [(R, REFUSED), (F, TECHNICAL)], [0, 30], (Status.ERROR, 0, 2)),
        # 2.4: bypass retry, also of a scheduled one: the first failure is the answer
        ({"bypass_retry": True}, LIMITS, [(R, REFUSED)], [0], (Status.ERROR, 225, 1)),
        (
            {"bypass_retry": True, "scheduled_at": NOON + 5 * SECOND},
            LIMITS,
            [(R, REFUSED)],
            [5],
            (Status.ERROR, 225, 1),
        ),
        # 2.5: not a retry: what was not begun; the count stays, also of one that bypasses retries
        ({}, LIMITS, [(N, None)] * 4 + [(R, REFUSED)] * 3, [0, 30, 30, 30, 30, 30, 60], (Status.ERROR, 225, 3)),
        ({"bypass_retry": True}, LIMITS, [(N, None), (R, REFUSED)], [0, 30], (Status.ERROR, 225, 1)),
        # 2.6: a retry would be planned after the max schedule time: the original functional fault, else 417
        ({"expires_at": NOON + 29 * SECOND}, LIMITS, [(R, REFUSED)], [0], (Status.EXPIRED, 225, 1)),
        ({"expires_at": NOON + 30 * SECOND}, LIMITS, [(R, REFUSED)], [0], (Status.EXPIRED, 225, 1)),
        ({"expires_at": NOON + 29 * SECOND}, LIMITS, [(R, TECHNICAL)], [0], (Status.EXPIRED, 417, 1)),
        ({"expires_at": NOON + 29 * SECOND}, LIMITS, [(N, None)], [0], (Status.EXPIRED, 417, 0)),
        ({"expires_at": NOON + 80 * SECOND}, LIMITS, [(R, REFUSED)] * 2, [0, 30], (Status.EXPIRED, 225, 2)),
        # whoever notices that it is too late, streams or worker: the fault the last attempt met, else 417
        ({"expires_at": NOON + 70 * SECOND}, LIMITS, [(R, REFUSED), (N, LATE)], [0, 30], (Status.EXPIRED, 225, 1)),
        ({"expires_at": NOON + 29 * SECOND}, LIMITS, [(N, LATE)], [0], (Status.EXPIRED, 417, 0)),
        # tomorrow gives the normal result
        ({"expires_at": NOON + 1_440 * MINUTE}, LIMITS, [(R, REFUSED)] * 3, [0, 30, 60], (Status.ERROR, 225, 3)),
    ],
)
def test_retries_and_their_end(
    header: dict[str, Any],
    limits: Limits,
    ends: list[tuple[Ended, Fault | None]],
    delays: list[int],
    outcome: tuple[Status, int, int],
) -> None:
    world, begun = play(limits, header, ends)
    assert [passed // SECOND for passed in begun] == delays
    (response,) = responses(world.sent)
    assert response.fault is not None
    assert (response.status, response.fault.code, response.attempts) == outcome
    assert world.device().idle


def test_behind_a_417_lies_what_the_last_attempt_met() -> None:
    world, _ = play(LIMITS, {"expires_at": NOON + 29 * SECOND}, [(R, TECHNICAL)])
    (response,) = responses(world.sent)
    assert response.fault is not None and response.fault.inner == "METER_ANSWER_UNUSABLE: no number"


class TestSchedule:
    """2.4: sent at its time, not before; 2.6: not begun after the max schedule time."""

    def test_is_sent_by_the_tick_of_its_time(self) -> None:
        world = World(LIMITS).holding(registered())
        sent = world.batch(tick(NOON), command(1, scheduled_at=NOON + MINUTE))
        assert jobs(sent) == []
        assert jobs(world.batch(tick(NOON + MINUTE - 1))) == []
        world.takeover()  # a new owner knows it as well
        (job,) = jobs(world.batch(tick(NOON + MINUTE)))
        (response,) = responses(world.batch(ended(job, at=NOON + MINUTE)))
        assert response.status is Status.SUCCESSFUL

    def test_is_sent_with_what_is_known_of_the_device_by_then(self) -> None:
        """Where it is, and how it is opened, may have changed since the command came."""
        world = World(LIMITS).holding(registered())
        (job,) = jobs(world.batch(tick(NOON), command(1), command(2, scheduled_at=NOON + MINUTE)))
        moved = CommandEnded(uid(1), Ended.SUCCESSFUL, facts=(TimeZoneSet("Europe/Amsterdam"),))
        world.batch(ended(job, moved))
        (job,) = jobs(world.batch(tick(NOON + MINUTE)))
        assert job.registration is not None and job.registration.time_zone == "Europe/Amsterdam"

    def test_of_the_past_is_sent_at_once(self) -> None:
        world = World(LIMITS).holding(registered())
        assert len(jobs(world.batch(tick(NOON), command(1, scheduled_at=NOON - MINUTE)))) == 1

    def test_does_not_join_a_job_before_its_time(self) -> None:
        world = World(LIMITS).holding(registered())
        (job,) = jobs(world.batch(tick(NOON), command(1), command(2, scheduled_at=NOON + MINUTE, priority=9)))
        assert [each.correlation_id for each in job.commands] == [uid(1)]

    @pytest.mark.parametrize("late", [0, 1])
    def test_that_finds_no_slot_until_its_end_expires(self, late: int) -> None:
        world = World(Limits(slots=1, silent_slots=1)).holding(registered(), registered("TEST1024000000002"))
        world.batch(tick(NOON), command(2, device_id="TEST1024000000002"))
        world.batch(command(1, scheduled_at=NOON + 5, expires_at=NOON + 10))
        assert responses(world.batch(tick(NOON + 9))) == []
        (response,) = responses(world.batch(tick(NOON + 10 + late)))
        assert (response.status, response.attempts) == (Status.EXPIRED, 0)
        assert response.fault is not None and response.fault.code == 417

    def test_that_is_over_before_the_streams_wake_again_expires(self) -> None:
        """The streams were away from before its time until after its end: it is never begun."""
        world = World(LIMITS).holding(registered())
        world.batch(tick(NOON), command(1, scheduled_at=NOON + 5, expires_at=NOON + 10))
        world.takeover()
        sent = world.batch(tick(NOON + MINUTE))
        assert jobs(sent) == [] and [response.status for response in responses(sent)] == [Status.EXPIRED]

    def test_priority_counts_among_those_whose_time_has_come(self) -> None:
        world = World(Limits(slots=1, silent_slots=1)).holding(registered(), registered("TEST1024000000002"))
        world.batch(
            tick(NOON),
            command(1, scheduled_at=NOON + 5, priority=3),
            command(2, scheduled_at=NOON + 5, priority=8, device_id="TEST1024000000002"),
        )
        (job,) = jobs(world.batch(tick(NOON + 6)))
        assert job.commands[0].correlation_id == uid(2)


@pytest.mark.parametrize(
    ("given", "attempts", "counts"),
    [
        (4, 0, 4),
        (4, 1, 4),
        (4, 2, 4),  # the default maximum: it never takes effect
        (4, 3, 3),  # the third retry
        (4, 4, 3),
        (4, 5, 2),
        (9, 7, 6),
        (1, 99, 0),
        (0, 3, 0),
    ],
)
def test_priority_falls_with_each_second_retry(given: int, attempts: int, counts: int) -> None:
    held = Pending(uid(1), "SynchronizeTime", b"", b"", given, NOON, NOON, attempts=attempts)
    assert priority(held, NOON, LIMITS) == counts


class TestLongOperations:
    """Alone in their job: what went with one would wait for it, or be lost with it."""

    @pytest.fixture(params=["declared", "by their time"])
    def long(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        name = "ReadAlarmRegister"
        change: dict[str, Any] = {"alone": True} if request.param == "declared" else {"seconds": 3_600}
        altered = dict(catalogue()) | {name: replace(catalogue()[name], **change)}
        for module in ("dispatch", "leases", "accept", "decided", "possible"):
            monkeypatch.setattr(f"streams.device.{module}.catalogue", lambda: altered)
        return name

    @pytest.mark.parametrize("cut", [86_400, 60])
    def test_first_or_last_they_share_no_job(self, long: str, cut: int) -> None:
        world = World(Limits(operation_seconds=cut)).holding(registered())
        given = [
            command(1, operation=long, request={}, priority=9),
            command(2),
            command(3, operation=long, request={}),
            command(4, at=NOON + 1),
        ]
        sent, taken = world.batch(tick(NOON), *given), []
        while jobs(sent):
            (job,) = jobs(sent)
            taken.append([int(each.correlation_id[-2:]) for each in job.commands])
            sent = world.batch(ended(job, *(CommandEnded(each.correlation_id, F, REFUSED) for each in job.commands)))
        assert taken == [[1], [2, 4], [3]]

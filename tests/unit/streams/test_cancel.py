"""Cancel: what waits is over, what a worker has is not tried again, and never is there a second outcome."""

from collections import Counter

import pytest

from operations.cancel import Became
from schemas import codec, topics
from schemas.records import CommandEnded, Ended, Fault, Job, Status
from streams.device.events import CancelNoted, CommandSettled
from streams.device.evolve import replay
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
    tick,
    uid,
)

LIMITS = Limits(retry_jitter=0.0)
TIMEOUT = Fault(227, "CONNECTION_TIMED_OUT", "METERLOG", "nobody answers")
ASKED, CANCEL = 1, 9


def cancel(number: int = CANCEL, of: int = ASKED, **given: object) -> Received:
    return command(number, operation="Cancel", request={"correlation_id": uid(of)}, **given)  # type: ignore[arg-type]


def begun() -> World:
    world = World(LIMITS).holding(registered())
    world.batch(tick(NOON))
    return world


def flying(world: World, **given: object) -> Job:
    (job,) = jobs(world.batch(command(ASKED, **given)))  # type: ignore[arg-type]
    return job


def told(sent: list[Outgoing]) -> dict[str, tuple[Status, Became | None, int]]:
    """By correlation id: status, what a Cancel says became of its command, fault code."""
    found = {}
    for record in on(topics.RESPONSES, sent):
        header, result = codec.decode_response(record.value)
        became = Became(result["became"]) if result and "became" in result else None
        found[header.correlation_id] = (header.status, became, header.fault.code if header.fault else -1)
    return found


def waits_for_a_slot(world: World) -> None:
    world.limits = Limits(slots=1, silent_slots=1)
    world.holding(registered(), registered("TEST1024000000002"))
    world.batch(tick(NOON), command(2, device_id="TEST1024000000002"))
    world.batch(command(ASKED))


def is_scheduled(world: World) -> None:
    world.batch(command(ASKED, scheduled_at=NOON + MINUTE, expires_at=NOON + 2 * MINUTE))


def waits_between_attempts(world: World) -> None:
    job = flying(world)
    world.batch(ended(job, CommandEnded(uid(ASKED), Ended.RETRIABLE, TIMEOUT)))


def waits_behind_a_job(world: World) -> None:
    world.batch(command(2))
    world.batch(command(ASKED))


@pytest.mark.parametrize("state", [waits_for_a_slot, is_scheduled, waits_between_attempts, waits_behind_a_job])
def test_a_command_that_waits_is_over_at_once(state: object) -> None:
    world = begun()
    state(world)  # type: ignore[operator]
    sent = world.batch(cancel())
    assert told(sent) == {
        uid(ASKED): (Status.CANCELLED, None, 0),
        uid(CANCEL): (Status.SUCCESSFUL, Became.CANCELLED, -1),
    }
    assert uid(ASKED) not in {held.correlation_id for held in world.device().queue}
    world.batch(tick(NOON + 3 * MINUTE))
    assert Counter(response.correlation_id for response in responses(world.sent))[uid(ASKED)] == 1


def test_its_outcome_says_who_cancelled_and_what_the_last_attempt_met() -> None:
    world = begun()
    waits_between_attempts(world)
    cancelled, _ = responses(world.batch(cancel()))
    assert cancelled.attempts == 1 and cancelled.fault is not None
    assert cancelled.fault.message == f"cancelled by command {uid(CANCEL)}"
    assert cancelled.fault.inner == "CONNECTION_TIMED_OUT (227): nobody answers"


FLYING: dict[str, tuple[dict[str, object], CommandEnded | None, tuple[Status, int]]] = {
    # name: (header of the command, end of its attempt, outcome and fault code)
    "succeeds": ({}, CommandEnded(uid(ASKED), Ended.SUCCESSFUL, result=b""), (Status.SUCCESSFUL, -1)),
    "fails": ({}, CommandEnded(uid(ASKED), Ended.FAILED, TIMEOUT), (Status.ERROR, 227)),
    "unknown": ({}, CommandEnded(uid(ASKED), Ended.UNKNOWN, TIMEOUT), (Status.UNKNOWN, 227)),
    "to be tried again": ({}, CommandEnded(uid(ASKED), Ended.RETRIABLE, TIMEOUT), (Status.CANCELLED, 0)),
    "not begun": ({}, CommandEnded(uid(ASKED), Ended.NOT_STARTED), (Status.CANCELLED, 0)),
    "lost": ({}, None, (Status.CANCELLED, 0)),
    "last attempt": ({"bypass_retry": True}, CommandEnded(uid(ASKED), Ended.RETRIABLE, TIMEOUT), (Status.ERROR, 227)),
    "expiring": ({"expires_at": NOON + 5}, CommandEnded(uid(ASKED), Ended.RETRIABLE, TIMEOUT), (Status.CANCELLED, 0)),
}


@pytest.mark.parametrize("name", FLYING)
def test_a_command_in_flight_is_noted_and_its_attempt_has_the_word(name: str) -> None:
    header, end, outcome = FLYING[name]
    world = begun()
    job = flying(world, **header)
    sent = world.batch(cancel())
    assert told(sent) == {uid(CANCEL): (Status.SUCCESSFUL, Became.IN_FLIGHT, -1)}
    assert CancelNoted(uid(ASKED), uid(CANCEL)) in log(sent)[0].events
    world.takeover()
    late = job.deadline + LIMITS.grace
    sent = world.batch(ended(job, end)) if end is not None else world.batch(tick(late))
    status, _, code = told(sent)[uid(ASKED)]
    assert (status, code) == outcome
    assert world.device().idle and jobs(world.batch(tick(late + MINUTE))) == []


@pytest.mark.parametrize("when", ["in flight", "in doubt", "looked for"])
@pytest.mark.parametrize(
    ("seen", "outcome"),
    [(Ended.SUCCESSFUL, Status.SUCCESSFUL), (Ended.NOT_DONE, Status.CANCELLED), (Ended.UNKNOWN, Status.UNKNOWN)],
)
def test_of_what_is_in_doubt_the_truth_is_told(when: str, seen: Ended, outcome: Status) -> None:
    """A command that may not be repeated and whose answer was lost is looked for all the same, and not sent again."""
    world = begun()
    job = flying(world, operation="ClearAlarmRegister", request={})
    sent = world.batch(attempting(job, uid(ASKED)), *([cancel()] if when == "in flight" else []))
    world.batch(tick(job.deadline + LIMITS.grace, results_end=1))
    if when == "in doubt":
        sent = world.batch(cancel())
    (look,) = jobs(world.batch(tick(job.deadline + LIMITS.grace + MINUTE, results_end=1)))
    if when == "looked for":
        sent = world.batch(cancel())
    assert told(sent) == {uid(CANCEL): (Status.SUCCESSFUL, Became.IN_FLIGHT, -1)}
    (response,) = responses(world.batch(ended(look, CommandEnded(uid(ASKED), seen, TIMEOUT))))
    assert response.status is outcome and world.device().idle


def has_an_outcome(world: World) -> None:
    world.batch(ended(flying(world)))


def is_cancelled(world: World) -> None:
    is_scheduled(world)
    world.batch(cancel(8))


def is_another_devices(world: World) -> None:
    world.holding(registered(), registered("TEST1024000000002"))
    world.batch(command(ASKED, device_id="TEST1024000000002"))


def is_a_cancel(world: World) -> None:
    world.batch(cancel(ASKED, 7, scheduled_at=NOON + MINUTE))


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        (lambda world: None, 405, f"has no command {uid(ASKED)}"),
        (is_another_devices, 405, f"has no command {uid(ASKED)}"),
        (has_an_outcome, 401, "the command has its outcome: Successful"),
        (is_cancelled, 401, "the command has its outcome: Cancelled"),
        (is_a_cancel, 401, "a Cancel cannot be cancelled"),
    ],
)
def test_what_cannot_be_cancelled_is_told_so(state: object, code: int, says: str) -> None:
    world = begun()
    state(world)  # type: ignore[operator]
    before = world.device().queue
    (response,) = responses(world.batch(cancel()))
    assert response.status is Status.REJECTED and response.fault is not None
    assert (response.fault.code, response.fault.field) == (code, "correlation_id") and says in response.fault.message
    assert world.device().queue == before


def test_itself_is_a_command_that_nobody_knows() -> None:
    assert told(begun().batch(cancel(9, of=9)))[uid(9)] == (Status.REJECTED, None, 405)


def test_no_uuid_is_a_wrong_request() -> None:
    (response,) = responses(begun().batch(command(9, operation="Cancel", request={"correlation_id": "17"})))
    assert response.fault is not None and (response.fault.code, response.fault.field) == (401, "correlation_id")


def test_the_same_cancel_again_is_the_same_answer_and_a_second_one_finds_the_first() -> None:
    world = begun()
    job = flying(world)
    world.batch(cancel())
    (again,) = responses(world.batch(cancel()))
    assert (again.status, again.repeated) == (Status.SUCCESSFUL, True)
    assert told(world.batch(cancel(10))) == {uid(10): (Status.SUCCESSFUL, Became.IN_FLIGHT, -1)}
    (held,) = world.device().queue
    assert held.cancelled_by == uid(CANCEL)
    world.batch(ended(job, CommandEnded(uid(ASKED), Ended.RETRIABLE, TIMEOUT)))
    (again,) = responses(world.batch(command(ASKED)))
    assert (again.status, again.repeated) == (Status.CANCELLED, True)


@pytest.mark.parametrize("first", ["cancel", "expiry"])
def test_expiry_and_cancel_make_one_outcome(first: str) -> None:
    world = begun()
    world.batch(command(ASKED, scheduled_at=NOON + 5, expires_at=NOON + 6))
    if first == "expiry":
        world.batch(tick(NOON + 7))
        sent = world.batch(cancel(at=NOON + 7))
    else:  # of one batch: commands are heard before time is looked at
        sent = world.batch(tick(NOON + 7), cancel(at=NOON + 7))
    settled = [each for one in log(world.sent) for each in one.events if isinstance(each, CommandSettled)]
    (outcome,) = [each.status for each in settled if each.correlation_id == uid(ASKED)]
    assert outcome is (Status.EXPIRED if first == "expiry" else Status.CANCELLED)
    status, became, _ = told(sent)[uid(CANCEL)]
    assert (status, became) == ((Status.REJECTED, None) if first == "expiry" else (Status.SUCCESSFUL, Became.CANCELLED))


def test_a_registration_takes_those_along_that_waited_for_it() -> None:
    world = World(Limits(slots=1, silent_slots=1)).holding(registered("TEST1024000000002"))
    world.batch(tick(NOON), command(5, device_id="TEST1024000000002"))
    world.batch(command(ASKED, operation="AddDevice"), command(2))
    assert told(world.batch(cancel())) == {
        uid(ASKED): (Status.CANCELLED, None, 0),
        uid(2): (Status.REJECTED, None, 201),
        uid(CANCEL): (Status.SUCCESSFUL, Became.CANCELLED, -1),
    }
    assert world.device().idle


def test_one_that_waits_for_the_registration_is_cancelled_without_it() -> None:
    world = World(LIMITS)
    world.batch(tick(NOON))
    world.batch(command(5, operation="AddDevice"), command(ASKED))
    assert told(world.batch(cancel()))[uid(ASKED)] == (Status.CANCELLED, None, 0)


def test_the_full_queue_of_a_device_can_be_emptied() -> None:
    world = World(Limits(queue_commands=1)).holding(registered())
    world.batch(command(ASKED))
    assert told(world.batch(cancel()))[uid(CANCEL)][0] is Status.SUCCESSFUL


def test_a_scheduled_cancel_is_decided_in_its_time() -> None:
    world = begun()
    world.batch(command(ASKED, scheduled_at=NOON + MINUTE), cancel(scheduled_at=NOON + 5))
    assert set(told(world.batch(tick(NOON + 5)))) == {uid(ASKED), uid(CANCEL)}


def test_the_log_makes_the_table() -> None:
    world = World(LIMITS)
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(5, operation="AddDevice")))
    world.batch(ended(job))
    world.batch(command(ASKED))
    world.batch(cancel())
    assert replay(log(world.sent)) == world.device()

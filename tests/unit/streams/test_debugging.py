"""Debug mode: the streams decide it without a meter, a job carries it, and it ends by itself."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import codec
from schemas.records import DebuggingSet, Job, Status
from streams.device.evolve import replay
from streams.keeper import Outgoing, Received
from tests.unit.streams.mbus import gas_meter
from tests.unit.streams.test_decided import results
from tests.unit.streams.world import MINUTE, NOON, World, command, ended, jobs, log, registered, responses, tick

HOUR = 60 * MINUTE


def enable(number: int, at: int = NOON, **request: Any) -> Received:
    return command(number, operation="EnableDebugging", request={"hours": 24, **request}, at=at)


def disable(number: int, at: int = NOON) -> Received:
    return command(number, operation="DisableDebugging", request={}, at=at)


def next_job(world: World, number: int, at: int) -> Job:
    (job,) = jobs(world.batch(tick(at), command(number, at=at)))
    world.batch(ended(job, at=at))
    return job


def answer(sent: list[Outgoing]) -> Any:
    (response,) = responses(sent)
    assert (response.status, response.attempts) == (Status.SUCCESSFUL, 0)
    return results(sent)[0]


def test_jobs_say_it_from_then_on_until_it_ends_by_itself() -> None:
    world = World().holding(registered())
    assert not next_job(world, 1, NOON).debug
    until = NOON + 24 * HOUR
    assert answer(world.batch(enable(2))) == {"until": datetime.fromtimestamp(until / 1000, UTC)}
    assert next_job(world, 3, NOON + MINUTE).debug
    assert next_job(world, 4, until - 1).debug
    assert not next_job(world, 5, until).debug


def test_it_is_taken_back() -> None:
    world = World().holding(registered())
    world.batch(enable(1))
    assert answer(world.batch(disable(2))) == {"was_enabled": True}
    assert world.device().debug_until is None and not next_job(world, 3, NOON).debug
    assert answer(world.batch(disable(4))) == {"was_enabled": False}


def test_what_has_ended_by_itself_was_not_enabled() -> None:
    world = World().holding(registered())
    world.batch(enable(1, hours=1))
    assert answer(world.batch(disable(2, at=NOON + HOUR))) == {"was_enabled": False}


def test_asked_again_it_lasts_longer() -> None:
    world = World().holding(registered())
    world.batch(enable(1, hours=1), enable(2, at=NOON + MINUTE, hours=2))
    assert world.device().debug_until == NOON + MINUTE + 2 * HOUR


def test_a_repeat_of_the_command_changes_nothing() -> None:
    world = World().holding(registered())
    world.batch(enable(1, hours=1))
    (again,) = responses(world.batch(command(1, operation="EnableDebugging", request={"hours": 1}, at=NOON + MINUTE)))
    assert again.repeated and world.device().debug_until == NOON + HOUR


def test_the_log_leads_to_the_table() -> None:
    world = World()
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice")))
    world.batch(ended(job), enable(2), disable(3), enable(4, hours=3))
    events = [event for decision in log(world.sent) for event in decision.events if isinstance(event, DebuggingSet)]
    assert [event.until for event in events] == [NOON + 24 * HOUR, None, NOON + 3 * HOUR]
    assert replay(log(world.sent)) == world.device()


@pytest.mark.parametrize("hours", [0, -1, 169, 1 << 30])
def test_how_long_is_bounded(hours: int) -> None:
    (response,) = responses(World().holding(registered()).batch(enable(1, hours=hours)))
    assert response.status is Status.REJECTED and response.fault is not None
    assert (response.fault.code, response.fault.field) == (401, "hours")


@pytest.mark.parametrize("asked", ["EnableDebugging", "DisableDebugging"])
def test_the_frames_of_an_m_bus_meter_are_its_gateways(asked: str) -> None:
    meter = gas_meter()
    said = command(1, operation=asked, request={"hours": 1} if asked[0] == "E" else {}, device_id=meter.device_id)
    (response,) = responses(World().holding(meter).batch(said))
    assert response.status is Status.REJECTED and response.fault is not None
    assert "ask its gateway" in response.fault.message


def test_a_job_written_before_debug_mode_is_read() -> None:
    """The field has a default, and so has the state's."""
    assert {each["name"]: each.get("default") for each in codec.schema("meterlog.Job")["fields"]}["debug"] is False

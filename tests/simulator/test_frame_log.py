"""The frames of a job of a device in debug mode, against a meter on loopback: all of them, and of others none."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.dlms.job import Carried, carry_out
from schemas import codec
from schemas.records import Delegated, LoggedFrame, Security
from tests.simulator import loopback
from tests.simulator.loopback import GET
from tests.simulator.test_job import DEVICE, READS, SYNCHRONIZE, Told, desk, fill, job, registration, strike


async def run(
    prepare: Callable[[loopback.Loopback], object] = lambda meter: None,
    told: Told | None = None,
    *,
    debug: bool = True,
    accepted: int = -1,
    **changes: Any,
) -> tuple[Carried, list[LoggedFrame], loopback.Loopback]:
    told = told or Told()
    async with loopback.meter(accepted=accepted) as meter:
        fill(meter)
        prepare(meter)
        asked = job(registration(meter.port, **changes), SYNCHRONIZE, READS)
        carried = await carry_out(replace(asked, debug=debug), 3, desk(told))
        return carried, told.frames, meter


def test_every_frame_is_told_before_the_end_of_the_job() -> None:
    carried, frames, meter = asyncio.run(run())
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert sum(len(frame.frame) for frame in frames if not frame.incoming) == carried.sent
    assert sum(len(frame.frame) for frame in frames if frame.incoming) == carried.received
    assert [frame.incoming for frame in frames] == [False, True] * (len(frames) // 2)  # asked and answered in turn
    assert all(frame.device_id == DEVICE and frame.job == 7 and frame.valid for frame in frames)
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)
    names = [command.correlation_id for command in carried.ended.commands]
    assert list(dict.fromkeys(frame.correlation_id for frame in frames)) == names
    assert frames[0].summary.startswith("Aarq") and frames[-1].summary == "Rlre"
    assert all("<" in frame.text for frame in frames)


def test_nothing_is_told_of_a_device_that_is_not_in_debug_mode() -> None:
    carried, frames, _ = asyncio.run(run(debug=False))
    assert frames == [] and carried.sent > 0


def test_frames_of_a_commands_m_bus_meter_are_told_under_its_callers_id() -> None:
    async def ask() -> tuple[list[LoggedFrame], str]:
        told = Told()
        async with loopback.meter() as meter:
            fill(meter)
            asked = job(registration(meter.port), SYNCHRONIZE)
            whose = Delegated("TESTG100000000001", 3, "00000000-0000-4000-8000-000000000001", 1)
            commands = (replace(asked.commands[0], delegated=whose),)
            await carry_out(replace(asked, debug=True, commands=commands), 3, desk(told))
            return told.frames, whose.correlation_id

    frames, name = asyncio.run(ask())
    assert frames and {frame.correlation_id for frame in frames} == {name}


def test_each_association_of_a_job_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """A stale counter: refused, asked for, and associated once more."""
    carried, frames, meter = asyncio.run(run(accepted=120))
    assert meter.connections == 3 and {frame.association for frame in frames} == {1, 2, 3}
    assert "0.0.43.1.0.255" in "".join(frame.summary for frame in frames if frame.association == 2)
    assert carried.ended.commands[0].fault is None


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(loopback.tamper, "authentication tag is wrong", id="wrong tag"),
        pytest.param(lambda answer: answer[:20], "not whole", id="cut off"),
        pytest.param(loopback.other_version, "wrapper version", id="no frame"),
    ],
)
def test_what_the_meter_spoilt_is_told(fault: loopback.Strike, why: str) -> None:
    _, frames, _ = asyncio.run(run(strike(GET, fault)))
    assert [why in frame.summary for frame in frames].count(True) == 1
    assert all(frame.valid is (why not in frame.summary) for frame in frames)


@pytest.mark.parametrize("security", list(Security))
def test_no_key_of_the_meter_is_told(security: Security) -> None:
    client = {Security.NONE: 16, Security.LLS: 2, Security.HLS5: 1}[security]
    carried, frames, meter = asyncio.run(run(security=security, client_id=client))
    everything = b"".join(
        codec.encode(replace(frame, device_id="")) for frame in frames
    )  # its digits are the password's
    assert frames
    for secret in (loopback.GUEK, loopback.AK, loopback.PASSWORD):
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            assert form not in everything


def test_a_broker_that_is_away_holds_the_end_back_not_the_meter() -> None:
    """The session is over in its own time; the frames are told when the broker takes them."""
    seen: list[int] = []
    there = asyncio.Event()

    async def broker() -> None:
        seen.append(1)
        await there.wait()

    async def ask() -> tuple[Carried, list[LoggedFrame]]:
        told = Told(broker=broker)
        async with loopback.meter() as meter:
            fill(meter)
            asked = replace(job(registration(meter.port), READS), debug=True)
            running = asyncio.create_task(carry_out(asked, 3, desk(told)))
            while not meter.released:
                await asyncio.sleep(0.01)
            assert not running.done() and told.frames == []
            there.set()
            return await running, told.frames

    carried, frames = asyncio.run(ask())
    assert sum(len(frame.frame) for frame in frames) == carried.sent + carried.received


def test_a_stop_of_the_worker_does_not_lose_frames() -> None:
    async def ask() -> tuple[Carried, list[LoggedFrame]]:
        told = Told()
        async with loopback.meter(delay=0.05) as meter:
            fill(meter)
            asked = replace(job(registration(meter.port), READS), debug=True)
            running = asyncio.create_task(carry_out(asked, 3, desk(told)))
            while not meter.took:
                await asyncio.sleep(0.01)
            running.cancel()
            return await running, told.frames

    carried, frames = asyncio.run(ask())
    assert sum(len(frame.frame) for frame in frames if not frame.incoming) == carried.sent > 0

"""A clearing whose answer was lost, and the job after it that only looks, both against one meter on loopback: what the
worker tells, and what the meter saw.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.dlms import cosem
from connectors.dlms.cosem import axdr
from connectors.dlms.job import Carried, carry_out
from connectors.simulator import ledger
from connectors.simulator.faults import Fault, Faults
from connectors.simulator.fleet import Fleet, FleetSettings, identity
from connectors.simulator.ledger import Ledger
from operations import catalogue
from operations._data import Data, Tag
from operations._profile import profile
from operations._steps import Get, NotDone, Set
from schemas import codec
from schemas.records import Ended, Job, JobAttempting, KeyKind, SealedKey
from tests.simulator import loopback
from tests.simulator.loopback import GET, SET
from tests.simulator.test_job import CLEAR, SYNCHRONIZE, Told, desk, job, outcomes, own_platform, registration

LOST: list[Any] = [loopback.silence, loopback.close, "reset", loopback.tamper]
Between = Callable[[loopback.Loopback], object]


def register(version: str, number: int) -> cosem.Attribute:
    found = profile("SMR", version)[f"ALARM_REGISTER_{number}"]
    return cosem.Attribute(found.class_id, found.obis, 2)


def fill(meter: loopback.Loopback, version: str) -> None:
    for number in (1, 2, 3):
        if f"ALARM_REGISTER_{number}" in profile("SMR", version):
            meter.values[register(version, number)] = axdr.double_long_unsigned(5)


def looking(lost: Job) -> Job:
    """The next job of the device, for the same commands."""
    return replace(
        lost,
        number=lost.number + 1,
        counter_from=lost.counter_to + 1,
        counter_to=lost.counter_to + 100,
        commands=tuple([replace(command, verify=True) for command in lost.commands]),
    )


async def lose_and_look(
    fault: Any, between: Between, version: str = "5.1", told: Told | None = None
) -> tuple[Carried, Carried, loopback.Loopback]:
    """What the two jobs came to; `between` happens to the meter in the meantime."""
    async with loopback.meter() as meter:
        fill(meter, version)
        meter.faults[SET] = fault
        told = told or Told()
        told.meter = meter
        asked = job(registration(meter.port, protocol_version=version), CLEAR)
        lost = await carry_out(asked, 3, desk(told))
        await asyncio.sleep(0.02)
        meter.faults.clear()
        between(meter)
        return lost, await carry_out(looking(asked), 3, desk(told)), meter


def nothing(meter: loopback.Loopback) -> None:
    pass


@pytest.mark.parametrize("fault", LOST)
def test_what_was_done_is_seen_done_and_not_done_again(fault: Any) -> None:
    told = Told()
    lost, seen, meter = asyncio.run(lose_and_look(fault, nothing, told=told))
    assert [each.ended for each in lost.ended.commands] == [Ended.UNKNOWN]
    assert outcomes(seen) == [("Successful", None)]
    (body,) = seen.results.values()
    assert codec.decode_result("ClearAlarmRegister", body) == {"cleared": (1,)}
    assert [attribute for attribute, _ in meter.written] == [register("5.1", 1)]
    assert len(told.attempts) == 1  # a look is no attempt
    assert meter.counters == sorted(set(meter.counters))


def test_an_alarm_that_came_meanwhile_leaves_it_unknown() -> None:
    def alarm(meter: loopback.Loopback) -> None:
        meter.values[register("5.1", 1)] = axdr.double_long_unsigned(2)

    _, seen, meter = asyncio.run(lose_and_look(loopback.close, alarm))
    (ended,) = seen.ended.commands
    assert ended.ended is Ended.UNKNOWN and ended.fault is not None
    assert "register 1 is 0x00000002" in ended.fault.message
    assert len(meter.written) == 1 and not seen.results


def test_a_meter_left_between_its_registers_is_not_finished() -> None:
    """SMR 5.5 has three; the answer to the first is lost, so the others still hold their alarms."""
    lost, seen, meter = asyncio.run(lose_and_look(loopback.silence, nothing, "5.5"))
    assert [each.ended for each in (*lost.ended.commands, *seen.ended.commands)] == [Ended.UNKNOWN] * 2
    assert [attribute for attribute, _ in meter.written] == [register("5.5", 1)]


@pytest.mark.parametrize("fault", LOST)
def test_a_look_that_is_lost_may_be_repeated(fault: Any) -> None:
    def again(meter: loopback.Loopback) -> None:
        meter.faults[GET] = fault

    _, seen, meter = asyncio.run(lose_and_look(loopback.close, again))
    assert [each.ended for each in seen.ended.commands] == [Ended.RETRIABLE]
    assert len(meter.written) == 1


def test_a_register_that_may_not_be_read_fails_the_look() -> None:
    def hide(meter: loopback.Loopback) -> None:
        del meter.values[register("5.1", 1)]

    _, seen, _ = asyncio.run(lose_and_look(loopback.close, hide))
    assert [each.ended for each in seen.ended.commands] == [Ended.FAILED]


def test_a_connection_cut_before_the_set_leaves_is_retriable() -> None:
    """The meter goes while the attempt is being announced: the worker knows that nothing was sent."""

    async def walk() -> tuple[Carried, loopback.Loopback, list[JobAttempting]]:
        async with loopback.meter() as meter:
            fill(meter, "5.1")
            told: list[JobAttempting] = []

            async def cut(record: JobAttempting, partition: int) -> None:
                told.append(record)
                for writer in list(meter.writers):
                    writer.transport.abort()
                await asyncio.sleep(0.05)

            asked = job(registration(meter.port), CLEAR)
            return await carry_out(asked, 3, replace(desk(), attempting=cut)), meter, told

    carried, meter, told = asyncio.run(walk())
    assert [each.ended for each in carried.ended.commands] == [Ended.RETRIABLE]
    assert len(told) == 1 and not meter.written
    assert not [plain for _, _, plain in meter.took if plain[0] == SET]


def test_the_ledger_of_a_meter_that_loses_every_answer_shows_one_clearing(tmp_path: Path) -> None:
    """The fleet's own fault and ledger: each set and action is carried out, and the connection ends without a word."""
    settings = FleetSettings(meters=1, profiles=(("SMR", "5.0.0"),), faults=Faults({Fault.LOST_ANSWER: 1.0}))
    who = identity(settings, 1)

    async def walk() -> tuple[Carried, Carried]:
        fleet = Fleet(settings, Ledger(tmp_path / "ledger"))
        fleet.meters[0].raise_alarm(0b101)
        await fleet.start()
        try:
            secrets = {KeyKind.ENCRYPTION: who.encryption, KeyKind.AUTHENTICATION: who.authentication}
            seal = own_platform().seal
            registered = registration(
                fleet.port,
                protocol_version="5.0.0",
                system_title=who.system_title,
                keys=tuple(SealedKey(kind, seal(who.device_id, kind, key)) for kind, key in secrets.items()),
            )
            asked = job(registered, CLEAR, device=who.device_id)
            lost = await carry_out(asked, 3, desk())
            return lost, await carry_out(looking(asked), 3, desk())
        finally:
            await fleet.stop()

    lost, seen = asyncio.run(walk())
    assert [each.ended for each in (*lost.ended.commands, *seen.ended.commands)] == [Ended.UNKNOWN, Ended.SUCCESSFUL]
    entries = [entry for entry in ledger.read(tmp_path / "ledger") if entry.get("what") == "1/0-0:97.98.0.255/2"]
    assert [(entry["did"], entry.get("value")) for entry in entries] == [("set", "0"), ("get", None)]


def changed(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    mended = dict(catalogue()) | {"ClearAlarmRegister": replace(catalogue()["ClearAlarmRegister"], **changes)}
    monkeypatch.setattr("connectors.dlms.job.catalogue", lambda: mended)


def test_a_look_that_would_write_is_stopped_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def writes(request: Any, meter: Any) -> Any:
        yield Set(meter.profile["ALARM_REGISTER_1"].at(2), Data(Tag.DOUBLE_LONG_UNSIGNED, 0))
        return NotDone("cannot be")

    changed(monkeypatch, verify=writes)
    _, seen, meter = asyncio.run(lose_and_look(loopback.close, nothing))
    (ended,) = seen.ended.commands
    assert ended.ended is Ended.FAILED and ended.fault is not None and "may only look" in ended.fault.message
    assert len(meter.written) == 1


def test_seen_not_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def sees(request: Any, meter: Any) -> Any:
        yield Get(meter.profile["ALARM_REGISTER_1"].at(2))
        return NotDone("all is as it was")

    changed(monkeypatch, verify=sees)
    _, seen, _ = asyncio.run(lose_and_look(loopback.close, nothing))
    (ended,) = seen.ended.commands
    assert ended.ended is Ended.NOT_DONE and ended.fault is not None and ended.fault.message == "all is as it was"


def test_a_mistake_after_the_write_is_no_error_but_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Any, meter: Any) -> Any:
        yield Set(meter.profile["ALARM_REGISTER_1"].at(2), Data(Tag.DOUBLE_LONG_UNSIGNED, 0))
        raise RuntimeError

    changed(monkeypatch, steps=broken)
    lost, _, meter = asyncio.run(lose_and_look(lambda answer: answer, nothing))
    assert [each.ended for each in lost.ended.commands] == [Ended.UNKNOWN]
    assert len(meter.written) == 1


def test_what_nobody_can_verify_is_not_carried_out_instead() -> None:
    async def walk() -> tuple[Carried, loopback.Loopback]:
        async with loopback.meter() as meter:
            asked = looking(job(registration(meter.port), SYNCHRONIZE))
            return await carry_out(asked, 3, desk()), meter

    carried, meter = asyncio.run(walk())
    assert [each.ended for each in carried.ended.commands] == [Ended.FAILED]
    assert (meter.connections, meter.written) == (0, [])

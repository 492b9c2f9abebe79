"""An association over loopback: each step, each failure, and what it becomes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.dlms import cosem
from connectors.dlms.failures import OutOfStep
from connectors.dlms.link import Deadline
from connectors.dlms.session import Session, Times, associate, drive
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, OperationError, Unreachable
from operations._steps import Answer, Attribute, Get, GetList, Range, ReadRows, Refusal, Set, Steps
from tests.simulator import loopback
from tests.simulator.loopback import AARQ, ACTION, AK, BITS, CLOCK, GET, GUEK, PASSWORD, PROFILE, REGISTER, RELEASE, SET

TIMES = Times(connect=1, answer=0.3, release=0.3)
ABSENT = Attribute(1, bytes((9, 9, 9, 9, 9, 9)), 2)


def at(attribute: cosem.Attribute) -> Attribute:
    return Attribute(*attribute)


def settings(client_id: int = 1, **changes: Any) -> cosem.ClientSettings:
    if client_id == 16:
        return cosem.ClientSettings(client_id=16)
    told: dict[str, Any] = {
        "client_id": client_id,
        "mechanism": cosem.Mechanism.HLS5 if client_id == 1 else cosem.Mechanism.LLS,
        "system_title": b"   \0\0\0\0\1",
        "keys": None if client_id == 3 else cosem.Keys(GUEK, AK),
        "password": PASSWORD,
    }
    return cosem.ClientSettings(**(told | changes))


@asynccontextmanager
async def session(
    meter: loopback.Loopback,
    client_id: int = 1,
    *,
    counter: cosem.InvocationCounter | None = None,
    with_list_max: int = 1,
    left: float = 10.0,
    frames: int = 1_000,
    **changes: Any,
) -> AsyncIterator[Session]:
    client = cosem.ClientAssociation(settings(client_id, **changes), counter or cosem.InvocationCounter(1))
    deadline = Deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + left)
    async with associate(
        "127.0.0.1", meter.port, client, deadline=deadline, times=TIMES, with_list_max=with_list_max, frames=frames
    ) as opened:
        yield opened


def requests(meter: loopback.Loopback) -> list[bytes]:
    """First two bytes of each request after the association's own."""
    return [plain[:2] for _, _, plain in meter.took if plain[0] in (GET, SET)]


@pytest.mark.parametrize("client_id", [1, 2, 3, 16])
@pytest.mark.parametrize("pieces", [False, True])
def test_every_level_of_security_reads(client_id: int, pieces: bool) -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            meter.pieces = pieces
            async with session(meter, client_id) as opened:
                assert await opened.carry_out(Get(at(CLOCK))) == Data(Tag.OCTET_STRING, loopback.TIME)
                assert await opened.carry_out(Get(at(REGISTER))) == Data(Tag.DOUBLE_LONG_UNSIGNED, 4_711)
            assert meter.released == 1
            assert meter.took[-1][0] == client_id

    asyncio.run(walk())


def test_rows_come_in_blocks_and_columns_by_range() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            async with session(meter, max_receive_pdu=256) as opened:
                rows = await opened.carry_out(ReadRows(at(PROFILE), None))
                assert len(rows) == 200
                assert rows[7] == (loopback.TIME, 0, 7, 14)
                begin = datetime(2024, 1, 16, tzinfo=UTC)
                column = (3, REGISTER.instance_id, 2, 0)
                await opened.carry_out(ReadRows(at(PROFILE), Range(begin, begin + timedelta(days=1), (column,))))
            last = [plain for _, _, plain in meter.took if plain[:2] == b"\xc0\x01"][-1]
            assert last[12:16] == b"\x01\x01\x02\x04"  # selective access: range, a structure of four
            assert last.endswith(b"\x01\x01\x02\x04\x12\x00\x03\x09\x06" + REGISTER.instance_id + b"\x0f\x02\x12\0\0")
            assert len(requests(meter)) > 10  # blocks were asked for one by one

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("with_list_max", "conformance", "expected"),
    [
        (1, None, [b"\xc0\x01"] * 5),
        (2, None, [b"\xc0\x03", b"\xc0\x03", b"\xc0\x01"]),
        (16, None, [b"\xc0\x03"]),
        (16, int(cosem.Conformance.GET | cosem.Conformance.SET), [b"\xc0\x01"] * 5),  # the meter knows no lists
    ],
)
def test_lists_are_split_as_the_device_allows(
    with_list_max: int, conformance: int | None, expected: list[bytes]
) -> None:
    async def walk() -> None:
        async with loopback.meter(conformance=conformance) as meter:
            async with session(meter, with_list_max=with_list_max) as opened:
                answers = await opened.carry_out(GetList((at(CLOCK), at(REGISTER), ABSENT, at(BITS), ABSENT)))
            assert [type(answer) for answer in answers] == [Data, Data, Refusal, Data, Refusal]
            assert answers[2] == Refusal(4, "object-undefined")
            assert answers[3] == Data(Tag.BIT_STRING, "1010000001")
            assert requests(meter) == expected

    asyncio.run(walk())


def test_a_list_is_split_by_what_the_meter_can_receive() -> None:
    async def walk() -> None:
        async with loopback.meter(max_pdu=128) as meter:
            async with session(meter, with_list_max=32) as opened:
                answers = await opened.carry_out(GetList((at(REGISTER),) * 20))
            assert answers == [Data(Tag.DOUBLE_LONG_UNSIGNED, 4_711)] * 20
            assert requests(meter).count(b"\xc0\x03") == 3

    asyncio.run(walk())


def test_a_value_is_written_and_a_refusal_told() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            meter.refused_sets[CLOCK] = 3
            async with session(meter) as opened:
                await opened.carry_out(Set(at(BITS), Data(Tag.BIT_STRING, "0101")))
                with pytest.raises(MeterRefused) as refused:
                    await opened.carry_out(Set(at(CLOCK), Data(Tag.OCTET_STRING, loopback.TIME)))
                assert (refused.value.result, refused.value.result_name) == (3, "read-write-denied")
                assert opened.writes == 2
                assert await opened.carry_out(Get(at(BITS))) == Data(Tag.BIT_STRING, "0101")
            assert meter.written == [(BITS, cosem.Data(4, "0101"))]

    asyncio.run(walk())


Outcome = tuple[type[OperationError], int, bool]  # error, code, whether the association goes on


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (loopback.silence, (Unreachable, 233, False)),
        (loopback.close, (Unreachable, 229, False)),
        ("reset", (Unreachable, 226, False)),
        (loopback.tamper, (Unreachable, 230, False)),
        (loopback.other_version, (Unreachable, 231, False)),
        (loopback.nonsense, (Unreachable, 230, False)),  # plain on a ciphered association
        (loopback.exception(2), (MeterUnusable, 0, True)),
        (loopback.exception(5), (Unreachable, 230, False)),
        (loopback.exception(6, 900), (OutOfStep, 230, False)),
    ],
)
def test_each_failure_of_a_read_has_its_fault(fault: Any, expected: Outcome) -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            async with session(meter) as opened:
                meter.faults[GET] = fault
                with pytest.raises(OperationError) as caught:
                    await opened.carry_out(Get(at(REGISTER)))
                assert (type(caught.value), caught.value.code, opened.usable) == expected
                meter.faults.clear()
                if opened.usable:
                    assert await opened.carry_out(Get(at(REGISTER))) == Data(Tag.DOUBLE_LONG_UNSIGNED, 4_711)
                else:
                    with pytest.raises(Unreachable):
                        await opened.carry_out(Get(at(REGISTER)))
            assert meter.released == (1 if expected[2] else 0)

    asyncio.run(walk())


def test_nonsense_in_clear_is_232() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter, session(meter, 16) as opened:
            meter.faults[GET] = loopback.nonsense
            with pytest.raises(Unreachable) as caught:
                await opened.carry_out(Get(at(REGISTER)))
            assert (caught.value.code, caught.value.name) == (232, "ILLEGAL_RESPONSE")

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("fault", "changes", "error", "code"),
    [
        (None, {"keys": cosem.Keys(bytes(16), AK)}, OutOfStep, 229),  # a wrong key: the meter closes
        (None, {"server_title": b"XXX00009"}, Unreachable, 230),
        (None, {"client_id": 99}, OutOfStep, 228),
        (None, {"client_id": 2, "mechanism": cosem.Mechanism.LLS, "password": b"wrong"}, OutOfStep, 223),
        (
            None,
            {"client_id": 2, "mechanism": cosem.Mechanism.HLS5},
            OutOfStep,
            224,
        ),  # the meter wants another mechanism
        (loopback.silence, {}, Unreachable, 233),
        (loopback.close, {}, OutOfStep, 229),
        ("reset", {}, OutOfStep, 226),
        (loopback.exception(6, 700), {}, OutOfStep, 230),
        (loopback.other_version, {}, Unreachable, 231),
    ],
)
def test_each_failure_to_associate_has_its_fault(
    fault: Any, changes: dict[str, Any], error: type[Unreachable], code: int
) -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            if fault is not None:
                meter.faults[AARQ] = fault
            with pytest.raises(Unreachable) as caught:
                async with session(meter, **changes):
                    pass
            assert (type(caught.value), caught.value.code) == (error, code)
            assert getattr(caught.value, "expected", None) in (None, 700)
            assert meter.released == 0

    asyncio.run(walk())


def test_a_wrong_answer_to_our_challenge_ends_it() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            meter.faults[ACTION] = loopback.tamper
            with pytest.raises(Unreachable) as caught:
                async with session(meter):
                    pass
            assert caught.value.code == 230

    asyncio.run(walk())


def test_a_stale_counter_is_out_of_step() -> None:
    async def walk() -> None:
        for stale, expected in (
            (cosem.OnRefusal.CLOSE, None),
            (cosem.OnRefusal.REJECT, None),
            (cosem.OnRefusal.EXCEPTION, 501),
        ):
            async with loopback.meter(accepted=500, stale=stale) as meter:
                with pytest.raises(OutOfStep) as caught:
                    async with session(meter):
                        pass
                assert caught.value.expected == expected

    asyncio.run(walk())


def test_used_up_counters_end_the_association_before_anything_is_sent() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            async with session(meter, counter=cosem.InvocationCounter(10, 13)) as opened:
                await opened.carry_out(Get(at(REGISTER)))
                with pytest.raises(Unreachable, match="used up"):
                    await opened.carry_out(Set(at(BITS), Data(Tag.BIT_STRING, "0101")))
                assert (opened.usable, opened.writes) == (False, 0)
            assert meter.counters == [10, 12, 13]  # the answer to the meter's challenge used 11
            assert not meter.written

    asyncio.run(walk())


def test_no_frame_leaves_after_the_deadline() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            async with session(meter, left=0.15) as opened:
                await asyncio.sleep(0.2)
                with pytest.raises(Unreachable, match="deadline"):
                    await opened.carry_out(Set(at(BITS), Data(Tag.BIT_STRING, "0101")))
                assert opened.writes == 0
            await asyncio.sleep(0.05)
            assert (meter.written, meter.released) == ([], 0)

    asyncio.run(walk())


def test_a_meter_that_does_not_answer_the_goodbye_does_no_harm() -> None:
    async def walk() -> None:
        for fault in (loopback.silence, loopback.close, loopback.tamper):
            async with loopback.meter() as meter:
                meter.faults[RELEASE] = fault
                began = time.monotonic()
                async with session(meter) as opened:
                    await opened.carry_out(Get(at(REGISTER)))
                assert time.monotonic() - began < 1
                assert meter.released == 1

    asyncio.run(walk())


def test_an_association_is_released_when_the_operation_fails() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter:
            with pytest.raises(ZeroDivisionError):
                async with session(meter):
                    raise ZeroDivisionError
            assert meter.released == 1

    asyncio.run(walk())


def test_a_value_that_does_not_fit_its_type_is_ours_to_answer_for() -> None:
    async def walk() -> None:
        async with loopback.meter() as meter, session(meter) as opened:
            with pytest.raises(OperationError) as caught:
                await opened.carry_out(Set(at(REGISTER), Data(Tag.UNSIGNED, 256)))
            assert not caught.value.retriable
            assert await opened.carry_out(Get(at(REGISTER))) == Data(Tag.DOUBLE_LONG_UNSIGNED, 4_711)

    asyncio.run(walk())


def run(steps: Steps[Any], carry_out: Callable[[Any], Any]) -> Answer[Any]:
    async def step(step: Any) -> Any:
        return carry_out(step)

    return asyncio.run(drive(steps, step))


def test_a_refusal_is_thrown_in_and_the_operation_may_know_a_way_round() -> None:
    def steps() -> Steps[str]:
        try:
            yield Get(ABSENT)
        except MeterRefused as refused:
            second = yield Get(at(REGISTER))
            return Answer(f"{refused.result_name}, {second}")
        raise AssertionError

    def answer(step: Get) -> str:
        if step.attribute == ABSENT:
            raise MeterRefused(4, "object-undefined", "9")
        return "4711"

    assert run(steps(), answer) == Answer("object-undefined, 4711")


def test_the_end_of_the_association_is_not_thrown_in() -> None:
    seen: list[str] = []

    def steps() -> Steps[str]:
        try:
            yield Get(ABSENT)
        except OperationError:
            seen.append("thrown in")
        finally:
            seen.append("closed")
        return Answer("never")

    def answer(step: Get) -> str:
        raise Unreachable("gone")

    with pytest.raises(Unreachable):
        run(steps(), answer)
    assert seen == ["closed"]

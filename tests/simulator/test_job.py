"""One job against a meter on loopback: what becomes of each command, whatever happens on the way."""

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from connectors.dlms import cosem, keys
from connectors.dlms.cosem import axdr
from connectors.dlms.job import Carried, Desk, carry_out, not_started
from connectors.dlms.opening import client_settings, client_title
from connectors.dlms.session import Times
from operations import catalogue
from operations._errors import Rejected
from operations._profile import profile
from operations._steps import Now
from schemas import codec
from schemas.records import (
    CommandHeader,
    Delegated,
    Ended,
    Job,
    JobAttempting,
    JobCommand,
    KeyKind,
    LoggedFrame,
    Permit,
    RegisterReads,
    Registration,
    SealedKey,
    Security,
    TimeZoneSet,
)
from tests.simulator import loopback
from tests.simulator.loopback import AARQ, AK, GET, GUEK, PASSWORD, SET

DEVICE = "KFM1234567890123"
GAS, OTHER_GAS = "TESTG100000000001", "TESTG100000000003"
SMR = profile("SMR", "5.1")
CLOCK = cosem.Attribute(SMR["CLOCK"].class_id, SMR["CLOCK"].obis, 2)
HLS5 = bytes.fromhex("60857405080205")
Asked = tuple[str, dict[str, Any]]
SYNCHRONIZE = ("SynchronizeTime", {"time_zone": "Europe/Amsterdam"})
CLEAR: Asked = ("ClearAlarmRegister", {})
ALARMS: Asked = ("ReadAlarmRegister", {})
READS: Asked = ("GetActualMeterReads", {})


@cache
def own_platform() -> keys.Keys:
    with TemporaryDirectory() as folder:
        return keys.generate(Path(folder) / "keys")


@dataclass
class Told:
    """What the job announced while it ran, and what the meter had been asked by then."""

    meter: loopback.Loopback | None = None
    attempts: list[tuple[JobAttempting, int, int]] = field(default_factory=list)
    broker: Callable[[], Any] = lambda: asyncio.sleep(0)
    frames: list[LoggedFrame] = field(default_factory=list)

    async def attempting(self, record: JobAttempting, partition: int) -> None:
        await self.broker()
        written = len(self.meter.written) if self.meter else 0
        self.attempts.append((record, partition, written))

    async def log_frame(self, frame: LoggedFrame) -> None:
        await self.broker()
        self.frames.append(frame)


def desk(told: Told | None = None) -> Desk:
    return Desk(
        worker="w1",
        keys=own_platform(),
        title=client_title(1),
        times=Times(connect=1, answer=0.3, release=0.3, counter=0.01),
        pool=ThreadPoolExecutor(1),
        attempting=(told := told or Told()).attempting,
        log_frame=told.log_frame,
    )


def registration(port: int, *, platform: keys.Keys | None = None, device: str = DEVICE, **changes: Any) -> Registration:
    seal = (platform or own_platform()).seal
    secrets = {KeyKind.ENCRYPTION: GUEK, KeyKind.AUTHENTICATION: AK, KeyKind.PASSWORD: PASSWORD}
    sealed = tuple(SealedKey(kind, seal(device, kind, secret)) for kind, secret in secrets.items())
    told: dict[str, Any] = {
        "device_type": "SMART_METER_E",
        "protocol": "SMR",
        "protocol_version": "5.1",
        "host": "127.0.0.1",
        "port": port,
        "client_id": 1,
        "logical_device": 1,
        "security": Security.HLS5,
        "system_title": loopback.TITLE,
        "keys": sealed,
        "with_list_max": 16,
    }
    return Registration(**(told | changes))


def command(operation: str, request: object, device: str = DEVICE, **told: Any) -> JobCommand:
    correlation_id = str(uuid.uuid4())
    header = CommandHeader(correlation_id, device, int(time.time() * 1000), **told)
    return JobCommand(correlation_id, operation, 1, codec.encode_command(operation, header, request))


def job(
    registered: Registration | None,
    *asked: Asked,
    seconds: float = 10,
    counters: tuple[int, int] = (100, 199),
    device: str = DEVICE,
) -> Job:
    commands = tuple(command(*each, device) for each in asked)
    return Job(device, 7, int((time.time() + seconds) * 1000), *counters, registered, commands)


def fill(meter: loopback.Loopback) -> None:
    """The objects that the operations here ask for, as SMR 5.1 has them."""
    for tag, found in SMR.objects.items():
        if tag.startswith("ALARM_REGISTER"):
            meter.values[cosem.Attribute(found.class_id, found.obis, 2)] = axdr.double_long_unsigned(5)
        if tag.startswith("ACTIVE_ENERGY"):
            meter.values[cosem.Attribute(found.class_id, found.obis, 2)] = axdr.double_long_unsigned(1_234_567)
            unit = axdr.structure(axdr.integer(0), axdr.enum(30))
            meter.values[cosem.Attribute(found.class_id, found.obis, 3)] = unit


async def run(
    prepare: Callable[[loopback.Loopback], object],
    *asked: Asked,
    told: Told | None = None,
    meter_accepted: int = -1,
    stale: cosem.OnRefusal = cosem.OnRefusal.CLOSE,
    seconds: float = 10,
    counters: tuple[int, int] = (100, 199),
    **changes: Any,
) -> tuple[Carried, loopback.Loopback]:
    async with loopback.meter(accepted=meter_accepted, stale=stale) as meter:
        fill(meter)
        prepare(meter)
        if told is not None:
            told.meter = meter
        carried = await carry_out(
            job(registration(meter.port, **changes), *asked, seconds=seconds, counters=counters), 3, desk(told)
        )
        await asyncio.sleep(0.02)
        return carried, meter


def nothing(meter: loopback.Loopback) -> None:
    pass


def strike(kind: int, fault: Any) -> Callable[[loopback.Loopback], object]:
    return lambda meter: meter.faults.update({kind: fault})


def outcomes(carried: Carried) -> list[tuple[str, int | None]]:
    return [(each.ended.value, each.fault.code if each.fault else None) for each in carried.ended.commands]


def test_commands_share_one_association() -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, READS, ALARMS))
    assert outcomes(carried) == [("Successful", None)] * 3
    assert (meter.connections, meter.released) == (1, 1)
    ended = carried.ended
    assert (ended.device_id, ended.number, ended.worker, ended.reached) == (DEVICE, 7, "w1", True)
    assert ended.started_at <= ended.ended_at
    assert ended.commands[0].facts == (TimeZoneSet("Europe/Amsterdam"),)
    assert [value.tag for attribute, value in meter.written if attribute == CLOCK] == [9]


def test_counters_are_used_once_and_the_next_is_told() -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, ALARMS))
    assert meter.counters == sorted(set(meter.counters))
    assert meter.counters[0] == 100
    assert carried.ended.counter_next > max(meter.counters)
    assert carried.ended.counter_floor is None


def test_results_are_typed_and_reads_come_out() -> None:
    carried, _ = asyncio.run(run(nothing, READS))
    (correlation_id,) = carried.results
    result = codec.decode_result("GetActualMeterReads", carried.results[correlation_id])
    assert str(result["active_energy_import"]) == "1234.567000"
    (reads,) = carried.reads
    assert isinstance(reads, RegisterReads)
    assert (reads.device_id, reads.correlation_id) == (DEVICE, correlation_id)
    assert {read.value for read in reads.registers} == {1_234_567_000}


async def of_two_gas_meters() -> Carried:
    """A gateway's own read, and reads of the gas meters on channels 1 and 3, under the correlation id of the first."""
    async with loopback.meter() as meter:
        fill(meter)
        for channel, value in ((1, 12_345), (3, 678)):
            for index, data in (
                (2, axdr.double_long_unsigned(value)),
                (3, axdr.structure(axdr.integer(-3), axdr.enum(13))),
                (5, axdr.octet_string(bytes.fromhex("07E8070101090000000000FF"))),
            ):
                meter.values[cosem.Attribute(4, bytes((0, channel, 24, 2, 1, 255)), index)] = data
        asked = job(registration(meter.port), READS)
        own = asked.commands[0]
        delegated = []
        for channel, device in ((1, GAS), (3, OTHER_GAS)):
            header = CommandHeader(own.correlation_id, device, 0)
            record = codec.encode_command("GetActualMeterReadsGas", header, {})
            whose = Delegated(device, 5, own.correlation_id, channel)
            delegated.append(JobCommand(str(uuid.uuid4()), "GetActualMeterReadsGas", 1, record, delegated=whose))
        return await carry_out(replace(asked, commands=(own, *delegated)), 3, desk())


def test_gas_meters_are_read_in_the_gateways_association_under_their_own_names() -> None:
    carried = asyncio.run(of_two_gas_meters())
    assert outcomes(carried) == [("Successful", None)] * 3
    assert [each.device_id for each in carried.ended.commands] == [None, GAS, OTHER_GAS]
    assert [each.device_id for each in carried.reads if isinstance(each, RegisterReads)] == [DEVICE, GAS, OTHER_GAS]
    assert len({each.correlation_id for each in carried.reads if isinstance(each, RegisterReads)}) == 1
    told = [
        codec.decode_result("GetActualMeterReadsGas", carried.results[each.correlation_id])
        for each in carried.ended.commands[1:]
    ]
    assert [str(each["consumption"]) for each in told] == ["12.345000", "0.678000"]
    assert set(carried.delegated) == {each.correlation_id for each in carried.ended.commands[1:]}


@pytest.mark.parametrize(
    ("result", "ended", "name"), [(3, "Failed", "read-write-denied"), (2, "Retriable", "temporary-failure")]
)
def test_the_meters_no_ends_one_command_and_the_next_goes_on(result: int, ended: str, name: str) -> None:
    def refuse(meter: loopback.Loopback) -> None:
        meter.refused_sets[CLOCK] = result

    carried, meter = asyncio.run(run(refuse, SYNCHRONIZE, ALARMS))
    assert outcomes(carried) == [(ended, 0), ("Successful", None)]
    fault = carried.ended.commands[0].fault
    assert fault is not None and name in fault.message
    assert meter.connections == 1


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("ReadTheStars", {}), 407),
        (("SynchronizeTime", {"time_zone": "Mars/Olympus"}), 401),
    ],
)
def test_what_cannot_be_asked_is_refused_before_connecting(asked: Asked, code: int) -> None:
    name, request = asked
    good = command(*SYNCHRONIZE)
    if name in catalogue():
        bad = command(name, request)
    else:
        bad = replace(good, correlation_id=str(uuid.uuid4()), operation=name)

    async def walk() -> tuple[Carried, int]:
        async with loopback.meter() as meter:
            asked = replace(job(registration(meter.port)), commands=(bad,))
            return await carry_out(asked, 0, desk()), meter.connections

    carried, connections = asyncio.run(walk())
    assert outcomes(carried) == [("Failed", code)]
    assert (connections, carried.ended.reached, carried.ended.counter_next) == (0, False, 100)


def test_an_unreadable_command_an_unknown_profile_and_a_missing_object_are_refused() -> None:
    broken = replace(command(*SYNCHRONIZE), command=b"\xc3\x01 nonsense")
    carried = asyncio.run(carry_out(replace(job(registration(1)), commands=(broken,)), 0, desk()))
    assert outcomes(carried) == [("Failed", 401)]
    carried = asyncio.run(carry_out(job(registration(1, protocol_version="9.9"), SYNCHRONIZE), 0, desk()))
    assert outcomes(carried) == [("Failed", 206)]
    carried = asyncio.run(carry_out(job(None, SYNCHRONIZE), 0, desk()))
    assert outcomes(carried) == [("Failed", 201)]


def test_a_device_that_cannot_be_reached_fails_them_all_retriably() -> None:
    carried = asyncio.run(carry_out(job(registration(1), SYNCHRONIZE, CLEAR), 0, desk()))
    assert outcomes(carried) == [("Retriable", 225)] * 2
    assert not carried.ended.reached


@pytest.mark.parametrize(
    ("fault", "code"),
    [(loopback.silence, 233), (loopback.close, 229), ("reset", 226), (loopback.tamper, 230)],
)
def test_a_lost_read_is_tried_again_and_the_rest_never_began(fault: Any, code: int) -> None:
    carried, meter = asyncio.run(run(strike(GET, fault), SYNCHRONIZE, ALARMS, CLEAR))
    assert outcomes(carried) == [("Successful", None), ("Retriable", code), ("NotStarted", None)]
    assert carried.ended.reached and len(meter.written) == 1


def test_a_lost_answer_to_a_write_that_may_be_repeated_is_retriable() -> None:
    carried, meter = asyncio.run(run(strike(SET, loopback.silence), SYNCHRONIZE))
    assert outcomes(carried) == [("Retriable", 233)]
    assert len(meter.written) == 1


def test_before_the_write_that_may_not_be_repeated_it_is_announced() -> None:
    told = Told()
    carried, meter = asyncio.run(run(nothing, ALARMS, CLEAR, told=told))
    assert outcomes(carried) == [("Successful", None)] * 2
    ((record, partition, written),) = told.attempts
    assert (record.device_id, record.number, partition) == (DEVICE, 7, 3)
    assert record.correlation_id == carried.ended.commands[1].correlation_id
    assert written == 0 and len(meter.written) >= 1


@pytest.mark.parametrize(
    "fault", [loopback.silence, loopback.close, "reset", loopback.tamper, loopback.exception(6, 9)]
)
def test_a_lost_answer_to_it_is_unknown_though_the_meter_did_it(fault: Any) -> None:
    told = Told()
    carried, meter = asyncio.run(run(strike(SET, fault), CLEAR, ALARMS, told=told))
    assert [each.ended for each in carried.ended.commands] == [Ended.UNKNOWN, Ended.NOT_STARTED]
    assert len(meter.written) == 1 and len(told.attempts) == 1


@pytest.mark.parametrize("result", [3, 2])
def test_a_refusal_of_it_is_an_answer(result: int) -> None:
    """Also a temporary one: an earlier register may be cleared already, and would be cleared again."""

    def refuse(meter: loopback.Loopback) -> None:
        meter.refused_sets |= {attribute: result for attribute in meter.values}

    carried, meter = asyncio.run(run(refuse, CLEAR, told=Told()))
    assert outcomes(carried) == [("Failed", 0)]
    assert not meter.written


def test_a_failure_before_the_write_is_retriable_and_nothing_was_announced() -> None:
    told = Told()
    carried, meter = asyncio.run(
        run(strike(AARQ, loopback.close), CLEAR, told=told, protocol="DSMR", protocol_version="4.2.2")
    )
    assert outcomes(carried) == [("Retriable", 229)]
    assert not told.attempts and not meter.written


def test_an_announcement_nobody_acknowledges_lets_nothing_be_written() -> None:
    told = Told(broker=lambda: asyncio.sleep(60))
    carried, meter = asyncio.run(run(nothing, CLEAR, ALARMS, told=told, seconds=0.4))
    assert outcomes(carried)[0][0] == "Retriable"
    assert not meter.written


def test_a_write_is_not_sent_after_the_deadline_even_when_announced() -> None:
    told = Told(broker=lambda: asyncio.sleep(0.3))

    async def late() -> tuple[Carried, loopback.Loopback]:
        async with loopback.meter() as meter:
            fill(meter)
            slow = desk(told)

            async def announce(record: JobAttempting, partition: int) -> None:
                await told.attempting(record, partition)
                time.sleep(0.3)  # the process is held up between acknowledgement and sending

            carried = await carry_out(
                job(registration(meter.port), CLEAR, seconds=0.45), 0, replace(slow, attempting=announce)
            )
            await asyncio.sleep(0.05)
            return carried, meter

    carried, meter = asyncio.run(late())
    assert outcomes(carried) == [("Retriable", 233)]
    assert len(told.attempts) == 1 and not meter.written


def within(seconds: float) -> int:
    return int(1_000 * (time.time() + seconds))


@pytest.mark.parametrize("looks", [False, True])
def test_a_command_whose_time_is_over_does_not_begin_though_its_job_does(looks: bool) -> None:
    """Reference 2.6: 417, whatever the meter would say. Without another command nobody is called."""

    async def late() -> tuple[Carried, loopback.Loopback]:
        async with loopback.meter() as meter:
            fill(meter)
            asked = job(registration(meter.port), ALARMS)
            over = [command(*each, expires_at=within(-0.001)) for each in (SYNCHRONIZE, CLEAR)]
            ahead = command(*CLEAR, expires_at=within(60))
            commands = (*over, *((*asked.commands, ahead) if looks else ()))
            return await carry_out(replace(asked, commands=commands), 3, desk(Told())), meter

    carried, meter = asyncio.run(late())
    assert outcomes(carried)[:2] == [("NotStarted", 417)] * 2
    assert outcomes(carried)[2:] == [("Successful", None)] * (2 * looks)
    assert meter.connections == looks


def test_a_command_whose_time_ends_while_the_meter_is_called_does_not_begin() -> None:
    async def late() -> tuple[Carried, loopback.Loopback]:
        async with loopback.meter() as meter:
            fill(meter)
            asked = job(registration(meter.port), ALARMS)
            commands = tuple(command(*each, expires_at=within(2)) for each in (CLEAR, ALARMS))
            meter.delay = 1.1  # each of the two answers by which the association opens
            patient = replace(desk(Told()), times=Times(answer=30, release=0.3))
            return await carry_out(replace(asked, commands=commands), 3, patient), meter

    carried, meter = asyncio.run(late())
    assert outcomes(carried) == [("NotStarted", 417)] * 2
    assert meter.connections == 1 and not meter.written


def test_a_job_taken_too_late_sends_nothing() -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, CLEAR, seconds=-1))
    assert outcomes(carried) == [("NotStarted", None)] * 2
    assert meter.connections == 0


@pytest.mark.parametrize("stale", [cosem.OnRefusal.CLOSE, cosem.OnRefusal.REJECT, cosem.OnRefusal.EXCEPTION])
def test_a_counter_out_of_step_is_reported_with_what_the_meter_expects(stale: cosem.OnRefusal) -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, ALARMS, meter_accepted=5_000, stale=stale))
    assert [each.ended for each in carried.ended.commands] == [Ended.RETRIABLE] * 2
    assert carried.ended.counter_floor == 5_001
    assert not meter.written
    assert [client for client, _, plain in meter.took if plain[0] == GET] == [16]  # only the public client read


def test_a_counter_within_the_jobs_range_is_put_right_at_once() -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, meter_accepted=150))
    assert outcomes(carried) == [("Successful", None)]
    assert carried.ended.counter_floor == 151
    assert [counter for counter in meter.counters if counter > 150][0] == 151
    assert carried.ended.counter_next > 151


def test_a_counter_in_step_is_not_the_reason() -> None:
    def cut(answer: bytes) -> bytes | None:
        return None if HLS5 in answer else answer  # the public client is answered

    carried, meter = asyncio.run(run(strike(AARQ, cut), SYNCHRONIZE))
    assert outcomes(carried) == [("Retriable", 229)]
    assert (meter.connections, carried.ended.counter_floor, carried.ended.counter_next) == (2, None, 101)


def test_a_missing_key_is_named() -> None:
    other = replace(registration(1), keys=())
    with pytest.raises(Rejected) as missing:
        client_settings(other, DEVICE, own_platform(), client_title(1))
    assert missing.value.code == 806


def test_a_dsmr_meter_is_not_asked_for_its_counter() -> None:
    carried, meter = asyncio.run(
        run(nothing, SYNCHRONIZE, meter_accepted=5_000, protocol="DSMR", protocol_version="4.2.2")
    )
    assert outcomes(carried) == [("Retriable", 229)]
    assert (meter.connections, carried.ended.counter_floor) == (1, None)


def test_used_up_counters_are_retriable_and_none_is_used_twice() -> None:
    carried, meter = asyncio.run(run(nothing, SYNCHRONIZE, ALARMS, SYNCHRONIZE, counters=(100, 103)))
    assert [each.ended for each in carried.ended.commands] == [Ended.SUCCESSFUL, Ended.RETRIABLE, Ended.NOT_STARTED]
    assert carried.ended.counter_next == 104
    assert max(meter.counters) == 103


@pytest.mark.parametrize(
    ("security", "client_id", "changes"),
    [(Security.NONE, 16, {"keys": ()}), (Security.LLS, 2, {})],
)
def test_other_levels_of_security(security: Security, client_id: int, changes: dict[str, Any]) -> None:
    carried, meter = asyncio.run(run(nothing, ALARMS, security=security, client_id=client_id, **changes))
    assert outcomes(carried) == [("Successful", None)]
    assert {client for client, _, _ in meter.took} == {client_id}
    assert carried.ended.counter_next == (100 if security is Security.NONE else carried.ended.counter_next)


def test_keys_that_cannot_be_opened_fail_without_connecting() -> None:
    def spoilt(sealed: SealedKey) -> SealedKey:
        return replace(sealed, sealed=sealed.sealed[:-1] + bytes((sealed.sealed[-1] ^ 1,)))

    registered = registration(1)
    registered = replace(registered, keys=tuple(spoilt(key) for key in registered.keys))
    carried = asyncio.run(carry_out(job(registered, SYNCHRONIZE, ALARMS), 0, desk()))
    assert outcomes(carried) == [("Failed", 805)] * 2
    assert GUEK.hex() not in repr(carried)


def test_add_device_seals_keys_and_calls_no_meter() -> None:
    public = own_platform().public_key
    request = {
        "device_type": "SMART_METER_E",
        "protocol": "SMR",
        "protocol_version": "5.1",
        "host": "192.0.2.1",
        "security": "hls5",
        "master_key": keys.seal_for_platform(public, bytes(16)),
        "authentication_key": keys.seal_for_platform(public, AK),
        "encryption_key": keys.seal_for_platform(public, GUEK),
    }
    carried = asyncio.run(carry_out(job(None, ("AddDevice", request)), 0, desk()))
    assert outcomes(carried) == [("Successful", None)]
    (fact,) = carried.ended.commands[0].facts
    found = {key.kind: own_platform().open(DEVICE, key) for key in fact.registration.keys}  # type: ignore[union-attr]
    assert found[KeyKind.ENCRYPTION] == GUEK and found[KeyKind.AUTHENTICATION] == AK
    assert GUEK not in codec.encode(carried.ended)

    wrong = keys.seal_for_platform(public, AK)[:-1] + b"\x00"
    carried = asyncio.run(carry_out(job(None, ("AddDevice", request | {"encryption_key": wrong})), 0, desk()))
    assert outcomes(carried) == [("Failed", 804)]
    short = keys.seal_for_platform(public, AK[:15])
    carried = asyncio.run(carry_out(job(None, ("AddDevice", request | {"master_key": short})), 0, desk()))
    assert outcomes(carried) == [("Failed", 802)]


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (GET, [Ended.SUCCESSFUL, Ended.RETRIABLE, Ended.NOT_STARTED]),
        (SET, [Ended.RETRIABLE, Ended.NOT_STARTED, Ended.NOT_STARTED]),
    ],
)
def test_a_stop_ends_what_is_under_way(hold: int, expected: list[Ended]) -> None:
    async def walk() -> tuple[Carried, float]:
        async with loopback.meter() as meter:
            fill(meter)
            meter.faults[hold] = loopback.silence
            slow = replace(desk(), times=Times(answer=30))
            task = asyncio.create_task(
                carry_out(job(registration(meter.port), SYNCHRONIZE, ALARMS, CLEAR, seconds=60), 0, slow)
            )
            await asyncio.sleep(0.3)
            began = time.monotonic()
            task.cancel()
            return await task, time.monotonic() - began

    carried, seconds = asyncio.run(walk())
    assert [each.ended for each in carried.ended.commands] == expected
    assert seconds < 1


def test_a_stop_during_a_write_that_may_not_be_repeated_is_unknown() -> None:
    async def walk() -> Carried:
        async with loopback.meter() as meter:
            fill(meter)
            meter.faults[SET] = loopback.silence
            task = asyncio.create_task(
                carry_out(job(registration(meter.port), CLEAR), 0, replace(desk(), times=Times(answer=30)))
            )
            await asyncio.sleep(0.3)
            task.cancel()
            return await task

    assert [each.ended for each in asyncio.run(walk()).ended.commands] == [Ended.UNKNOWN]


def test_an_operation_that_breaks_fails_alone_and_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Any, meter: Any) -> Any:
        yield Now()
        raise RuntimeError("secret 000102")

    mended = dict(catalogue()) | {"ReadAlarmRegister": replace(catalogue()["ReadAlarmRegister"], steps=broken)}
    monkeypatch.setattr("connectors.dlms.job.catalogue", lambda: mended)
    carried, _ = asyncio.run(run(nothing, ALARMS, SYNCHRONIZE))
    assert outcomes(carried) == [("Failed", 0), ("Successful", None)]
    fault = carried.ended.commands[0].fault
    assert fault is not None and "secret" not in fault.message and "RuntimeError" in fault.message


def test_a_job_given_up_before_its_first_line_says_so() -> None:
    asked = job(registration(1), SYNCHRONIZE, CLEAR)
    ended = not_started(asked, "w1")
    assert [each.ended for each in ended.commands] == [Ended.NOT_STARTED] * 2
    assert (ended.counter_next, ended.reached) == (100, False)
    assert codec.decode(codec.encode(ended)) == ended


async def run_permitted(
    connects: tuple[float, ...], *asked: Asked, meter_accepted: int = -1, **changes: Any
) -> tuple[Carried, loopback.Loopback, Permit]:
    """With a permit to connect so many seconds from now, within five."""
    async with loopback.meter(accepted=meter_accepted) as meter:
        fill(meter)
        given, at = job(registration(meter.port, **changes), *asked, seconds=60), desk()
        now = time.time()
        times = tuple(int((now + each) * 1_000) for each in connects)
        permit = Permit("21/7", 1, times, 5_000, int((now + 90) * 1_000))
        return await carry_out(replace(given, permit=permit), 3, at), meter, permit


def test_a_job_with_a_permit_connects_at_its_time() -> None:
    carried, meter, permit = asyncio.run(run_permitted((0.4,), SYNCHRONIZE, ALARMS))
    assert outcomes(carried) == [("Successful", None)] * 2
    assert meter.connections == 1 and meter.first_connection_at * 1_000 >= permit.connects[0]


def test_a_job_whose_permit_has_lapsed_connects_to_nobody_and_was_not_begun() -> None:
    carried, meter, _ = asyncio.run(run_permitted((-6.0,), SYNCHRONIZE, ALARMS))
    assert outcomes(carried) == [("NotStarted", 233)] * 2
    fault = carried.ended.commands[0].fault
    assert fault is not None and fault.name == "LAPSED"
    assert (meter.connections, carried.ended.reached, carried.ended.lapsed) == (0, False, True)


def test_a_permit_for_one_connection_is_not_used_for_another() -> None:
    """A counter out of step needs three; the meter is asked for it in the next attempt, whose permit has them."""
    carried, meter, _ = asyncio.run(run_permitted((0.0,), SYNCHRONIZE, meter_accepted=150))
    assert outcomes(carried) == [("Retriable", 229)]
    assert meter.connections == 1


def test_a_permit_for_three_connections_lets_the_counter_be_put_right() -> None:
    carried, meter, _ = asyncio.run(run_permitted((0.0, 0.3, 0.6), SYNCHRONIZE, meter_accepted=150))
    assert outcomes(carried) == [("Successful", None)]
    assert (meter.connections, carried.ended.counter_floor) == (3, 151)


def test_a_further_connection_that_comes_too_late_is_not_made() -> None:
    carried, meter, _ = asyncio.run(run_permitted((0.0, -9.0, -9.0), SYNCHRONIZE, meter_accepted=150))
    assert [each.ended for each in carried.ended.commands] == [Ended.RETRIABLE]
    assert meter.connections == 1


def test_a_host_name_is_looked_up_before_the_time_comes() -> None:
    carried, _, _ = asyncio.run(run_permitted((0.0,), SYNCHRONIZE, host="localhost"))
    assert outcomes(carried) == [("Successful", None)]


def test_a_host_without_an_address_uses_no_connection_up() -> None:
    carried, meter, _ = asyncio.run(run_permitted((0.0,), SYNCHRONIZE, host="nowhere.invalid"))
    assert outcomes(carried) == [("Retriable", 212)]
    assert meter.connections == 0

"""Bundles against a meter on loopback: entries in the order of the actions, and what is answered is never asked again.

Each job is the worker's own; what it obtained goes into the next one as the streams hand it on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.dlms import cosem
from connectors.dlms.cosem import axdr
from connectors.dlms.job import Carried, carry_out
from operations import build_request, bundle, catalogue
from schemas import codec
from schemas.records import CommandEnded, Ended, Job, JobCommand, TimeZoneSet
from tests.simulator import loopback
from tests.simulator.loopback import AARQ, GET, SET
from tests.simulator.test_job import (
    ALARMS,
    CLEAR,
    CLOCK,
    READS,
    SMR,
    SYNCHRONIZE,
    Asked,
    Told,
    command,
    desk,
    fill,
    job,
    registration,
)

REGISTER = cosem.Attribute(3, SMR["ACTIVE_ENERGY_IMPORT_TOTAL"].obis, 2)
UNKNOWN_OBJECT: Asked = ("GetSpecificAttributeValue", {"class_id": 999, "obis_code": "9.9.9.9.9.9", "attribute": 2})
ONE_VALUE: Asked = ("GetSpecificAttributeValue", {"class_id": 8, "obis_code": "0-0:1.0.0.255", "attribute": 2})
ALARM_REGISTER = cosem.Attribute(1, SMR["ALARM_REGISTER_1"].obis, 2)
THIRTEEN = (SYNCHRONIZE, READS, ALARMS, ONE_VALUE, UNKNOWN_OBJECT, ALARMS, READS, CLEAR, ALARMS, ONE_VALUE, READS,
            SYNCHRONIZE, ALARMS)  # fmt: skip


def built(*asked: Asked) -> JobCommand:
    """The bundle as a caller's library sends it."""
    made = command("SynchronizeTime", {"time_zone": "UTC"})
    header = codec.decode_command(made.command).header
    request = build_request("Bundle", {"actions": [{name: fields} for name, fields in asked]})
    return replace(made, operation="Bundle", command=codec.encode_command("Bundle", header, request))


class Line:
    """A meter and the jobs that one bundle takes, one after the other."""

    def __init__(self, *asked: Asked) -> None:
        self.command = built(*asked)
        self.told = Told()
        self.number = 6
        self.counter = 100
        self.carried: list[Carried] = []

    async def job(self, meter: loopback.Loopback, **changes: Any) -> CommandEnded:
        self.told.meter = meter
        self.number += 1
        asked: Job = job(registration(meter.port, **changes), seconds=10, counters=(self.counter, self.counter + 999))
        asked = replace(asked, number=self.number, commands=(self.command,))
        carried = await carry_out(asked, 0, desk(self.told))
        self.carried.append(carried)
        self.counter += 1_000
        (ended,) = carried.ended.commands
        result = carried.results.get(ended.correlation_id)
        kept = None if result is None else bundle.keep(result)
        self.command = replace(self.command, attempt=self.command.attempt + 1, kept=kept or self.command.kept)
        return ended

    @property
    def entries(self) -> list[tuple[str, Any]]:
        """As the caller gets them: operation, or outcome and code of a fault."""
        assert self.command.kept is not None
        body = bundle.kept_result(self.command.kept)
        assert body is not None
        found = []
        for name, fields in codec.decode_result("Bundle", body)["entries"]:
            module = name.split(".")[-2]
            found.append((fields["outcome"], fields["code"]) if module == "bundle" else (module, fields))
        return found


def walk(line: Line, story: Callable[[loopback.Loopback], Any]) -> loopback.Loopback:
    async def go() -> loopback.Loopback:
        async with loopback.meter() as meter:
            fill(meter)
            await story(meter)
            return meter

    return asyncio.run(go())


def shown(line: Line) -> list[str]:
    return [first for first, _ in line.entries]


def gets(meter: loopback.Loopback) -> list[bytes]:
    return [plain for _, _, plain in meter.took if plain[0] == GET]


def test_thirteen_actions_are_thirteen_entries_in_order_over_one_association() -> None:
    line = Line(*THIRTEEN)

    async def story(meter: loopback.Loopback) -> None:
        ended = await line.job(meter)
        assert (ended.ended, ended.fault) == (Ended.SUCCESSFUL, None)
        assert set(ended.facts) == {TimeZoneSet("Europe/Amsterdam")}

    meter = walk(line, story)
    assert shown(line) == [
        "synchronize_time", "get_actual_meter_reads", "read_alarm_register", "get_specific_attribute_value", "Failed",
        "read_alarm_register", "get_actual_meter_reads", "clear_alarm_register", "read_alarm_register",
        "get_specific_attribute_value", "get_actual_meter_reads", "synchronize_time", "read_alarm_register",
    ]  # fmt: skip
    assert line.entries[4] == ("Failed", 412)
    assert (line.entries[5][1]["register_1"], line.entries[8][1]["register_1"]) == (5, 0), "cleared between the two"
    assert (meter.connections, meter.released) == (1, 1)
    reads = line.carried[0].reads
    assert [read.correlation_id for read in reads] == [line.command.correlation_id] * 3  # type: ignore[attr-defined]


def test_a_lost_connection_leaves_the_rest_to_the_next_job_and_asks_nothing_twice() -> None:
    line = Line(SYNCHRONIZE, ONE_VALUE, CLEAR, ALARMS, SYNCHRONIZE, READS)

    async def story(meter: loopback.Loopback) -> None:
        fields = SMR["ALARM_REGISTER_1"].obis
        meter.faults[GET] = lambda answer: None if fields in meter.took[-1][2] else answer
        first = await line.job(meter)
        assert (first.ended, first.fault and first.fault.code) == (Ended.RETRIABLE, 229)
        assert [each[0] for each in line.entries[:3]] == [
            "synchronize_time", "get_specific_attribute_value", "clear_alarm_register",
        ]  # fmt: skip
        assert line.entries[3:] == [("Retriable", 229), ("NotStarted", 229), ("NotStarted", 229)]
        meter.faults.clear()
        asked = len(meter.took)
        assert (await line.job(meter)).ended is Ended.SUCCESSFUL
        again = [
            plain for _, _, plain in meter.took[asked:] if plain[:2] == bytes((GET, 1)) and CLOCK.instance_id in plain
        ]
        assert again == [], "the value that was answered is not read again"

    meter = walk(line, story)
    assert shown(line) == [
        "synchronize_time", "get_specific_attribute_value", "clear_alarm_register", "read_alarm_register",
        "synchronize_time", "get_actual_meter_reads",
    ]  # fmt: skip
    assert [attribute.instance_id for attribute, _ in meter.written].count(ALARM_REGISTER.instance_id) == 1
    assert [attribute for attribute, _ in meter.written].count(CLOCK) == 2, "each of the two actions once"
    assert [len(carried.reads) for carried in line.carried] == [0, 1]


def test_reads_of_a_job_that_broke_off_are_told_by_it_and_not_again() -> None:
    line = Line(READS, SYNCHRONIZE)

    async def story(meter: loopback.Loopback) -> None:
        meter.faults[SET] = loopback.close
        assert (await line.job(meter)).ended is Ended.RETRIABLE
        meter.faults.clear()
        assert (await line.job(meter)).ended is Ended.SUCCESSFUL

    walk(line, story)
    assert [len(carried.reads) for carried in line.carried] == [1, 0]


def test_the_action_that_may_not_be_repeated_is_announced_by_its_place() -> None:
    line = Line(ALARMS, CLEAR, SYNCHRONIZE, CLEAR)

    async def story(meter: loopback.Loopback) -> None:
        await line.job(meter)

    walk(line, story)
    announced = [(record.correlation_id, record.action, written) for record, _, written in line.told.attempts]
    name = line.command.correlation_id
    assert announced == [(name, 1, 0), (name, 3, 2)], "each before its first write"


@pytest.mark.parametrize(
    ("done", "entry"),
    [(True, ("clear_alarm_register", {"cleared": (1,)})), (False, ("Unknown", 229))],
    ids=["it was done", "nothing can tell"],
)
def test_a_lost_answer_to_what_may_not_be_repeated_is_looked_for_never_sent_again(done: bool, entry: Any) -> None:
    line = Line(SYNCHRONIZE, CLEAR, ALARMS)

    async def story(meter: loopback.Loopback) -> None:
        def lose(answer: bytes) -> bytes | None:
            if meter.took[-1][2].find(ALARM_REGISTER.instance_id) < 0:
                return answer
            if not done:
                meter.values[ALARM_REGISTER] = axdr.double_long_unsigned(5)
            return None

        meter.faults[SET] = lose
        first = await line.job(meter)
        assert first.ended is Ended.RETRIABLE
        assert [first for first, _ in line.entries] == ["synchronize_time", "Unknown", "NotStarted"]
        meter.faults.clear()
        written = len(meter.written)
        assert (await line.job(meter)).ended is Ended.SUCCESSFUL
        assert [attribute for attribute, _ in meter.written[written:]].count(ALARM_REGISTER) == 0

    walk(line, story)
    assert line.entries[1] == entry
    assert (shown(line)[0], shown(line)[2]) == ("synchronize_time", "read_alarm_register")


def test_the_meters_no_and_what_it_does_not_have_end_one_action(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = dict(catalogue()) | {"ReadAlarmRegister": replace(catalogue()["ReadAlarmRegister"], needs=("NO_SUCH",))}
    monkeypatch.setattr("connectors.dlms.job.catalogue", lambda: lacking)
    line = Line(SYNCHRONIZE, ALARMS, ONE_VALUE)

    async def story(meter: loopback.Loopback) -> None:
        meter.refused_sets[CLOCK] = 3
        ended = await line.job(meter)
        assert (ended.ended, ended.fault) == (Ended.SUCCESSFUL, None)

    walk(line, story)
    assert line.entries[:2] == [("Failed", 0), ("Failed", 416)]
    assert shown(line)[2] == "get_specific_attribute_value"


def test_an_answer_nobody_can_use_is_asked_again_the_others_not() -> None:
    line = Line(ALARMS, READS)

    async def story(meter: loopback.Loopback) -> None:
        meter.values[ALARM_REGISTER] = axdr.octet_string(b"odd")
        ended = await line.job(meter)
        assert (ended.ended, ended.fault and ended.fault.name) == (Ended.RETRIABLE, "METER_ANSWER_UNUSABLE")
        assert shown(line) == ["Retriable", "get_actual_meter_reads"]
        meter.values[ALARM_REGISTER] = axdr.double_long_unsigned(0)
        asked = len(gets(meter))
        assert (await line.job(meter)).ended is Ended.SUCCESSFUL
        assert len(gets(meter)) - asked <= 3, "the registers of the first action only"

    walk(line, story)
    assert shown(line) == ["read_alarm_register", "get_actual_meter_reads"]


def test_a_meter_nobody_reaches_fails_the_bundle_and_obtains_nothing() -> None:
    line = Line(READS, SYNCHRONIZE)

    async def story(meter: loopback.Loopback) -> None:
        meter.faults[AARQ] = loopback.close
        ended = await line.job(meter)
        assert (ended.ended, ended.fault and ended.fault.code) == (Ended.RETRIABLE, 229)
        ended = await line.job(meter, keys=())
        assert (ended.ended, ended.fault and ended.fault.code) == (Ended.FAILED, 806)

    meter = walk(line, story)
    assert line.command.kept is None
    assert not meter.written


def test_a_job_too_late_starts_nothing_and_keeps_what_there_was() -> None:
    line = Line(READS, SYNCHRONIZE)

    async def story(meter: loopback.Loopback) -> None:
        meter.faults[SET] = loopback.close
        await line.job(meter)
        late = job(registration(meter.port), seconds=-1)
        carried = await carry_out(replace(late, commands=(line.command,)), 0, desk())
        (ended,) = carried.ended.commands
        assert (ended.ended, carried.results) == (Ended.NOT_STARTED, {})

    walk(line, story)


def test_entries_of_another_version_are_not_misread() -> None:
    line = Line(READS)
    line.command = replace(line.command, kept=b"\xc3\x01" + bytes(8) + b"\x00")

    async def story(meter: loopback.Loopback) -> None:
        ended = await line.job(meter)
        assert (ended.ended, meter.connections) == (Ended.FAILED, 0)
        assert ended.fault is not None and "another version" in ended.fault.message

    walk(line, story)

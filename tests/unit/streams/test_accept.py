"""What a command gets when it arrives: given a device, a command, then events, response and notification."""

from dataclasses import replace
from typing import Any

import pytest

from operations import build_request
from schemas import headers, topics
from schemas.partition import partition_of
from schemas.records import Notice, Status
from streams.device import accept
from streams.device.events import CommandAccepted, CommandRefused, CommandRepeated, CommandSettled
from streams.device.limits import Limits
from streams.device.outbox import FORWARDED
from streams.device.state import FIRST_COUNTER, Device
from streams.envelope import NO_PARTITION
from streams.keeper import Received
from tests.unit.streams.world import (
    ADD_DEVICE,
    DEVICE,
    MINUTE,
    NOON,
    World,
    command,
    ended,
    jobs,
    log,
    notices,
    on,
    raw,
    registered,
    responses,
    tick,
    uid,
)


def test_a_command_is_accepted_and_announced() -> None:
    world = World().holding(registered())
    sent = world.batch(command(1, priority=7, expires_at=NOON + MINUTE, scheduled_at=NOON + 5, bypass_retry=True))
    (decision,) = log(sent)
    (event,) = decision.events
    assert isinstance(event, CommandAccepted)
    assert (decision.version, decision.device_id, decision.at) == (4, DEVICE, NOON)
    assert (event.priority, event.not_before, event.expires_at, event.bypass_retry) == (
        7,
        NOON + 5,
        NOON + MINUTE,
        True,
    )
    (notice,) = notices(sent)
    assert (notice.notice, notice.correlation_id, notice.status) == (Notice.RECEIVED, uid(1), None)
    assert responses(sent) == [] and jobs(sent) == []
    assert [held.correlation_id for held in world.device().queue] == [uid(1)]
    assert not world.device().idle


REFUSED: dict[str, tuple[Device | None, dict[str, Any], int, str | None]] = {
    # name: (device, command, fault code, field)
    "unknown device": (None, {}, 201, "device_id"),
    "not registered yet failed": (Device(device_id=DEVICE, version=2), {}, 201, "device_id"),
    "duplicate device": (registered(), {"operation": "AddDevice"}, 204, "device_id"),
    "unknown profile": (
        None,
        {"operation": "AddDevice", "request": {"protocol_version": "14"}},
        206,
        "protocol_version",
    ),
    "invalid field": (registered(), {"request": {"time_zone": "Mars/Olympus"}}, 401, "time_zone"),
    "priority": (registered(), {"priority": 10}, 401, "priority"),
    "negative priority": (registered(), {"priority": -1}, 401, "priority"),
    "correlation id": (registered(), {"correlation_id": "17"}, 401, "correlation_id"),
    "correlation id in capitals": (registered(), {"correlation_id": uid(0xABC).upper()}, 401, "correlation_id"),
    "empty device": (None, {"device_id": ""}, 401, "key"),
    "other key": (registered(), {"key": b"TEST1024000000002"}, 401, "device_id"),
    "no key": (registered(), {"key": b""}, 401, "key"),
    "created before 1970": (registered(), {"created_at": -1}, 401, "created_at"),
    "scheduled before 1970": (registered(), {"scheduled_at": -1}, 401, "scheduled_at"),
    "expires when nobody can count to": (registered(), {"expires_at": 1 << 53}, 401, "expires_at"),
    "expires before it begins": (
        registered(),
        {"scheduled_at": NOON + 10, "expires_at": NOON + 10},
        401,
        "expires_at",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_out_is_rejected_with_its_reason(name: str) -> None:
    device, given, code, field = REFUSED[name]
    world = World().holding(*([device] if device else []))
    if given.get("operation") == "AddDevice" and "request" in given:
        given = {**given, "request": {**ADD_DEVICE, **given["request"]}}
    sent = world.batch(command(1, **given))
    (response,) = responses(sent)
    assert response.status is Status.REJECTED
    assert response.fault is not None
    assert (response.fault.code, response.fault.field) == (code, field)
    assert [notice.status for notice in notices(sent)] == [Status.REJECTED]
    assert not world.device().queue if device else world.values == {}


def test_an_operation_the_profile_has_no_object_for_is_rejected() -> None:
    device = registered()
    assert device.registration is not None
    unknown = replace(device, registration=replace(device.registration, protocol_version="9.9.9"))
    (response,) = responses(World().holding(unknown).batch(command(1)))
    assert response.fault is not None and response.fault.code == 206


@pytest.mark.parametrize(("log", "refused"), [("POWER_QUALITY_EVENT_LOG", False), ("AUXILIARY_EVENT_LOG", True)])
def test_a_request_for_an_object_that_the_profile_lacks_is_rejected(log: str, refused: bool) -> None:
    """On SMR 5.0.0: what the request needs counts like what its operation always needs."""
    query = {"event_log_category": log, "from_date": NOON - MINUTE, "until_date": NOON}
    sent = World().holding(registered()).batch(command(1, operation="FindEvents", request={"queries": [query]}))
    if not refused:
        assert responses(sent) == []
        return
    (response,) = responses(sent)
    assert response.fault is not None and (response.status, response.fault.code) == (Status.REJECTED, 416)
    assert response.fault.message == "No address found for AUXILIARY_EVENT_LOG in protocol SMR 5.0.0"


def test_an_unknown_operation_is_rejected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that is known, of an operation this version cannot carry out: a rollback of the operations."""
    monkeypatch.setattr(accept, "catalogue", dict)
    (response,) = responses(World().holding(registered()).batch(command(1)))
    assert response.fault is not None
    assert (response.fault.code, response.operation) == (407, "SynchronizeTime")


def test_an_operation_that_breaks_rejects_its_command_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(accept, "build_request", broken)
    monkeypatch.setattr(accept, "_requests", {})  # others may have asked the same
    (response,) = responses(World().holding(registered()).batch(command(1)))
    assert response.fault is not None and "ZeroDivisionError" in response.fault.message


def test_a_request_that_many_are_asked_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    def counting(name: str, values: Any) -> object:
        built.append(values)
        return build_request(name, values)

    monkeypatch.setattr(accept, "build_request", counting)
    monkeypatch.setattr(accept, "_requests", {})
    world = World().holding(registered())
    zones = ("Europe/Amsterdam", "Europe/Amsterdam", "Europe/Lisbon")
    for number, zone in enumerate(zones):
        world.batch(command(number + 1, request={"time_zone": zone}))
    assert built == [{"time_zone": "Europe/Amsterdam"}, {"time_zone": "Europe/Lisbon"}]


def test_a_rejection_of_an_unknown_device_is_logged_without_version_and_without_state() -> None:
    world = World()
    (decision,) = log(world.batch(command(1)))
    assert decision.version == 0
    assert isinstance(decision.events[0], CommandRefused)
    assert world.values == {}


def test_a_rejection_of_a_known_device_is_remembered() -> None:
    world = World().holding(registered())
    bad: dict[str, Any] = {"request": {"time_zone": "Mars/Olympus"}}
    (decision,) = log(world.batch(command(1, **bad)))
    assert decision.version == 4 and isinstance(decision.events[0], CommandSettled)
    (again,) = responses(world.batch(command(1, **bad)))
    assert (again.status, again.repeated) == (Status.REJECTED, True)
    assert again.fault is not None and again.fault.code == 401


def test_a_command_that_comes_too_late_is_expired() -> None:
    world = World().holding(registered())
    (response,) = responses(world.batch(tick(NOON), command(1, expires_at=NOON)))
    assert response.status is Status.EXPIRED and response.attempts == 0
    assert response.fault is not None and response.fault.code == 417
    assert len(jobs(world.batch(command(2, expires_at=NOON + 1)))) == 1, "a moment later is in time"


def test_whoever_says_nothing_of_it_has_the_default_priority() -> None:
    (decision,) = log(World().holding(registered()).batch(command(1)))
    (event,) = decision.events
    assert isinstance(event, CommandAccepted) and (event.priority, event.bypass_retry) == (4, False)


def test_commands_wait_for_a_registration_that_is_on_its_way() -> None:
    world = World()
    world.batch(tick(NOON))
    sent = world.batch(command(1, operation="AddDevice"), command(2))
    assert responses(sent) == []
    (job,) = jobs(sent)
    assert [each.operation for each in job.commands] == ["AddDevice"]
    assert job.registration is None and job.counter_to == job.counter_from - 1 == FIRST_COUNTER - 1
    sent = world.batch(ended(job))
    assert [response.status for response in responses(sent)] == [Status.SUCCESSFUL]
    (job,) = jobs(sent)
    assert [each.operation for each in job.commands] == ["SynchronizeTime"]
    assert job.registration is not None


class TestTheSameIdAgain:
    def test_while_it_waits(self) -> None:
        world = World().holding(registered())
        world.batch(command(1))
        sent = world.batch(command(1))
        assert responses(sent) == []
        assert [notice.notice for notice in notices(sent)] == [Notice.RECEIVED]
        (decision,) = log(sent)
        assert decision.version == 0 and isinstance(decision.events[0], CommandRepeated)
        assert len(world.device().queue) == 1

    def test_after_its_outcome(self) -> None:
        world = World().holding(registered())
        world.batch(tick(NOON))
        (job,) = jobs(world.batch(command(1)))
        (first,) = responses(world.batch(ended(job, at=NOON + 9)))
        (again,) = responses(world.batch(command(1, at=NOON + 99, created_at=NOON, priority=9)))
        assert (first.status, first.repeated, first.settled_at) == (Status.SUCCESSFUL, False, NOON + 9)
        assert (again.status, again.repeated, again.settled_at) == (Status.SUCCESSFUL, True, NOON + 9)
        assert (again.attempts, again.received_at) == (1, NOON + 99)

    @pytest.mark.parametrize("settled", [False, True])
    def test_with_another_request(self, settled: bool) -> None:
        world = World().holding(registered())
        world.batch(tick(NOON))
        sent = world.batch(command(1))
        if settled:
            world.batch(ended(jobs(sent)[0]))
        before = world.device()
        (response,) = responses(world.batch(command(1, request={"time_zone": "Europe/Amsterdam"})))
        assert response.status is Status.REJECTED and not response.repeated
        assert response.fault is not None and response.fault.field == "correlation_id"
        assert world.device() == before

    def test_created_before_what_is_remembered(self) -> None:
        world = World(Limits(commands_a_job=100)).holding(registered())
        world.batch(tick(NOON))
        for number in range(64):
            (job,) = jobs(world.batch(command(number)))
            world.batch(ended(job, at=NOON + number))
        for at in (NOON - 1, NOON):  # what was settled in the same millisecond may be forgotten
            (response,) = responses(world.batch(command(999, created_at=at)))
            assert response.fault is not None and response.fault.field == "created_at"
        sent = world.batch(command(1000, created_at=NOON + 1))
        assert responses(sent) == [] and len(jobs(sent)) == 1

    def test_times_of_what_is_remembered_never_fall(self) -> None:
        """Each topic has its own times: an outcome may be settled at an earlier one than that before it."""
        world = World(Limits(commands_a_job=100)).holding(registered())
        world.batch(tick(NOON))
        first = command(0, created_at=NOON + 100)
        for number, sent in enumerate([first, *(command(number, created_at=NOON + 200) for number in range(1, 65))]):
            (job,) = jobs(world.batch(sent))
            world.batch(ended(job, at=NOON + 100 - number))
        (response,) = responses(world.batch(first))
        assert response.fault is not None and response.fault.field == "created_at", "it is forgotten"


class TestBytesNobodyCanRead:
    ATTRIBUTED = (("correlation-id", uid(5).encode()), ("operation", b"MakeCoffee"))

    @pytest.mark.parametrize(
        "value",
        [b"", b"\xc3\x01", b"\0\1", b"\xc3\x01" + bytes(8) + b"body", command(1).value[:-1], command(1).value + b"!"],
        ids=["empty", "short", "foreign", "unknown schema", "cut", "too long"],
    )
    @pytest.mark.parametrize("attributed", [True, False])
    def test_are_rejected_or_set_aside(self, value: bytes, attributed: bool) -> None:
        world = World().holding(registered())
        given = raw(value, key=DEVICE.encode(), headers=self.ATTRIBUTED if attributed else ())
        sent = world.batch(given)
        if attributed:
            (response,) = responses(sent)
            assert (response.correlation_id, response.operation) == (uid(5), "MakeCoffee")
            assert (response.status, response.created_at) == (Status.REJECTED, None)
            assert on(topics.DEAD_LETTERS, sent) == []
        else:
            (letter,) = on(topics.DEAD_LETTERS, sent)
            assert (letter.value, letter.key, letter.partition) == (value, DEVICE.encode(), NO_PARTITION)
            told = headers.dead_letter(letter.headers)
            assert told.topic == topics.COMMANDS.name and told.reason
            assert responses(sent) == []

    def test_a_record_of_another_kind_on_commands(self) -> None:
        (letter,) = on(topics.DEAD_LETTERS, World().batch(raw(tick(NOON).value, key=DEVICE.encode())))
        assert "not a command" in headers.dead_letter(letter.headers).reason

    @pytest.mark.parametrize(
        ("operation", "told"), [("MakeCoffee", (407, "operation")), ("SynchronizeTime", (401, "request"))]
    )
    def test_an_unknown_operation_is_told_from_a_known_one(self, operation: str, told: tuple[int, str]) -> None:
        said = (("correlation-id", uid(5).encode()), ("operation", operation.encode()))
        given = raw(b"\xc3\x01" + bytes(8) + b"body", key=DEVICE.encode(), headers=said)
        (response,) = responses(World().holding(registered()).batch(given))
        assert response.fault is not None and (response.fault.code, response.fault.field) == told

    def test_an_oversized_record(self) -> None:
        large = raw(b"\xc3\x01" + bytes(300_000), key=DEVICE.encode(), headers=self.ATTRIBUTED)
        (response,) = responses(World().holding(registered()).batch(large))
        assert response.fault is not None and "300002 bytes" in response.fault.message

    def test_a_key_that_is_no_text_is_set_aside(self) -> None:
        sent = World().batch(raw(b"rubbish", key=b"\xff\xfe", headers=self.ATTRIBUTED))
        assert len(on(topics.DEAD_LETTERS, sent)) == 1

    @pytest.mark.parametrize("topic", [topics.JOB_RESULTS, topics.TICKS, topics.JOBS])
    def test_on_other_topics(self, topic: topics.Topic) -> None:
        sent = World().holding(registered()).batch(raw(b"rubbish", key=DEVICE.encode(), topic=topic.name))
        (letter,) = on(topics.DEAD_LETTERS, sent)
        assert letter.value == b"rubbish"


class TestAnotherPartitionsKey:
    def world(self) -> World:
        """Partition 0 of 4; the device belongs elsewhere."""
        home = partition_of(DEVICE.encode(), 4)
        return World(partitions=4, partition=(home + 1) % 4)

    def test_is_sent_on_unchanged(self) -> None:
        world = self.world()
        given = command(1, headers=(("traceparent", b"00-1"),))
        (sent,) = world.batch(given)
        assert (sent.topic, sent.key, sent.value) == (given.topic, given.key, given.value)
        assert sent.partition == (world.partition - 1) % 4
        assert sent.headers == (("traceparent", b"00-1"), (FORWARDED, b"%d" % world.partition))
        assert world.keeper.counts.forwarded == 1

    def test_happens_once(self) -> None:
        world = self.world()
        (sent,) = world.batch(command(1))
        back = Received(sent.topic, 0, 0, NOON, sent.key, sent.value, sent.headers)
        answer = world.batch(back)
        (response,) = responses(answer)
        assert response.status is Status.REJECTED
        assert response.fault is not None and response.fault.field == "key"
        assert on(topics.COMMANDS, answer) == [] and world.values == {}


MIB = 1024 * 1024


@pytest.mark.parametrize("home", [True, False], ids=["home", "abroad"])
@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"value": bytes(10 * MIB)}, id="value"),
        pytest.param({"value": bytes(10 * MIB), "headers": (("correlation-id", uid(1).encode()),)}, id="attributed"),
        pytest.param({"key": b"k" * MIB}, id="key"),
        pytest.param({"headers": (("a", bytes(MIB)), ("b", bytes(2 * MIB)))}, id="headers"),
        pytest.param({"headers": (("traceparent", b"0" * 60_000),)}, id="trace"),
    ],
)
@pytest.mark.parametrize("topic", [topics.COMMANDS, topics.JOB_RESULTS, topics.DEVICE_MESSAGES, topics.TICKS])
def test_whatever_comes_nothing_leaves_that_no_topic_takes(
    topic: topics.Topic, told: dict[str, Any], home: bool
) -> None:
    """Compressed, a record far above the limits of a topic passes them. What could not be sent would stop the streams,
    each time they are started again.
    """
    world = World(partitions=4, partition=(partition_of(DEVICE.encode(), 4) + (not home)) % 4)
    world.holding(registered())
    good = command(1)
    given = {"value": good.value, "key": good.key, "topic": topic.name, **told}
    sent = world.batch(tick(NOON), raw(given.pop("value"), **given))
    assert sent
    for outgoing in sent:
        size = len(outgoing.key) + len(outgoing.value) + sum(len(name) + len(value) for name, value in outgoing.headers)
        most = next(each.max_bytes for each in topics.TOPICS if each.name == outgoing.topic)
        assert size + 1_000 < most, outgoing.topic


def test_a_device_holds_a_bounded_number_of_commands() -> None:
    world = World(Limits(queue_commands=2)).holding(registered())
    sent = world.batch(command(1), command(2), command(3))
    (response,) = responses(sent)
    assert (response.correlation_id, response.status) == (uid(3), Status.REJECTED)


def test_a_device_holds_a_bounded_number_of_bytes() -> None:
    size = len(command(1).value)
    world = World(Limits(queue_bytes=2 * size)).holding(registered())
    (response,) = responses(world.batch(command(1), command(2), command(3)))
    assert response.correlation_id == uid(3)


def test_traces_are_passed_on() -> None:
    world = World().holding(registered())
    world.batch(tick(NOON))
    sent = world.batch(command(1, headers=(("traceparent", b"00-abc"),)))
    told = [record for record in sent if record.topic in (topics.JOBS.name, topics.NOTIFICATIONS.name)]
    assert len(told) == 2
    assert all(dict(record.headers)["traceparent"] == b"00-abc" for record in told)

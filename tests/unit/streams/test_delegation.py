"""What an M-Bus meter is asked goes to its gateway and comes back: every way it can go, and every way it can be seen
twice.
"""

from dataclasses import replace
from typing import Any

import pytest

from operations import catalogue
from schemas import codec, topics
from schemas.records import (
    CommandEnded,
    DelegatedEnded,
    DelegatedJob,
    DeviceRegistered,
    Ended,
    Fault,
    Job,
    Notice,
    Status,
    TimeZoneSet,
)
from streams.device import faults
from streams.device.events import CommandReturned, JobLost, JobRefused, JobTaken
from streams.device.leases import lease_end
from streams.device.limits import Limits
from streams.device.messages import own_name
from tests.unit.streams.mbus import (
    GAS,
    GATEWAY,
    LIMITS,
    OTHER_GAS,
    READ_GAS,
    RESULT,
    Net,
    gas_meter,
    gas_registration,
    messages,
    read_gas,
)
from tests.unit.streams.world import (
    MINUTE,
    NOON,
    attempting,
    command,
    ended,
    jobs,
    log,
    notices,
    on,
    raw,
    registered,
    responses,
    succeeded,
    tick,
    uid,
)

TOGETHER, APART = {GAS: 0, OTHER_GAS: 0, GATEWAY: 0}, {GAS: 0, OTHER_GAS: 0, GATEWAY: 1}
MODULES = ("accept", "decided", "delegation", "dispatch", "doubt", "leases", "possible")
REFUSED = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
homes = pytest.mark.parametrize("where", [TOGETHER, APART], ids=["one partition", "two partitions"])


def net(where: dict[str, int] = APART, limits: Limits = LIMITS) -> Net:
    made = Net(dict(where), limits).holding(gas_meter(), gas_meter(OTHER_GAS, channel=2), registered(GATEWAY))
    made.tick()
    return made


def flying(here: Net, *numbers: int, **header: Any) -> Job:
    """The gateway's job that carries gas reads of these numbers."""
    here.batch(GAS, *(read_gas(number, **header) for number in numbers))
    (job,) = jobs(here.deliver(GATEWAY))
    return job


def done(
    job: Job, how: Ended = Ended.SUCCESSFUL, fault: Fault | None = None, **changes: Any
) -> tuple[CommandEnded, ...]:
    result = RESULT if how is Ended.SUCCESSFUL else None
    return tuple(
        CommandEnded(
            each.correlation_id,
            how,
            fault,
            result,
            device_id=each.delegated.device_id if each.delegated else None,
            **changes,
        )
        for each in job.commands
    )


@homes
def test_a_read_goes_through_the_gateway_and_comes_back(where: dict[str, int]) -> None:
    here = net(where)
    asked = here.batch(GAS, read_gas(1, priority=7))
    assert [each.notice for each in notices(asked)] == [Notice.RECEIVED]
    assert jobs(asked) == []
    (record,) = on(topics.DEVICE_MESSAGES, asked)
    assert (record.key, record.partition) == (GATEWAY.encode(), where[GATEWAY])
    (message,) = messages(asked)
    assert isinstance(message, DelegatedJob)
    assert (message.mbus_device_id, message.number, message.channel) == (GAS, 2, 1)
    assert message.answer_by == NOON + LIMITS.delegation
    assert [(each.correlation_id, each.priority, each.received_at) for each in message.commands] == [(uid(1), 7, NOON)]

    sent = here.deliver(GATEWAY)
    (job,) = jobs(sent)
    assert (notices(sent), responses(sent)) == ([], [])
    (carried,) = job.commands
    assert job.device_id == GATEWAY and job.registration is not None and job.registration.host
    assert carried.delegated is not None and carried.correlation_id == own_name(carried.delegated) != uid(1)
    assert (carried.delegated.device_id, carried.delegated.channel) == (GAS, 1)
    assert codec.decode_command(carried.command).header.device_id == GAS
    assert job.counter_from == 100 and job.counter_to > 100, "the counters are the gateway's"

    sent = here.batch(GATEWAY, ended(job, *done(job)))
    assert (responses(sent), notices(sent)) == ([], []), "the outcome is the M-Bus meter's to tell"
    assert here.device(GATEWAY).idle and here.device(GATEWAY).settled == b""
    sent = here.deliver(GAS)
    (response,) = responses(sent)
    assert (response.device_id, response.correlation_id, response.status) == (GAS, uid(1), Status.SUCCESSFUL)
    assert (response.attempts, response.fault, response.repeated) == (1, None, False)
    assert codec.decode_response(on(topics.RESPONSES, sent)[0].value)[1] == codec.decode_result(READ_GAS, RESULT)
    assert here.device(GAS).idle and here.device(GAS).counter == 1


def test_four_channels_and_the_gateway_itself_share_an_association() -> None:
    """Four meters' reads are one job of the gateway, in the order of priority; all may have one correlation id."""
    names = [f"TESTG10000000000{channel}" for channel in (1, 2, 3, 4)]
    here = Net({**dict.fromkeys(names, 0), GATEWAY: 1}, replace(LIMITS, slots=1, silent_slots=1))
    here.holding(*(gas_meter(name, channel=int(name[-1])) for name in names), registered(GATEWAY))
    here.tick()
    (own,) = jobs(here.batch(GATEWAY, command(9)))
    here.batch(names[0], *(read_gas(1, name, priority=int(name[-1])) for name in names))
    assert jobs(here.deliver(GATEWAY)) == [], "one association at a time"
    (job,) = jobs(here.batch(GATEWAY, command(1, priority=9), ended(own)))
    assert [each.delegated.channel if each.delegated else 0 for each in job.commands] == [0, 4, 3, 2, 1]
    assert len({each.correlation_id for each in job.commands}) == 5
    told = (succeeded(uid(1)), *(each for each in done(job) if each.device_id))
    assert [each.device_id for each in responses(here.batch(GATEWAY, ended(job, *told)))] == [GATEWAY]
    assert sorted(each.device_id for each in responses(here.deliver(names[0]))) == names


def test_commands_of_one_meter_go_together_and_come_back_one_by_one() -> None:
    here = net()
    job = flying(here, 1, 2, 3)
    first, second, third = done(job)
    here.batch(GATEWAY, ended(job, first, replace(second, ended=Ended.FAILED, fault=REFUSED, result=None)))
    sent = here.deliver(GAS)
    assert [(each.correlation_id, each.status) for each in responses(sent)] == [
        (uid(1), Status.SUCCESSFUL),
        (uid(2), Status.ERROR),
    ]
    device = here.device(GAS)
    assert [each.correlation_id for each in device.queue] == [uid(3)]
    assert device.flight is None, "the third was given back as not started"
    assert (device.queue[0].attempts, device.queue[0].not_before) == (0, NOON + LIMITS.retry_delay)


def test_a_job_is_not_over_while_anything_of_it_is_out() -> None:
    """The gateway splits it over two associations: the M-Bus meter takes up no new job before the second is back."""
    here = net(limits=replace(LIMITS, commands_a_job=2))
    here.batch(GAS, read_gas(1), read_gas(2))
    (job,) = jobs(here.batch(GATEWAY, command(7, priority=9), *here.waiting.pop(1)))
    assert len(job.commands) == 2
    (second,) = jobs(
        here.batch(GATEWAY, ended(job, succeeded(uid(7)), *(each for each in done(job) if each.device_id)))
    )
    assert [each.correlation_id for each in responses(here.deliver(GAS))] == [uid(1)]
    assert messages(here.batch(GAS, read_gas(3))) == []
    here.batch(GATEWAY, ended(second, *done(second)))
    sent = here.deliver(GAS)
    assert [each.correlation_id for each in responses(sent)] == [uid(2)]
    (message,) = messages(sent)
    assert isinstance(message, DelegatedJob) and message.number == 3


class TestWithoutGateway:
    @pytest.mark.parametrize(
        ("registration", "reason"),
        [
            ({"channel": None}, "should have a channel configured"),
            ({"gateway_id": None}, "should have an energy meter as gateway device"),
            ({"gateway_id": None, "channel": None}, "should have a channel configured"),
        ],
    )
    def test_a_meter_that_is_not_coupled_is_refused_at_once(self, registration: dict[str, Any], reason: str) -> None:
        here = Net(dict(APART)).holding(gas_meter(**registration))
        here.tick()
        (response,) = responses(here.batch(GAS, read_gas(1)))
        assert response.status is Status.REJECTED and response.fault is not None
        assert response.fault.code == 401 and reason in response.fault.message
        assert here.said == []

    def test_what_waited_for_the_registration_is_refused_by_it(self) -> None:
        """A clock to be set, and a read: the meter turns out to be a gas meter without a channel."""
        here = Net(dict(APART))
        here.tick()
        gas = {"device_type": "SMART_METER_G", "protocol": "SMR", "protocol_version": "5.0.0", "mbus_key": b"k" * 256}
        add = command(1, device_id=GAS, operation="AddDevice", request=gas)
        (job,) = jobs(here.batch(GAS, add, command(2, device_id=GAS), read_gas(3)))
        fact = DeviceRegistered(gas_registration(channel=None))
        told = CommandEnded(uid(1), Ended.SUCCESSFUL, result=b"\x00", facts=(fact,))
        found = {each.correlation_id: each for each in responses(here.batch(GAS, ended(job, told)))}
        assert [found[uid(number)].status for number in (1, 2, 3)] == [Status.SUCCESSFUL] + 2 * [Status.REJECTED]
        assert here.said == [] and here.device(GAS).idle

    def test_an_operation_of_electricity_meters_never_reaches_the_gateway(self) -> None:
        here = net()
        (response,) = responses(here.batch(GAS, command(1, device_id=GAS)))
        assert response.status is Status.REJECTED and response.fault is not None and "gateway" in response.fault.message
        assert here.said == []

    def test_a_gateway_nobody_knows(self) -> None:
        here = Net(dict(APART)).holding(gas_meter())
        here.tick()
        here.batch(GAS, read_gas(1), read_gas(2))
        (decision,) = log(here.deliver(GATEWAY))
        assert decision.version == 0 and isinstance(decision.events[0], JobRefused)
        assert GATEWAY.encode() not in here.of(GATEWAY).values, "a message makes no device"
        found = responses(here.deliver(GAS))
        assert [(each.status, each.fault.code if each.fault else 0) for each in found] == 2 * [(Status.ERROR, 201)]
        assert here.device(GAS).idle

    def test_a_gateway_that_is_being_registered_is_tried_again(self) -> None:
        here = Net(dict(APART), LIMITS).holding(gas_meter())
        here.tick()
        (adding,) = jobs(here.batch(GATEWAY, command(9, device_id=GATEWAY, operation="AddDevice")))
        here.batch(GAS, read_gas(1))
        here.deliver(GATEWAY)
        assert responses(here.deliver(GAS)) == []
        assert here.device(GAS).queue[0].attempts == 0
        here.batch(GATEWAY, ended(adding))
        here.tick(NOON + LIMITS.retry_delay)
        assert [each.operation for each in jobs(here.deliver(GATEWAY))[0].commands] == [READ_GAS]

    def test_a_gateway_that_never_came_to_be(self) -> None:
        """It has a state, since an AddDevice of it failed, but no registration."""
        here = Net(dict(APART), LIMITS).holding(gas_meter())
        here.tick()
        (adding,) = jobs(here.batch(GATEWAY, command(9, device_id=GATEWAY, operation="AddDevice")))
        here.batch(GATEWAY, ended(adding, CommandEnded(uid(9), Ended.FAILED, REFUSED)))
        here.batch(GAS, read_gas(1))
        here.deliver(GATEWAY)
        (response,) = responses(here.deliver(GAS))
        assert response.fault is not None and (response.status, response.fault.code) == (Status.ERROR, 201)

    @pytest.mark.parametrize("gateway", [OTHER_GAS, GAS], ids=["another M-Bus meter", "itself"])
    def test_a_gateway_that_is_none(self, gateway: str) -> None:
        here = Net(dict(APART)).holding(gas_meter(gateway_id=gateway), gas_meter(OTHER_GAS, channel=2))
        here.tick()
        here.batch(GAS, read_gas(1))
        here.deliver(GAS)
        (response,) = responses(here.deliver(GAS))
        assert response.fault is not None and (response.status, response.fault.code) == (Status.ERROR, 221)
        assert here.device(GAS).idle and here.device(OTHER_GAS).idle

    def test_a_gateway_whose_profile_lacks_the_object(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = net()
        needing = replace(catalogue()[READ_GAS], needs=("MBUS_VALUE_9",))
        monkeypatch.setattr("streams.device.possible.catalogue", lambda: {**catalogue(), READ_GAS: needing})
        here.batch(GAS, read_gas(1))
        here.deliver(GATEWAY)
        (response,) = responses(here.deliver(GAS))
        assert response.fault is not None and (response.status, response.fault.code) == (Status.ERROR, 416)


class TestAttempts:
    """The M-Bus meter counts them; the gateway tries once and gives back."""

    def test_a_failed_attempt_is_tried_again_by_the_meter(self) -> None:
        here = net()
        job, at = flying(here, 1), NOON
        for attempt, delay in ((1, 30_000), (2, 60_000)):
            assert job.commands[0].attempt == attempt
            here.batch(GATEWAY, ended(job, *done(job, Ended.RETRIABLE, REFUSED), at=at, reached=False))
            assert here.device(GATEWAY).queue == ()
            here.deliver(GAS)
            assert here.device(GAS).queue[0].not_before == at + delay
            at += delay
            here.tick(at)
            (job,) = jobs(here.deliver(GATEWAY))
        here.batch(GATEWAY, ended(job, *done(job, Ended.RETRIABLE, REFUSED), at=at, reached=False))
        (response,) = responses(here.deliver(GAS))
        assert (response.status, response.fault, response.attempts) == (Status.ERROR, REFUSED, 3)

    def test_a_lost_job_is_an_attempt(self) -> None:
        here = net()
        job = flying(here, 1)
        here.batch(GATEWAY, tick(job.deadline + LIMITS.grace))
        here.deliver(GAS)
        (held,) = here.device(GAS).queue
        assert held.attempts == 1 and held.fault is not None and held.fault.code == 233

    def test_what_may_not_be_repeated_is_looked_for_through_the_gateway(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In doubt at the M-Bus meter: its gateway is asked to look, sees that nothing was done, and tries again."""
        only_once(monkeypatch, verifiable=True)
        here, at = net(), NOON
        job = flying(here, 1)
        assert not job.commands[0].verify
        here.batch(GATEWAY, attempting(job, job.commands[0].correlation_id))
        here.batch(GATEWAY, ended(job, *done(job, Ended.UNKNOWN, REFUSED)))
        for how, verify in ((Ended.RETRIABLE, True), (Ended.NOT_DONE, True), (Ended.SUCCESSFUL, False)):
            assert responses(here.deliver(GAS)) == []
            at = here.device(GAS).queue[0].not_before
            here.tick(at)
            (job,) = jobs(here.deliver(GATEWAY))
            assert job.commands[0].verify is verify
            assert job.commands[0].attempt == (1 if verify else 2)
            here.batch(GATEWAY, ended(job, *done(job, how, REFUSED if how is Ended.RETRIABLE else None), at=at))
        (response,) = responses(here.deliver(GAS))
        assert (response.status, response.attempts) == (Status.SUCCESSFUL, 2)

    def test_a_cancel_while_the_gateway_has_it_lets_the_attempt_end_and_be_the_last(self) -> None:
        here = net()
        job = flying(here, 1)
        cancel = command(2, device_id=GAS, operation="Cancel", request={"correlation_id": uid(1)})
        (response,) = responses(here.batch(GAS, cancel))
        assert (response.correlation_id, response.status) == (uid(2), Status.SUCCESSFUL)
        here.batch(GATEWAY, ended(job, *done(job, Ended.RETRIABLE, REFUSED)))
        (response,) = responses(here.deliver(GAS))
        assert (response.correlation_id, response.status) == (uid(1), Status.CANCELLED)
        assert here.device(GAS).idle

    @pytest.mark.parametrize("told", ["lost", "unknown"])
    def test_what_may_not_be_repeated_ends_unknown(self, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
        only_once(monkeypatch)
        here = net()
        job = flying(here, 1)
        if told == "lost":
            here.batch(GATEWAY, attempting(job, job.commands[0].correlation_id))
            here.batch(GATEWAY, tick(job.deadline + LIMITS.grace))
        else:
            here.batch(GATEWAY, ended(job, *done(job, Ended.UNKNOWN, REFUSED)))
        (response,) = responses(here.deliver(GAS))
        assert response.status is Status.UNKNOWN and here.device(GAS).idle

    def test_a_full_gateway_gives_back_what_finds_no_room(self) -> None:
        here = net(limits=replace(LIMITS, queue_commands=3, slots=1, silent_slots=1))
        (own,) = jobs(here.batch(GATEWAY, command(7), command(8)))
        here.batch(GAS, read_gas(1), read_gas(2))
        here.deliver(GATEWAY)
        assert len(here.device(GATEWAY).queue) == 3
        here.deliver(GAS)
        device = here.device(GAS)
        assert [(each.correlation_id, each.not_before) for each in device.queue] == [
            (uid(1), 0),
            (uid(2), NOON + LIMITS.retry_delay),
        ]
        assert device.flight is not None and device.flight.correlation_ids == (uid(1),)
        assert own.number == 2


class TestTime:
    def test_what_a_gateway_does_not_begin_in_time_is_given_back(self) -> None:
        """The gateway is busy with something long; its meter asks again later, with the same age."""
        here = net(limits=replace(LIMITS, slots=1, silent_slots=1))
        (own,) = jobs(here.batch(GATEWAY, command(9)))
        here.batch(GAS, read_gas(1))
        here.deliver(GATEWAY)
        late = NOON + LIMITS.delegation
        assert late < lease_end(here.device(GAS), LIMITS)
        here.batch(GATEWAY, tick(late, results_end=10_000))
        assert [type(each) for each in messages(here.of(GATEWAY).sent)] == [DelegatedEnded]
        assert responses(here.deliver(GAS)) == []
        here.batch(GATEWAY, ended(own, at=late))
        here.tick(late + LIMITS.retry_delay)
        (job,) = jobs(here.deliver(GATEWAY))
        assert job.commands[0].attempt == 1
        assert here.device(GATEWAY).queue[0].received_at == NOON

    def test_a_gateway_that_begins_in_the_last_moment_is_heard_before_its_meter_gives_up(self) -> None:
        """Its longest job, judged after that one's grace; and the answer has a grace to arrive."""
        here = net()
        here.batch(GAS, read_gas(1))
        begun = NOON + LIMITS.delegation
        judged = begun + LIMITS.connect + 1_000 * LIMITS.seconds_a_job + LIMITS.grace
        assert lease_end(here.device(GAS), LIMITS) == judged + LIMITS.grace

    def test_what_expires_after_it_was_given_back_is_told_its_own_time(self) -> None:
        """Not that until which the gateway would have begun it."""
        here = net(limits=replace(LIMITS, slots=1, silent_slots=1))
        here.batch(GATEWAY, command(9))
        expires_at = NOON + LIMITS.delegation + LIMITS.retry_delay
        here.batch(GAS, read_gas(1, expires_at=expires_at))
        here.deliver(GATEWAY)
        late = NOON + LIMITS.delegation
        here.batch(GATEWAY, tick(late, results_end=10_000))
        (response,) = responses(here.deliver(GAS))
        assert response.fault == faults.expired(expires_at) and response.status is Status.EXPIRED

    def test_a_command_expires_at_the_gateway(self) -> None:
        here = net(limits=replace(LIMITS, slots=1, silent_slots=1))
        here.batch(GATEWAY, command(9))
        here.batch(GAS, read_gas(1, expires_at=NOON + MINUTE))
        here.deliver(GATEWAY)
        assert responses(here.batch(GAS, tick(NOON + MINUTE))) == [], "the gateway may have begun: only it can tell"
        here.batch(GATEWAY, tick(NOON + MINUTE, results_end=10_000))
        (response,) = responses(here.deliver(GAS))
        assert response.fault is not None and (response.status, response.fault.code) == (Status.EXPIRED, 417)

    def test_a_command_in_flight_at_its_expiry_still_succeeds(self) -> None:
        here = net()
        job = flying(here, 1, expires_at=NOON + MINUTE)
        here.tick(NOON + MINUTE + 1)
        here.batch(GATEWAY, ended(job, *done(job), at=NOON + MINUTE + 2))
        assert [each.status for each in responses(here.deliver(GAS))] == [Status.SUCCESSFUL]

    def test_a_scheduled_command_is_not_sent_before(self) -> None:
        here = net()
        assert messages(here.batch(GAS, read_gas(1, scheduled_at=NOON + MINUTE))) == []
        assert messages(here.batch(GAS, tick(NOON + MINUTE - 1))) == []
        assert len(messages(here.batch(GAS, tick(NOON + MINUTE)))) == 1

    @pytest.mark.parametrize(("once", "status"), [(False, None), (True, Status.UNKNOWN)], ids=["read", "write"])
    def test_a_gateway_that_never_answers(
        self, once: bool, status: Status | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message is gone, as Kafka does not lose it: after the lease a read is asked again, a write unknown."""
        if once:
            only_once(monkeypatch)
        here = net()
        here.batch(GAS, read_gas(1))
        here.waiting.clear()
        lease = lease_end(here.device(GAS), LIMITS)
        longest = LIMITS.connect + 1_000 * LIMITS.seconds_a_job + LIMITS.grace
        assert lease >= NOON + LIMITS.delegation + longest, "it may have begun at the last moment"
        assert log(here.batch(GAS, tick(lease - 1))) == []
        assert log(here.batch(GAS, tick(lease, messages_end=5))) == [], "its answer may be among what is not decided"
        sent = here.batch(GAS, tick(lease))
        assert isinstance(log(sent)[0].events[0], JobLost)
        assert [each.status for each in responses(sent)] == ([status] if status else [])
        assert here.device(GAS).flight is None

    def test_a_higher_priority_takes_the_gateways_next_slot(self) -> None:
        here = net(limits=replace(LIMITS, slots=1, silent_slots=1, commands_a_job=1))
        (own,) = jobs(here.batch(GATEWAY, command(9)))
        here.batch(GATEWAY, command(8, at=NOON - MINUTE))
        here.batch(GAS, read_gas(1, OTHER_GAS, priority=9))
        here.deliver(GATEWAY)
        (job,) = jobs(here.batch(GATEWAY, ended(own)))
        assert [each.delegated.device_id for each in job.commands if each.delegated] == [OTHER_GAS]

    def test_an_m_bus_meter_takes_no_slot(self) -> None:
        here = net(TOGETHER, replace(LIMITS, slots=1, silent_slots=1))
        here.batch(GATEWAY, command(9))
        assert here.of(GAS).keeper.index.free == 0
        assert len(messages(here.batch(GAS, read_gas(1), read_gas(1, OTHER_GAS)))) == 2
        assert here.of(GAS).keeper.index.flying == 1


class TestSeenAgain:
    """A message that comes twice, at once or much later, changes nothing."""

    @homes
    def test_a_job_seen_twice_is_taken_once(self, where: dict[str, int]) -> None:
        here = net(where)
        here.batch(GAS, read_gas(1))
        (asked,) = here.said
        here.deliver(GATEWAY)
        before = here.device(GATEWAY)
        assert here.batch(GATEWAY, asked, asked) == []
        assert here.device(GATEWAY) == before

    @homes
    def test_a_job_seen_again_after_its_end_is_not_carried_out_again(self, where: dict[str, int]) -> None:
        here = net(where)
        job = flying(here, 1)
        (asked,) = here.said
        here.batch(GATEWAY, ended(job, *done(job)))
        here.deliver(GAS)
        before = here.device(GATEWAY)
        here.takeover(where[GATEWAY])
        assert here.batch(GATEWAY, asked) == []
        assert here.device(GATEWAY) == before

    @homes
    def test_an_answer_seen_again_settles_nothing(self, where: dict[str, int]) -> None:
        here = net(where)
        job = flying(here, 1)
        here.batch(GATEWAY, ended(job, *done(job, Ended.RETRIABLE, REFUSED)))
        answer = here.said[-1]
        here.deliver(GAS)
        before = here.device(GAS)
        assert here.batch(GAS, answer) == []
        at = NOON + LIMITS.retry_delay
        here.tick(at)
        assert here.device(GAS).flight != before.flight
        assert responses(here.batch(GAS, answer)) == [], "it is of an attempt before"
        (job,) = jobs(here.deliver(GATEWAY))
        here.batch(GATEWAY, ended(job, *done(job), at=at))
        assert [each.status for each in responses(here.deliver(GAS))] == [Status.SUCCESSFUL]

    def test_an_answer_after_the_lease_settles_nothing(self) -> None:
        here = net()
        job = flying(here, 1)
        here.batch(GATEWAY, ended(job, *done(job)))
        here.batch(GAS, tick(lease_end(here.device(GAS), LIMITS)))
        before = here.device(GAS)
        assert responses(here.deliver(GAS)) == []
        assert here.device(GAS) == before

    def test_a_command_sent_again_while_it_is_out_is_in_work(self) -> None:
        here = net()
        flying(here, 1)
        sent = here.batch(GAS, read_gas(1))
        assert responses(sent) == [] and messages(sent) == []
        assert [each.notice for each in notices(sent)] == [Notice.RECEIVED]

    def test_a_gateway_remembers_sixteen_meters(self) -> None:
        names = [f"TESTG1000000{number:05}" for number in range(20)]
        here = Net({**dict.fromkeys(names, 0), GATEWAY: 1}).holding(*map(gas_meter, names), registered(GATEWAY))
        here.tick()
        here.batch(names[0], *(read_gas(1, name) for name in names))
        here.deliver(GATEWAY)
        assert [each.device_id for each in here.device(GATEWAY).served] == names[4:]
        assert {(each.number, each.channel) for each in here.device(GATEWAY).served} == {(2, 1)}


class TestWhatIsTaught:
    def test_a_gateway_learns_nothing_of_what_is_said_of_its_meter(self) -> None:
        here = net()
        job = flying(here, 1)
        here.batch(GATEWAY, ended(job, *done(job, facts=(TimeZoneSet("Europe/Amsterdam"),)), counter_floor=5_000))
        here.deliver(GAS)
        gateway, gas = here.device(GATEWAY), here.device(GAS)
        assert gateway.registration is not None and gateway.registration.time_zone == "UTC"
        assert gas.registration is not None and gas.registration.time_zone == "Europe/Amsterdam"
        assert (gateway.counter, gas.counter) == (5_000, 1)

    def test_a_large_result_is_pointed_at(self) -> None:
        here = net()
        job = flying(here, 1)
        (told,) = done(job)
        here.batch(GATEWAY, ended(job, replace(told, result=None, large_result="metering.results.large.v1:0:17")))
        (response,) = responses(here.deliver(GAS))
        assert response.large_result == "metering.results.large.v1:0:17"


class TestPoison:
    @pytest.mark.parametrize("value", [b"rubbish", b"", tick(NOON).value])
    def test_what_is_no_message_is_set_aside(self, value: bytes) -> None:
        here = net()
        sent = here.batch(GATEWAY, raw(value, key=GATEWAY.encode(), topic=topics.DEVICE_MESSAGES.name))
        assert len(on(topics.DEAD_LETTERS, sent)) == 1

    def test_another_key_another_partition_or_nobody_there(self) -> None:
        here = net()
        here.batch(GAS, read_gas(1))
        (asked,) = here.said
        answer = codec.encode(DelegatedEnded("NOBODY00000000001", GATEWAY, 1, CommandEnded(uid(1), Ended.FAILED)))
        here.homes["NOBODY00000000001"] = 1
        wrong = (
            replace(asked, key=GAS.encode()),
            raw(answer, key=b"NOBODY00000000001", topic=topics.DEVICE_MESSAGES.name),
        )
        assert len(on(topics.DEAD_LETTERS, here.batch(GATEWAY, *wrong))) == 2
        assert len(on(topics.DEAD_LETTERS, here.batch(GAS, asked))) == 1
        assert here.device(GATEWAY).served == ()


def test_the_log_says_it_all() -> None:
    here = net()
    job = flying(here, 1)
    here.batch(GATEWAY, ended(job, *done(job)))
    events = [event for decision in log(here.of(GATEWAY).sent) for event in decision.events]
    (taken,) = [event for event in events if isinstance(event, JobTaken)]
    assert (taken.mbus_device_id, taken.number, taken.channel) == (GAS, 2, 1)
    (returned,) = [event for event in events if isinstance(event, CommandReturned)]
    assert (returned.delegated.correlation_id, returned.ended) == (uid(1), Ended.SUCCESSFUL)


def only_once(monkeypatch: pytest.MonkeyPatch, *, verifiable: bool = False) -> None:
    """As if a gas read may not be repeated: no operation of M-Bus meters is like that yet."""
    shipped = catalogue()[READ_GAS]
    once = replace(shipped, repeatable=False, verify=catalogue()["ClearAlarmRegister"].verify if verifiable else None)
    for module in MODULES:
        monkeypatch.setattr(f"streams.device.{module}.catalogue", lambda: {**catalogue(), READ_GAS: once})


def test_what_has_expired_on_its_way_is_given_back_and_not_sent() -> None:
    here = net()
    here.batch(GAS, read_gas(1, expires_at=NOON + 1), read_gas(2))
    here.batch(GATEWAY, tick(NOON + 1))
    (job,) = jobs(here.deliver(GATEWAY))
    assert [each.delegated.correlation_id for each in job.commands if each.delegated] == [uid(2)]
    assert [(each.correlation_id, each.status) for each in responses(here.deliver(GAS))] == [(uid(1), Status.EXPIRED)]

"""Laws that hold whatever comes in whatever order: hypothesis plays upstream, workers, time, crashes and takeovers.

The world is a partition whose batches are committed at once. A crash is a takeover: the new owner knows the table
alone. Workers may answer, answer twice, answer late, lie about the job's number, begin an attempt, or fall silent.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.records import CommandEnded, DeviceRegistered, Ended, Fact, Fault, Job, Lifecycle, Status, TimeZoneSet
from schemas.topics import COMMANDS, JOB_RESULTS, TICKS
from streams.device.events import (
    AttemptBegun,
    AttemptDisproved,
    CommandDoubted,
    CommandSettled,
    JobDispatched,
    JobLost,
)
from streams.device.evolve import replay
from streams.device.limits import Limits
from streams.device.snapshot import without_state
from streams.device.verify import table_value
from streams.device.wire import encode_device
from streams.keeper import Outgoing, Received
from tests.unit.streams.world import (
    NOON,
    REGISTRATION,
    World,
    attempting,
    command,
    ended,
    jobs,
    log,
    raw,
    responses,
    succeeded,
    tick,
    uid,
)

DEVICES = tuple(f"TEST102400000000{number}" for number in range(3))
LIMITS = Limits(
    slots=2,
    silent_slots=1,
    commands_a_job=3,
    queue_commands=6,
    refused_lifecycles=frozenset({Lifecycle.DESTROYED}),
    snapshot_every=5,
)
FAULT = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
FACTS: tuple[tuple[Fact, ...], ...] = (
    (),
    (TimeZoneSet("Europe/Amsterdam"),),
    (DeviceRegistered(REGISTRATION, 9),),
)
OPERATIONS = ("AddDevice", "SynchronizeTime", "ClearAlarmRegister", "SetDeviceLifecycleStatus", "Cancel")

devices = st.sampled_from(DEVICES)
numbers = st.integers(0, 12)  # few, so that ids meet again
hows = st.sampled_from(list(Ended))
operations = st.sampled_from(OPERATIONS)
HEADERS_IN_DOUBT = st.fixed_dictionaries(
    {}, optional={"expires_at": st.integers(1, 400_000), "bypass_retry": st.booleans()}
)


class Laws(RuleBasedStateMachine):
    """Everything sent is kept, and checked against the promises after each step and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS)
        self.now = NOON
        self.out: list[Job] = []  # jobs a worker may still answer, the current and the forgotten
        self.pending: list[Received] = []
        self.clearings = 0

    @initialize()
    def begin(self) -> None:
        """Two devices are registered, the third may come to be."""
        asked = [command(100 + n, device_id=device, operation="AddDevice") for n, device in enumerate(DEVICES[:2])]
        self.take(*(ended(job) for job in jobs(self.take(tick(self.now), *asked))))

    # --- what may come

    @rule(
        device=devices, number=numbers, operation=st.sampled_from(OPERATIONS), later=st.integers(0, 2), data=st.data()
    )
    def ask(self, device: str, number: int, operation: str, later: int, data: st.DataObject) -> None:
        header: dict[str, Any] = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "priority": st.integers(-1, 10),
                    "expires_at": st.integers(self.now - 1, self.now + 100_000),
                    "scheduled_at": st.integers(self.now, self.now + 50_000),
                    "bypass_retry": st.booleans(),
                },
            )
        )
        request = {"time_zone": ("UTC", "Europe/Amsterdam")[later % 2]} if operation == "SynchronizeTime" else None
        if operation == "ClearAlarmRegister":
            request = {}
        if operation == "SetDeviceLifecycleStatus":
            request = {"status": data.draw(st.sampled_from(list(Lifecycle)))}
        if operation == "Cancel":
            request = {"correlation_id": uid(data.draw(numbers))}
        self.put(command(number, device_id=device, operation=operation, request=request, at=self.now, **header), later)

    @rule(number=numbers, how=hows, reached=st.booleans(), floor=st.none() | st.integers(0, 5_000), data=st.data())
    def answer(self, number: int, how: Ended, reached: bool, floor: int | None, data: st.DataObject) -> None:
        if not self.out:
            return
        job = data.draw(st.sampled_from(self.out))
        outcomes = []
        for each in job.commands:
            if data.draw(st.booleans()):
                outcomes.append(succeeded(each.correlation_id, each.operation))
            elif data.draw(st.booleans()):
                facts: tuple[Fact, ...] = data.draw(st.sampled_from(FACTS))
                outcomes.append(CommandEnded(each.correlation_id, how, FAULT, facts=facts))
        wrong = replace(job, number=job.number + data.draw(st.sampled_from([0, 0, 0, 1, -1])))
        told = outcomes or (CommandEnded("nobody's", how),)
        self.put(ended(wrong, *told, at=self.now, reached=reached, counter_floor=floor), 0)

    @rule(data=st.data())
    def attempt(self, data: st.DataObject) -> None:
        if self.out:
            job = data.draw(st.sampled_from(self.out))
            self.put(attempting(job, data.draw(st.sampled_from(job.commands)).correlation_id, self.now), 0)

    @rule(device=st.sampled_from(DEVICES[:2]), told=st.booleans(), header=HEADERS_IN_DOUBT)
    def lose_an_answer(self, device: str, told: bool, header: dict[str, Any]) -> None:
        """A clearing begins at a free device, and its worker says that the answer was lost, or nothing any more."""
        self.clearings += 1
        header = {name: value + self.now if name == "expires_at" else value for name, value in header.items()}
        asked = command(
            1_000 + self.clearings,
            device_id=device,
            operation="ClearAlarmRegister",
            request={},
            at=self.now,
            priority=9,
            **header,
        )
        for job in jobs(self.take(asked, tick(self.now, results_end=self.world.offsets[JOB_RESULTS.name]))):
            for each in job.commands:
                if each.correlation_id == uid(1_000 + self.clearings):
                    lost = [ended(job, CommandEnded(each.correlation_id, Ended.UNKNOWN, FAULT), at=self.now)]
                    self.take(attempting(job, each.correlation_id, self.now), *(lost if told else []))

    @rule(how=hows)
    def look(self, how: Ended) -> None:
        """Workers answer the jobs that only look."""
        for job in self.out:
            if all(each.verify for each in job.commands):
                self.put(
                    ended(job, *[CommandEnded(e.correlation_id, how, FAULT) for e in job.commands], at=self.now), 0
                )

    @rule(passed=st.integers(0, 400_000), seed=st.integers(0, (1 << 63) - 1), unread=st.booleans())
    def let_time_pass(self, passed: int, seed: int, unread: bool) -> None:
        self.now += passed
        end = self.world.offsets[JOB_RESULTS.name] + (1 if unread else 0)
        self.put(tick(self.now, seed=seed, results_end=end), 0)

    @rule(
        value=st.binary(max_size=40) | st.just(command(1).value[:-3]),
        key=st.binary(max_size=4) | devices.map(str.encode),
        topic=st.sampled_from([COMMANDS, JOB_RESULTS, TICKS]),
        headers=st.lists(
            st.tuples(st.sampled_from(["correlation-id", "operation", "traceparent"]), st.binary(max_size=40)),
            max_size=3,
        ),
    )
    def rubbish(self, value: bytes, key: bytes, topic: Any, headers: list[tuple[str, bytes]]) -> None:
        self.put(raw(value, key=key, topic=topic.name, headers=tuple(headers), at=self.now), 0)

    @rule()
    def commit(self) -> None:
        self.take()

    @rule()
    def crash(self) -> None:
        """Before the commit: the batch comes again to the new owner."""
        if self.pending:
            for received in self.pending:
                self.world.keeper.receive(received)
            self.world.keeper.settle()
        self.world.takeover()

    # --- what holds

    @invariant()
    def one_job_a_device_within_the_slots(self) -> None:
        flying = [device for device in self.world.devices().values() if device.flight is not None]
        assert len(flying) <= LIMITS.slots
        if not self.pending:
            assert self.world.keeper.index.flying <= LIMITS.slots

    @invariant()
    def state_is_sound(self) -> None:
        for device in self.world.devices().values():
            assert device.idle == (not device.queue and device.flight is None)
            held = {each.correlation_id for each in device.queue}
            assert len(held) == len(device.queue) <= LIMITS.queue_commands
            if device.flight is not None:
                assert set(device.flight.correlation_ids) <= held
                assert set(device.flight.attempting) <= set(device.flight.correlation_ids)

    def teardown(self) -> None:
        self.drain()
        self.every_accepted_command_has_one_outcome()
        self.counters_rise_and_ranges_do_not_meet()
        self.the_log_makes_the_table()
        self.what_is_in_doubt_is_only_looked_for()

    def drain(self) -> None:
        """Let the world end well: workers answer whatever is out, time goes on until nothing is left."""
        self.take()
        for _ in range(60):
            if all(device.idle for device in self.world.devices().values()):
                return
            self.now += 200_000
            end = self.world.offsets[JOB_RESULTS.name]
            sent = self.take(tick(self.now, results_end=end))
            answers = [ended(job, at=self.now) for job in jobs(sent)]
            if answers:
                self.take(*answers)
        raise AssertionError(f"never at rest: {[d for d in self.world.devices().values() if not d.idle]}")

    def every_accepted_command_has_one_outcome(self) -> None:
        accepted: Counter[tuple[str, str]] = Counter()
        settled: Counter[tuple[str, str]] = Counter()
        for decision in log(self.world.sent):
            for event in decision.events:
                name = type(event).__name__
                if name == "CommandAccepted":
                    accepted[decision.device_id, event.correlation_id] += 1  # type: ignore[union-attr]
                elif name == "CommandSettled":
                    settled[decision.device_id, event.correlation_id] += 1  # type: ignore[union-attr]
        assert set(accepted.values()) <= {1}
        assert set(settled.values()) <= {1}
        assert accepted.keys() <= settled.keys()
        told = Counter(
            (response.device_id, response.correlation_id)
            for response in responses(self.world.sent)
            if not response.repeated and (response.device_id, response.correlation_id) in accepted
            if response.status is not Status.REJECTED
        )
        assert set(told.values()) <= {1}

    def counters_rise_and_ranges_do_not_meet(self) -> None:
        last: dict[str, int] = defaultdict(int)
        number: dict[str, int] = defaultdict(int)
        for job in jobs(self.world.sent):
            assert job.number == number[job.device_id] + 1
            assert job.counter_from > last[job.device_id]
            assert job.counter_to >= job.counter_from - 1
            last[job.device_id] = max(last[job.device_id], job.counter_to)
            number[job.device_id] = job.number

    def the_log_makes_the_table(self) -> None:
        decisions = log(self.world.sent)
        for key, device in self.world.devices().items():
            own = [each for each in decisions if each.device_id == device.device_id and each.version]
            assert [each.version for each in own] == list(range(1, device.version + 1))
            assert encode_device(replay(own)) == self.world.values[key] == table_value(own)
            assert encode_device(replay(map(without_state, own))) == self.world.values[key]

    def what_is_in_doubt_is_only_looked_for(self) -> None:
        """From the doubt on, until somebody has seen that nothing was done, in the order in which it was sent."""
        doubts: set[tuple[str, str]] = set()
        begun: dict[str, set[str]] = defaultdict(set)  # since the device's last job
        for record in self.world.sent:
            for job in jobs([record]):
                assert [each.verify for each in job.commands] == [
                    (job.device_id, each.correlation_id) in doubts for each in job.commands
                ]
            for decision in log([record]):
                device_id = decision.device_id
                left: set[str] = set()
                for event in decision.events:
                    match event:
                        case JobDispatched():
                            begun[device_id] = set()
                        case AttemptBegun():
                            begun[device_id].add(event.correlation_id)
                        case JobLost():
                            left = {each for each in begun[device_id] if (device_id, each) not in doubts}
                        case CommandDoubted():
                            doubts.add((device_id, event.correlation_id))
                            left.discard(event.correlation_id)
                        case AttemptDisproved():
                            doubts.remove((device_id, event.correlation_id))
                        case CommandSettled():
                            if (device_id, event.correlation_id) in doubts:
                                assert event.status in (Status.SUCCESSFUL, Status.UNKNOWN)
                                doubts.remove((device_id, event.correlation_id))
                            if event.correlation_id in left:
                                assert event.status is Status.UNKNOWN
                                left.remove(event.correlation_id)
                assert not left  # a job that was lost after an attempt began leaves no certainty
        assert not doubts

    # --- playing

    def put(self, received: Received, later: int) -> None:
        self.pending.append(received)
        if later == 0 or len(self.pending) > 5:
            self.take()

    def take(self, *more: Received) -> list[Outgoing]:
        inputs, self.pending = [*self.pending, *more], []
        sent = self.world.batch(*inputs)
        self.out = (self.out + jobs(sent))[-6:]
        return sent


Laws.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestLaws = Laws.TestCase

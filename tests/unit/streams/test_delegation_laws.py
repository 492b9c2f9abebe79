"""Laws between an M-Bus meter and its gateway, whatever comes in whatever order: hypothesis plays callers, workers,
time, crashes, and Kafka, which holds messages as long as it likes and may show any of them again at any later time.

One gas meter lives in a partition of its own, another beside the gateway. Each partition hears of time when it is told
and not before, so one may be far behind the other. Kafka keeps the order of what one partition sends to another, and
loses nothing.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from operations import catalogue
from schemas.records import CommandEnded, Ended, Fault, Job, JobCommand
from schemas.topics import DEVICE_MESSAGES, JOB_RESULTS
from streams.device.evolve import replay
from streams.device.limits import Limits
from streams.device.state import at_rest
from streams.device.wire import encode_device
from streams.keeper import Outgoing, Received
from tests.unit.streams.mbus import GAS, GATEWAY, OTHER_GAS, READ_GAS, RESULT, Net, gas_meter, read_gas
from tests.unit.streams.world import (
    NOON,
    World,
    attempting,
    command,
    ended,
    jobs,
    log,
    registered,
    responses,
    succeeded,
    tick,
)

HOMES = {GAS: 0, OTHER_GAS: 1, GATEWAY: 1}
LIMITS = Limits(slots=2, silent_slots=1, commands_a_job=2, queue_commands=4, delegation=120_000, seconds_a_job=100)
FAULT = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens")
CATALOGUE = catalogue()
Whose = tuple[str, str]  # device, its caller's correlation id

meters = st.sampled_from((GAS, OTHER_GAS))
anybody = st.sampled_from((GAS, OTHER_GAS, GATEWAY))


def whose(job: Job, each: JobCommand) -> Whose:
    mbus = each.delegated
    return (job.device_id, each.correlation_id) if mbus is None else (mbus.device_id, mbus.correlation_id)


class Laws(RuleBasedStateMachine):
    """Everything sent is kept, and checked against the promises after each step and at the end."""

    repeatable: ClassVar = True

    def __init__(self) -> None:
        super().__init__()
        shipped = CATALOGUE[READ_GAS]
        verify = None if self.repeatable else CATALOGUE["ClearAlarmRegister"].verify  # any: nobody calls it
        known = {**CATALOGUE, READ_GAS: replace(shipped, repeatable=self.repeatable, verify=verify)}
        self.patches = [
            patch(f"streams.device.{module}.catalogue", lambda: known)
            for module in ("accept", "decided", "delegation", "dispatch", "doubt", "leases", "possible")
        ]
        for each in self.patches:
            each.start()
        self.net = Net(dict(HOMES), LIMITS).holding(gas_meter(), gas_meter(OTHER_GAS, channel=2), registered(GATEWAY))
        self.before = {name: self.net.device(name) for name in HOMES}
        self.now = NOON
        self.net.tick(self.now)
        self.out: list[Job] = []
        self.carried_out: Counter[Whose] = Counter()
        self.begun: dict[tuple[int, str], bool] = {}  # by number and name: whether a worker has begun it
        self.sent: dict[int, list[Outgoing]] = defaultdict(list)

    # --- what may come

    @rule(device=anybody, number=st.integers(0, 8), data=st.data())
    def ask(self, device: str, number: int, data: st.DataObject) -> None:
        header: dict[str, Any] = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "priority": st.integers(0, 9),
                    "expires_at": st.integers(self.now + 1, self.now + 200_000),
                    "scheduled_at": st.integers(NOON, NOON),
                    "bypass_retry": st.booleans(),
                },
            )
        )
        asked = command(number, at=self.now, **header)
        self.take(device, asked if device == GATEWAY else read_gas(number, device, at=self.now, **header))

    @rule(device=anybody, many=st.integers(1, 4))
    def deliver(self, device: str, many: int) -> None:
        """The next messages of a partition, as one batch."""
        waiting = self.net.waiting[HOMES[device]]
        now, waiting[:] = waiting[:many], waiting[many:]
        self.take(device, *now)

    @rule(data=st.data())
    def show_again(self, data: st.DataObject) -> None:
        """A message that has arrived once."""
        arrived = [each for each in self.net.said if each not in self.net.waiting[self.net.home(each.key)]]
        if arrived:
            message = data.draw(st.sampled_from(arrived))
            self.take(message.key.decode(), message)

    @rule(data=st.data())
    def begin_a_command(self, data: st.DataObject) -> None:
        """A worker tells that it begins, and does: no frame leaves after the deadline."""
        if self.out:
            job = data.draw(st.sampled_from(self.out))
            each = data.draw(st.sampled_from(job.commands))
            if self.now < job.deadline and not each.verify and not self.begun.get((job.number, each.correlation_id)):
                self.take(job.device_id, attempting(job, each.correlation_id, self.now))
                self.begun[job.number, each.correlation_id] = True
                self.carried_out[whose(job, each)] += 1

    @rule(reached=st.booleans(), data=st.data())
    def end_a_job(self, reached: bool, data: st.DataObject) -> None:
        if self.out:
            job = data.draw(st.sampled_from(self.out))
            self.out.remove(job)
            outcomes = [self.outcome(job, each, data) for each in job.commands]
            self.take(job.device_id, ended(job, *outcomes, at=self.now, reached=reached))

    @rule(passed=st.integers(0, 100_000), partitions=st.sets(st.sampled_from((0, 1))))
    def let_time_pass(self, passed: int, partitions: set[int]) -> None:
        self.now += passed
        for partition in sorted(partitions):
            self.tell_time(partition)

    @rule(partition=st.sampled_from((0, 1)))
    def crash(self, partition: int) -> None:
        """The new owner knows the table alone, and the time when it is told."""
        self.net.takeover(partition)
        self.tell_time(partition)

    # --- what holds

    @invariant()
    def state_is_sound(self) -> None:
        for world in self.net.partitions.values():
            assert world.keeper.index.flying <= LIMITS.slots
            for device in world.devices().values():
                held = {each.correlation_id for each in device.queue}
                assert len(held) == len(device.queue) <= LIMITS.queue_commands + LIMITS.commands_a_job
                if device.flight is not None:
                    assert device.flight.correlation_ids and set(device.flight.correlation_ids) <= held
                assert device.idle == at_rest(device)

    @invariant()
    def what_may_not_be_repeated_is_carried_out_once(self) -> None:
        if not self.repeatable:
            assert [each for each, times in self.carried_out.items() if times > 1 and each[0] != GATEWAY] == []

    def teardown(self) -> None:
        try:
            self.drain()
            self.every_accepted_command_has_one_outcome()
            self.each_job_is_taken_once_and_each_command_given_back_once()
            self.the_log_makes_the_table()
        finally:
            for each in self.patches:
                each.stop()

    def drain(self) -> None:
        """Let the world end well: messages arrive, workers answer, time goes on until nothing is left."""
        for _ in range(80):
            for device in (GATEWAY, GAS):
                self.take(device, *self.net.waiting.pop(HOMES[device], []))
            for job in self.out:
                self.take(
                    job.device_id, ended(job, *[self.outcome(job, each, None) for each in job.commands], at=self.now)
                )
            self.out = []
            resting = all(device.idle for world in self.net.partitions.values() for device in world.devices().values())
            if resting and not any(self.net.waiting.values()):
                return
            self.now += 100_000
            for partition in (0, 1):
                self.tell_time(partition)
        raise AssertionError(f"never at rest: {[self.net.device(name) for name in HOMES]}")

    def every_accepted_command_has_one_outcome(self) -> None:
        accepted: Counter[Whose] = Counter()
        settled: Counter[Whose] = Counter()
        for decision, event in self.events():
            if type(event).__name__ == "CommandAccepted":
                accepted[decision.device_id, event.correlation_id] += 1
            elif type(event).__name__ == "CommandSettled":
                settled[decision.device_id, event.correlation_id] += 1
        assert set(accepted.values()) <= {1} and set(settled.values()) <= {1}
        assert accepted.keys() <= settled.keys(), "refused ones are settled without being accepted"
        told = Counter((each.device_id, each.correlation_id) for each in self.told() if not each.repeated)
        assert all(told[each] >= 1 for each in accepted)

    def each_job_is_taken_once_and_each_command_given_back_once(self) -> None:
        asked: Counter[Any] = Counter()
        taken: Counter[Any] = Counter()
        returned: Counter[Any] = Counter()
        for decision, event in self.events():
            match type(event).__name__:
                case "JobDispatched" if event.gateway_id is not None:
                    asked.update((decision.device_id, event.number, name) for name in event.correlation_ids)
                case "JobTaken":
                    taken.update((event.mbus_device_id, event.number, each.correlation_id) for each in event.commands)
                case "CommandReturned":
                    whose = event.delegated
                    returned[whose.device_id, whose.number, whose.correlation_id] += 1
        assert set(asked.values()) <= {1}
        assert asked == taken == returned

    def the_log_makes_the_table(self) -> None:
        for world in self.net.partitions.values():
            decisions = log(world.sent)
            for key, device in world.devices().items():
                own = [each for each in decisions if each.device_id == device.device_id and each.version]
                first = self.before[device.device_id]
                assert [each.version for each in own] == list(range(first.version + 1, device.version + 1))
                assert encode_device(replay(own, first)) == world.values[key]

    # --- playing

    def outcome(self, job: Job, each: JobCommand, data: st.DataObject | None) -> CommandEnded:
        """What a worker that is no liar tells of a command: one it began it does not call untried, and when it is to
        look, it sees what was done.
        """
        begun = self.begun.get((job.number, each.correlation_id))
        if each.verify:
            begun = self.carried_out[whose(job, each)] > 0
            how = Ended.SUCCESSFUL if begun else Ended.NOT_DONE
            if data is not None and data.draw(st.booleans()):
                how = data.draw(st.sampled_from([Ended.RETRIABLE, Ended.NOT_STARTED, Ended.UNKNOWN]))
            return self.told_of(each, how)
        hows = [Ended.SUCCESSFUL, Ended.UNKNOWN] if begun else [Ended.RETRIABLE, Ended.NOT_STARTED, Ended.FAILED]
        how = hows[0] if data is None else data.draw(st.sampled_from(hows))
        if data is None and not begun:
            how = Ended.FAILED
        return self.told_of(each, how)

    def told_of(self, each: JobCommand, how: Ended) -> CommandEnded:
        if each.delegated is None:
            return succeeded(each.correlation_id) if how is Ended.SUCCESSFUL else CommandEnded(each.correlation_id, how)
        result = RESULT if how is Ended.SUCCESSFUL else None
        return CommandEnded(
            each.correlation_id, how, None if result else FAULT, result, device_id=each.delegated.device_id
        )

    def tell_time(self, partition: int) -> None:
        """A tick as the shell makes it: with the end of the messages that lie there, when any is left to decide."""
        world, waiting = self.net.partitions[partition], len(self.net.waiting[partition])
        decided = world.offsets[DEVICE_MESSAGES.name]
        end = decided + waiting if waiting else 0
        device = next(name for name, home in HOMES.items() if home == partition)
        self.take(device, tick(self.now, results_end=world.offsets[JOB_RESULTS.name], messages_end=end))

    def take(self, device: str, *inputs: Received) -> None:
        sent = self.net.batch(device, *inputs)
        self.out = (self.out + jobs(sent))[-6:]

    def events(self) -> list[tuple[Any, Any]]:
        return [(each, event) for world in self.worlds() for each in log(world.sent) for event in each.events]

    def told(self) -> list[Any]:
        return [each for world in self.worlds() for each in responses(world.sent)]

    def worlds(self) -> list[World]:
        return list(self.net.partitions.values())


class OnceLaws(Laws):
    """As if what a gas meter is asked may not be repeated."""

    repeatable: ClassVar = False


for _laws in (Laws, OnceLaws):
    _laws.TestCase.settings = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
TestLaws = Laws.TestCase
TestOnceLaws = OnceLaws.TestCase

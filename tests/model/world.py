"""The model of the world: callers, two partitions of the real streams, workers, meters, a broker and time.

A `World` plays moves (`moves.py`) and checks the promises (`promises.py`) after each; `rest` lets it run on until
nothing is left to do. Nothing in it is random: the same moves are the same story.
"""

from dataclasses import dataclass
from typing import assert_never

from schemas import codec, topics
from schemas.partition import partition_of
from schemas.records import CommandHeader, Job, Registration, Tick
from streams.device import state
from streams.keeper import Headers, Received
from tests.model.broker import Broker
from tests.model.meter import Meter
from tests.model.moves import (
    ADD,
    CANCEL,
    DEVICES,
    GAS_METERS,
    OPERATIONS,
    PARTITIONS,
    Again,
    Arrive,
    Ask,
    Calm,
    Crash,
    Decide,
    Forget,
    Jump,
    Kill,
    Mood,
    Move,
    Pass,
    Setting,
    Take,
    TakeOver,
    Time,
    Work,
)
from tests.model.owner import Owner, Table
from tests.model.promises import Promises
from tests.model.worker import Announce, Carrying, Fate, Tell
from tests.unit.streams.mbus import gas_registration
from tests.unit.streams.world import NOON, REGISTRATION, uid

ADD_GAS = {
    "device_type": "SMART_METER_G",
    "protocol": "SMR",
    "protocol_version": "5.0.0",
    "mbus_key": b"k" * 256,
}
SETTLED_KEPT = state.SETTLED_KEPT
NAMES = (
    *("TEST1024000000000", "TEST1024000000004", "TEST1024000000001", "TEST1024000000006", "TEST1024000000002"),
    *("TESTG100000000001", "TESTG100000000002", "TESTG100000000003"),
)
GATEWAYS = {NAMES[5]: (NAMES[0], 1), NAMES[6]: (NAMES[0], 2), NAMES[7]: (NAMES[4], 1)}
"""Of the gas meters: two with one gateway, in its partition and in the other; that of the third may never be known."""
LOOK_AGE = 8_000  # ms: longest time between a look at the results' end and the tick that tells it
LAST = (1 << 32) - 400
_ROUNDS = 240  # a lost message between devices is missed after twenty minutes


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A record that will be at the broker some day."""

    topic: topics.Topic
    partition: int
    key: bytes
    value: bytes
    headers: Headers = ()


class World:
    """All of it. Devices 0 to 2 are registered at the beginning, the last may come to be."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.now = NOON
        self.broker = Broker(markers=setting.markers)
        self.tables = [Table() for _ in range(PARTITIONS)]
        self.meters = {
            name: Meter(LAST if setting.last_counters and number == 2 else 100, can_tell=setting.can_tell)
            for number, name in enumerate(NAMES)
        }
        self.promises = Promises(self, setting.limits)
        self.owners = [self._owner(partition, 0) for partition in range(PARTITIONS)]
        self._taken = [-1] * PARTITIONS
        self._work: list[Carrying] = []
        self._on_their_way: list[OnItsWay] = []
        self._asked: list[OnItsWay] = []
        self.asked: list[tuple[int, int]] = []  # device and number of each command
        for number in (*range(DEVICES - 1), *GAS_METERS):
            self.play(Ask(number, 90 + number, ADD))
        self.play(Calm(2))

    def worker_time(self, worker: int) -> int:
        return self.now + self._setting.skews[worker]

    @staticmethod
    def registration(device_id: str) -> Registration:
        """What an AddDevice of the device comes to."""
        return gas_registration(*GATEWAYS[device_id]) if device_id in GATEWAYS else REGISTRATION

    @property
    def at_work(self) -> bool:
        return bool(self._work)

    @property
    def arriving(self) -> bool:
        """Whether a record is on its way."""
        return bool(self._on_their_way)

    # --- playing

    def play(self, move: Move) -> None:
        match move:
            case Ask():
                self._ask(move)
            case Again(which, misplaced):
                if self._asked:
                    self._send(self._asked[which % len(self._asked)], misplaced)
            case Time():
                self._tick(move)
            case Decide(partition, most, order, crash):
                self._decide(partition, most, order, crash)
            case TakeOver(partition, skew):
                self.owners[partition] = self._owner(partition, skew)
            case Take(partition, worker, dies):
                self._take(partition, worker, dies)
            case Work(which, steps, fate):
                if self._work:
                    self._go_on(self._work[which % len(self._work)], steps, fate)
            case Kill(worker):
                self._work = [each for each in self._work if each.worker != worker]
            case Arrive(which):
                if self._on_their_way:
                    self._arrive(self._on_their_way.pop(which % len(self._on_their_way)))
            case Forget(partition):
                self.broker.forget(topics.JOB_RESULTS, partition)
            case Pass(time):
                self.now += time
            case Mood(device, answers):
                self.meters[NAMES[device]].answers = answers
            case Jump(device, by):
                self.meters[NAMES[device]].expects += by
            case Calm(rounds):
                for _ in range(rounds):
                    self._calm(1_000)
            case _:
                assert_never(move)

    def rest(self) -> None:
        """Let the world go on without faults until nothing is left to do; then everything promised must have come."""
        for meter in self.meters.values():
            meter.answers = True
        for _ in range(_ROUNDS):
            while self._on_their_way:
                self._arrive(self._on_their_way.pop(0))
            if self.promises.quiet and not self._work and not any(owner.behind(self.broker) for owner in self.owners):
                break
            self._calm(50_000)
        self.promises.check_at_rest()

    def _calm(self, step: int) -> None:
        for partition in range(PARTITIONS):
            self._tick(Time(partition))
            self._decide(partition)
        for partition in range(PARTITIONS):
            self._take(partition, 0, False)
        for each in list(self._work):
            self._go_on(each, 1_000, Fate.WELL)
        for partition in range(PARTITIONS):
            self._decide(partition)
        self.now += step

    # --- callers

    def _ask(self, move: Ask) -> None:
        operation, request = OPERATIONS[move.operation]
        if move.operation == CANCEL:
            request = {"correlation_id": uid(move.other)}
        if move.operation == ADD and NAMES[move.device] in GATEWAYS:
            gateway, channel = GATEWAYS[NAMES[move.device]]
            request = {**ADD_GAS, "gateway_id": gateway, "channel": channel}
        # Where little is remembered, only a record sent again is a repeat: one dated anew would rightly be another.
        number = move.number if self._setting.remembered == SETTLED_KEPT else 1_000 + len(self.asked)
        header = CommandHeader(
            correlation_id=uid(number),
            device_id=NAMES[move.device],
            created_at=self.now,
            priority=move.priority,
            scheduled_at=None if move.after is None else self.now + move.after,
            expires_at=None if move.within is None else self.now + move.within,
            bypass_retry=move.bypass_retry,
        )
        value = codec.encode_command(operation, header, request)
        key = NAMES[move.device].encode()
        record = OnItsWay(topics.COMMANDS, partition_of(key, PARTITIONS), key, value)
        self._asked.append(record)
        self.asked.append((move.device, number))
        self._send(record, move.misplaced)

    def _send(self, record: OnItsWay, misplaced: bool) -> None:
        partition = (record.partition + misplaced) % PARTITIONS
        self._arrive(OnItsWay(record.topic, partition, record.key, record.value, record.headers))

    def _arrive(self, record: OnItsWay) -> Received:
        self.now += 1  # so that no two records have one time, and order by age is an order
        return self.broker.append(record.topic, record.partition, record.key, record.value, self.now, record.headers)

    # --- streams

    def _owner(self, partition: int, skew: int) -> Owner:
        return Owner(partition, PARTITIONS, self.tables[partition], self._setting.limits, self.now + skew, skew)

    def _tick(self, move: Time) -> None:
        owner = self.owners[move.partition]
        looked = owner.looked
        if move.looked_before and looked is not None and self.now - looked[0] <= LOOK_AGE:
            ends = looked[1]
        else:
            ends = owner.look(self.broker, self.now)
        value = codec.encode(Tick(self.now + owner.skew, move.seed, *ends))
        record = OnItsWay(topics.TICKS, move.partition, b"", value)
        if move.held:
            self._on_their_way.append(record)
        else:
            self._arrive(record)

    def _decide(self, partition: int, most: int = 1_000, order: int = 0, crash: Crash = Crash.NOWHERE) -> None:
        owner = self.owners[partition]
        batch = owner.decide(self.broker, most, order)
        if batch is None:
            return
        if crash is not Crash.BEFORE_COMMIT:
            self.now += 1
            owner.commit(self.broker, batch, self.now)
            self.promises.check_batch(partition, batch)
        if crash is Crash.NOWHERE:
            self.promises.check_keeper(partition)
        else:
            self.owners[partition] = self._owner(partition, owner.skew)

    # --- workers

    def _take(self, partition: int, worker: int, dies: bool) -> None:
        for record in self.broker.read(topics.JOBS, partition, self._taken[partition]):
            self._taken[partition] = record.offset
            job = codec.decode(record.value)
            assert isinstance(job, Job)
            if not dies:
                self._work.append(Carrying(job, partition, worker, self.meters[job.device_id], self))

    def _go_on(self, work: Carrying, steps: int, fate: Fate) -> None:
        for left in reversed(range(steps)):
            if work.step is None:
                break
            last = left == 0 or isinstance(work.step, Tell)
            self._step(work, fate if last else Fate.WELL)
        self._work = [each for each in self._work if each.step is not None]

    def _step(self, work: Carrying, fate: Fate) -> None:
        step = work.step
        if isinstance(step, Announce | Tell):
            key, value = step.record.device_id.encode(), codec.encode(step.record)
            record = OnItsWay(topics.JOB_RESULTS, work.partition, key, value)
            self._on_their_way += [record] * (fate in (Fate.LATE, Fate.TWICE))
            if fate not in (Fate.LATE, Fate.LOST):
                self._arrive(record)
        work.go_on(fate)

"""The model of the world: callers, two partitions of the real streams of devices and of cells, workers, meters, radio
cells, a broker and time.

A `World` plays moves (`moves.py`) and checks the promises (`promises.py`) after each; `rest` lets it run on until
nothing is left to do. Nothing in it is random: the same moves are the same story.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, assert_never

from schemas import codec, topics
from schemas.partition import partition_of
from schemas.records import CommandHeader, Job, Registration, Tick
from streams.cell import keeper as cell
from streams.device import keeper as device
from streams.device import state
from streams.keeper import Headers, Received
from tests.model.broker import Broker
from tests.model.cell import RadioCell
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
    Echo,
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
from tests.model.owner import Owner, Table, of_cells, of_devices
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
CELLS = {**dict.fromkeys(NAMES[:3], "21/7"), **dict.fromkeys(NAMES[3:5], "21/8")}
"""Of the electricity meters: each cell has meters of its own partition and of the other."""
TOPICS: Final = {each.name: each for each in (topics.JOB_RESULTS, topics.PERMITS, topics.PERMIT_REQUESTS)}
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
        self.cell_tables = [Table() for _ in range(PARTITIONS)]
        self.cell_owners = [self._cell_owner(partition, 0) for partition in range(PARTITIONS) if setting.cells]
        self._radio = {name: RadioCell(setting.cells.of(name)) for name in CELLS.values() if setting.cells}
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

    def registration(self, device_id: str) -> Registration:
        """What an AddDevice of the device comes to."""
        if device_id in GATEWAYS:
            return gas_registration(*GATEWAYS[device_id])
        return replace(REGISTRATION, cell_id=CELLS[device_id]) if self._setting.cells else REGISTRATION

    @property
    def at_work(self) -> bool:
        return bool(self._work)

    @property
    def arriving(self) -> bool:
        """Whether a record is on its way."""
        return bool(self._on_their_way)

    @property
    def has_cells(self) -> bool:
        return self._setting.cells is not None

    @property
    def unheard(self) -> list[tuple[int, str]]:
        """Partition and topic of what devices and cells said to each other, and have not read."""
        owners = *self._owners(cells=False), *self._owners(cells=True)
        words = topics.PERMITS, topics.PERMIT_REQUESTS
        return [(each.partition, topic.name) for each in owners for topic in each.behind(self.broker) if topic in words]

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
            case Decide(partition, most, order, crash, cells):
                self._decide(partition, most, order, crash, cells)
            case TakeOver(partition, skew, cells):
                self._take_over(partition, skew, cells)
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
            case Forget(partition, topic):
                self.broker.forget(TOPICS[topic], partition)
            case Echo(partition, topic, back):
                self._echo(TOPICS[topic], partition, back)
            case Pass(time):
                self.now += time
            case Mood(device, answers):
                self.meters[NAMES[device]].answers = answers
            case Jump(device, by):
                self.meters[NAMES[device]].expects += by
            case Calm(rounds, idle):
                for _ in range(rounds):
                    self._calm(1_000, idle)
            case _:
                assert_never(move)

    def rest(self) -> None:
        """Let the world go on without faults until nothing is left to do; then everything promised must have come."""
        for meter in self.meters.values():
            meter.answers = True
        for _ in range(_ROUNDS):
            while self._on_their_way:
                self._arrive(self._on_their_way.pop(0))
            owners = *self._owners(cells=False), *self._owners(cells=True)
            if self.promises.quiet and not self._work and not any(owner.behind(self.broker) for owner in owners):
                break
            self._calm(50_000)
        self.promises.check_at_rest()

    def _calm(self, step: int, idle: bool = False) -> None:
        for partition in range(PARTITIONS):
            self._tick(Time(partition))
            self._decide(partition)
        if self.has_cells:
            for partition in range(PARTITIONS):
                self._tick(Time(partition, cells=True))
                self._decide(partition, cells=True)
            for partition in range(PARTITIONS):
                self._decide(partition)
        for partition in range(PARTITIONS):
            self._take(partition, 0, False)
        if not idle:
            while self._work:
                self._go_on(min(self._work, key=lambda each: each.wakes), 1, Fate.WELL)
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

    def _owner(self, partition: int, skew: int) -> Owner[device.Partition]:
        return of_devices(partition, self.tables[partition], self._setting.limits, self.now, skew)

    def _cell_owner(self, partition: int, skew: int) -> Owner[cell.Partition]:
        assert self._setting.cells is not None
        table, counts = self.cell_tables[partition], self.promises.permits
        return of_cells(partition, table, self._setting.cells, self.now, skew, counts)

    def _owners(self, cells: bool) -> list[Owner[Any]]:
        return [*self.cell_owners] if cells else [*self.owners]

    def _take_over(self, partition: int, skew: int, cells: bool) -> None:
        if cells:
            self.cell_owners[partition] = self._cell_owner(partition, skew)
        else:
            self.owners[partition] = self._owner(partition, skew)

    def _echo(self, topic: topics.Topic, partition: int, back: int) -> None:
        said = self.broker.read(topic, partition, -1)
        if said:
            again = said[-1 - back % len(said)]
            self._arrive(OnItsWay(topic, partition, again.key, again.value, again.headers))

    def _tick(self, move: Time) -> None:
        owner = self._owners(move.cells)[move.partition]
        looked = owner.looked
        if move.looked_before and looked is not None and self.now - looked[0] <= LOOK_AGE:
            ends = looked[1]
        else:
            ends = owner.look(self.broker, self.now)
        value = codec.encode(Tick(self.now + owner.skew, move.seed, *(ends or (0,))))
        record = OnItsWay(topics.CELL_TICKS if move.cells else topics.TICKS, move.partition, b"", value)
        if move.held:
            self._on_their_way.append(record)
        else:
            self._arrive(record)

    def _decide(
        self, partition: int, most: int = 1_000, order: int = 0, crash: Crash = Crash.NOWHERE, cells: bool = False
    ) -> None:
        owner = self._owners(cells)[partition]
        batch = owner.decide(self.broker, most, order)
        if batch is None:
            return
        if crash is not Crash.BEFORE_COMMIT:
            self.now += 1
            owner.commit(self.broker, batch, self.now)
            if cells:
                self.promises.check_cells(partition, batch)
            else:
                self.promises.check_batch(partition, batch)
        if crash is not Crash.NOWHERE:
            self._take_over(partition, owner.skew, cells)
        elif not cells:
            self.promises.check_keeper(partition)

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
            self.now += max(0, work.wakes - self.worker_time(work.worker))
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

    def connect(self, work: Carrying) -> None:
        """A worker opens a connection."""
        permit = work.job.permit
        assert (permit is not None) is self.has_cells, "a connection without a permit, or a permit without a cell"
        if permit is not None:
            assert permit.cell_id == CELLS[work.job.device_id]
            open_ = [other for other in self._work if other.connected and not other.late]
            here = sum(CELLS[other.job.device_id] == permit.cell_id for other in open_)
            self._radio[permit.cell_id].connect(self.now, here)

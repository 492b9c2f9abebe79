"""What must hold, whatever happens: checked after every committed batch, and once the world is at rest.

What is committed is read back from the records alone, as others see them: log, responses, notifications, jobs, table.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from operations import bundle, catalogue
from schemas import codec, topics
from schemas._names import full_name
from schemas.records import Delegated, Job, Notice, Notification, Status, Tick
from streams.cell.keeper import Counts
from streams.cell.state import Cell, decode_cell, is_busy
from streams.device.events import (
    CommandAccepted,
    CommandPostponed,
    CommandRefused,
    CommandRepeated,
    CommandReturned,
    CommandSettled,
    DeviceEvents,
    JobDispatched,
    JobLost,
    JobReported,
    JobTaken,
)
from streams.device.evolve import fold
from streams.device.keeper import Partition, is_device_key
from streams.device.limits import Limits
from streams.device.messages import own_name
from streams.device.outbox import was_forwarded
from streams.device.snapshot import state_in
from streams.device.state import Device, at_rest, is_idle
from streams.device.verify import verify
from streams.device.wire import decode_events, encode_device
from streams.keeper import Outgoing, Received
from tests.model.meter import action_name
from tests.model.moves import ACTIONS
from tests.model.owner import Batch
from tests.model.states import Transition, transitions

if TYPE_CHECKING:
    from tests.model.world import World

_Command = tuple[str, str]  # device, correlation id
_Told = tuple[str, str, str, Any, bool]  # what, device, correlation id, status, repeated


class Promises:
    """Follows one world. Raises AssertionError as soon as one is broken."""

    def __init__(self, world: "World", limits: Limits) -> None:
        self._world, self._limits = world, limits
        self._log: list[tuple[bytes, bytes]] = []
        self._folded: dict[bytes, Device] = {}
        self._accepted: dict[_Command, CommandAccepted] = {}
        self.settled: dict[_Command, CommandSettled] = {}
        self._attempts: Counter[_Command] = Counter()  # jobs that carried a command
        self._answered: Counter[tuple[str, int, int]] = Counter()  # command records, by place
        self._taken: set[_Command] = set()  # by gateways, for M-Bus meters, under names of their own
        self._returned: set[_Command] = set()
        self.entries: dict[_Command, list[Any]] = {}  # of bundles that were answered
        self._counters: dict[str, int] = defaultdict(int)  # the last one given to a job, by device
        self.permits = Counts()  # of cells, whoever owned them
        self.transitions = set[Transition]()
        self.seen: Counter[str] = Counter()  # what happened, so that a test can see that the model reaches it

    @property
    def quiet(self) -> bool:
        """Whether no device has anything to do."""
        return all(device.idle for device in self._folded.values()) and not any(self._busy_cells())

    def check_batch(self, partition: int, batch: Batch) -> None:
        """Of one committed transaction."""
        expected: Counter[_Told] = Counter()
        for record in batch.records:
            if record.topic == topics.DEVICE_EVENTS.name:
                self._log.append((record.key, record.value))
                self._decided(partition, record.key, decode_events(record.value), expected)
        assert _told(batch.records) == expected
        for record in batch.records:
            if record.topic == topics.RESPONSES.name:
                header, result = codec.decode_response(record.value)
                if header.operation == bundle.NAME and result is not None:
                    self.entries[header.device_id, header.correlation_id] = list(result["entries"])
        self._every_command_has_an_answer(partition, batch)
        self._table_is_the_log(partition, batch)
        self._slots_suffice(partition)

    # --- one decision

    def _decided(self, partition: int, key: bytes, decision: DeviceEvents, expected: Counter[_Told]) -> None:
        device = self._folded.get(key, Device())
        name = decision.device_id
        topic, _, offset = decision.cause.partition("@")
        if topic == topics.COMMANDS.name:
            self._answered[topic, partition, int(offset)] += 1
        for event in decision.events:
            self.seen[type(event).__name__] += 1
            match event:
                case CommandAccepted():
                    assert (name, event.correlation_id) not in self._accepted, "accepted twice"
                    assert (name, event.correlation_id) not in self.settled, "accepted after its outcome"
                    self._accepted[name, event.correlation_id] = event
                    expected[Notice.RECEIVED, name, event.correlation_id, None, False] += 1
                case CommandSettled():
                    self._settles(name, event, decision, expected)
                case CommandRefused():
                    expected["response", name, event.correlation_id, Status.REJECTED, False] += 1
                    expected[Notice.RESULT_READY, name, event.correlation_id, Status.REJECTED, False] += 1
                case CommandRepeated():
                    self._repeats(name, event, expected)
                case JobDispatched():
                    self._dispatches(device, name, event)
                case JobReported(number) | JobLost(number):
                    assert device.flight is not None and device.flight.number == number, "ends a job that is not out"
                    if isinstance(event, JobReported) and event.unreached:
                        carried = [
                            held for held in device.queue if held.correlation_id in device.flight.correlation_ids
                        ]
                        assert any(catalogue()[held.operation].connects for held in carried), "silent, and never called"
                case JobTaken():
                    for each in event.commands:
                        whose = Delegated(event.mbus_device_id, event.number, each.correlation_id, event.channel)
                        assert (name, own_name(whose)) not in self._taken, "taken twice"
                        self._taken.add((name, own_name(whose)))
                case CommandReturned():
                    assert (name, event.correlation_id) in self._taken, "given back, and never taken"
                    assert (name, event.correlation_id) not in self._returned, "given back twice"
                    self._returned.add((name, event.correlation_id))
                case CommandPostponed():
                    self._keeps(name, event)
                    assert (name, event.correlation_id) not in self.settled, "postponed after its outcome"
                    assert event.attempts < self._limits.attempts
        if decision.version:
            assert decision.version == device.version + 1, f"{name}: version {decision.version} is a gap"
            after = self._folded[key] = fold(device, decision)
            assert state_in(decision) in (None, after), "a snapshot of something else"
            self.transitions.update(transitions(device, decision, after))

    def _settles(self, name: str, event: CommandSettled, decision: DeviceEvents, expected: Counter[_Told]) -> None:
        command = name, event.correlation_id
        assert command not in self.settled, "a second outcome"
        assert event.attempts <= self._limits.attempts
        assert event.attempts <= self._attempts[command]
        accepted = self._accepted.get(command)
        if accepted is None:
            here = catalogue()[event.operation].steps is None and event.status is Status.SUCCESSFUL
            assert here or event.status in (Status.REJECTED, Status.EXPIRED)
            assert not event.attempts
        else:
            assert accepted.bypass_retry is False or event.attempts <= 1
            if event.status is Status.EXPIRED:
                assert accepted.expires_at is not None
        self.seen[f"{event.operation} {event.status}"] += 1
        self.settled[command] = event
        expected["response", name, event.correlation_id, event.status, False] += 1
        expected[Notice.RESULT_READY, name, event.correlation_id, event.status, False] += 1

    def _keeps(self, name: str, event: CommandPostponed) -> None:
        """What a bundle has been answered may not be asked again."""
        if event.kept is not None:
            body = bundle.kept_result(event.kept)
            assert body is not None
            for place, entry in enumerate(codec.decode_result(bundle.NAME, body)["entries"]):
                if fault_of(entry) is None:
                    self._world.meters[name].answered.add(action_name(event.correlation_id, place))

    def _repeats(self, name: str, event: CommandRepeated, expected: Counter[_Told]) -> None:
        command = name, event.correlation_id
        if event.status is None:
            assert command in self._accepted and command not in self.settled
            expected[Notice.RECEIVED, name, event.correlation_id, None, False] += 1
            return
        outcome = self.settled[command]
        assert (event.status, event.attempts) == (outcome.status, outcome.attempts), "told otherwise"
        if outcome.fault is not None:
            assert event.fault is not None and event.fault.code == outcome.fault.code, "told with another fault"
        expected["response", name, event.correlation_id, event.status, True] += 1
        expected[Notice.RESULT_READY, name, event.correlation_id, event.status, False] += 1

    def _dispatches(self, device: Device, name: str, event: JobDispatched) -> None:
        assert device.flight is None, "a second job while one is out"
        assert event.number == device.jobs + 1
        assert event.deadline > event.dispatched_at
        assert event.correlation_ids and len(event.correlation_ids) <= self._limits.commands_a_job
        assert event.counter_from > self._counters[name] or event.counter_to < event.counter_from
        self._counters[name] = max(self._counters[name], event.counter_to)
        for correlation_id in event.correlation_ids:
            if (name, correlation_id) in self._taken:
                assert (name, correlation_id) not in self._returned, "sent after it was given back"
                continue
            command = self._accepted[name, correlation_id]
            assert (name, correlation_id) not in self.settled, "sent after its outcome"
            assert command.not_before <= event.dispatched_at, "sent before its time"
            assert command.expires_at is None or event.dispatched_at < command.expires_at, "sent after its expiry"
            self._attempts[name, correlation_id] += 1

    # --- a batch

    def _every_command_has_an_answer(self, partition: int, batch: Batch) -> None:
        commands = [record for record in batch.inputs if record.topic == topics.COMMANDS.name]
        forwarded = Counter(record.value for record in batch.records if record.topic == topics.COMMANDS.name)
        assert not any(record.topic == topics.DEAD_LETTERS.name for record in batch.records), "a dead letter"
        for record in commands:
            if not self._answered[record.topic, partition, record.offset]:
                assert forwarded[record.value] and not was_forwarded(record), "a command that nothing followed from"
                forwarded[record.value] -= 1
            else:
                assert self._answered[record.topic, partition, record.offset] == 1, "a record decided twice"
        assert not +forwarded

    def _table_is_the_log(self, partition: int, batch: Batch) -> None:
        written = {key for key in batch.values if is_device_key(key)}
        logged = {
            record.key
            for record in batch.records
            if record.topic == topics.DEVICE_EVENTS.name and decode_events(record.value).version
        }
        assert written == logged
        for key in written:
            value = self._world.tables[partition].values[key]
            device = self._folded[key]
            assert value == encode_device(device), f"{key!r}: the table is not the replay of the log"
            assert is_idle(value) == at_rest(device), f"{key!r}: idle is wrong"

    def _slots_suffice(self, partition: int) -> None:
        values = self._world.tables[partition].values
        devices = [self._folded[key] for key in values if is_device_key(key)]
        flying = [each for each in devices if each.flight is not None and each.flight.gateway_id is None]
        assert len(flying) <= self._limits.slots, "more jobs out than slots"
        silent = [device for device in flying if device.failures and _calls_a_meter(device)]
        assert len(silent) <= self._limits.silent_slots, "more slots for silent meters than their quota"

    def check_keeper(self, partition: int) -> None:
        """The index kept through everything leads to what an index rebuilt from the table does, now and later."""
        owner = self._world.owners[partition]
        values = self._world.tables[partition].values
        kept = _copy(owner.keeper)
        rebuilt = Partition(partition, values, owner.keeper._partition_of, self._limits)
        for later in (10_000, 50_000):
            at = self._world.now + later
            tick = Received(topics.TICKS.name, partition, 0, at, b"", codec.encode(Tick(at, 1, 0)), ())
            told = []
            for keeper in (kept, rebuilt):
                keeper.receive(tick)
                records, changed = keeper.settle()  # of devices whose time is the same, any may come first
                told.append((sorted(records, key=_whose), changed))
            assert told[0] == told[1], "another choice after a takeover"

    # --- cells

    def check_cells(self, partition: int, batch: Batch) -> None:
        """Of one committed transaction of a partition of cells: what they carry is counted where their meters are."""
        assert not any(record.topic == topics.DEAD_LETTERS.name for record in batch.records), "a dead letter"
        for value in batch.values.values():
            assert value is not None
            cell = decode_cell(value)
            names = [each.device_id for each in cell.waiting] + [each.device_id for each in cell.open]
            assert len(names) == len(set(names)), "a device waits and has a permit, or has two"

    def _busy_cells(self) -> Iterator[Cell]:
        """Those in which somebody waits, or has a permit."""
        for table in self._world.cell_tables:
            yield from (decode_cell(value) for value in table.values.values() if is_busy(value))

    # --- at rest

    def check_at_rest(self) -> None:
        waiting = [device for device in self._folded.values() if not device.idle]
        assert not waiting, f"wait for ever: {waiting}"
        assert not [*self._busy_cells()], "a permit that never came back, or never came"
        assert self._accepted.keys() <= self.settled.keys()
        assert self._taken == self._returned
        table = {key: value for each in self._world.tables for key, value in each.values.items()}
        verdict = verify(self._log, table)
        assert verdict.agrees, verdict
        for (name, correlation_id), event in self.settled.items():
            self._meter_agrees(name, correlation_id, event)
        for name, meter in self._world.meters.items():
            for correlation_id in meter.executed:
                assert (name, correlation_id.partition("/")[0]) in self._accepted, "done, and never accepted"

    def _meter_agrees(self, name: str, correlation_id: str, event: CommandSettled) -> None:
        operation = catalogue()[event.operation]
        if not operation.connects:
            return
        if event.operation == bundle.NAME:
            self._actions_agree(name, correlation_id)
            return
        done = self._world.meters[name].executed[correlation_id]
        if not event.attempts:
            assert done == 0, f"{event.status} without an attempt, and yet done"
        if event.status is Status.SUCCESSFUL:
            assert done, "Successful, and never done"
        if operation.repeatable:
            assert done <= self._attempts[name, correlation_id]
            return
        assert done <= 1, "done twice, and not to be repeated"
        if event.status not in (Status.SUCCESSFUL, Status.UNKNOWN):
            assert done == 0, f"{event.status}, and yet done"

    def _actions_agree(self, name: str, correlation_id: str) -> None:
        """What the meter did of a bundle's actions is what their entries say."""
        entries = self.entries.get((name, correlation_id))
        for place, action in enumerate(ACTIONS):
            done = self._world.meters[name].executed[action_name(correlation_id, place)]
            fault = fault_of(entries[place]) if entries is not None else {"outcome": bundle.Outcome.NOT_STARTED}
            if fault is None:
                assert done, f"action {place} answered, and never done"
            if action == "ClearAlarmRegister":
                unknown = fault is not None and fault["outcome"] == bundle.Outcome.UNKNOWN
                assert done <= (fault is None or unknown), f"action {place} done {done} times, told {fault}"


def fault_of(entry: Any) -> dict[str, Any] | None:
    """What the fault entry of a bundle's action says; None of a result."""
    name, fields = entry
    return dict(fields) if name == full_name(bundle.FaultEntry) else None


def _whose(record: Outgoing) -> tuple[bytes, bytes]:
    """Orders records by device; what devices ask of one cell, by what they ask."""
    return record.key, record.value if record.topic == topics.PERMIT_REQUESTS.name else b""


def _told(records: list[Outgoing]) -> Counter[_Told]:
    found: Counter[_Told] = Counter()
    for record in records:
        if record.topic == topics.RESPONSES.name:
            header = codec.decode_response(record.value)[0]
            found["response", header.device_id, header.correlation_id, header.status, header.repeated] += 1
        elif record.topic == topics.NOTIFICATIONS.name:
            notice = codec.decode(record.value)
            assert isinstance(notice, Notification)
            found[notice.notice, notice.device_id, notice.correlation_id, notice.status, False] += 1
        elif record.topic == topics.JOBS.name:
            assert isinstance(codec.decode(record.value), Job)
    return found


def _calls_a_meter(device: Device) -> bool:
    """Whether the job that is out does."""
    out = device.flight.correlation_ids if device.flight is not None else ()
    return any(catalogue()[held.operation].connects for held in device.queue if held.correlation_id in out)


def _copy(keeper: Partition) -> Partition:
    """A keeper that can go its own way: what it holds cannot change, what holds it is copied."""
    copied = copy.copy(keeper)
    copied.index = copy.copy(keeper.index)
    for each in (copied, copied.index):
        for name, value in vars(each).items():
            if isinstance(value, dict | list):
                setattr(each, name, value.copy())
    return copied

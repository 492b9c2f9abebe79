"""What may happen in the model of the world, as plain values: a sequence of moves is a story that can be told again.

Numbers choose among what there is (modulo), so that any sequence can be played and shrinks well: 0 and the first Fate
are always the ordinary case.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from operations import build_request, bundle
from schemas import topics
from streams.cell.limits import CellLimits
from streams.device.limits import Limits
from tests.model.worker import Fate
from tests.unit.streams.world import ADD_DEVICE

DEVICES = 5  # electricity meters
GAS_METERS = range(DEVICES, DEVICES + 3)
PARTITIONS = 2
ACTIONS: list[Any] = [{"SynchronizeTime": {"time_zone": "UTC"}}, "ClearAlarmRegister"] * 2
OPERATIONS: tuple[tuple[str, Any], ...] = (
    ("ClearAlarmRegister", {}),  # not to be repeated: first, so that shrinking comes to it
    ("SynchronizeTime", {"time_zone": "UTC"}),
    ("SynchronizeTime", {"time_zone": "Nowhere"}),  # refused
    ("ReadAlarmRegister", {}),
    ("GetActualMeterReads", {}),
    ("GetActualMeterReadsGas", {}),
    (bundle.NAME, build_request(bundle.NAME, {"actions": ACTIONS})),
    ("GetSpecificAttributeValue", {"class_id": 8, "obis_code": "0.0.1.0.0.255", "attribute": 2}),
    ("SetDeviceLifecycleStatus", {"status": "DESTROYED"}),
    ("SetDeviceLifecycleStatus", {"status": "IN_USE"}),
    ("Cancel", {"correlation_id": None}),  # of the command `other`
    ("AddDevice", ADD_DEVICE),
)
CANCEL, ADD = len(OPERATIONS) - 2, len(OPERATIONS) - 1
BUNDLE, GAS, READ = (
    next(place for place, (name, _) in enumerate(OPERATIONS) if name == wanted)
    for wanted in (bundle.NAME, "GetActualMeterReadsGas", "ReadAlarmRegister")
)


class Crash(Enum):
    """Where in a batch the streams die."""

    NOWHERE = "nowhere"
    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


@dataclass(frozen=True, slots=True)
class Ask:
    """A caller sends a command. Times in ms from now; `misplaced`: to a partition that is not the device's."""

    device: int
    number: int  # of the correlation id: few, so that ids meet again
    operation: int
    priority: int = 4
    after: int | None = None
    within: int | None = None
    bypass_retry: bool = False
    misplaced: bool = False
    other: int = 0  # number of the command to cancel


@dataclass(frozen=True, slots=True)
class Again:
    """A caller sends an earlier record once more, byte for byte."""

    which: int
    misplaced: bool = False


@dataclass(frozen=True, slots=True)
class Time:
    """An owner sends itself a tick. `looked_before`: it looked at the results' end when it made its last one. `held`:
    the tick lies around for a while. `cells`, here and below: the owner of a partition of cells.
    """

    partition: int
    looked_before: bool = False
    held: bool = False
    seed: int = 0
    cells: bool = False


@dataclass(frozen=True, slots=True)
class Decide:
    """An owner takes a batch: up to `most` records of each topic, in one of several orders."""

    partition: int
    most: int = 100
    order: int = 0
    crash: Crash = Crash.NOWHERE
    cells: bool = False


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A partition gets another owner, whose clock differs by `skew` ms."""

    partition: int
    skew: int = 0
    cells: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """A worker takes the jobs that lie there. `dies`: after the commit, before the first step."""

    partition: int
    worker: int = 0
    dies: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A job in work goes on by up to `steps` steps, the last of which has `fate`. If it waits for the time that its
    permit says, that time comes first.
    """

    which: int
    steps: int = 20
    fate: Fate = Fate.WELL


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker dies, with all it has in work."""

    worker: int


@dataclass(frozen=True, slots=True)
class Arrive:
    """A record on its way arrives."""

    which: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Retention deletes what a partition's owner has not read of a topic."""

    partition: int
    topic: str = topics.JOB_RESULTS.name


@dataclass(frozen=True, slots=True)
class Echo:
    """What a device and a cell said to each other is heard once more, and late; `back`: so many words ago."""

    partition: int
    topic: str
    back: int = 0


@dataclass(frozen=True, slots=True)
class Pass:
    """Time passes, ms."""

    time: int


@dataclass(frozen=True, slots=True)
class Mood:
    """A meter answers, or does not."""

    device: int
    answers: bool


@dataclass(frozen=True, slots=True)
class Jump:
    """A meter expects a higher invocation counter: somebody else spoke to it under the same key."""

    device: int
    by: int


@dataclass(frozen=True, slots=True)
class Calm:
    """Everybody does promptly what is to be done, for some rounds a second apart. `idle`: workers take jobs, and go on
    with none.
    """

    rounds: int
    idle: bool = False


Move = Ask | Again | Time | Decide | TakeOver | Take | Work | Kill | Arrive | Forget | Echo | Pass | Mood | Jump | Calm


@dataclass(frozen=True, slots=True)
class Setting:
    """What a story begins with. `remembered`: outcomes a device remembers. `skews`: of the workers' clocks, ms.
    `cells`: what radio cells may carry, if electricity meters live in them.
    """

    limits: Limits = Limits(slots=2, silent_slots=1, commands_a_job=3, queue_commands=6)
    remembered: int = 64
    markers: bool = False
    skews: tuple[int, int] = (0, 0)
    can_tell: bool = True  # whether a look shows what became of an attempt
    last_counters: bool = False  # one meter is near the end of its invocation counters
    cells: CellLimits | None = None

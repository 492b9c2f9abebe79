"""Stories told from a seed, move by move, with an eye on the world: what cannot happen now is not drawn, and what
breaks promises when it meets (a crash, a lost answer, a late record) is drawn often.

Not hypothesis' own lists: they are short and alike, reach few of the states that matter, and take minutes to shrink.
Hypothesis draws the seed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from schemas import topics
from schemas.records import Lifecycle
from streams.cell.limits import NO_LIMIT, Bounds, CellLimits
from streams.device.limits import Limits
from tests.model.moves import (
    BUNDLE,
    CANCEL,
    DEVICES,
    GAS,
    GAS_METERS,
    OPERATIONS,
    PARTITIONS,
    READ,
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
from tests.model.worker import Fate
from tests.model.world import World

LONGEST = 100
_TIMES = (0, 100, 1_000, 20_000, 30_000, 60_000, 150_000, 600_000)
_SKEWS = (0, 0, 3_000, -3_000)
_BEGUN = ((2, Fate.WELL), (2, Fate.WELL), (4, Fate.UNANSWERED))  # a session is open, or a request was sent in it
_PERMITS = (topics.PERMITS.name, topics.PERMIT_REQUESTS.name)
_FATES = (*Fate, Fate.UNANSWERED)  # the first as often as the others: faults are what it is about


def setting(random: Random) -> Setting:
    slots = random.choice((1, 2, 2, 500))
    skews = random.choice(_SKEWS), random.choice(_SKEWS)
    return Setting(
        limits=Limits(
            slots=slots,
            silent_slots=random.randint(1, min(slots, 2)),
            attempts=random.choice((1, 2, 3, 3)),
            commands_a_job=random.choice((1, 3, 16)),
            queue_commands=random.choice((6, 256)),
            snapshot_every=random.choice((1, 3, 256)),
            refused_lifecycles=random.choice((frozenset(), frozenset({Lifecycle.DESTROYED}))),
        ),
        remembered=random.choice((3, 64)),
        markers=random.random() < 0.5,
        skews=skews,
        can_tell=random.random() < 0.7,
        last_counters=random.random() < 0.2,
        cells=_cells(random, max(skews) - min(skews)) if random.random() < 0.35 else None,
    )


def _cells(random: Random, spread: int) -> CellLimits:
    return CellLimits(
        default=Bounds(connects=random.choice((1, 2, NO_LIMIT)), sessions=random.choice((1, 1, 2))),
        lead=random.choice((500, 2_000)),
        within=random.choice((250, 5_000)),
        spread=spread,
        reconnect=random.choice((1_000, 10_000)),
        waiting=random.choice((1, 5_000)),
    )


def move(random: Random, world: World) -> Move:
    """What happens next. Half of the time somebody does his part, so that stories come forward."""
    if world.asked and random.random() < 0.08:
        device, number = random.choice(world.asked[-4:])
        return Ask(device, random.randrange(20, 30), CANCEL, other=number)
    if world.has_cells and random.random() < 0.5:
        return _cell(random, world)
    kinds: dict[Callable[[Random], Move], int] = {_ask: 5, _time: 4, _decide: 8, _take: 4, _fault: 2, _calm: 1}
    if world.at_work:
        kinds[_work] = 8
    if world.arriving:
        kinds[_arrive] = 2
    (kind,) = random.choices(list(kinds), list(kinds.values()))
    return kind(random)


def _ask(random: Random) -> Move:
    if random.random() < 0.2:
        return Again(random.randrange(64), random.random() < 0.2)
    through = random.random() < 0.25
    ask = Ask(random.choice(GAS_METERS) if through else random.randrange(DEVICES), random.randrange(8), 0)
    if random.random() < 0.5:
        return replace(ask, operation=GAS if through else random.choice((0, 0, BUNDLE)))
    return Ask(
        ask.device,
        ask.number,
        random.randrange(len(OPERATIONS)) if not through or random.random() < 0.5 else GAS,
        random.choice((0, 1, 4, 4, 9, 10)),
        random.choice((None, *_TIMES)),
        random.choice((None, *_TIMES)),
        random.random() < 0.3,
        random.random() < 0.2,
        random.randrange(12),
    )


def _cell(random: Random, world: World) -> Move:
    """What happens in cells, and between them and devices; and that many want to be called, so that cells are full."""
    partition = random.randrange(PARTITIONS)
    match random.randrange(24):
        case 0:
            return TakeOver(partition, random.choice(_SKEWS), cells=True)
        case 1 | 2 | 3 if world.unheard:
            return Forget(*random.choice(world.unheard))
        case 3 | 4 | 5:
            return Echo(partition, random.choice(_PERMITS), random.randrange(6))
        case 6 | 7:
            return replace(_time(random), cells=True)
        case 8 | 9 | 10 | 11:
            return replace(_decide(random), cells=True)
        case 12 | 13 | 14 if world.at_work:
            return Work(random.randrange(8), *random.choice(_BEGUN))
        case chance if chance < 18:
            return Calm(1, idle=True)
        case _:
            return Ask(random.randrange(DEVICES), random.randrange(8), random.choice((0, READ, BUNDLE)))


def _time(random: Random) -> Time:
    partition = random.randrange(PARTITIONS)
    return Time(partition, random.random() < 0.3, random.random() < 0.2, random.randrange(100))


def _decide(random: Random) -> Decide:
    crash = random.choice(tuple(Crash)) if random.random() < 0.25 else Crash.NOWHERE
    return Decide(random.randrange(PARTITIONS), random.choice((1, 2, 100)), random.randrange(4), crash)


def _take(random: Random) -> Move:
    return Take(random.randrange(PARTITIONS), random.randrange(2), random.random() < 0.15)


def _work(random: Random) -> Move:
    return Work(random.randrange(8), random.choice((1, 2, 3, 3, 3, 20)), random.choice(_FATES))


def _arrive(random: Random) -> Move:
    return Arrive(random.randrange(8))


def _calm(random: Random) -> Move:
    return Calm(random.randint(1, 2))


def _fault(random: Random) -> Move:
    return random.choice(
        (
            Pass(random.choice(_TIMES)),
            Pass(random.choice(_TIMES)),
            Pass(random.choice(_TIMES)),
            TakeOver(random.randrange(PARTITIONS), random.choice(_SKEWS)),
            Kill(random.randrange(2)),
            Forget(random.randrange(PARTITIONS)),
            Mood(random.randrange(DEVICES), random.random() < 0.6),
            Jump(random.randrange(DEVICES), random.choice((1, 30, 5_000))),
        )
    )

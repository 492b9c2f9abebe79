"""What a plan is to ask of a device now, and when to look at the device again: pure, from what is stored and was asked.

An ask of a period is a round: the next one begins only after the one before has its outcome, and the correlation id is
made of plan, device, read, period and round. So whoever decides the same from the same, a process that was started
again or a second one, asks under the same id, and the device takes it for the same command.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from connectors.planner.calendar import DAY, HOUR, MINUTE, Period, closing, periods, slot
from connectors.planner.plan import Plan, Read
from operations import Device, build_request, catalogue
from operations._errors import Rejected
from operations._period import PeriodType
from operations._profile import CosemObject, Profile
from operations.get_periodic_meter_reads_gas import kept_in
from schemas.records import Status

_SPACE: Final = UUID("4c5b0a1e-6f0d-5a53-9c1f-2d1f6f0c7a11")
ROUNDS: Final = 24  # of one period, at most
TAKEN: Final = 2  # answers of a meter that leave rows missing: it has no more of them
REFUSED: Final = 3  # errors the meter itself told: it will not say anything else
REFUSALS: Final = (Status.ERROR, Status.UNKNOWN)
AT_ONCE: Final = 8  # commands of one plan that a device has in work
MARGIN: Final = 5 * MINUTE  # after its expiry a command has its outcome, and the outcome is stored
LONGEST: Final = 20 * HOUR  # between two attempts at a meter that does not answer: it has its place in each window
GIVEN_UP: Final = 30 * DAY  # one that has not answered for so long is asked once a week
_MONTH: Final = 31 * DAY


@dataclass(frozen=True, slots=True)
class Target:
    """A device of a plan. `profile`: None when no release of ours knows it; of an M-Bus meter its gateway's."""

    device_id: str
    registered_at: int
    profile: Profile | None
    device_type: str = "SMART_METER_E"
    gateway_id: str | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a command: `unreached` says that no meter answered it."""

    status: Status
    settled_at: int
    unreached: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a device. `rows` by profile and start of the period; `outcomes` by correlation id.

    `answered_at`: when the meter answered last, `unreached_at`: when it last did not, and `failures`: how often it did
    not since it last answered; of any command.
    """

    rows: Mapping[tuple[str, int], int]
    outcomes: Mapping[str, Outcome]
    answered_at: int | None = None
    unreached_at: int | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A command to be sent."""

    correlation_id: str
    device_id: str
    operation: str
    request: Mapping[str, Any]
    expires_at: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to send, and when to look again without any news."""

    asks: tuple[Ask, ...]
    look_at: int


@dataclass(frozen=True, slots=True)
class _Wish:
    """A round of a period that could be asked: from `due` on."""

    read: Read
    period: Period
    correlation_id: str
    due: int


def correlation_id(plan: str, device_id: str, read: str, start: int, round_: int) -> str:
    """The name of one round."""
    return str(uuid5(_SPACE, f"{plan}\n{device_id}\n{read}\n{start}\n{round_}"))


def decide(plan: Plan, target: Target, known: Known, in_work: Mapping[str, int], now: int) -> Decision:
    """`in_work`: correlation ids that were sent and whose outcome is not known yet, with their expiry."""
    waiting = {name: expiry for name, expiry in in_work.items() if name not in known.outcomes and expiry + MARGIN > now}
    wishes = sorted(_wishes(plan, target, known, now), key=lambda wish: (-wish.period.start, wish.read.name))
    if _silent(known):  # whether it is back; all else follows when it is
        wishes = [replace(wish, due=_patient(plan, target, known, wish.due, now)) for wish in wishes[:1]]
    ready: list[_Wish] = []
    looks = [_next_slot(plan, target, now + 1)]
    open_now = plan.outside_window or closing(plan.window, plan.zone, now) is not None
    for wish in wishes:
        if wish.correlation_id in waiting:
            looks.append(waiting[wish.correlation_id] + MARGIN)
        elif wish.due > now:
            looks.append(wish.due)
        elif open_now:
            ready.append(wish)
    room = max(0, AT_ONCE - len(waiting))
    expires_at = max(now + plan.expires, closing(plan.window, plan.zone, now) or 0)
    asks = tuple([_ask(target.device_id, wish, expires_at) for wish in ready[:room]])
    if asks:
        looks.append(expires_at + MARGIN)
    return Decision(asks, max(min(looks), now + 1))


def concerns(read: Read, target: Target) -> bool:
    """Whether a read can be asked of this kind of device, by the operation's own rule: a group may hold electricity
    meters and the M-Bus meters behind them.
    """
    known = catalogue().get(read.operation)
    if known is None or known.decide is None:
        return known is not None
    device = Device(
        target.device_id,
        registered=True,
        device_type=target.device_type,
        gateway_id=target.gateway_id,
        channel=target.channel,
    )
    try:
        known.decide(build_request(read.operation, read.request) if read.profile is None else None, device)
    except Rejected as refused:
        return refused.field != "device_id"
    return True


def depth(read: Read, target: Target) -> int:
    """How far back the buffer of a read reaches, in ms (meter-model 10); 0 when the meter, or its gateway, has none."""
    found = _buffer(read, target)
    if found is None or read.profile is None:
        return 0
    return found.entries * {"INTERVAL": found.capture_period * 1000, "DAILY": DAY, "MONTHLY": _MONTH}[read.profile]


def _buffer(read: Read, target: Target) -> CosemObject | None:
    if read.profile is None or target.profile is None:
        return None
    if read.of_gas:
        return None if target.channel is None else kept_in(target.profile, PeriodType(read.profile), target.channel)
    return target.profile.objects.get(f"{read.profile}_PROFILE")


def wanted(read: Read, period: Period) -> int:
    """Rows that a whole period has."""
    return (period.end - period.start) // read.step if read.profile == "INTERVAL" else 1


def candidates(plan: Plan, read: Read, target: Target, now: int) -> Iterator[Period]:
    """Periods that can be asked for now, the newest first: they are over, or have their row, and the buffer may hold
    them still. Of an operation that says how things stand only today.
    """
    if read.profile is None:
        yield next(periods(read.unit, plan.zone, now - DAY, now + 1))
        return
    oldest = now - min(depth(read, target), (read.catch_up_days + 1) * DAY)
    for period in periods(read.unit, plan.zone, oldest, now):
        if available_at(read, period) <= now:
            yield period


def available_at(read: Read, period: Period) -> int:
    """From when on the meter has all of a period. Days and months are rows of their first moment."""
    return period.end if read.profile == "INTERVAL" else period.start


def _wishes(plan: Plan, target: Target, known: Known, now: int) -> Iterator[_Wish]:
    for read in plan.reads:
        if not concerns(read, target):
            continue
        for period in candidates(plan, read, target, now):
            if read.profile is None or known.rows.get((read.profile, period.start), 0) < wanted(read, period):
                wish = _wish(plan, target, known, read, period, now)
                if wish is not None:
                    yield wish


def _wish(plan: Plan, target: Target, known: Known, read: Read, period: Period, now: int) -> _Wish | None:
    """The next round of a period that is not whole; None when another would bring nothing."""
    past: list[Outcome] = []
    for round_ in range(ROUNDS):
        name = correlation_id(plan.name, target.device_id, read.name, period.start, round_)
        outcome = known.outcomes.get(name)
        if outcome is None:
            break
        past.append(outcome)
    else:
        return None
    if not past:
        since = max(available_at(read, period), plan.since, target.registered_at)
        return _Wish(read, period, name, _next_slot(plan, target, since))
    last = past[-1]
    if last.status in (Status.REJECTED, Status.CANCELLED):
        return None  # another would be refused as well, or nobody wants it
    answers = sum(each.status is Status.SUCCESSFUL for each in past)
    if answers and (read.profile is None or answers >= TAKEN):
        return None
    if sum(each.status in REFUSALS and not each.unreached for each in past) >= REFUSED:
        return None
    if last.status is Status.SUCCESSFUL:  # its rows may still be on their way to the store
        return _Wish(read, period, name, _next_slot(plan, target, last.settled_at + HOUR))
    if known.answered_at is not None and known.answered_at > last.settled_at:
        return _Wish(read, period, name, last.settled_at)  # it was heard since: at once
    return _Wish(read, period, name, last.settled_at + min(plan.retry << min(len(past) - 1, 16), LONGEST))


def _silent(known: Known) -> bool:
    """Whether the meter did not answer when it was last asked."""
    return known.unreached_at is not None and (known.answered_at is None or known.answered_at < known.unreached_at)


def _patient(plan: Plan, target: Target, known: Known, due: int, now: int) -> int:
    """When a meter that does not answer is asked again: the pause doubles with each time it did not, whatever it was
    asked, up to once a day; after a month it is asked in the one slot a week that is its own.
    """
    pause = min(plan.retry << min(max(known.failures, 1) - 1, 16), LONGEST)
    due = max(due, (known.unreached_at or 0) + pause)
    if now - (known.answered_at if known.answered_at is not None else target.registered_at) <= GIVEN_UP:
        return due
    own = sum(target.device_id.encode()) % 7
    due = _next_slot(plan, target, due)
    while due // DAY % 7 != own:
        due = _next_slot(plan, target, due + 1)
    return due


def _next_slot(plan: Plan, target: Target, at: int) -> int:
    return slot(plan.window, plan.zone, plan.name, target.device_id, at)


def _ask(device_id: str, wish: _Wish, expires_at: int) -> Ask:
    request = dict(wish.read.request)
    if wish.read.profile is not None:
        last = wish.period.end if wish.read.profile == "INTERVAL" else wish.period.end - 1000
        request = {
            "period_type": wish.read.profile,
            "begin_date": _moment(wish.period.start),
            "end_date": _moment(last),
        }
    return Ask(wish.correlation_id, device_id, wish.read.operation, request, expires_at)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

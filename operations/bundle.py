"""Carry out several operations on one meter in one association, in order, and answer them together.

Reference operations-managing 1.35. Each action ends in an entry at its place: its result, or a fault. The meter's no,
or an object that the meter's profile does not have, ends one action only. A lost connection ends the job: what is
answered by then stays answered, and the next job carries out the rest, as often as any command is tried. Who is an
action's operation is a declaration of that operation (`bundled`), and every action is checked as if it had come alone.

An answered bundle is Successful, whatever its entries say: they say it one by one. A bundle of which nothing could be
carried out ends like any command that could not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Union

from operations import Cost, Device, Meter, Operation, bundled, operation
from operations._build import build
from operations._errors import COMPONENT, Rejected
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Act, Answer, Steps
from schemas import codec
from schemas._names import full_name
from schemas.records import Ended, Fault

NAME: Final = "Bundle"
ACTIONS: Final = range(1, 101)
"""How many. The reference sets no limit; ours bounds the time and the invocation counters of one job."""

_BY_REQUEST: Final = {each.request: each for each in bundled().values()}
if len(_BY_REQUEST) < len(bundled()):
    raise ValueError("two operations share a Request, so that a bundle could not tell which is asked")


class Outcome(StrEnum):
    """Why an action has no result. A reader that meets one it does not know reads Unknown."""

    __default__ = "Unknown"

    FAILED = "Failed"  # refused by the meter, or not possible on it: another attempt would not mend it
    RETRIABLE = "Retriable"  # not carried out, and another attempt may mend it; there was no other
    NOT_STARTED = "NotStarted"  # not carried out: what it waited for ended before its turn
    UNKNOWN = "Unknown"  # sent, not answered, and not to be repeated: it may have been done


@dataclass(frozen=True, slots=True)
class FaultEntry:
    """An action without a result: codes, names and components of the fault as in a response."""

    outcome: Outcome
    code: int  # 0 when the fault has none
    name: str
    component: str
    message: str
    inner: str | None = None  # what lay behind it
    field: str | None = None  # the field of the action at fault
    looked: bool = False  # with Unknown: the meter was read since, and does not show whether it was done


if TYPE_CHECKING:
    Action = Any
    Entry = Any
else:
    Action = Union[tuple(_BY_REQUEST)]  # noqa: UP007 - of classes that are found, not written
    Entry = Union[(*dict.fromkeys(each.result for each in _BY_REQUEST.values()), FaultEntry)]


@dataclass(frozen=True, slots=True)
class Request:
    """Requests of other operations, any mix, repetition allowed: 1 to 100. Raises Rejected for another number."""

    actions: tuple[Action, ...]

    def __post_init__(self) -> None:
        if len(self.actions) not in ACTIONS:
            raise Rejected(f"{len(self.actions)} is not from {ACTIONS[0]} to {ACTIONS[-1]}", field="actions")


@dataclass(frozen=True, slots=True)
class Result:
    """One entry an action, in the order of the actions. Also with a status other than Successful, Cancelled for
    instance, when something had been obtained by then.
    """

    entries: tuple[Entry, ...]


def operation_of(action: Action) -> Operation:
    """What an action asks for."""
    return _BY_REQUEST[type(action)]


def decide(request: Request, device: Device) -> None:
    """The whole bundle is refused when one action is. Raises Rejected, the field saying which action."""
    electricity_meter(request, device)
    for place, action in enumerate(request.actions):
        asked = operation_of(action).decide
        if asked is not None:
            try:
                asked(action, device)
            except Rejected as rejected:
                raise rejected.within(f"actions[{place}]") from None


def cost(request: Request) -> Cost:
    """The sum of the actions'."""
    costs = [operation_of(action).cost_of(action) for action in request.actions]
    return Cost(sum(each.seconds for each in costs), sum(each.frames for each in costs))


@operation(
    NAME,
    repeatable=True,  # an action that may not be is never sent twice all the same: the worker sees to each
    seconds=30,
    frames=ASSOCIATION + 1,
    decide=decide,
    bundled=False,
    cost=cost,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """One after the other; nothing is raised."""
    entries = []
    for place, action in enumerate(request.actions):
        entries.append((yield Act(place, operation_of(action).name, action)))
    return Answer(Result(tuple(entries)))


_OUTCOMES: Final = {
    Ended.FAILED: Outcome.FAILED,
    Ended.RETRIABLE: Outcome.RETRIABLE,
    Ended.NOT_STARTED: Outcome.NOT_STARTED,
    Ended.UNKNOWN: Outcome.UNKNOWN,
}
_NOT_DONE: Final = frozenset({Outcome.RETRIABLE, Outcome.NOT_STARTED})
_FAULT_ENTRY: Final = full_name(FaultEntry)
_NO_TURN: Final = Fault(0, "NOT_STARTED", COMPONENT, "has not had its turn")


def in_doubt(action: Action, entry: Entry) -> bool:
    """Whether another job may look if the action was carried out."""
    unknown = isinstance(entry, FaultEntry) and entry.outcome is Outcome.UNKNOWN
    return unknown and not entry.looked and operation_of(action).verify is not None


def fault_entry(ended: Ended, fault: Fault) -> FaultEntry:
    """The entry of an action that has no result."""
    return FaultEntry(
        _OUTCOMES[ended], fault.code, fault.name, fault.component, fault.message, fault.inner, fault.field
    )


def not_done(entry: Entry) -> bool:
    """Whether another job may carry the action out."""
    return isinstance(entry, FaultEntry) and entry.outcome in _NOT_DONE


def keep(result: bytes) -> bytes:
    """What is kept, until the next job, of a bundle that has open entries: its Result's body under its schema's mark,
    for the union of entries changes with every operation that is added.
    """
    return codec.response_header(NAME) + result


def kept_result(kept: bytes) -> bytes | None:
    """The Result's body again; None when another version of the schema wrote it."""
    mark = codec.response_header(NAME)
    return kept[len(mark) :] if kept.startswith(mark) else None


def kept_entries(request: Request, kept: bytes | None) -> list[Entry]:
    """The entries that earlier jobs obtained, in order, open ones where they obtained nothing. Results are the pairs
    of name and fields that the codec gives.

    Raises Unreadable when they are of another version of the schema, or not this request's.
    """
    if kept is None:
        return [fault_entry(Ended.NOT_STARTED, _NO_TURN)] * len(request.actions)
    body = kept_result(kept)
    if body is None:
        raise codec.Unreadable("written under another version of the schema of bundles")
    entries = list(codec.decode_result(NAME, body)["entries"])
    if len(entries) != len(request.actions):
        raise codec.Unreadable(f"{len(entries)} entries of {len(request.actions)} actions")
    return [build(FaultEntry, fields) if name == _FAULT_ENTRY else (name, fields) for name, fields in entries]


def lose(request: Request, kept: bytes | None, places: Sequence[int], fault: Fault) -> bytes:
    """What is kept once a job was lost that had begun the actions at `places`, which may not be repeated: they are
    Unknown, the others that have no answer may be tried again. Raises Unreadable as `kept_entries` does.
    """
    entries = kept_entries(request, kept)
    for place, entry in enumerate(entries):
        if not_done(entry):
            entries[place] = fault_entry(Ended.UNKNOWN if place in places else Ended.RETRIABLE, fault)
    return keep(codec.encode_result(NAME, Result(tuple(entries))))

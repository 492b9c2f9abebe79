"""The catalogue: what can be asked of a meter. One operation is one file of this folder; it is filled by walking the
folder.

An operation file declares `Request` and `Result` (frozen dataclasses that check themselves, raising `Rejected`), and
one function. Decorated with `operation`: `steps(request, meter) -> Steps[Result]`, the conversation; an optional
`decide(request, device)` refuses, before anything is sent, what cannot be carried out. One that may not be repeated
also declares `verify(request, meter) -> Verifying[Result]`: what to look at when its answer was lost. One that is
`of_store` asks no meter but what was stored: its steps are `OfStore`, its jobs go to a role beside the store. Decorated
with `decided`: `decide(request, device) -> Answer[Result]`, for what needs no meter: the streams carry it out
themselves.
Everything else (schemas, command line, worker dispatch, documentation) comes from here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getdoc, signature
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, NamedTuple, get_args, get_type_hints

from operations._build import build, call
from operations._errors import Rejected
from operations._meter import Device, Known, Meter
from operations._profile import Profile, not_in_profile
from operations._steps import Answer, Steps, Verifying
from operations._verifying import check_verify
from schemas.records import CommandHeader, EnergyReads, MeterEvents, MeterOutages, ProfileReads, RegisterReads

__all__ = [
    "Cost", "Device", "Known", "Meter", "Operation", "build_request", "bundled", "catalogue", "decided", "operation",
]  # fmt: skip

StepsFunction = Callable[[Any, Meter], Steps[Any]]
VerifyFunction = Callable[[Any, Meter], Verifying[Any]]
DecideFunction = Callable[[Any, Device], Answer[Any] | None]
Reads = RegisterReads | EnergyReads | ProfileReads | MeterEvents | MeterOutages
ReadsFunction = Callable[[CommandHeader, Any, int], Iterable[Reads]]
NeedsFunction = Callable[[Any], tuple[str, ...]]


class Cost(NamedTuple):
    """What a request may take at most: time with the meter, and APDUs of the client, association included."""

    seconds: int
    frames: int


CostFunction = Callable[[Any], Cost]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked of a device.

    `needs`: profile tags without which the answer is Rejected 416 before a socket opens. `needs_of(request)`: those
    that depend on the request. `repeatable`: may be sent again blindly when the answer was lost. `verify`: what to look
    at when it may not; None when it may. `seconds`: longest time `steps` or `verify` may take with the meter. `frames`:
    APDUs the client may send for either (association, blocks and release included), and so counters it may use.
    `connects`: false when no meter is called. `reads(header, result, received_at)`: what of the result is read records,
    for the topics of what meters told: reads and events. Without `steps` it is `decide` that answers: no job, no
    worker, no attempt. `in_any_lifecycle`: carried out also in a state of life whose devices are otherwise left alone.
    `before_registration`: does not wait for an AddDevice that is on its way. `alone`: has its job, and so its
    association, to itself.
    `of_store`: carried out where what was stored can be read, not by a worker that calls meters.
    `bundled`: may be an action of a Bundle. `cost(request)`: seconds and frames, when they depend on the request.
    """

    name: str
    request: type
    result: type
    steps: StepsFunction | None
    verify: VerifyFunction | None
    decide: DecideFunction | None
    needs: tuple[str, ...]
    needs_of: NeedsFunction | None
    repeatable: bool
    seconds: int
    frames: int
    connects: bool
    reads: ReadsFunction | None
    in_any_lifecycle: bool
    before_registration: bool
    alone: bool
    of_store: bool
    bundled: bool
    cost: CostFunction | None
    summary: str

    def cost_of(self, request: Any) -> Cost:
        """What one request may take."""
        return Cost(self.seconds, self.frames) if self.cost is None else self.cost(request)

    def check(self, profile: Profile, request: Any = None) -> None:
        """Raises Rejected 416 when the profile lacks an object this operation, or this request of it, cannot do
        without.
        """
        of_request = () if self.needs_of is None or request is None else self.needs_of(request)
        for tag in (*self.needs, *of_request):
            if tag not in profile:
                raise not_in_profile(profile, tag)


_found: dict[str, Operation] = {}


def operation(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    needs_of: NeedsFunction | None = None,
    repeatable: bool,
    seconds: int,
    frames: int,
    connects: bool = True,
    alone: bool = False,
    verify: VerifyFunction | None = None,
    decide: DecideFunction | None = None,
    reads: ReadsFunction | None = None,
    of_store: bool = False,
    bundled: bool | None = None,
    cost: CostFunction | None = None,
) -> Callable[[StepsFunction], StepsFunction]:
    """Put the decorated conversation into the catalogue. Its annotations name the request and the result. `bundled`:
    whatever calls a meter is, unless it says otherwise. What is asked `of_store` calls none, in any state of life.

    Raises ValueError when the name is taken, an annotation is missing, or what may not be repeated cannot be verified
    by looking only: at import, so a wrong operation stops the start.
    """

    def register(steps: StepsFunction) -> StepsFunction:
        _declare(
            steps,
            name=name,
            steps=steps,
            verify=verify,
            decide=decide,
            needs=needs,
            needs_of=needs_of,
            repeatable=repeatable,
            seconds=seconds,
            frames=frames,
            connects=connects,
            reads=reads,
            in_any_lifecycle=of_store,
            before_registration=False,
            alone=alone or not connects,
            of_store=of_store,
            bundled=connects if bundled is None else bundled,
            cost=cost,
        )
        return steps

    return register


def decided(
    name: str, *, in_any_lifecycle: bool = False, before_registration: bool = False
) -> Callable[[DecideFunction], DecideFunction]:
    """Put the decorated `decide(request, device) -> Answer[Result]` into the catalogue: an operation of the streams.

    It is pure and quick, and may raise Rejected. A repeat of its command gets the same answer and changes nothing.
    Raises ValueError as `operation` does.
    """

    def register(decide: DecideFunction) -> DecideFunction:
        _declare(
            decide,
            name=name,
            steps=None,
            verify=None,
            decide=decide,
            needs=(),
            needs_of=None,
            repeatable=True,
            seconds=0,
            frames=0,
            connects=False,
            reads=None,
            in_any_lifecycle=in_any_lifecycle,
            before_registration=before_registration,
            alone=False,
            of_store=False,
            bundled=False,
            cost=None,
        )
        return decide

    return register


def _declare(function: Callable[..., Any], *, name: str, **declared: Any) -> None:
    if name in _found:
        raise ValueError(f"operation {name} is declared twice")
    hints = get_type_hints(function)
    answer = get_args(hints["return"])[-1] if declared["steps"] else hints["return"]  # Generator[Step, Any, Answer[R]]
    check_verify(name, declared["repeatable"], declared["verify"], answer)
    module = import_module(function.__module__)
    _found[name] = Operation(
        name=name,
        request=hints[next(iter(signature(function).parameters))],
        result=get_args(answer)[0],
        summary=(getdoc(module) or "").split("\n", 1)[0],
        **declared,
    )
    call(_found[name].request, name)


@cache
def catalogue() -> Mapping[str, Operation]:
    """All operations by name, sorted: every module of this folder whose name has no leading underscore."""
    _import_all()
    return MappingProxyType(dict(sorted(_found.items())))


def bundled() -> Mapping[str, Operation]:
    """The operations that may be actions of a Bundle, by name, sorted. For `bundle.py`, which is imported last."""
    _import_all(but="bundle")
    return {name: found for name, found in sorted(_found.items()) if found.bundled}


def _import_all(but: str = "") -> None:
    for module in iter_modules(__path__):
        if not module.name.startswith("_") and not module.ispkg and module.name != but:
            import_module(f"{__name__}.{module.name}")


def build_request(name: str, values: Mapping[str, Any]) -> Any:
    """The Request of an operation, checked, from a decoded record or from the words of a command line (`_build`).

    Raises Rejected: 407 for an operation that is not in the catalogue, otherwise naming the field and the reason.
    """
    found = catalogue().get(name)
    if found is None:
        raise Rejected(f"{name!r} is no operation", field="operation", code=407, name="UNSUPPORTED_DEVICE_ACTION")
    return build(found.request, values)

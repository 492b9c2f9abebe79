"""The catalogue: what can be asked of a meter. One operation is one file of this folder; it is filled by walking the
folder.

An operation file declares `Request` and `Result` (frozen dataclasses that check themselves, raising `Rejected`), and
a function decorated with `operation`: `steps(request, meter) -> Steps[Result]`, the conversation. An optional
`decide(request, device)` refuses, before anything is sent, what cannot be carried out. Everything else (schemas,
command line, worker dispatch, documentation) comes from here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getdoc, signature
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from operations._build import build
from operations._errors import Rejected
from operations._meter import Device, Meter
from operations._profile import Profile, not_in_profile
from operations._steps import Steps
from schemas.records import CommandHeader, EnergyReads, RegisterReads

__all__ = ["Device", "Meter", "Operation", "build_request", "catalogue", "operation"]

StepsFunction = Callable[[Any, Meter], Steps[Any]]
DecideFunction = Callable[[Any, Device], None]
ReadsFunction = Callable[[CommandHeader, Any, int], Iterable[RegisterReads | EnergyReads]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked of a device.

    `needs`: profile tags without which the answer is Rejected 416 before a socket opens. `repeatable`: may be sent
    again blindly when the answer was lost. `seconds`: longest time it may take with the meter. `frames`: APDUs the
    client may send for it (association, blocks and release included), and so counters it may use. `connects`: false
    when no meter is called. `reads(header, result, received_at)`: what of the result is read records, for the reads
    topics.
    """

    name: str
    request: type
    result: type
    steps: StepsFunction
    decide: DecideFunction | None
    needs: tuple[str, ...]
    repeatable: bool
    seconds: int
    frames: int
    connects: bool
    reads: ReadsFunction | None
    summary: str

    def check(self, profile: Profile) -> None:
        """Raises Rejected 416 when the profile lacks an object this operation cannot do without."""
        for tag in self.needs:
            if tag not in profile:
                raise not_in_profile(profile, tag)


_found: dict[str, Operation] = {}


def operation(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    repeatable: bool,
    seconds: int,
    frames: int,
    connects: bool = True,
    decide: DecideFunction | None = None,
    reads: ReadsFunction | None = None,
) -> Callable[[StepsFunction], StepsFunction]:
    """Put the decorated conversation into the catalogue. Its annotations name the request and the result.

    Raises ValueError when the name is taken or an annotation is missing: at import, so a wrong operation stops the
    start.
    """

    def register(steps: StepsFunction) -> StepsFunction:
        if name in _found:
            raise ValueError(f"operation {name} is declared twice")
        hints = get_type_hints(steps)
        request = hints[next(iter(signature(steps).parameters))]
        answer = get_args(hints["return"])[-1]  # Generator[Step, Any, Answer[R]]
        module = import_module(steps.__module__)
        _found[name] = Operation(
            name=name,
            request=request,
            result=get_args(answer)[0],
            steps=steps,
            decide=decide,
            needs=needs,
            repeatable=repeatable,
            seconds=seconds,
            frames=frames,
            connects=connects,
            reads=reads,
            summary=(getdoc(module) or "").split("\n", 1)[0],
        )
        return steps

    return register


@cache
def catalogue() -> Mapping[str, Operation]:
    """All operations by name, sorted: every module of this folder whose name has no leading underscore."""
    for module in iter_modules(__path__):
        if not module.name.startswith("_") and not module.ispkg:
            import_module(f"{__name__}.{module.name}")
    return MappingProxyType(dict(sorted(_found.items())))


def build_request(name: str, values: Mapping[str, Any]) -> Any:
    """The Request of an operation, checked, from a decoded record or from the words of a command line (`_build`).

    Raises Rejected: 407 for an operation that is not in the catalogue, otherwise naming the field and the reason.
    """
    found = catalogue().get(name)
    if found is None:
        raise Rejected(f"{name!r} is no operation", field="operation", code=407, name="UNSUPPORTED_DEVICE_ACTION")
    return build(found.request, values)

"""The catalogue: what can be asked of a meter. One operation is one file of this folder; it is filled by walking the
folder.

An operation file declares `Request` and `Result` (frozen dataclasses that check themselves, raising `Rejected`), and
a function decorated with `operation`: `steps(request, meter) -> Steps[Result]`, the conversation. An optional
`decide(request, device)` refuses, before anything is sent, what cannot be carried out. Everything else (schemas,
command line, worker dispatch, documentation) comes from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getdoc, signature
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from operations._meter import Device, Meter
from operations._steps import Steps

__all__ = ["Device", "Meter", "Operation", "catalogue", "operation"]

StepsFunction = Callable[[Any, Meter], Steps[Any]]
DecideFunction = Callable[[Any, Device], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked of a device.

    `needs`: profile tags without which the answer is Rejected 416 before a socket opens. `repeatable`: may be sent
    again blindly when the answer was lost. `seconds`: longest time it may take with the meter. `frames`: APDUs the
    client may send, and so counters it may use. `connects`: false when no meter is called.
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
    summary: str


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

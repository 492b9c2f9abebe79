"""What the catalogue asks of `verify`: an operation that may not be repeated has one, and it only looks."""

from collections.abc import Callable, Generator
from inspect import isgeneratorfunction
from typing import Any, get_args, get_origin, get_type_hints

from operations._steps import CannotTell, NotDone, Reading


def check_verify(name: str, repeatable: bool, verify: Callable[..., Any] | None, answer: Any) -> None:
    """Raises ValueError. `answer`: what `steps` returns, as annotated.

    The annotation of `verify` says that it only looks, the type checker holds its body to that, and the worker stops
    a step that writes all the same.
    """
    if repeatable:
        if verify is not None:
            raise ValueError(f"operation {name} may be repeated: it is tried again, never verified")
        return
    if verify is None:
        raise ValueError(f"operation {name} may not be repeated, and has no verify to tell what a lost answer meant")
    said = get_type_hints(verify).get("return")
    if not isgeneratorfunction(verify) or get_origin(said) is not Generator:
        raise ValueError(f"operation {name}: verify is no conversation; annotate it as Verifying[Result]")
    yields, _, returns = get_args(said)
    writes = set(get_args(yields) or (yields,)) - set(get_args(Reading))
    if writes:
        asked = ", ".join(sorted(getattr(step, "__name__", str(step)) for step in writes))
        raise ValueError(f"operation {name}: verify may only look, and asks for {asked}")
    if set(get_args(returns)) != {answer, NotDone, CannotTell}:
        raise ValueError(f"operation {name}: verify returns {returns}, and has to return what Verifying[Result] says")

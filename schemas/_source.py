"""Python that is written from a schema: what the writers of encoders and decoders have in common."""

from collections.abc import Callable, Mapping
from typing import Any

from schemas._avsc import Json, Names


class Cannot(Exception):
    """The schema holds something that no text is written for."""


class Source:
    """The text of one encoder or decoder, one function a record, and the objects it refers to by name."""

    def __init__(self, names: Names, classes: Mapping[str, type], scope: Mapping[str, Any]) -> None:
        self._names, self._classes = names, classes
        self._lines: list[str] = []
        self._counted = 0
        self._scope = dict(scope)

    def compiled(self, function: str, about: str) -> Callable[..., Any]:
        """One of the functions; `about` is what tracebacks call the text."""
        exec(compile("\n".join(self._lines), f"<{about}>", "exec"), self._scope)
        found: Callable[..., Any] = self._scope[function]
        return found

    def _new(self, stem: str) -> str:
        self._counted += 1
        return f"{stem}{self._counted}"

    def _bound(self, stem: str, value: object) -> str:
        """A name of the text for an object."""
        name = self._new(stem)
        self._scope[name] = value
        return name


def short(schema: Json) -> str:
    """The stem of a name in the text."""
    return f"{schema['name'].rpartition('.')[2]}_"

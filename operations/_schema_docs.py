"""What the author wrote about a dataclass and its fields, read from the source: documentation of the generated schemas.

A field's comment is the one at the end of its line (or lines), else the comment lines right above it.
"""

import ast
import inspect
import re
import tokenize
from functools import cache
from io import StringIO
from textwrap import dedent


def about(cls: type) -> str | None:
    """The docstring as one paragraph, but for what Python code is told it raises; None when only `dataclass` made
    one up.
    """
    doc = cls.__dict__.get("__doc__")
    if not doc or doc.startswith(f"{cls.__name__}("):
        return None
    return _for_anyone(" ".join(inspect.cleandoc(doc).split()).split(" Raises ")[0])


def _for_anyone(text: str) -> str:
    """Readers of schemas know null, not None."""
    return re.sub(r"\bNone\b", "null", text)


@cache
def field_comments(cls: type) -> dict[str, str]:
    """Comments by field name, inherited fields included."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if "__annotations__" in each.__dict__ and each.__module__ != "builtins":
            found |= _comments(dedent(inspect.getsource(each)))
    return found


def _comments(source: str) -> dict[str, str]:
    trailing: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#").strip()
            if text.startswith(("noqa", "type:", "ruff:")):
                continue
            (alone if token.line.lstrip().startswith("#") else trailing)[token.start[0]] = text.split(" # noqa")[0]
    found = {}
    for statement in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
            texts = [trailing[line] for line in lines if line in trailing]
            if not texts:
                line = statement.lineno - 1
                while line in alone:
                    texts.insert(0, alone[line])
                    line -= 1
            if texts:
                found[statement.target.id] = _for_anyone(" ".join(texts))
    return found

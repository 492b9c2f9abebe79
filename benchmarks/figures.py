"""What a benchmark found, as `python -m benchmarks` gathers it: one line of JSON a figure.

A benchmark prints for people, and calls `tell` beside it. Alone it tells nobody: the file is named by the
environment variable METERLOG_BENCH_FIGURES, which only the gathering process sets.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "METERLOG_BENCH_FIGURES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. `asked` bounds `ratio` if there is a peer, else `ours`; None asks nothing."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    asked: float | None = None
    at_most: bool = False  # the bound is an upper one
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def reached(self) -> bool | None:
        """Whether it is as good as asked; None when nothing is asked."""
        if self.asked is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value <= self.asked if self.at_most else value >= self.asked


def tell(*figures: Figure) -> None:
    """Hand figures to whoever gathers them."""
    path = os.environ.get(VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)


def read(path: Path) -> Iterable[Figure]:
    """The figures told into a file, in order."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield Figure(**json.loads(line))

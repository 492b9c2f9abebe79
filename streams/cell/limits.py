"""What a cell may carry, and the numbers its decisions are made with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NO_LIMIT: Final = -1  # reference 2.8; 0: nothing is granted
MOST_CONNECTS: Final = 1_000  # a second: times are whole milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one cell; the defaults are the reference's 2.8. NO_LIMIT, 0 for a cell that is closed, or more."""

    connects: int = 30  # new connections in any second
    sessions: int = 1_000  # at once

    def __post_init__(self) -> None:
        for name, most in (("connects", MOST_CONNECTS), ("sessions", 1_000_000)):
            value = getattr(self, name)
            if not NO_LIMIT <= value <= most:
                raise ValueError(f"{name}: {value} is not within {NO_LIMIT} and {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLimits:
    """Times in milliseconds."""

    default: Bounds = Bounds()  # noqa: RUF009 - frozen
    overrides: Mapping[str, Bounds] = field(default_factory=dict)  # by cell
    lead: int = 2_000  # from a grant to its connection: the way to the worker
    ahead: int = 2_000  # how far beyond that times are given; somebody of high priority waits so long at most
    within: int = 250  # how late a worker may be
    spread: int = 250  # between the clocks of workers, and between the ways to meters
    reconnect: int = 10_000  # between two connections of one session
    unspaced: int = 60_000  # `within` where connections are not bounded
    waiting: int = 5_000  # devices of a cell: its state stays within one Kafka record

    def of(self, cell_id: str) -> Bounds:
        return self.overrides.get(cell_id, self.default)

    def spacing(self, bounds: Bounds) -> int:
        """Between the times of two connections: see the package."""
        return -(-(1_000 + self.within + self.spread) // bounds.connects)

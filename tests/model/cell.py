"""The modelled radio cell: what it really carries, counted where its meters are, whoever allowed it."""

from streams.cell.limits import NO_LIMIT, Bounds

_SECOND = 1_000  # ms


class TooManyConnections(AssertionError):
    """More connections were opened in one second than the cell takes."""


class TooManySessions(AssertionError):
    """More sessions are open at once than the cell carries."""


class RadioCell:
    """Of these bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._connects: list[int] = []  # times, in order

    def connect(self, at: int, others: int) -> None:
        """A connection is opened at `at`, ms, while so many others are open."""
        self._connects.append(at)
        bounds = self._bounds
        if bounds.connects != NO_LIMIT and sum(at - each < _SECOND for each in self._connects) > bounds.connects:
            raise TooManyConnections(f"{[each - at for each in self._connects if at - each < _SECOND]}")
        if bounds.sessions != NO_LIMIT and others >= bounds.sessions:
            raise TooManySessions(f"{others} and one")

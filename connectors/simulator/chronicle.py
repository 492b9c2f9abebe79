"""The event logs of one meter: what happened to it by itself (`history`), and what has been done to it."""

from typing import Final

from connectors.simulator import history, logs
from connectors.simulator.logs import Event, Kept
from connectors.simulator.premises import Premises
from operations._profile import CosemObject, Profile

STANDARD: Final = "STANDARD_EVENT_LOG"
FRAUD: Final = "FRAUD_DETECTION_EVENT_LOG"
SESSIONS: Final = "COMMUNICATION_SESSION_EVENT_LOG"
MBUS: Final = "MBUS_EVENT_LOG"
FAILED_LOGIN: Final = 46  # event codes of meter-model 12
MAINTENANCE, READINGS, READINGS_GAS, INTERVALS, INTERVALS_GAS = 72, 73, 74, 75, 76  # reasons of a session
ALARMS: Final[dict[int, tuple[str, int]]] = {  # bit of register 1 (meter-model 13) -> the event that set it
    0: (STANDARD, 6), 1: (STANDARD, 7), 2: (STANDARD, 2), 8: (STANDARD, 12), 9: (STANDARD, 13), 10: (STANDARD, 14),
    11: (STANDARD, 16), 12: (STANDARD, 15), 13: (FRAUD, 40),
    **{16 + channel: (MBUS, 100 + 10 * channel) for channel in range(4)},  # communication error
    **{20 + channel: (MBUS, 103 + 10 * channel) for channel in range(4)},  # fraud attempt
    **{24 + channel: (MBUS, 105 + 10 * channel) for channel in range(4)},  # new device
}  # fmt: skip


class Chronicle:
    """Logs by tag; a profile that lacks a log takes no rows for it.

    `born`: when the meter began to be watched; None: it has no history, its logs begin empty.
    """

    __slots__ = ("_born", "_kept", "_premises", "_profile", "_sessions")

    def __init__(self, profile: Profile, premises: Premises, born: float | None) -> None:
        self._profile = profile
        self._premises = premises
        self._born = born
        self._kept: dict[str, Kept] | None = None  # most meters of a fleet never get a row
        self._sessions = 0

    def add(self, log: str, values: tuple[int, ...], at: float) -> None:
        """Add a row: the columns after the clock. The oldest falls out when the log is full."""
        found = self._profile.objects.get(log)
        if found is None:
            return
        if self._kept is None:
            self._kept = {}
        self._kept.setdefault(log, Kept()).add(Event(at, values), found.entries)

    def session_ended(self, reason: int, at: float) -> None:
        """Add a row with the next number of sessions."""
        self._sessions += 1
        self.add(SESSIONS, (reason, self.sessions & 0xFFFF), at)

    @property
    def sessions(self) -> int:
        """How many sessions there have been, ever."""
        before = 0 if self._born is None else history.session_count(self._premises, self._born)
        return before + self._sessions

    def rows(self, log: CosemObject, now: float) -> list[Event]:
        """The rows of a log at an instant, oldest first."""
        kept = (self._kept or {}).get(log.tag, ())
        if self._born is None:
            return list(kept)
        if log.tag == SESSIONS:
            before = history.sessions(self._premises, self._born, log.entries)
        else:
            before = history.rows(log.tag, self._premises, now, log.entries)
        return logs.merged(before, kept, log.entries)

"""When a role that is stuck, or answers nothing any more, is to be ended so that it can be started again."""

from dataclasses import dataclass

UNLIVE_SECONDS = 60.0
LONGEST_SECONDS = 3_600.0


@dataclass(slots=True)
class Liveness:
    """What `/livez` of one process said, start after start. All times are monotonic seconds.

    A new process does not help a role that gets stuck again and again, so each end makes the next one wait twice as
    long, up to an hour; a role that then lives for an hour is as good as new. `start` is what a start may take before
    the first answer.
    """

    start: float
    patience: float = UNLIVE_SECONDS
    ended: int = 0
    _lived: float = -1.0  # when it last was well
    _since: float = 0.0  # when it was first found not to be, after that

    def told(self, now: float, started: float, why: str) -> float | None:
        """Take in one answer (`why` is empty when it is well) of the process that was started at that time; seconds of
        patience that are over, if they are.
        """
        if not why:
            self._lived, self._since = now, 0.0
            if now - started > LONGEST_SECONDS:
                self.ended = 0
            return None
        if self._lived < started and now - started < self.start:
            return None
        if self._since < started or not self._since:
            self._since = now
        patience = min(self.patience * 2.0**self.ended, LONGEST_SECONDS)
        if now - self._since < patience:
            return None
        self.ended += 1
        return patience

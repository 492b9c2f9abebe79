"""The modelled meter: what it did, and which invocation counters it was sent, whoever sent them."""

from collections import Counter


class TwoAtOnce(AssertionError):
    """A job spoke to the meter after a later one had."""


class CounterUsedTwice(AssertionError):
    """A frame bore an invocation counter that an earlier frame under the same key bore."""


class AskedAgain(AssertionError):
    """An action of a bundle was carried out that had been answered."""


class Meter:
    """`expects`: the lowest invocation counter it takes, as a real meter keeps it (Green Book 9.2.3.3.7).
    `can_tell`: whether it shows afterwards what it did.
    """

    def __init__(self, expects: int, *, can_tell: bool = True) -> None:
        self.expects, self.can_tell = expects, can_tell
        self.answers = True
        self.executed: Counter[str] = Counter()  # by correlation id; of a bundle's actions by `action_name`
        self.answered: set[str] = set()  # actions that may not be carried out again
        self._counters: set[int] = set()
        self._job = 0

    def frame(self, job: int, counter: int) -> bool:
        """A frame left for the meter; whether its counter is high enough. A frame nobody took is used up as well."""
        if job < self._job:
            raise TwoAtOnce(f"job {job} after job {self._job}")
        if counter in self._counters:
            raise CounterUsedTwice(f"job {job}: {counter}")
        self._job = job
        self._counters.add(counter)
        if counter < self.expects:
            return False
        self.expects = counter + 1
        return True

    def execute(self, name: str) -> None:
        if name in self.answered:
            raise AskedAgain(name)
        self.executed[name] += 1


def action_name(correlation_id: str, place: int) -> str:
    return f"{correlation_id}/{place}"

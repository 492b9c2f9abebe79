"""A bundle on its way: which of its actions this job has to carry out, and what the bundle comes to.

Knows no meter: `carry` does an action as the job does a command, and says how it ended.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from operations._errors import Unreachable
from operations._steps import Act, Step
from operations.bundle import Entry, FaultEntry, Request, Result, fault_entry, in_doubt, not_done
from schemas.records import CommandEnded, Ended, Fact, Fault

Carry = Callable[[Act, bool], Awaitable[tuple[CommandEnded, Any]]]
"""An action, or with True the look whether it was carried out; how it ended, and its result when it has one."""

_TURN: Final = Unreachable("the association ended before its turn", code=229, name="SOCKET_CLOSED_BY_REMOTE").fault()


@dataclass(slots=True)
class Actions:
    """The entries of one bundle, those that earlier jobs obtained included."""

    request: Request
    entries: list[Entry]
    carry: Carry
    facts: list[Fact] = field(default_factory=list)
    fault: Fault | None = None  # of the first action that this job could not carry out
    tried: bool = False  # this job carried out something, or met a fault when it was to

    async def act(self, step: Step) -> Entry:
        """The entry of one action: the one there is, or what carrying the action out brings."""
        assert isinstance(step, Act)  # a bundle asks nothing of a meter by itself
        place = step.place
        if in_doubt(step.request, self.entries[place]):
            await self._look(step)
        if not_done(self.entries[place]):
            ended, result = await self._carry(step, look=False)
            if ended.ended is Ended.SUCCESSFUL:
                self.entries[place] = result
            else:
                self.entries[place] = fault_entry(ended.ended, ended.fault or self.fault or _TURN)
        return self.entries[place]

    @property
    def open(self) -> bool:
        """Whether another job could do something for this bundle."""
        pairs = zip(self.request.actions, self.entries, strict=True)
        return any(not_done(entry) or in_doubt(action, entry) for action, entry in pairs)

    @property
    def answered(self) -> bool:
        """Whether anything is known that another job would not find out again."""
        return not all(not_done(entry) for entry in self.entries)

    @property
    def result(self) -> Result:
        return Result(tuple(self.entries))

    async def _look(self, step: Act) -> None:
        doubted = self.entries[step.place]
        assert isinstance(doubted, FaultEntry)
        ended, result = await self._carry(step, look=True)
        match ended.ended:
            case Ended.SUCCESSFUL:
                self.entries[step.place] = result
            case Ended.NOT_DONE:
                self.entries[step.place] = fault_entry(Ended.NOT_STARTED, ended.fault or _TURN)
            case Ended.UNKNOWN | Ended.FAILED:
                self.entries[step.place] = replace(doubted, looked=True)

    async def _carry(self, step: Act, *, look: bool) -> tuple[CommandEnded, Any]:
        ended, result = await self.carry(step, look)
        self.facts.extend(ended.facts)
        if ended.ended is not Ended.NOT_STARTED:
            self.tried = True
        if ended.ended in (Ended.RETRIABLE, Ended.UNKNOWN) and self.fault is None:
            self.fault = ended.fault
        return ended, result

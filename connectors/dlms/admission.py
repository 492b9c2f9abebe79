"""When a job may open its connections: at the times its permit says (`streams/cell`), or at any time without one.

The bound of a radio cell is kept here: whoever comes late with a connection would come together with others, so a time
that has passed is not made up for. What is left open is a process that is stopped between the look at the clock and the
call that connects, and the way of the packets to the meter; the spacing of the times allows for both in measure.
"""

import asyncio
import time
from typing import Final

from operations._errors import Unreachable
from schemas.records import Permit

_LATE: Final = 233  # RESPONSE_TIMEOUT: the code of what did not come to pass in time (reference 2.16)


class Lapsed(Unreachable):
    """The time of the job's first connection passed before the worker came to it: nothing was begun."""

    def __init__(self) -> None:
        super().__init__("the permit of the cell lapsed before the worker had the job", code=_LATE, name="LAPSED")


class Admission:
    """Of one job; used by one task."""

    def __init__(self, permit: Permit | None) -> None:
        self._permit = permit
        self._opened = 0

    @property
    def bounded(self) -> bool:
        """Whether there is anything to wait for."""
        return self._permit is not None

    async def enter(self) -> None:
        """Wait for the time of the next connection, which is to be opened at once then. Raises what `wait` raises."""
        while wait := self.wait(time.time_ns() // 1_000_000):
            await asyncio.sleep(wait / 1_000)

    def wait(self, now: int) -> int:
        """How long it is to the next connection, ms. At 0 it is to be opened at once, and counts as opened.

        Raises Lapsed when the time of the first has passed; Unreachable when that of another has, or there is none.
        """
        permit = self._permit
        if permit is None:
            return 0
        number = self._opened
        if number == len(permit.connects):
            reason = f"the permit of the cell allows {number} connections; the next attempt asks for more"
            raise Unreachable(reason, code=_LATE, name="NO_MORE_CONNECTIONS")
        begins = permit.connects[number]
        if now < begins:
            return begins - now
        self._opened += 1
        if now <= begins + permit.within:
            return 0
        if number == 0:
            raise Lapsed
        raise Unreachable("the time of a further connection has passed", code=_LATE, name="LAPSED")


FREE: Final = Admission(None)
"""At any time."""

"""How meters misbehave, on purpose and repeatably.

A fault is drawn for each connection from the fleet's seed, the meter and the number of the connection: the same fleet
misbehaves in the same way, and a meter that failed once may answer the next attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connectors.simulator.curves import mix


class Fault(StrEnum):
    """What goes wrong on one connection."""

    NONE = "none"
    REFUSE = "refuse"  # closes before it has said anything
    STALL = "stall"  # takes requests and never answers again
    DROP = "drop"  # closes in the middle of an answer, within a block transfer when there is one
    WRONG_TAG = "wrong-tag"  # an answer whose authentication tag does not fit
    LOST_ANSWER = "lost-answer"  # carries a set or action out, then closes without a word
    LATE = "late"  # answers when nobody waits any more
    DRIP = "drip"  # byte by byte, each in time, the answer never
    FLOOD = "flood"  # notifications without end, as fast as they are taken
    UNASKED = "unasked"  # puts a notification before an answer
    FALSE_LENGTH = "false-length"  # the wrapper announces more bytes than come
    FALSE_VALUE = "false-value"  # a rightly sealed value of thousands of millions of elements, in six bytes
    UNFOLDING = "unfolding"  # a rightly sealed value that needs gigabytes where it is decoded carelessly
    FOREIGN = "foreign"  # the rightly sealed answer to another request
    ENDLESS = "endless"  # a rightly sealed block transfer without a last block


FORGED: Final = frozenset({Fault.FALSE_VALUE, Fault.UNFOLDING, Fault.FOREIGN, Fault.ENDLESS})
"""Those that answer a get with something of their own."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Share of connections that each fault befalls, and the exchange it waits for at the latest."""

    shares: Mapping[Fault, float]
    seed: int = 1

    def draw(self, meter: int, connection: int) -> tuple[Fault, int]:
        """The fault of one connection, and the number of answers that go well before it strikes."""
        luck = mix(self.seed, 101, meter, connection)
        for fault, share in self.shares.items():
            if luck < share:
                return fault, 2 + int(4 * mix(self.seed, 102, meter, connection))
            luck -= share
        return Fault.NONE, 0


NO_FAULTS = Faults({})


def parse(text: str) -> dict[Fault, float]:
    """`stall=0.01,lost-answer=0.05` as shares.

    Raises ValueError, naming the part that is wrong.
    """
    shares: dict[Fault, float] = {}
    for part in filter(None, text.split(",")):
        name, _, share = part.partition("=")
        try:
            fault = Fault(name.strip())
        except ValueError:
            known = ", ".join(each for each in Fault if each is not Fault.NONE)
            raise ValueError(f"{name.strip()!r} is not a fault; faults are {known}") from None
        try:
            shares[fault] = float(share)
        except ValueError:
            raise ValueError(f"{part!r}: the share of connections must be a number from 0 to 1") from None
        if not 0 <= shares[fault] <= 1:
            raise ValueError(f"{part!r}: the share of connections must lie in 0 to 1")
    if sum(shares.values()) > 1:
        raise ValueError("the shares add up to more than 1")
    return shares

"""All an operation may ask of the world. An operation is a generator of these; the session carries each out and
sends the answer in.

Steps exist when an operation needs them. No step pages, retries or times: blocks belong to `cosem/`, attempts to
`streams/`, time-outs to the session.
"""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from operations._data import Data
from schemas.records import Fact, KeyKind

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one object: class id, logical name (6 bytes), attribute index."""

    class_id: int
    obis: bytes
    index: int

    def __str__(self) -> str:
        a, b, c, d, e, f = self.obis
        return f"{self.class_id}/{a}-{b}:{c}.{d}.{e}.{f}/{self.index}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A get of a list was answered, but this attribute was refused: Data-Access-Result code and name."""

    result: int
    name: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read one attribute. Answer: `Data`. A refusal is thrown in as MeterRefused."""

    attribute: Attribute


@dataclass(frozen=True, slots=True)
class GetList:
    """Read several attributes, split by the device's with_list_max. Answer: list of `Data | Refusal`, one each, in
    order.
    """

    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Selective access by range over the clock column (selector 1): both ends belong to it, in the device's zone."""

    start: datetime  # aware
    end: datetime
    columns: tuple[tuple[int, bytes, int, int], ...] = ()  # (class, obis, attribute, data index); empty = all


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Read a profile buffer. Answer: list of rows, each a tuple of cells: int, bytes, None (null-data), or `Data`
    for anything else.
    """

    buffer: Attribute
    selection: Range | None


@dataclass(frozen=True, slots=True)
class Set:
    """Write one attribute. Answer: None. A refusal is thrown in as MeterRefused."""

    attribute: Attribute
    value: Data


@dataclass(frozen=True, slots=True)
class Now:
    """The time. Answer: an aware datetime in UTC."""


@dataclass(frozen=True, slots=True)
class Reseal:
    """Open a secret that came encrypted for the platform's public key, seal it under the platform's own. Answer:
    bytes, sealed.

    Thrown in when it cannot be opened: Rejected 804 DECRYPTION_EXCEPTION; of the wrong length: 802
    INVALID_DLMS_KEY_FORMAT.
    """

    kind: KeyKind
    device_id: str
    encrypted: bytes


@dataclass(frozen=True, slots=True)
class Act:
    """Carry out an action of a bundle as if it had been sent for itself, unless an earlier job has. `place`: from 0.
    Answer: its result, or a `FaultEntry`; nothing is thrown in, so the next action has its turn.
    """

    place: int
    operation: str
    request: Any


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame of a device in debug mode, as the store has it. `frame` is hex."""

    at: datetime
    incoming: bool
    valid: bool
    frame: str
    summary: str
    text: str


@dataclass(frozen=True, slots=True)
class FindFrames:
    """Ask the store, not a meter, for frames of a device, newest first, `first` of them left out. Both ends of the
    period belong to it; None: no end. Answer: how many there are in all, and at most `limit` of them, as a tuple.
    """

    device_id: str
    since: datetime | None
    until: datetime | None
    first: int
    limit: int


OfStore = FindFrames
Step = Get | GetList | ReadRows | Set | Now | Reseal | Act | OfStore


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """What an operation returns: its result, and what was learnt of the device."""

    result: R
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class NotDone:
    """A verifying conversation saw that nothing of the operation was carried out: it may be asked again."""

    why: str


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The meter would look like this whether the operation was carried out or not."""

    why: str


Steps = Generator[Step, Any, Answer[R]]
Reading = Get | GetList | ReadRows | Now
Verifying = Generator[Reading, Any, Answer[R] | NotDone | CannotTell]
"""Whether an operation that may not be repeated was carried out, told by looking only."""

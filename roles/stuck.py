"""Whether a role stands still although it could go on: told in its log, by `/readyz` and by `/livez`, so that whoever
supervises it starts it again.

A role says since when it has not got on, and what should have. As long as a server it needs is away it waits, and a new
process would wait as well: that is never stuck. METERLOG_STUCK_SECONDS bounds a standstill. A thread of its own looks,
since a loop that hangs cannot tell of itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NamedTuple, Self

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from roles.probes import Check

NOT_LET_IN: Final = "it asked to join its group, and is not let in (are its topics there? `meterlog doctor` tells)"
LOOK_SECONDS: Final = 5.0  # between two looks; less where the patience is less
JOIN_SECONDS: Final = 150.0
"""A member that died is waited for as long as its session, 45 s; who was forgotten has asked again by then."""
ANSWER_SECONDS: Final = 5.0  # a server that takes longer is away

Place = tuple[str, int]
"""Topic and partition."""

_log = structlog.get_logger(__name__)


class Standstill(NamedTuple):
    """`since`: monotonic seconds of the last step. `what`: what does not get on, in words. `least`: seconds that it may
    take in any case, also where METERLOG_STUCK_SECONDS is less.
    """

    since: float
    what: str
    least: float = 0.0


def not_let_in(parted: float | None) -> Standstill | None:
    """A group that gives no assignment, not even an empty one. `parted`: monotonic seconds since when; None: it did.

    A coordinator that moves while it gathers a group was seen to forget who had asked to join (Kafka 4.2).
    """
    return None if parted is None else Standstill(parted, NOT_LET_IN, JOIN_SECONDS)


class Watch:
    """`standstill`: what does not get on, None while all does. `waits`: which server is away, empty when none is; asked
    at each look of a standstill, it may take seconds: who stood still while a server was away has its whole patience
    from the last look at which it was. Both are called in the watch's thread.
    """

    def __init__(
        self,
        standstill: Callable[[], Standstill | None],
        waits: Callable[[], str],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._standstill, self._waits = standstill, waits
        self._seconds, self._clock = seconds, clock
        self._waited = 0.0  # until when a server was away
        self._waiting = ""  # which one, while it is
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stuck", daemon=True)
        self.reason = ""
        """In words; empty as long as it is not stuck."""

    def look(self) -> None:
        """Once. `start` has a thread look again and again."""
        found, now = self._standstill(), self._clock()
        if found is None or now - found.since < min(LOOK_SECONDS, self._seconds / 2):
            self._goes_on()
        elif waiting := self._waits():
            self._waited = self._clock()
            self._goes_on(waiting)
        elif now - max(found.since, self._waited) < max(self._seconds, found.least):
            self._goes_on()
        else:
            self._stands_still(f"stuck for {now - found.since:.0f} s although all servers answer: {found.what}")

    def _goes_on(self, waiting: str = "") -> None:
        if self.reason:
            _log.warning("no longer stuck", reason=self.reason)
        if waiting and waiting != self._waiting:
            _log.warning("waiting", reason=waiting)
        self.reason, self._waiting = "", waiting

    def _stands_still(self, reason: str) -> None:
        if not self.reason:
            _log.error("stuck", reason=reason, remedy="start this process again; `meterlog up` does")
        self.reason = reason

    def check(self) -> tuple[bool, str]:
        """For a probe: (it is not stuck, why it is)."""
        return not self.reason, self.reason

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(2 * ANSWER_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._ending.wait(min(LOOK_SECONDS, self._seconds / 2)):
            try:
                self.look()
            except Exception:  # a look that fails says nothing, and must not be the last
                _log.exception("look failed")


class Broker:
    """Asks the broker on a connection of its own: a client that hangs cannot be asked about itself. Any thread may ask.

    After a failure it asks with a new client: one whose broker had been fenced for a while was seen never to find it
    again, and one whose broker had died to ask for ever with the leader's epoch that it knew (FENCED_LEADER_EPOCH).
    """

    def __init__(self, bootstrap: str, settings: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> None:
        self._bootstrap, self._seconds = bootstrap, seconds
        self._settings: dict[str, str | int | float | bool] = {
            **settings,
            "bootstrap.servers": bootstrap,
            "log_level": 2,
        }
        self._kept: AdminClient | None = None
        self._lock = threading.Lock()

    @contextmanager
    def _asking(self) -> Iterator[AdminClient]:
        """The client, held by who asks until all is answered: what is asked of one that was let go of is never
        answered, and threads that made the first one together waited so without end.
        """
        with self._lock:
            client = self._kept = self._kept or AdminClient(self._settings)
        try:
            yield client
        except KafkaException:
            with self._lock:
                if self._kept is client:
                    self._kept = None
            raise

    def away(self) -> str:
        """Why it does not answer; empty when it does."""
        try:
            with self._asking() as client:
                client.list_topics(timeout=self._seconds)
        except KafkaException as error:
            return f"Kafka at {self._bootstrap} is away: {error.args[0].str()}"
        return ""

    def ends(
        self, places: Iterable[Place], isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[Place, int]:
        """Offsets after the last committed records, or after the last of all. Raises KafkaException."""
        return self._offsets(OffsetSpec.latest(), places, isolation)  # type: ignore[no-untyped-call]

    def begins(self, places: Iterable[Place]) -> dict[Place, int]:
        """Offsets at which the logs begin. Raises KafkaException."""
        return self._offsets(OffsetSpec.earliest(), places, IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]

    def _offsets(self, spec: OffsetSpec, places: Iterable[Place], isolation: IsolationLevel) -> dict[Place, int]:
        asked = {TopicPartition(*place): spec for place in places}
        if not asked:
            return {}
        with self._asking() as client:
            found = client.list_offsets(asked, isolation_level=isolation, request_timeout=self._seconds)
            return {(place.topic, place.partition): self._told(future) for place, future in found.items()}

    def _told(self, future: Future[ListOffsetsResultInfo]) -> int:
        try:
            return future.result(2 * self._seconds).offset
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the client itself does not answer")) from None


class Waiting:
    """Committed records that wait before partitions whose reader does not get on. `reached`: of each partition that is
    read, the offset below which everything was taken (markers of transactions included), -1 as long as it is not known.
    """

    def __init__(self, broker: Broker, reached: Callable[[], Mapping[Place, int]]) -> None:
        self._broker, self._reached = broker, reached
        self._behind: dict[Place, tuple[int, float]] = {}  # reached, and since when

    def standstill(self) -> Standstill | None:
        """Of the partition that has stood still longest."""
        reached, now = dict(self._reached()), time.monotonic()
        try:
            ends = self._broker.ends(reached)
        except KafkaException:
            ends = {}  # an absent broker keeps nothing waiting
        behind = {place: at for place, at in reached.items() if max(at, 0) < ends.get(place, 0)}
        known = self._behind
        self._behind = {
            place: known[place] if place in known and known[place][0] == at else (at, now)
            for place, at in behind.items()
        }
        if not self._behind:
            return None
        place = min(self._behind, key=lambda each: self._behind[each][1])
        at, since = self._behind[place]
        return Standstill(since, f"{place[0]}/{place[1]} is read up to {max(at, 0)}, records wait up to {ends[place]}")


def all_of(*checks: Check) -> Check:
    """Well when each is; otherwise what the first says that is not."""

    def check() -> tuple[bool, str]:
        for each in checks:
            well, why = each()
            if not well:
                return False, why
        return True, ""

    return check

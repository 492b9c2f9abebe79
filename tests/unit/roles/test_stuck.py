"""Who is stuck and who only waits: told by a standstill, the servers and time."""

from collections.abc import Mapping

import pytest
from confluent_kafka import KafkaError, KafkaException

from roles.stuck import JOIN_SECONDS, NOT_LET_IN, Broker, Place, Standstill, Waiting, Watch, all_of, not_let_in

PATIENCE = 60.0
TOLD = Standstill(1_000.0, "partition 3 commits nothing")


class Played:
    """A role, its servers and a clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.found: Standstill | None = TOLD
        self.away = ""
        self.watch = Watch(lambda: self.found, lambda: self.away, seconds=PATIENCE, clock=lambda: self.now)

    def after(self, seconds: float) -> str:
        self.now += seconds
        self.watch.look()
        return self.watch.reason


def test_a_standstill_that_lasts_is_told_in_words() -> None:
    role = Played()
    assert role.after(59) == ""
    assert role.watch.check() == (True, "")
    assert role.after(1) == "stuck for 60 s although all servers answer: partition 3 commits nothing"
    assert role.after(30).startswith("stuck for 90 s")
    assert role.watch.check() == (False, role.watch.reason)


def test_who_goes_on_is_not_stuck_any_more() -> None:
    role = Played()
    assert role.after(60)
    role.found = Standstill(role.now, "another one, just begun")
    assert role.after(1) == ""
    role.found = None
    assert role.after(1_000) == ""


def test_waiting_for_a_server_is_not_being_stuck_however_long() -> None:
    role = Played()
    role.away = "Kafka is away"
    assert [role.after(100) for _ in range(20)] == [""] * 20
    role.away = ""
    assert role.after(59) == "", "the server has just come back"
    assert role.after(1).endswith("partition 3 commits nothing")


def test_patience_begins_anew_when_a_server_is_back() -> None:
    role = Played()
    role.away = "Kafka is away"
    assert role.after(20) == ""
    role.away = ""
    assert [role.after(30), role.after(29)] == ["", ""], "79 s in all, 59 of them with Kafka"
    assert role.after(1).startswith("stuck for 80 s")


def test_some_things_may_take_longer() -> None:
    role = Played()
    role.found = TOLD._replace(least=100.0)
    assert [role.after(60), role.after(39)] == ["", ""]
    assert role.after(1).startswith("stuck for 100 s")
    role.found = TOLD._replace(least=10.0)
    assert role.after(1), "less than the patience is no less"


def test_a_server_is_not_asked_for_each_little_wait() -> None:
    def asked() -> str:
        raise AssertionError("it is asked")

    Watch(lambda: TOLD, asked, seconds=PATIENCE, clock=lambda: 1_004.9).look()


def test_who_is_left_out_of_a_group_stands_still_once_others_had_time_to_join() -> None:
    assert not_let_in(None) is None
    assert not_let_in(90.0) == Standstill(90.0, NOT_LET_IN, JOIN_SECONDS)


def test_a_probe_tells_what_is_wrong_first() -> None:
    assert all_of(lambda: (True, "unused"), lambda: (True, ""))() == (True, "")
    assert all_of(lambda: (True, ""), lambda: (False, "second"), lambda: (False, "third"))() == (False, "second")


class PlayedBroker(Broker):
    """Ends of partitions without a broker."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", {})
        self.told: dict[Place, int] | None = {}

    def ends(self, places: object, isolation: object = None) -> dict[Place, int]:
        if self.told is None:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return self.told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("roles.stuck.time.monotonic", lambda: now[0])
    return now


def test_records_that_wait_before_a_reader_that_stands(clock: list[float]) -> None:
    broker, reached = PlayedBroker(), dict[Place, int]()
    waiting = Waiting(broker, lambda: reached)

    def found(at: float, ends: Mapping[Place, int], **places: int) -> Standstill | None:
        clock[0], broker.told = at, dict(ends)
        reached.clear()
        reached.update({(name, 0): offset for name, offset in places.items()})
        return waiting.standstill()

    a, b = ("a", 0), ("b", 0)
    assert found(100, {}, a=-1) is None, "an empty partition"
    assert found(110, {a: 5, b: 5}, a=5, b=-1) == Standstill(110, "b/0 is read up to 0, records wait up to 5")
    assert found(120, {a: 9, b: 5}, a=5, b=-1) == Standstill(110, "b/0 is read up to 0, records wait up to 5")
    assert found(130, {a: 9, b: 5}, a=5, b=5) == Standstill(120, "a/0 is read up to 5, records wait up to 9")
    assert found(140, {a: 20, b: 5}, a=9, b=5) == Standstill(140, "a/0 is read up to 9, records wait up to 20")
    assert found(150, {a: 20, b: 5}, a=20, b=5) is None
    assert found(160, {b: 9}, b=5) == Standstill(160, "b/0 is read up to 5, records wait up to 9")
    broker.told = None
    assert waiting.standstill() is None, "an absent broker keeps nothing waiting"

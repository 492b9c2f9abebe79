"""How long a role may be stuck before it is ended, and what becomes of one that is stuck again and again."""

from infra.embedded.liveness import LONGEST_SECONDS, Liveness


def ends(liveness: Liveness, started: float, since: float) -> float:
    """Seconds from `since`, when it is found not to live any more, until it is to be ended."""
    now = since
    while liveness.told(now, started, "stuck") is None:
        now += 1
    return now - since


def test_it_is_ended_when_it_has_not_lived_for_a_while() -> None:
    liveness = Liveness(start=90, patience=60)
    assert liveness.told(10, 0, "") is None
    assert ends(liveness, 0, 20) == 60


def test_a_start_may_take_its_time() -> None:
    liveness = Liveness(start=90, patience=60)
    assert [liveness.told(now, 0, "does not answer") for now in range(0, 90, 5)] == [None] * 18
    assert ends(liveness, 0, 90) == 60


def test_a_moment_of_life_is_enough() -> None:
    liveness = Liveness(start=90, patience=60)
    for now in range(10, 1_000, 10):
        assert liveness.told(now, 0, "" if now % 50 == 0 else "stuck") is None


def test_who_is_stuck_again_and_again_is_left_alone_longer_and_longer() -> None:
    liveness = Liveness(start=90, patience=60)
    spans = []
    for started in range(10_000, 200_000, 10_000):
        liveness.told(started + 1, started, "")
        spans.append(ends(liveness, started, started + 2))
    assert spans[:5] == [60, 120, 240, 480, 960]
    assert spans[-1] == LONGEST_SECONDS
    started = 500_000
    liveness.told(started + LONGEST_SECONDS + 1, started, "")  # lived for an hour
    assert ends(liveness, started, started + LONGEST_SECONDS + 2) == 60

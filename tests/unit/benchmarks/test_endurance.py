"""The verdict over a long run: a leak is noticed whatever surrounds it, and a steady system passes."""

from math import sin

import pytest

from benchmarks.endurance.samples import GROUPS, Sample
from benchmarks.endurance.verdict import FLAT_TOPICS, GROWING, MIB, ROLES, SERVERS, judge, slope, table

SECONDS = 15
ASKED = 30  # commands between two samples


def steady() -> list[Sample]:
    """Two hours that wobble and do not grow."""
    run: list[Sample] = []
    for number in range(480):
        wave = sin(number / 7)
        sample: Sample = {"at": SECONDS * number, "asked": ASKED * number, "clickhouse parts": 30 + 5 * wave}
        for name in (*ROLES, *SERVERS, "simulator"):
            sample |= {f"{name} rss": 100 + wave, f"{name} descriptors": 40 + wave, f"{name} threads": 9}
            sample |= {f"{name} cpu": 0.3 * number, f"{name} restarts": 0, f"{name} unready": 0}
        sample |= {f"{group} lag": 4 + wave for group in GROUPS}
        sample |= {f"{topic} bytes": 5 * MIB * (1 + 0.2 * wave) for topic in FLAT_TOPICS}
        sample |= {name: 20_000 * number for name in GROWING}
        run.append(sample)
    return run


def steep(run: list[Sample]) -> set[str]:
    return {line.series for line in judge(run) if not line.held}


def test_a_line_through_its_own_points() -> None:
    assert slope([(at, 3.0 + 0.5 * at) for at in range(10)]) == pytest.approx(0.5)
    assert slope([(1.0, 2.0)]) == 0.0


def test_what_wobbles_is_flat() -> None:
    run = steady()
    assert steep(run) == set()
    assert "TOO STEEP" not in table(judge(run))


@pytest.mark.parametrize(
    ("series", "growth"),
    [
        ("streams rss", 2 * 512 * ASKED / MIB),  # a kibibyte a command
        ("clickhouse rss", 0.05),
        ("dlms-worker descriptors", ASKED / 500),  # one for each five hundred commands
        ("meterlog-sink lag", 1.0),
        ("ticks bytes", 10_000),
        ("device-events bytes", 0.0),
        ("kafka restarts", 0.01),
    ],
)
def test_what_grows_is_named(series: str, growth: float) -> None:
    run = steady()
    for number, sample in enumerate(run):
        sample[series] += growth * number if growth else 40 * number**2  # each command keeps more than the one before
    assert steep(run) == {series}
    assert table(judge(run)).count("TOO STEEP") == 1


def test_a_climb_before_the_load_is_under_way_does_not_count() -> None:
    run = steady()
    for number, sample in enumerate(run):
        sample["streams rss"] += min(number, 100)
    assert steep(run) == set()


def test_a_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="7 samples are too few"):
        judge(steady()[:7])

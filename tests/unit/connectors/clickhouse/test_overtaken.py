"""Jumps in the offsets of a partition: which are gaps, by what the broker says of its log and of the group."""

from collections.abc import Iterable, Mapping

import pytest

from connectors.clickhouse.batch import Partition
from connectors.clickhouse.overtaken import Gap, Overtaken, Unanswered

HERE: Partition = ("reads", 3)


class Broker:
    """`begins`: where the log begins; `committed`: the group's position."""

    def __init__(self, begins: int, committed: int = -1001) -> None:
        self.begins, self.committed = begins, committed
        self.asked = 0
        self.away = False

    def tells(self, number: int, places: Iterable[Partition]) -> Mapping[Partition, int]:
        self.asked += 1
        if self.away:
            raise Unanswered
        return dict.fromkeys(places, number)

    def follow(self, *offsets: int) -> Overtaken:
        found = Overtaken(lambda places: self.tells(self.begins, places), lambda at: self.tells(self.committed, at))
        for offset in offsets:
            found.arrived(HERE, offset)
        return found


@pytest.mark.parametrize(
    ("begins", "committed", "offsets", "gaps"),
    [
        (0, 5, (5, 6, 7), []),
        (0, 5, (6, 8, 11), []),  # markers, aborted records
        (9, 5, (9, 10), [(5, 8)]),
        (9, 5, (12, 13), [(5, 8)]),  # behind the beginning lie markers
        (9, 5, (5, 6, 9), [(7, 8)]),  # deleted while the rest was on its way
        (7, 5, (5, 6, 9), []),
        (9, -1001, (9, 10), []),  # nobody was there before
        (9, 30, (9, 10), []),  # the group is further: it comes again
    ],
)
def test_only_what_lies_before_the_beginning_of_the_log_is_a_gap(
    begins: int, committed: int, offsets: tuple[int, ...], gaps: list[tuple[int, int]]
) -> None:
    assert Broker(begins, committed).follow(*offsets).gaps() == [Gap(*HERE, *gap) for gap in gaps]


def test_a_gap_is_told_once_and_without_a_jump_nobody_is_asked() -> None:
    broker = Broker(9, 5)
    following = broker.follow(9)
    assert len(following.gaps()) == 1
    asked = broker.asked
    following.arrived(HERE, 10)
    assert following.gaps() == []
    assert broker.asked == asked


def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    broker = Broker(9, 5)
    following = broker.follow(9)
    broker.away = True
    with pytest.raises(Unanswered):
        following.gaps()
    broker.away = False
    assert following.gaps() == [Gap(*HERE, 5, 8)]


def test_after_another_assignment_the_position_of_the_group_tells() -> None:
    broker = Broker(0, 5)
    following = broker.follow(5, 6)
    following.forget()
    broker.begins, broker.committed = 20, 7
    following.arrived(HERE, 20)
    assert following.gaps() == [Gap(*HERE, 7, 19)]

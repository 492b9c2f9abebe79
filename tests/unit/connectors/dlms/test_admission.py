"""When the connections of a job may be opened: at the times of its permit, neither before nor long after."""

import pytest

from connectors.dlms.admission import Admission, Lapsed
from operations._errors import Unreachable
from schemas.records import Permit

PERMIT = Permit("cell", 1, (1_000, 3_000), within=100, until=60_000)


def test_without_a_permit_any_time_will_do() -> None:
    free = Admission(None)
    assert [free.wait(now) for now in (0, 10**12)] == [0, 0]


def test_each_connection_has_its_time() -> None:
    admission = Admission(PERMIT)
    assert [admission.wait(now) for now in (400, 999, 1_000)] == [600, 1, 0]
    assert [admission.wait(now) for now in (1_001, 3_100)] == [1_999, 0]


def test_a_first_time_that_has_passed_began_nothing() -> None:
    with pytest.raises(Lapsed):
        Admission(PERMIT).wait(1_101)


def test_a_further_time_that_has_passed_is_not_made_up_for() -> None:
    admission = Admission(PERMIT)
    assert admission.wait(1_100) == 0
    with pytest.raises(Unreachable) as refused:
        admission.wait(3_101)
    assert refused.value.name == "LAPSED"


def test_there_are_no_more_connections_than_times_however_often_one_is_asked_for() -> None:
    admission = Admission(PERMIT)
    assert [admission.wait(1_000), admission.wait(3_000)] == [0, 0]
    for _ in range(2):
        with pytest.raises(Unreachable) as refused:
            admission.wait(3_000)
        assert refused.value.name == "NO_MORE_CONNECTIONS"

"""Every operation on every profile: carried out, or refused as the reference says, before the meter is called.

`docs/operations.md` tells it, and is held here against what came of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from operations import catalogue
from operations.find_events import EventLogCategory
from tests.simulator.operations_page import ELSEWHERE, PAGE, page
from tests.simulator.seven import VERSIONS, Version, listening
from tests.simulator.tried import Outcome, not_tried, try_all
from tests.unit.operations.test_find_events import COUNTS

NOT_SUPPORTED: Final = 416
D2, D4, S43, S50, S51, S52, S55 = VERSIONS
REFUSED: Final[dict[tuple[str, str], set[Version]]] = {  # operation and kind: the profiles that lack what it takes
    ("GetThdFingerprint", ""): {D2, D4, S43, S50, S51},  # operations-reading 14.5
    ("GetGsmDiagnostic", "GPRS"): {D2, D4, S43},  # 14.4, meter-model 20
    ("GetGsmDiagnostic", "CDMA"): {D2, D4},
    ("GetGsmDiagnostic", "LTE"): {D2, D4, S43, S50, S51},
    ("GetPowerQualityProfile", "PUBLIC"): {D2},  # 14.3
    ("GetPowerQualityProfile", "PRIVATE"): {D2},
    **{  # 9.3
        ("FindEvents", log.value): {version for version in VERSIONS if not COUNTS[version][place]}
        for place, log in enumerate(EventLogCategory)
    },
}


@pytest.fixture(scope="module")
def outcomes() -> Sequence[Outcome]:
    with listening() as seven:
        return try_all(seven)


@pytest.mark.parametrize("version", VERSIONS, ids=" ".join)
def test_an_operation_is_carried_out_or_refused_before_the_meter_is_called(
    outcomes: Sequence[Outcome], version: Version
) -> None:
    for each in (each for each in outcomes if each.version == version):
        what = (each.case.operation, each.case.what)
        if version in REFUSED.get(what, ()):
            assert each.refused is not None and each.refused.code == NOT_SUPPORTED, what
            assert not each.called, what
        else:
            assert each.refused is None and each.told is not None, (what, each.refused)
            assert each.called == catalogue()[each.case.operation].connects, what


def test_what_is_refused_was_tried(outcomes: Sequence[Outcome]) -> None:
    assert REFUSED.keys() <= {(each.case.operation, each.case.what) for each in outcomes}


def test_a_bundle_has_a_result_for_each_of_its_actions(outcomes: Sequence[Outcome]) -> None:
    for each in (each for each in outcomes if each.case.operation == "Bundle"):
        assert [name.rsplit(".", 2)[1] for name, _ in each.told["entries"]] == [
            "read_alarm_register",
            "get_specific_attribute_value",
        ]


def test_every_operation_is_tried_here_or_where_the_page_says(outcomes: Sequence[Outcome]) -> None:
    assert not_tried(outcomes) == sorted(ELSEWHERE)
    for name, path in ELSEWHERE.items():
        assert f'"{name}"' in (Path(__file__).parents[2] / path).read_text(encoding="utf-8")


def test_the_page_tells_what_came_of_it(outcomes: Sequence[Outcome]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(outcomes), "docs/operations.md is stale: make operations"

"""What simulated meters record of the grid: whole buffers, in their types, and according to the household (meter-model
9.2, 9.3, 10.4)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.dlms.cosem import axdr, by_range
from connectors.dlms.cosem.cosem_time import CosemDateTime
from operations._profile import profiles

from .stand import NOW, Stand

BUFFERS = ("DEFINABLE_LOAD_PROFILE", "POWER_QUALITY_PROFILE_1", "POWER_QUALITY_PROFILE_2")
RECORDING = [version for version, each in profiles().items() if BUFFERS[0] in each]


@pytest.mark.parametrize("polyphase", [True, False])
@pytest.mark.parametrize(("protocol", "version"), RECORDING)
def test_every_column_of_a_full_buffer_has_the_type_of_what_it_captures(
    protocol: str, version: str, polyphase: bool
) -> None:
    stand = Stand(protocol, version, polyphase=polyphase)
    known = stand.meter.model.profile
    for tag in BUFFERS:
        if tag not in known:
            continue
        columns = stand.meter.model.objects[known[tag].obis].columns
        assert axdr.plain(stand.get(tag, 3)) == tuple(each.definition for each in columns)  # type: ignore[arg-type]
        answer: Any = stand.get(tag, 2)
        assert len(answer.value) == known[tag].entries
        for place, column in enumerate(columns):
            source = known[column.tag].attributes[column.attribute]
            kinds = {row.value[place].tag for row in answer.value}
            assert kinds == ({17} if column.data_index else {source.type}), column.tag
            assert polyphase or not known[column.tag].polyphase


def volts_and_watts(stand: Stand, *tags: str) -> dict[str, list[int]]:
    buffer = stand.meter.model.objects[stand.meter.model.profile["POWER_QUALITY_PROFILE_1"].obis]
    rows = stand.rows(buffer.tag)
    places = [each.tag for each in buffer.columns]
    return {tag: [row[places.index(tag)] for row in rows] for tag in tags}  # type: ignore[misc]


@pytest.mark.parametrize("polyphase", [True, False])
def test_the_powers_are_the_energy_of_the_household(polyphase: bool) -> None:
    """What the phases took in a quarter of an hour is what the register rose by."""
    stand = Stand("SMR", "5.2", polyphase=polyphase)
    phases = ("L1", "L2", "L3") if polyphase else ("L1",)
    tags = [f"AVERAGE_ACTIVE_POWER_IMPORT_{phase}" for phase in phases]
    found = volts_and_watts(stand, *tags)
    newest = int(stand.now // 900) * 900
    at = [newest - 900 * n for n in range(960)][::-1]
    total = stand.meter.household.series((0, 1), [at[0] - 900, *at])
    for row, (before, after) in enumerate(zip(total, total[1:], strict=False)):
        assert abs(sum(found[tag][row] for tag in tags) - 4 * (after - before)) <= 2


def test_voltages_lie_about_230_and_rows_of_one_moment_are_alike() -> None:
    stand = Stand("SMR", "5.2")
    start = NOW - timedelta(hours=5)
    whole: list[Any] = stand.rows(BUFFERS[2])
    part: list[Any] = stand.rows(BUFFERS[2], by_range(start, NOW))
    assert part == whole[-len(part) :]
    assert len(part) == 30
    volts = [row[1] for row in whole]
    assert all(2_200 < value < 2_400 for value in volts)
    assert len(set(volts)) > 50
    first = CosemDateTime.from_bytes(bytes(part[0][0])).instant()
    assert isinstance(first, datetime) and first >= start

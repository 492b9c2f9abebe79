"""GetOutages: operations-reading 14.1 and its worked case."""

from datetime import UTC, datetime
from typing import Any

import pytest

from operations import catalogue
from operations._errors import MeterRefused, MeterUnusable
from operations._steps import Attribute, ReadRows
from operations.get_outages import Outage
from schemas.records import CommandHeader, MeterOutage, MeterOutages
from tests.unit.operations.conversation import AMSTERDAM, DEVICE, VERSIONS, PlayedMeter, clock, meter_of, millis, play

NAME = "GetOutages"
LOG = Attribute(7, bytes((1, 0, 99, 97, 0, 255)), 2)
ENDS = (
    "2015-09-01T00:00:00+02:00",
    "2015-08-31T00:00:00+02:00",
    "2015-08-30T00:00:00+02:00",
    "2015-08-29T00:00:00+02:00",
)


def ended(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def worked() -> PlayedMeter:
    durations = (180, 360, 540, 720)
    return PlayedMeter(rows=[(clock(ended(at), AMSTERDAM), s) for at, s in zip(ENDS, durations, strict=True)])


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
def test_the_whole_log_is_read(protocol: str, version: str) -> None:
    meter = worked()
    result = play(NAME, {}, meter_of(protocol, version), meter.answer).result
    assert meter.steps == [ReadRows(LOG, None)]
    assert result.outages == tuple(Outage(ended(at), s) for at, s in zip(ENDS, (180, 360, 540, 720), strict=True))


def test_they_are_told_as_one_record_if_there_are_any() -> None:
    reads = catalogue()[NAME].reads
    assert reads is not None
    header = CommandHeader("id", DEVICE, 0)
    (record,) = reads(header, play(NAME, {}, meter_of("SMR", "5.2"), worked().answer).result, 99)
    assert isinstance(record, MeterOutages)
    assert (record.device_id, record.correlation_id, record.received_at, len(record.outages)) == (DEVICE, "id", 99, 4)
    assert record.outages[0] == MeterOutage(millis("2015-08-31T22:00:00"), 180)
    nothing = play(NAME, {}, meter_of("SMR", "5.2"), PlayedMeter().answer).result
    assert (nothing.outages, list(reads(header, nothing, 99))) == ((), [])


AT = clock(ended(ENDS[0]))
NOT_SPECIFIED = bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")


@pytest.mark.parametrize(
    "row",
    [(), (AT,), (AT, 1, 2), (None, 1), (NOT_SPECIFIED, 1), (b"odd", 1), (1, 1), (AT, None), (AT, b"1"), (AT, -1)],
)
def test_an_entry_nobody_can_use_fails_the_request(row: tuple[Any, ...]) -> None:
    with pytest.raises(MeterUnusable):
        play(NAME, {}, meter_of("SMR", "5.2"), PlayedMeter(rows=[row]).answer)


def test_a_log_that_is_refused() -> None:
    meter = PlayedMeter(refusals={LOG: (3, "read-write-denied")})
    with pytest.raises(MeterRefused):
        play(NAME, {}, meter_of("SMR", "5.2"), meter.answer)

"""SynchronizeTime: the worked cases of operations-reading 4.1."""

import pytest

from operations._data import Data, Tag
from operations._errors import MeterRefused, Rejected
from operations._steps import Attribute, Set
from schemas.records import TimeZoneSet
from tests.unit.operations.conversation import AMSTERDAM, VERSIONS, PlayedMeter, meter_of, play, utc

CLOCK = Attribute(8, bytes((0, 0, 1, 0, 0, 255)), 2)


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
def test_sets_the_clock_and_remembers_the_zone(protocol: str, version: str) -> None:
    played = PlayedMeter()
    answer = play("SynchronizeTime", {"time_zone": AMSTERDAM}, meter_of(protocol, version), played.answer)
    assert played.steps[-1] == Set(CLOCK, Data(Tag.OCTET_STRING, bytes.fromhex("07E80701FF0C00002AFF8880")))
    assert answer.facts == (TimeZoneSet(AMSTERDAM),)


@pytest.mark.parametrize(
    ("zone", "now", "sent"),
    [
        (AMSTERDAM, "2024-07-01T10:00:00", "07E80701FF0C000000FF8880"),
        (AMSTERDAM, "2024-01-01T10:00:00", "07E80101FF0B000000FFC400"),
        ("UTC", "2024-01-01T10:00:00.99", "07E80101FF0A000063000000"),
        ("America/New_York", "2024-01-01T10:00:00", "07E80101FF05000000012C00"),
    ],
)
def test_bytes(zone: str, now: str, sent: str) -> None:
    played = PlayedMeter(now=utc(now))
    play("SynchronizeTime", {"time_zone": zone}, meter_of("SMR", "5.5"), played.answer)
    assert played.attributes[CLOCK].value == bytes.fromhex(sent)


def test_a_refused_set_teaches_nothing() -> None:
    played = PlayedMeter(refusals={CLOCK: (3, "read-write-denied")})
    with pytest.raises(MeterRefused, match="read-write-denied"):
        play("SynchronizeTime", {"time_zone": AMSTERDAM}, meter_of("SMR", "5.0.0"), played.answer)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "UTC\0"])
def test_an_unknown_zone_is_rejected_by_field(zone: str) -> None:
    with pytest.raises(Rejected) as caught:
        play("SynchronizeTime", {"time_zone": zone}, meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    assert (caught.value.field, caught.value.code) == ("time_zone", 401)


def test_a_zone_beyond_twelve_hours_cannot_be_said() -> None:
    with pytest.raises(Rejected, match="minutes from UTC"):
        play("SynchronizeTime", {"time_zone": "Pacific/Kiritimati"}, meter_of("SMR", "5.0.0"), PlayedMeter().answer)

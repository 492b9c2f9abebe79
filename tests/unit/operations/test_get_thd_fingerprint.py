"""GetThdFingerprint: operations-reading 14.5 and its worked case."""

from typing import Any

import pytest

from operations import catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._steps import Attribute, GetList
from operations.get_thd_fingerprint import Phase
from schemas.records import CommandHeader, RegisterRead, RegisterReads
from tests.unit.operations.association import array
from tests.unit.operations.conversation import DEVICE, VERSIONS, PlayedMeter, meter_of, play, u32

NAME = "GetThdFingerprint"
WITH_THD = [each for each in VERSIONS if each[1] in ("5.2", "5.5")]
versions = pytest.mark.parametrize(("protocol", "version"), WITH_THD)


def u16(value: int) -> Data:
    return Data(Tag.LONG_UNSIGNED, value)


def addresses(phase: int) -> tuple[Attribute, Attribute, Attribute]:
    """Current, fingerprint and counter of phase 0, 1 or 2."""
    return (
        Attribute(3, bytes((1, 0, 31 + 20 * phase, 7, 124, 255)), 2),
        Attribute(1, bytes((0, 1, 94, 31, 24 + phase, 255)), 2),
        Attribute(3, bytes((1, 0, 31 + 20 * phase, 36, 124, 255)), 2),
    )


def fingerprint(phase: int) -> tuple[int, ...]:
    return tuple(range(100 * phase + 1, 100 * phase + 16))


def worked(phases: int = 3) -> PlayedMeter:
    attributes: dict[Attribute, Data] = {}
    for phase, (current, counter) in enumerate(((317, 3136), (517, 5136), (717, 7136))[:phases]):
        values = (u16(current), array(*map(u16, fingerprint(phase))), u16(counter))
        attributes |= dict(zip(addresses(phase), values, strict=True))
    return PlayedMeter(attributes)


@versions
def test_a_poly_phase_meter_has_three_phases(protocol: str, version: str) -> None:
    meter = worked()
    result = play(NAME, {}, meter_of(protocol, version, polyphase=True), meter.answer).result
    assert meter.steps == [GetList((*addresses(0), *addresses(1), *addresses(2)))]
    assert result.phases == (
        Phase("L1", 317, fingerprint(0), 3136),
        Phase("L2", 517, fingerprint(1), 5136),
        Phase("L3", 717, fingerprint(2), 7136),
    )


@versions
def test_a_single_phase_meter_has_one(protocol: str, version: str) -> None:
    meter = worked(1)
    result = play(NAME, {}, meter_of(protocol, version), meter.answer).result
    assert meter.steps == [GetList(addresses(0))]
    assert result.phases == (Phase("L1", 317, fingerprint(0), 3136),)


@pytest.mark.parametrize(("protocol", "version"), [each for each in VERSIONS if each not in WITH_THD])
def test_other_versions_have_none(protocol: str, version: str) -> None:
    text = f"No address found for THD_INSTANTANEOUS_CURRENT_L1 in protocol {protocol} {version}"
    with pytest.raises(Rejected, match=text) as caught:
        catalogue()[NAME].check(meter_of(protocol, version).profile)
    assert caught.value.code == 416


def test_all_numbers_are_register_reads() -> None:
    reads = catalogue()[NAME].reads
    assert reads is not None
    result = play(NAME, {}, meter_of("SMR", "5.2", polyphase=True), worked().answer).result
    (record,) = reads(CommandHeader("id", DEVICE, 0), result, 99)
    assert isinstance(record, RegisterReads)
    assert (record.captured_at, record.received_at, len(record.registers)) == (99, 99, 3 * 17)
    assert record.registers[:3] == (
        RegisterRead("thd_instantaneous_current_l1", "%", 317_000_000),
        RegisterRead("thd_over_limit_counter_l1", "", 3_136_000_000),
        RegisterRead("thd_fingerprint_l1_01", "", 1_000_000),
    )
    assert record.registers[-1] == RegisterRead("thd_fingerprint_l3_15", "", 215_000_000)
    assert len({each.quantity for each in record.registers}) == 3 * 17


@pytest.mark.parametrize(
    ("place", "odd"), [(0, u32(317)), (2, u32(1)), (1, u32(1)), (1, array(*[u16(1)] * 14)), (1, array(*[u32(1)] * 15))]
)
def test_another_type_or_number_is_unusable(place: int, odd: Any) -> None:
    meter = worked()
    meter.attributes[addresses(0)[place]] = odd
    with pytest.raises(MeterUnusable, match="THD_.*_L1"):
        play(NAME, {}, meter_of("SMR", "5.2"), meter.answer)


def test_a_refusal_fails_the_request_and_so_does_another_number_of_answers() -> None:
    meter = worked(2)
    with pytest.raises(MeterRefused, match="THD_INSTANTANEOUS_CURRENT_L3: object-undefined"):
        play(NAME, {}, meter_of("SMR", "5.2", polyphase=True), meter.answer)
    with pytest.raises(MeterUnusable, match="3 attributes were asked for, 2 came"):
        play(NAME, {}, meter_of("SMR", "5.2"), lambda step: meter.answer(step)[:-1])

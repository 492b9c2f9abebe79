"""Read the total harmonic distortion of the current of each phase: now, its fingerprint, and how often it was over.

Reference operations-reading 14.5, meter-model 9.4. A single-phase meter has L1 only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from operations import Meter, operation
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable
from operations._profile import PHASES
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, GetList, Refusal, Steps
from operations._values import MILLIONTHS
from schemas.records import CommandHeader, RegisterRead, RegisterReads

CURRENT, FINGERPRINT, COUNTER = "THD_INSTANTANEOUS_CURRENT", "THD_FINGERPRINT", "THD_OVER_LIMIT_COUNTER"
HARMONICS: Final = 15
_FIRST: Final = PHASES[0]


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: the phases are those the device is registered with."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Total harmonic distortion of the current of one phase."""

    phase: str  # L1, L2, L3
    instantaneous_current: int  # per cent
    fingerprint: tuple[int, ...]  # 15 numbers
    over_limit_counter: int


@dataclass(frozen=True, slots=True)
class Result:
    """L1, and L2 and L3 of a poly-phase meter."""

    phases: tuple[Phase, ...]


def reads(header: CommandHeader, result: Result, received_at: int) -> Iterator[RegisterReads]:
    """All numbers as one record. The meter is not asked for the time: they are dated when they came."""
    registers = []
    for each in result.phases:
        phase = each.phase.lower()
        registers.append(
            RegisterRead(f"thd_instantaneous_current_{phase}", "%", _millionths(each.instantaneous_current))
        )
        registers.append(RegisterRead(f"thd_over_limit_counter_{phase}", "", _millionths(each.over_limit_counter)))
        for place, value in enumerate(each.fingerprint, start=1):
            registers.append(RegisterRead(f"thd_fingerprint_{phase}_{place:02d}", "", _millionths(value)))
    yield RegisterReads(header.device_id, header.correlation_id, received_at, received_at, tuple(registers))


@operation(
    "GetThdFingerprint",
    needs=tuple(f"{tag}_{_FIRST}" for tag in (CURRENT, FINGERPRINT, COUNTER)),
    repeatable=True,
    seconds=60,
    frames=ASSOCIATION + 12,  # nine attributes one by one, or a list in blocks
    decide=electricity_meter,
    reads=reads,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """All or nothing. Raises MeterRefused when one is refused, MeterUnusable when one is of another type."""
    phases = PHASES if meter.polyphase else PHASES[:1]
    tags = [f"{tag}_{phase}" for phase in phases for tag in (CURRENT, FINGERPRINT, COUNTER)]
    answers: list[Data | Refusal] = yield GetList(tuple(meter.profile[tag].at(2) for tag in tags))
    if len(answers) != len(tags):
        raise MeterUnusable(f"{len(tags)} attributes were asked for, {len(answers)} came")
    values = [_value(tag, answer) for tag, answer in zip(tags, answers, strict=True)]
    return Answer(Result(tuple(Phase(phase, *values[3 * n : 3 * n + 3]) for n, phase in enumerate(phases))))


def _value(tag: str, answer: Data | Refusal) -> Any:
    if isinstance(answer, Refusal):
        raise MeterRefused(answer.result, answer.name, tag)
    if not tag.startswith(FINGERPRINT):
        return _long_unsigned(answer, tag)
    if answer.tag != Tag.ARRAY or len(answer.value) != HARMONICS:
        raise MeterUnusable(f"{tag}: an array of {HARMONICS} is wanted, type {answer.tag} came")
    return tuple(_long_unsigned(each, tag) for each in answer.value)


def _long_unsigned(data: Data, tag: str) -> int:
    if data.tag != Tag.LONG_UNSIGNED:
        raise MeterUnusable(f"{tag}: a long-unsigned is wanted, type {data.tag} came")
    value: int = data.value
    return value


def _millionths(value: int) -> int:
    return value * 10**MILLIONTHS

"""Whether what was sampled stayed flat: a straight line through each series, and how steep it may be.

A line by least squares through everything after the warm-up (the first quarter of the run), so that one high sample
neither hides a slope nor makes one. What is allowed, and why so much:

- memory of our roles: 512 bytes for each command. Whatever keeps one object a command keeps more.
- memory of Kafka and ClickHouse: 5 % of the mean an hour; both fill caches and a heap whose bound is set.
- descriptors and threads: one for each thousand commands; a leak by session or batch is ten times as steep. ClickHouse
  opens three files of /proc for each thread of its pool when that first runs a query, which takes its pool hours: its
  descriptors are counted beyond those.
- lag: what 30 seconds of commands leave behind.
- topics with a retention shorter than the run, and the compacted table: 25 % of the mean an hour. They go up and down
  as segments are closed and deleted, so the line goes through the most that each twelfth of the run saw; and the broker
  looks for what to delete as often as a segment is closed, so there may be one of four more, or not, for half an hour.
- topics kept longer, and ClickHouse's rows, must grow: their bytes a command must not, by more than 10 % from the first
  half to the second.
- processor time: seconds a command must not grow by more than 25 %, as others use the machine too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from benchmarks.endurance.samples import GROUPS, Sample

WARM_UP: Final = 0.25
ROLES: Final = ("streams", "dlms-worker", "clickhouse-sink")
SERVERS: Final = ("kafka", "clickhouse")
FLAT_TOPICS: Final = (
    "commands", "job-results", "device-messages", "ticks", "devices", "jobs", "responses", "notifications",
    "reads.registers", "reads.profiles",
)  # fmt: skip
GROWING: Final = ("device-events bytes", "clickhouse bytes")
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """One series after the warm-up. `slope` is per hour; `held` whether it is within `allowed`."""

    series: str
    unit: str
    least: float
    mean: float
    most: float
    slope: float
    allowed: float
    remark: str = ""

    @property
    def held(self) -> bool:
        return self.slope <= self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares, of (time, value)."""
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0


def judge(samples: Sequence[Sample]) -> list[Line]:
    """Raises ValueError when there is too little to say anything."""
    if len(samples) < 8:
        raise ValueError(f"{len(samples)} samples are too few for a slope")
    start = samples[0]["at"] + WARM_UP * (samples[-1]["at"] - samples[0]["at"])
    warm = [dict(sample) for sample in samples if sample["at"] >= start]
    hours = (warm[-1]["at"] - warm[0]["at"]) / 3_600
    commands = (warm[-1]["asked"] - warm[0]["asked"]) / hours
    lines = []
    for name in (*ROLES, "simulator"):
        lines.append(_line(warm, f"{name} rss", "MiB", lambda _: 512 * commands / MIB))
    for name in SERVERS:
        lines.append(_line(warm, f"{name} rss", "MiB", lambda mean: 0.05 * mean))
    for sample in warm:
        if "clickhouse descriptors" in sample:  # what could not be asked is left out of a sample
            beyond = sample["clickhouse descriptors"] - 3 * sample["clickhouse threads"]
            sample["clickhouse descriptors"] = max(0.0, beyond)
    for name in (*ROLES, "simulator", *SERVERS):
        for what in ("descriptors", "threads"):
            lines.append(_line(warm, f"{name} {what}", "", lambda _: commands / 1_000))
    for group in GROUPS:
        lines.append(_line(warm, f"{group} lag", "records", lambda _: commands / 120))
    for topic in FLAT_TOPICS:
        lines.append(_line(_crests(warm, f"{topic} bytes"), f"{topic} bytes", "MiB", lambda mean: 0.25 * mean, MIB))
    lines.append(_line(warm, "clickhouse parts", "", lambda mean: 0.1 * mean))
    lines += [_rate(warm, name, "bytes a command", 1.1) for name in GROWING]
    lines += [_rate(warm, f"{name} cpu", "ms a command", 1.25, 1_000) for name in (*ROLES, *SERVERS)]
    for name in (*ROLES, *SERVERS):
        lines.append(_never(samples, f"{name} restarts"))
    lines += [_never(samples, f"{name} unready") for name in ROLES]
    return lines


def _crests(samples: Sequence[Sample], series: str) -> list[Sample]:
    """The sample with the most of each ninth of them: a twelfth of the run, as a quarter of it is left out."""
    told = [sample for sample in samples if series in sample]
    bounds = [round(part * len(told) / 9) for part in range(10)]
    parts = [told[start:end] for start, end in pairwise(bounds) if end > start]
    return [max(part, key=lambda sample: sample[series]) for part in parts]


def _line(
    samples: Sequence[Sample], series: str, unit: str, allowed: Callable[[float], float], scale: float = 1
) -> Line:
    points = [(sample["at"] / 3_600, sample[series] / scale) for sample in samples if series in sample]
    values = [value for _, value in points]
    mean = sum(values) / len(values)
    return Line(series, unit, min(values), mean, max(values), slope(points), allowed(mean))


def _rate(samples: Sequence[Sample], series: str, unit: str, factor: float, scale: float = 1) -> Line:
    """What one command adds, in the first half and in the second: `slope` is how often the first goes into the
    second."""
    told = [sample for sample in samples if series in sample]
    half = len(told) // 2

    def rate(part: Sequence[Sample]) -> float:
        return scale * (part[-1][series] - part[0][series]) / max(1.0, part[-1]["asked"] - part[0]["asked"])

    first, second = rate(told[: half + 1]), rate(told[half:])
    return Line(
        series, unit, min(first, second), rate(told), max(first, second), second / first if first else 1.0, factor,
        "second half to first",
    )  # fmt: skip


def _never(samples: Sequence[Sample], series: str) -> Line:
    values = [sample[series] for sample in samples if series in sample]
    return Line(series, "", min(values), sum(values) / len(values), max(values), max(values), 0.0, "the most")


def table(lines: Sequence[Line]) -> str:
    """For people, and for docs/promises.md."""
    rows = [
        "| Series | Least | Mean | Most | Slope an hour | Allowed | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        name = f"{line.series}, {line.unit}" if line.unit else line.series
        verdict = "" if line.held else "TOO STEEP"
        told = f"{line.slope:+.3g}" if not line.remark else f"{line.slope:.3g} ({line.remark})"
        rows.append(
            f"| {name} | {line.least:,.4g} | {line.mean:,.4g} | {line.most:,.4g} | {told} | {line.allowed:.3g} | "
            f"{verdict} |"
        )
    return "\n".join(rows)

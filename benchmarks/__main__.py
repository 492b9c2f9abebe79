"""Every benchmark, one after the other, and their figures in one table: `make bench`.

    python -m benchmarks [--quick] [--only NAME ...] [--write docs/benchmarks.md]

Each is a process of its own with a limit of time, starts what servers it needs and stops them. What it prints goes
through. The exit status is 1 when one failed, or a figure is not as good as asked; `--write` puts date, machine and
table between the marks of a document.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from benchmarks.figures import VARIABLE, Figure, read

ROOT: Final = Path(__file__).parents[1]
BEGIN: Final = "<!-- begin of the figures; written by `python -m benchmarks --write` -->"
END: Final = "<!-- end of the figures -->"
STOP_SECONDS: Final = 60.0
PARTS: Final = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "fastavro",
    "clickhouse-driver",
    "gurux-dlms",
    "uvloop",
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One module; `seconds` is the most it may take, in full."""

    name: str
    options: tuple[str, ...]
    quick: tuple[str, ...]
    seconds: float


BENCHMARKS: Final = (
    Benchmark("sessions", ("--rounds", "3", "--seconds", "3"), ("--rounds", "1", "--seconds", "2"), 240),
    Benchmark("sink", ("--records", "20000", "--rounds", "5"), ("--records", "10000", "--rounds", "2"), 300),
    Benchmark("streams", ("--commands", "20000", "--rounds", "3"), ("--commands", "10000", "--rounds", "1"), 420),
    Benchmark(
        "order",
        ("--commands", "20000", "--due", "100000", "--seconds", "20"),
        ("--commands", "10000", "--due", "20000", "--seconds", "10"),
        480,
    ),
    Benchmark("dead", ("--meters", "300", "--rounds", "3"), ("--meters", "150", "--rounds", "1"), 420),
    Benchmark(
        "poison",
        ("--commands", "20000", "--records", "10000", "--rounds", "3"),
        ("--commands", "10000", "--records", "5000", "--rounds", "1"),
        480,
    ),
    Benchmark("overhead", ("--commands", "200"), ("--commands", "60"), 300),
    Benchmark("simulator", ("--meters", "1000"), ("--meters", "1000"), 300),
    Benchmark("queries", (), ("--meters", "1000", "--rounds", "3"), 300),
    Benchmark("recovery", (), ("--devices", "10000", "100000"), 420),
    Benchmark("night_reads", ("--meters", "10000"), ("--meters", "300"), 1_800),
    Benchmark("rebalance", (), ("--devices", "10000"), 600),
)


def run(benchmark: Benchmark, quick: bool, gathered: Path) -> str:
    """Run one; why it failed, or nothing. A process that takes too long is asked to end, as Ctrl-C would."""
    options = benchmark.quick if quick else benchmark.options
    print(f"\n== {benchmark.name} {' '.join(options)}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}", *options]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, VARIABLE: str(gathered)}, start_new_session=True)
    try:
        code: int | None = process.wait(benchmark.seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        end(process)
    print(f"   ({time.monotonic() - began:.0f} s)", flush=True)
    if code is None:
        return f"{benchmark.name} took longer than {benchmark.seconds:.0f} s"
    return f"{benchmark.name} ended with exit code {code}" if code else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Have it stop its servers and end, if it has not."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def number(value: float | None) -> str:
    """Three digits that count, and no more than needed."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """The table: figure, ours, peer, ratio, asked, remark."""
    found: list[tuple[str, ...]] = []
    for figure in figures:
        asked = ""
        if figure.asked is not None:
            unit = f" {figure.unit}" if figure.ratio is None else "x"
            verdict = "reached" if figure.reached else "MISSED"
            asked = f"{'<=' if figure.at_most else '>='} {number(figure.asked)}{unit}: {verdict}"
        ours = f"{number(figure.ours)} {figure.unit}"
        peer = f"{number(figure.peer)} ({figure.peer_name})" if figure.peer else ""
        ratio = f"{number(figure.ratio)}x" if figure.ratio else ""
        found.append((figure.name, ours, peer, ratio, asked, figure.remark))
    return found


HEAD: Final = ("figure", "ours", "peer", "ratio", "asked", "remark")


def for_terminal(table: Sequence[tuple[str, ...]]) -> str:
    lines = [HEAD, *table]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines)


def for_document(table: Sequence[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (HEAD, ("---",) * len(HEAD), *table))


def machine(loads: Sequence[float], quick: bool) -> str:
    """What it was measured on, and with."""
    memory = psutil.virtual_memory().total / 2**30
    parts = ", ".join(f"{name} {version(name)}" for name in PARTS)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC{' with --quick' if quick else ''} on {psutil.cpu_count()} "
        f"cores ({platform.machine()}), {memory:.0f} GiB, load {loads[0]:.1f} before the first, {max(loads):.1f} "
        "at most after one; "
        f"{platform.python_implementation()} {platform.python_version()}, {parts}."
    )


def write(path: Path, text: str) -> None:
    """Put the text between the marks. Raises SystemExit when they are not there."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, ending, after = rest.partition(END)
    if not begin or not ending:
        raise SystemExit(f"{path}: the marks of the figures are not in it")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: less than five minutes")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in BENCHMARKS], metavar="NAME")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    options = parser.parse_args()
    loads, problems = [psutil.getloadavg()[0]], []
    with TemporaryDirectory(prefix="meterlog-bench-") as folder:
        gathered = Path(folder) / "figures.jsonl"
        for benchmark in BENCHMARKS:
            if not options.only or benchmark.name in options.only:
                problems.append(run(benchmark, options.quick, gathered))
                loads.append(psutil.getloadavg()[0])
        figures = list(read(gathered))
    table, about = rows(figures), machine(loads, options.quick)
    print(f"\n{about}\n\n{for_terminal(table)}")
    if options.write:
        write(options.write, f"{about}\n\n{for_document(table)}")
    problems += [f"{figure.name}: not as good as asked" for figure in figures if figure.reached is False]
    for problem in filter(None, problems):
        print(problem, file=sys.stderr)
    sys.exit(1 if any(problems) else 0)


if __name__ == "__main__":
    main()

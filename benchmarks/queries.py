"""How long an analyst waits: a year of one meter, a day of the fleet, out of twenty million rows and more.

    python -m benchmarks.queries [--meters 7000] [--rounds 9]

A real ClickHouse with the shipped tables and views. 30 days of quarter-hours of so many meters, and a year of one more;
a twentieth of the days was read again, so the rows of those lie twice in parts that no merge has joined. Made by the
server: readings that rise by a household's load, in Wh. Wall seconds of whole answers: as CSV over HTTP, which is how
notebooks and Grafana ask, and beside it as the Python objects of the driver.
"""

import argparse
import statistics
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clickhouse_driver import Client

from benchmarks.figures import Figure, tell
from benchmarks.stand import conditions
from infra.embedded.clickhouse import ClickHouse
from infra.embedded.ports import LOOPBACK
from infra.migrate import migrate

DAYS: Final = 30
YEAR: Final = 365
ZONE: Final = "Europe/Amsterdam"
FIRST: Final = "2026-09-30 22:00:00"  # midnight there, in UTC
ROWS: Final = """
    INSERT INTO energy_reads
        (device_id, period, captured_at, import_total, export_total, status, received_at, correlation_id)
    SELECT device, 'INTERVAL', toDateTime64('{first}', 3, 'UTC') + INTERVAL 15 * n MINUTE,
        toDecimal64((n * 90 + sipHash64(device, n) % 80) / 1000, 6), toDecimal64(n * 10 / 1000, 6),
        0, toDateTime64('{read}', 3, 'UTC') + INTERVAL intDiv(n, 96) DAY,
        reinterpret(sipHash128(device, intDiv(n, 96)), 'UUID')
    FROM (SELECT {device} AS device, {quarter} AS n FROM numbers({rows}))"""
QUESTIONS: Final = {
    "a year of quarter-hours of one meter": (
        "SELECT captured_at, imported_kwh, exported_kwh, quality FROM interval_consumption WHERE device_id = 'YEAR'",
        YEAR * 96,
        0.15,
    ),
    "a day of the fleet, its load curve": (
        f"SELECT * FROM load_curve(day = '2026-10-15', zone = '{ZONE}')",
        96,
        0.6,
    ),
    "who was incomplete in a week": (
        f"SELECT device_id FROM completeness(zone = '{ZONE}', from_day = '2026-10-05', to_day = '2026-10-11') "
        "WHERE missing > 0",
        None,
        None,
    ),
}


def fill(client: Client, meters: int) -> int:
    """The rows, and how many there are when each is counted once."""
    settings = {"max_partitions_per_insert_block": 100, "max_insert_threads": 2}
    of_fleet = "concat('EM', leftPad(toString(intDiv(number, 96 * {days})), 8, '0'))"
    whole = ROWS.format(
        first=FIRST,
        read="2026-10-01 01:00:00",
        device=of_fleet.format(days=DAYS),
        quarter=f"number % (96 * {DAYS})",
        rows=meters * DAYS * 96,
    )
    client.execute(whole, settings=settings)
    year = ROWS.format(
        first="2025-10-31 23:00:00", read="2025-11-01 01:00:00", device="'YEAR'", quarter="number", rows=YEAR * 96
    )
    client.execute(year, settings=settings)
    client.execute("OPTIMIZE TABLE energy_reads FINAL")
    client.execute("SYSTEM STOP MERGES energy_reads")
    for part in range(10):  # a twentieth again: each a day and a half of every tenth meter
        again = ROWS.format(
            first=FIRST,
            read="2026-11-02 01:00:00",
            device=f"concat('EM', leftPad(toString(10 * intDiv(number, 144) + {part}), 8, '0'))",
            quarter=f"number % 144 + {part} * 144",
            rows=meters // 10 * 144,
        )
        client.execute(again, settings=settings)
    ((rows,),) = client.execute("SELECT count() FROM energy_reads FINAL")
    return int(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=7_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="meterlog-bench-") as folder:
        engine = ClickHouse(Path(folder) / "clickhouse", Path(folder) / "logs")
        try:
            engine.start()
            engine.wait_ready()
            migrate(LOOPBACK, engine.port)
            client = Client(LOOPBACK, port=engine.port)
            began = time.monotonic()
            rows = fill(client, options.meters)
            size, parts = client.execute(
                "SELECT sum(data_compressed_bytes), count() FROM system.parts WHERE table = 'energy_reads' AND active"
            )[0]
            print(f"{rows:,} rows in {parts} parts, {size / 2**20:,.0f} MiB, made in {time.monotonic() - began:.0f} s")
            measure(engine, client, options.rounds, rows)
        finally:
            engine.stop()


def over_http(url: str, query: str) -> int:
    """Rows of the whole answer as CSV."""
    with urllib.request.urlopen(f"{url}/?default_format=CSV", data=query.encode()) as answer:
        return int(answer.read().count(b"\n"))


def measure(engine: ClickHouse, client: Client, rounds: int, rows: int) -> None:
    for name, (query, expected, asked) in QUESTIONS.items():
        ways: dict[str, Callable[[str], int]] = {
            "CSV over HTTP": lambda query: over_http(engine.http, query),
            "Python objects": lambda query: len(client.execute(query)),
        }
        told = {}
        for way, ask in ways.items():
            seconds = []
            for number in range(rounds + 1):
                began = time.perf_counter()
                found = ask(query)
                if number:  # the first one warms up
                    seconds.append(time.perf_counter() - began)
                if expected is not None and found != expected:
                    raise SystemExit(f"{name}: {found} rows, {expected} expected")
            told[way] = seconds
            spread = f"({1000 * min(seconds):.0f}-{1000 * max(seconds):.0f})"
            print(f"{name:42} {way:14} {1000 * statistics.median(seconds):6.0f} ms {spread}; {conditions()}")
        csv, objects = (statistics.median(told[way]) for way in ways)
        seconds = told["CSV over HTTP"]
        remark = f"{min(seconds):.3f} to {max(seconds):.3f} in {rounds} rounds; as objects {objects:.3f}; {rows:,} rows"
        tell(Figure(name=name, unit="s", ours=csv, asked=asked, at_most=True, remark=remark))


if __name__ == "__main__":
    main()

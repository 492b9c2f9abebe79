"""Memory of the simulator: one process of so many meters, new, and after every one of them was read.

    python -m benchmarks.simulator [--meters 1000]

Real parts: broker, streams role, DLMS worker and the simulator role. Every meter is registered, then opened (HLS5,
ciphered) and asked for yesterday's load profile and its registers. Resident memory of the simulator's process, its
interpreter and the ledger file's writer included.
"""

import argparse
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psutil

from benchmarks.figures import Figure, tell
from benchmarks.overhead import System, system
from benchmarks.stand import conditions, peak_memory
from connectors.faces.upstream import Upstream
from schemas.records import Status

ASKED_METERS: Final = 1_000
ASKED_MIB: Final = 200.0
PATIENCE: Final = 60.0


def read_all(running: System) -> int:
    """Have every meter read; how many could be."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    span: dict[str, Any] = {"period_type": "INTERVAL", "begin_date": midnight - timedelta(days=1), "end_date": midnight}
    good, asked = 0, set()
    with Upstream(running.bootstrap, requester="bench") as upstream:
        for device in running.devices:
            asked.add(upstream.send("GetPeriodicMeterReads", device, span))
            asked.add(upstream.send("GetActualMeterReads", device, {}))
        upstream.flush()
        for response in upstream.responses(PATIENCE):
            if response.header.correlation_id in asked:
                asked.discard(response.header.correlation_id)
                good += response.header.status is Status.SUCCESSFUL
            if not asked:
                break
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=ASKED_METERS)
    options = parser.parse_args()
    with system(options.meters) as running:
        pid = running.simulator.pid
        idle = psutil.Process(pid).memory_info().rss / 2**20
        began = time.monotonic()
        good = read_all(running)
        seconds, peak = time.monotonic() - began, peak_memory(pid)
        after = psutil.Process(pid).memory_info().rss / 2**20
    wanted = 2 * options.meters
    print(
        f"{options.meters:,} meters: {idle:,.0f} MiB new, {after:,.0f} after each was read twice, {peak:,.0f} at most"
    )
    print(f"{good:,} of {wanted:,} commands answered well in {seconds:.0f} s, one DLMS worker; {conditions()}")
    if good < wanted:
        raise SystemExit(f"{wanted - good} commands did not succeed")
    tell(
        Figure(
            name=f"memory of {options.meters:,} simulated meters, all read",
            unit="MiB",
            ours=peak,
            asked=ASKED_MIB if options.meters >= ASKED_METERS else None,
            at_most=True,
            remark=f"{idle:,.0f} before, {after:,.0f} after; {wanted / seconds:,.0f} commands/s end to end",
        )
    )


if __name__ == "__main__":
    main()

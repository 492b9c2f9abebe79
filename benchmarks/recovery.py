"""How long the streams role takes from its start until it is ready, with a table of so many devices.

    python -m benchmarks.recovery [--devices 10000 100000 1000000]

Every device is at its real size: registered, three sealed keys, a memory full of 64 settled commands (some 2.6 kB).
The table is written straight into its topic, encoded as the role would, in transactions, so that the log holds markers
too. Measured is one role that owns all partitions, from the start of its process (interpreter, imports, catalogue,
joining the group) to its first `200` on `/readyz`; loading alone is told beside it. Not included: superseded records
that compaction has not yet removed, and the session of a former owner that was killed (10 s at most).
"""

import argparse
import time
from dataclasses import dataclass

import psutil

from benchmarks.figures import Figure, tell
from benchmarks.stand import Streams, broker, conditions, cpu_seconds, fill, peak_memory
from streams.device.state import SETTLED_KEPT

ASKED_DEVICES = 1_000_000
ASKED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """Of one start. `loading` is the mean of its partitions, which load side by side; memory in MiB."""

    devices: int
    size: int  # of all values
    filling: float
    seconds: float
    cpu: float
    loading: float
    memory: float
    peak: float


def measure(devices: int) -> Recovered:
    """Fill a new broker's table, start the role once, stop it."""
    with broker() as (bootstrap, folder):
        began = time.monotonic()
        size = fill(bootstrap, devices, SETTLED_KEPT)
        filling = time.monotonic() - began
        streams = Streams(bootstrap, folder)
        began = time.monotonic()
        try:
            streams.start()
            seconds = time.monotonic() - began
            process = psutil.Process(streams.process.pid)
            used = cpu_seconds(process)
            metrics = streams.metrics()
            loaded = round(metrics["meterlog_shell_loaded_values_total"])
            if loaded != devices:
                raise SystemExit(f"{loaded} of {devices} devices were recovered")
            return Recovered(
                devices=devices,
                size=size,
                filling=filling,
                seconds=seconds,
                cpu=used,
                loading=metrics["meterlog_shell_load_seconds_sum"] / metrics["meterlog_shell_load_seconds_count"],
                memory=process.memory_info().rss / 2**20,
                peak=peak_memory(streams.process.pid),
            )
        finally:
            streams.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    print(f"{conditions()}; one role, four partitions, {SETTLED_KEPT} remembered outcomes a device")
    print(f"{'devices':>10}{'bytes each':>12}{'written':>10}{'ready after':>13}{'loading':>10}{'CPU':>9}{'memory':>12}")
    for devices in options.devices:
        found = measure(devices)
        print(
            f"{devices:>10,}{found.size / devices:>12,.0f}{found.filling:>8.1f} s{found.seconds:>11.1f} s"
            f"{found.loading:>8.1f} s{found.cpu:>7.1f} s{found.memory:>8,.0f} MiB (at most {found.peak:,.0f})",
            flush=True,
        )
        tell(
            Figure(
                name=f"recovery of {devices:,} devices",
                unit="s",
                ours=found.seconds,
                asked=ASKED_SECONDS if devices >= ASKED_DEVICES else None,
                at_most=True,
                remark=f"loading {found.loading:.1f} s, {found.memory:,.0f} MiB",
            )
        )


if __name__ == "__main__":
    main()

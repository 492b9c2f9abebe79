"""A sink in a process of its own, to be killed: `python sink_child.py WORLD-AS-JSON [die-before-commit]`."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from connectors.clickhouse.batch import Partition
from tests.e2e.sink_world import World


def main() -> None:
    sink = World(**json.loads(sys.argv[1])).sink(records=int(sys.argv[2]))

    def die(ends: Mapping[Partition, int], records: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if "die-before-commit" in sys.argv:
        sink.feed.commit = die  # type: ignore[method-assign]
    signal.signal(signal.SIGTERM, lambda *_: sink.stop.set())
    print("started", flush=True)
    sink.run()
    sink.feed.close()


if __name__ == "__main__":
    main()

"""A process that supervises a stack with one toy role until it is asked to stop: `toy_stack.py DATA_FOLDER`."""

import sys
from pathlib import Path

from infra.embedded.roles import Role
from infra.embedded.supervisor import Stack, stop_on_signals

if __name__ == "__main__":
    toy = Role("toy", (sys.executable, str(Path(__file__).with_name("toy_role.py")), "stubborn"), grace=1.0)
    try:
        with stop_on_signals(), Stack(Path(sys.argv[1]), roles=[toy], tasks=[]) as stack:
            print("up", flush=True)
            stack.wait()
    except KeyboardInterrupt:
        print("stopped", flush=True)

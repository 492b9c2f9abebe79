"""The data folder of a stack: held by one supervisor at a time, writable, with room left; and the state kept in it.

`lock` is held with flock by the living supervisor and contains its process id, so a crash leaves nothing to clean up;
`stack.json` says where everything listens, for `meterlog status` and `meterlog down` from another shell.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from infra.embedded.errors import DataFolderInUse, DataFolderUnusable

MIN_FREE_BYTES = 512 * 2**20
STATE = "stack.json"
LOCK = "lock"


def take(data: Path) -> IO[str]:
    """Create the folder, check it and hold its lock until the returned file is closed.

    Raises DataFolderInUse, DataFolderUnusable.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = (data / LOCK).open("a+")
        (data / "keys").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataFolderUnusable(
            f"the data folder {data} cannot be written to ({error.strerror}): choose another one, or change its owner"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = holder(data)
        handle.close()
        raise DataFolderInUse(
            f"the data folder {data} is in use by a stack with process id {owner}: "
            "end that one with `meterlog down`, or choose another folder"
        ) from error
    try:
        if room(data) < MIN_FREE_BYTES:
            raise DataFolderUnusable(
                f"the disk of {data} has only {room(data) // 2**20} MB left, at least {MIN_FREE_BYTES // 2**20} MB are "
                "needed: free some space, or choose a folder on another disk"
            )
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
    except OSError as error:
        handle.close()
        raise DataFolderUnusable(f"the data folder {data} cannot be written to ({error.strerror})") from error
    except DataFolderUnusable:
        handle.close()
        raise
    return handle


def room(data: Path) -> int:
    """Bytes left for this user on the folder's disk."""
    return shutil.disk_usage(data).free


def holder(data: Path) -> int | None:
    """Process id of the supervisor that holds the folder; None if nobody does."""
    try:
        with (data / LOCK).open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(handle.read() or 0)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def write_state(data: Path, state: dict[str, Any]) -> None:
    """Replace `stack.json` in one step: a reader never sees half of it."""
    fresh = data / f"{STATE}.new"
    fresh.write_text(json.dumps(state, indent=2) + "\n")
    fresh.replace(data / STATE)


def read_state(data: Path) -> dict[str, Any] | None:
    """What `stack.json` says, None if there is none."""
    try:
        state = json.loads((data / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return dict(state)

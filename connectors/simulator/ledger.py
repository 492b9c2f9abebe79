"""What each meter really saw and did, beyond the word of any head-end: tests join it with topics and ClickHouse.

One JSON object a line, appended at once, so that it survives the death of the fleet:

{"at": 1790000000.123456, "meter": "ML500000000000007", "did": "set", "what": "1/0-0:97.98.0.255/2", "value": "0"}

`did` is `connected`, `refused` (the meter serves another client), `counter` (an invocation counter was accepted:
`value`), `get`, `set`, `action`, `fault` (`what` names it). Of a fleet in radio cells `connected` and `refused` say the
cell (`what`), and `closed` follows each (`cells.py` counts them).
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """Append-only file of what meters did; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(
        self, meter: str, did: str, what: str = "", value: str = "", result: int = 0, at: float | None = None
    ) -> None:
        """One entry; `result` is the data access or action result the meter answered, `at` another time than now."""
        if self._file is None:
            return
        entry: dict[str, Any] = {"at": round(time.time() if at is None else at, 6), "meter": meter, "did": did}
        if what:
            entry["what"] = what
        if value:
            entry["value"] = value
        if result:
            entry["result"] = result
        os.write(self._file, (json.dumps(entry) + "\n").encode())  # one write: lines of two processes do not mix

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a ledger, oldest first; a last line cut off by a kill is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)

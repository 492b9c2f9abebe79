"""What radio cells had to carry, counted at the meters: sessions at once, and new connections in any one second."""

import socket
import struct
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_LAST_DATA_RECEIVED: Final = struct.Struct("52xI")  # tcpi_last_data_recv of Linux's struct tcp_info: ms ago


@dataclass(frozen=True, slots=True)
class Load:
    """Of one cell."""

    connections: int
    sessions: int  # at once, at most
    connects: int  # in any second, at most; refused ones count


def arrived(connection: socket.socket) -> float:
    """When the last bytes of a connection arrived, in seconds since 1970, by the kernel: a fleet that is late in
    reading them would otherwise count as one what came apart.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
    (ago,) = _LAST_DATA_RECEIVED.unpack(info)
    return time.time() - float(ago) / 1_000


def tally(entries: Iterable[Mapping[str, Any]]) -> dict[str, Load]:
    """The load of each cell by the entries of a ledger, as they were written."""
    opened: dict[str, list[float]] = defaultdict(list)
    sessions: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    for entry in entries:
        cell = entry.get("what", "")
        if not cell or entry["did"] not in ("connected", "refused", "closed"):
            continue
        if entry["did"] == "closed":
            sessions[cell] -= 1
        else:
            opened[cell].append(entry["at"])
            sessions[cell] += 1
            most[cell] = max(most[cell], sessions[cell])
    return {cell: Load(len(times), most[cell], _in_a_second(sorted(times))) for cell, times in sorted(opened.items())}


def _in_a_second(times: list[float]) -> int:
    return max(number - bisect_left(times, time - 1.0 + 1e-6) + 1 for number, time in enumerate(times))

"""What a ledger says of radio cells, counted by hand; and when the kernel says that bytes came."""

import socket
import time
from typing import Any

from connectors.simulator.cells import Load, arrived, tally
from connectors.simulator.fleet import FleetSettings, cell_of


def entry(at: float, did: str, cell: str = "1/1") -> dict[str, Any]:
    return {"at": at, "meter": "M", "did": did, "what": cell}


def test_sessions_at_once_and_connections_in_any_second() -> None:
    told = [
        *(entry(10.9, "connected"), entry(11.1, "connected"), entry(11.2, "connected", "1/2")),
        *(entry(11.3, "closed"), entry(11.89, "refused"), entry(11.895, "closed"), entry(11.9, "connected")),
        *(entry(12.0, "closed"), entry(12.1, "closed"), entry(14.0, "connected"), entry(14.5, "closed")),
        {"at": 11.2, "meter": "M", "did": "get", "what": "1/1"},
    ]
    assert tally(told) == {"1/1": Load(5, 2, 3), "1/2": Load(1, 1, 1)}
    assert tally([{"at": 1.0, "meter": "M", "did": "connected"}]) == {}


def test_the_kernel_knows_when_bytes_came_however_late_they_are_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        before = time.time()
        client.send(b"1")
        after = time.time()
        with server.accept()[0] as connection:
            time.sleep(0.3)
            assert before - 0.05 <= arrived(connection) <= after + 0.2


def test_meters_are_in_cells_by_turns() -> None:
    fleet = FleetSettings(meters=5, cells=2)
    assert [cell_of(fleet, number) for number in range(1, 6)] == ["1/1", "1/2", "1/1", "1/2", "1/1"]
    assert cell_of(FleetSettings(meters=5), 3) == ""

"""The probe server: what it answers, and that a check that breaks is an answer too."""

import json
import logging
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from roles.logs import start_logs
from roles.probes import Probes


@pytest.fixture
def probes() -> Iterator[Probes]:
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc(3)

    def broken() -> tuple[bool, str]:
        raise RuntimeError("no idea")

    with Probes(registry, live=lambda: (True, ""), ready=broken) as running:
        yield running


def ask(probes: Probes, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", probes.port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_live_ready_and_metrics(probes: Probes) -> None:
    assert ask(probes, "/livez") == (200, "ok\n")
    assert ask(probes, "/readyz?verbose") == (503, "RuntimeError: no idea\n")
    status, text = ask(probes, "/metrics")
    assert status == 200 and "things_total 3.0" in text
    assert ask(probes, "/etc/passwd")[0] == 404
    assert ask(probes, "/livez", "HEAD") == (200, "")


@pytest.fixture
def quiet_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_every_line_is_a_json_object(quiet_root: None, capsys: pytest.CaptureFixture[str]) -> None:
    start_logs("streams")
    logging.getLogger("faust").warning("lost %s", {"partition": 3})
    structlog.get_logger("ours").info("dispatched", device="x", raw=b"\x00")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("ours").exception("failed")
    logging.getLogger("ours").debug("not shown")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["lost {'partition': 3}", "dispatched", "failed"]
    assert all(line["role"] == "streams" and line["timestamp"].endswith("Z") for line in lines)
    assert (lines[1]["device"], lines[1]["logger"]) == ("x", "ours")
    assert "ValueError: bad" in lines[2]["exception"]

"""What a role shows of itself over HTTP: `/metrics` for Prometheus, `/livez` (not broken), `/readyz` (making progress).

A thread of its own and nothing of the role's event loop: a loop that hangs must not hide that it hangs.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], tuple[bool, str]]
"""(it is well, why not)."""

_TEXT: Final = "text/plain; charset=utf-8"
_SECONDS: Final = 5.0  # a client that sends nothing is let go


class Probes:
    """The HTTP server; use it as a context manager, or `start` and `stop`. `port` 0 takes a free one."""

    def __init__(
        self, registry: CollectorRegistry, *, live: Check, ready: Check, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._server = _Server((host, port), _handler(registry, live, ready))
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def _handler(registry: CollectorRegistry, live: Check, ready: Check) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif path in ("/livez", "/readyz"):
                well, why = _ask(live if path == "/livez" else ready)
                self._answer(200 if well else 503, (b"ok" if well else why.encode()) + b"\n", _TEXT)
            else:
                self._answer(404, b"/metrics, /livez or /readyz\n", _TEXT)

        do_HEAD = do_GET

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing: probes come every second."""

    return Handler


def _ask(check: Check) -> tuple[bool, str]:
    try:
        return check()
    except Exception as error:  # a check that fails is an answer
        return False, f"{type(error).__name__}: {error}"

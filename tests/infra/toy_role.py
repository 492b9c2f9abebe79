"""A role for the tests of the supervisor: serves /readyz where it is told to, and ends when asked.

`toy_role.py die` ends at once with code 3, `toy_role.py stubborn` ignores TERM. `toy_role.py stuck` says so while there
is a file `stuck` in its folder, `toy_role.py waiting` is not ready while there is a file `waiting`.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Ready(BaseHTTPRequestHandler):
    """Ready unless told otherwise."""

    def do_GET(self) -> None:
        stuck = "stuck" in sys.argv and Path("stuck").exists()
        waiting = "waiting" in sys.argv and Path("waiting").exists() and self.path == "/readyz"
        self.send_response(503 if stuck or waiting else 200)
        self.end_headers()
        self.wfile.write(b"stuck: the toy says so\n" if stuck else b"waiting for Godot\n" if waiting else b"ok\n")

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


if __name__ == "__main__":
    if "die" in sys.argv:
        print("this role dies of a broken setting")
        sys.exit(3)
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up against", os.environ["METERLOG_KAFKA"], flush=True)
    HTTPServer(("127.0.0.1", int(os.environ["METERLOG_METRICS_PORT"])), Ready).serve_forever()

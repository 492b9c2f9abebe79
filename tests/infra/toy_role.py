"""A role for the tests of the supervisor: serves /readyz where it is told to, and ends when asked.

`toy_role.py die` ends at once with code 3, `toy_role.py stubborn` ignores TERM.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ready(BaseHTTPRequestHandler):
    """Always ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

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

"""Ports on loopback: find a free one, or say clearly that a wanted one is taken."""

import contextlib
import random
import socket

from infra.embedded.errors import PortTaken

LOOPBACK = "127.0.0.1"
# Below the range that systems give to outgoing connections (32768 up on Linux, 49152 up elsewhere): a server that is
# restarted must find its port free although thousands of sessions were opened meanwhile.
_CANDIDATES = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on at the moment. Raises PortTaken if a hundred guesses were all in use."""
    for _ in range(100):
        port = random.SystemRandom().choice(_CANDIDATES)
        if is_free(port):
            return port
    raise PortTaken(f"no free port found between {_CANDIDATES.start} and {_CANDIDATES.stop} on {LOOPBACK}")


def claim(port: int, purpose: str) -> int:
    """`port` itself, or a free one for 0. Raises PortTaken, naming the purpose, if somebody listens there already."""
    if port == 0:
        return free_port()
    if not is_free(port):
        raise PortTaken(
            f"port {port} for {purpose} is taken on {LOOPBACK}: stop what listens there, "
            "configure another port, or 0 for any free one"
        )
    return port


def answers(port: int, timeout: float = 0.5) -> bool:
    """Whether something accepts connections on this port of loopback."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout):
            return True
    except OSError:
        return False

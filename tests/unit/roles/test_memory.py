"""What `keep_little` does to a process, seen from the C library and the system."""

import subprocess
import sys

_LOOK = """
import ctypes
from roles.memory import keep_little

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(1_000_000))  # glibc learns from it to take such blocks from its arenas
{calm}
before = libc.mallinfo2().hblkhd
held = [libc.malloc(100_000) for _ in range(100)]  # the first ones may fit into what is free
print(libc.mallinfo2().hblkhd - before >= 50 * 100_000)
"""


def _apart(program: str, calm: str) -> str:
    """What it prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program.format(calm=calm)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_large_blocks_are_pages_of_their_own_also_after_some_were_freed() -> None:
    assert _apart(_LOOK, "") == "False"
    assert _apart(_LOOK, "keep_little()") == "True"


_HOLES = """
import ctypes
from roles.memory import give_back

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4_096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallopt(-3, 1_000_000)
blocks = [libc.malloc(20_000) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(block, 1, 20_000)
for block in blocks[::2]:
    libc.free(block)  # and each lies between two that stay
before = held()
{calm}
print(before - held() >= 10_000_000)
"""


def test_pages_between_what_stays_are_given_back() -> None:
    assert _apart(_HOLES, "") == "False"
    assert _apart(_HOLES, "give_back()") == "True"

"""The process that is ClickHouse: the engine of the `chdb-core` wheel, serving its own TCP and HTTP protocols.

Run as `python clickhouse_listener.py DATA_FOLDER HTTP_PORT`, with HOME naming the folder that holds
`.clickhouse-local/config.xml`: that is where the engine looks, and why the variable is set for this process alone. Ends
on TERM, or when standard input closes because its parent is gone.

The `chdb` package itself is never imported (it would start an engine of its own, which refuses to listen); only its
extension module is loaded, and one query that never returns holds the listeners open.
"""

import ctypes
import importlib.util
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

HOLD = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "
    "SELECT sleepEachRow(1) FROM system.numbers SETTINGS max_block_size=1, max_threads=1 FORMAT Null"
)
RELEASE = "KILL QUERY WHERE query LIKE '%sleepEachRow(1) FROM system.numbers%' AND query_id != queryID() ASYNC"
RELEASE_SECONDS = 2.0
_RTLD_DEEPBIND = 8


def load_engine() -> ModuleType:
    """The extension module `_chdb`, without its package. Raises ImportError if the wheel is not installed."""
    found = PathFinder.find_spec("chdb")
    if found is None or not found.submodule_search_locations:
        raise ImportError("the package chdb-core is missing: install meterlog with its extra 'embedded'")
    folder = Path(found.submodule_search_locations[0])
    library = folder / "_chdb.abi3.so"
    os.chdir(folder)  # it finds its companion libraries there
    ctypes.CDLL(str(library), sys.getdlopenflags() | _RTLD_DEEPBIND)
    spec = importlib.util.spec_from_file_location("_chdb", library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(data: Path, http_port: int) -> int:
    """Listen until asked to stop; 0 if the engine ended because of that, 1 if it ended by itself."""
    asked = threading.Event()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: asked.set())
    engine = load_engine()

    def run() -> None:
        try:
            engine.query(HOLD, "TSV", path=str(data))
        except Exception as error:  # its own exception type lives in the package that is not imported
            print(error, file=sys.stderr, flush=True)
        ended.set()
        asked.set()

    def watch() -> None:
        while os.read(0, 512):
            pass
        asked.set()

    threading.Thread(target=run, daemon=True).start()
    threading.Thread(target=watch, daemon=True).start()
    while not asked.wait(1.0):
        pass  # the time-out lets the signal handlers run
    if ended.is_set():
        return 1
    request = urllib.request.Request(f"http://127.0.0.1:{http_port}/", data=RELEASE.encode())  # the default user
    try:
        urllib.request.urlopen(request, timeout=RELEASE_SECONDS).close()
        ended.wait(RELEASE_SECONDS)
    except OSError as error:
        print(f"stopping without farewell: {error}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    code = serve(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stderr.flush()
    os._exit(code)  # the engine's threads would keep the interpreter; what was acknowledged is on disk

"""The real ClickHouse engine in a child process, speaking its native and its HTTP protocol on loopback.

`clickhouse_listener.py` is that process; here are its configuration, its readiness and its end.
"""

import sys
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path

from infra.embedded import clickhouse_listener
from infra.embedded.child import Child
from infra.embedded.part import Part
from infra.embedded.ports import LOOPBACK, answers, claim

MEMORY_GIB = 4
STOP_SECONDS = 6.0  # the farewell takes two at most; nothing acknowledged is lost by the KILL that follows

CONFIG = """\
<clickhouse>
    <listen_host>{host}</listen_host>
    <tcp_port>{port}</tcp_port>
    <http_port>{http_port}</http_port>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <display_name>meterlog</display_name>
    <users_config>{users}</users_config>
    <logger>
        <level>information</level>
        <log>{log}</log>
        <size>16M</size>
        <count>2</count>
    </logger>
</clickhouse>
"""

# `default` has no password, so the listener must stay on loopback. `analyst` comes from the file that real servers are
# given as well.
USERS = """\
<clickhouse>
    <profiles>
        <default/>
    </profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>::1</ip><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <access_management>1</access_management>
        </default>
    </users>
</clickhouse>
"""


class ClickHouse(Part):
    """One engine on a data folder; port 0 means any free one. Used like `infra.embedded.kafka.Kafka`.

    Clients use `port` (native protocol) and `http_port`, the user `default` or, to read only, `analyst`; neither has a
    password.
    """

    name = "clickhouse"

    def __init__(self, folder: Path, logs: Path, *, port: int = 0, http_port: int = 0) -> None:
        self.folder = folder.resolve()
        self.log = logs.resolve() / "clickhouse.log"
        self.port = port
        self.http_port = http_port

    @property
    def address(self) -> str:
        """`host:port` of the native protocol; the port is known once started."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def http(self) -> str:
        """`http://host:port` of the HTTP protocol."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def start(self) -> None:
        """Start the engine; returns before it answers. Raises PortTaken, RoleFailed.

        The ports found at the first start are kept for later ones.
        """
        self.port = claim(self.port, "ClickHouse's native protocol")
        self.http_port = claim(self.http_port, "ClickHouse's HTTP protocol")
        self._configure()
        self._child = Child(
            "clickhouse",
            [sys.executable, clickhouse_listener.__file__, str(self.folder / "data"), str(self.http_port)],
            environment={"HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            log=self.log,
            folder=self.folder,
            grace=STOP_SECONDS,
        )
        self._child.start()

    def ready(self) -> bool:
        """Whether the engine answers a query, on both ports."""
        if not answers(self.port):
            return False
        try:
            with urllib.request.urlopen(f"{self.http}/?query=SELECT%201", timeout=2) as answer:
                return bool(answer.read() == b"1\n")
        except (OSError, urllib.error.URLError):
            return False

    def log_end(self) -> str:
        """What its log says last, for messages."""
        return f"{self._child.tail(8) if self._child else ''}\n(all of it in {self.log})".strip()

    def _configure(self) -> None:
        home = self.folder / ".clickhouse-local"
        home.mkdir(parents=True, exist_ok=True)
        users = home / "users.xml"
        users.write_text(USERS)
        (home / "users.d").mkdir(exist_ok=True)
        analyst = resources.files("infra") / "clickhouse" / "analyst.xml"
        (home / "users.d" / "analyst.xml").write_text(analyst.read_text())
        (home / "config.xml").write_text(
            CONFIG.format(
                host=LOOPBACK,
                port=self.port,
                http_port=self.http_port,
                memory=MEMORY_GIB * 2**30,
                users=users,
                log=self.log.with_name("clickhouse.server.log"),
            )
        )

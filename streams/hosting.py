"""What every role of the streams has around its shell: logs, probes, the count of partitions, a calm collector."""

import gc
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar
from weakref import WeakValueDictionary

import structlog
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from roles import steps
from roles.logs import start_logs
from roles.probes import Probes
from roles.settings import RoleSettings, SettingsWrong
from roles.stuck import Broker, Watch, all_of
from streams.keeper import Keeper, ShellSettings
from streams.status import ShellMetrics, ShellStatus

WAIT_SECONDS: Final = 2.0  # between two looks for a broker that is away at the start

_log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Keeper)


class Keepers(Collector, ABC, Generic[K]):
    """Makes the keepers of the partitions a worker comes to own, and shows what they count and hold.

    `counts`: a dataclass of numbers that all keepers add to, each of which `about` explains. `gauges`: by name what is
    summed over the keepers, and what it means.
    """

    def __init__(
        self, stem: str, counts: Any, about: Mapping[str, str], gauges: Mapping[str, tuple[Callable[[K], int], str]]
    ) -> None:
        self._stem, self._counts, self._about, self._gauges = stem, counts, about, gauges
        self._kept: WeakValueDictionary[int, K] = WeakValueDictionary()

    @abstractmethod
    def new(self, partition: int, values: Mapping[bytes, bytes], since: int) -> K:
        """The keeper of a partition; `since`: now, ms."""

    def make(self, partition: int, values: Mapping[bytes, bytes]) -> Keeper:
        keeper = self._kept[partition] = self.new(partition, values, time.time_ns() // 1_000_000)
        gc.freeze()  # what was loaded stays: a collection need not look at a million devices
        return keeper

    def collect(self) -> Iterator[Metric]:
        for name, about in self._about.items():
            yield CounterMetricFamily(f"{self._stem}_{name}", about, value=getattr(self._counts, name))
        kept = list(self._kept.values())
        for name, (held, about) in self._gauges.items():
            yield GaugeMetricFamily(f"{self._stem}_{name}", about, value=sum(held(keeper) for keeper in kept))


def partitions_of(settings: RoleSettings, table: str, broker: Broker, status: ShellStatus) -> int:
    """The partition count of the streams' topics, once the broker answers. Raises SettingsWrong when there are none."""
    while status.waiting_for_server(broker.away()):
        _log.warning("waiting", reason=status.waiting_for)
        time.sleep(WAIT_SECONDS)
    client = AdminClient({**dict(settings.kafka_config), "bootstrap.servers": settings.kafka})
    found = client.list_topics(timeout=30).topics.get(table)
    if found is None or not found.partitions:
        raise SettingsWrong(f"METERLOG_KAFKA: {settings.kafka} has no topic {table}; run: meterlog topics apply")
    return len(found.partitions)


def collect_seldom() -> None:
    """States, events and records hold no cycles, and there are many: by default the collector takes a quarter of the
    time and finds nothing. Faust's futures do make some, so it goes on, less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def host(
    name: str,
    role: RoleSettings,
    table: str,
    make_settings: Callable[[int], ShellSettings],
    make_keepers: Callable[[int], Keepers[Any]],
) -> NoReturn:
    """Run a role until it is told to stop or a fault ends it; what is made is told the number of partitions. Raises
    SettingsWrong before that.
    """
    from streams.shell import run_shell  # Faust is imported when it is needed: its import patches and takes a second

    steps.arm()
    start_logs(name, level=role.log_level, form=role.log_format)
    collect_seldom()
    registry = CollectorRegistry()
    status = ShellStatus(metrics=ShellMetrics(registry))
    broker = Broker(role.kafka, dict(role.kafka_config))
    watch = Watch(status.standstill, broker.away, seconds=role.stuck_seconds)
    watch.start()
    if role.metrics_port is not None:
        Probes(
            registry,
            live=all_of(status.alive, watch.check),
            ready=all_of(watch.check, status.ready),
            host=role.metrics_host,
            port=role.metrics_port,
        ).start()
    partitions = partitions_of(role, table, broker, status)
    keepers = make_keepers(partitions)
    registry.register(keepers)
    run_shell(make_settings(partitions), keepers.make, status)


def refuse(name: str, wrong: SettingsWrong) -> NoReturn:
    """End a process that was not set up as it should be."""
    print(f"{name}: {wrong}", file=sys.stderr)
    sys.exit(2)

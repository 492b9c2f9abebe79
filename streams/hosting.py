"""What every role of the streams has around its shell: logs, probes, the count of partitions, a calm collector."""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from roles import steps
from roles.guards import guards
from roles.logs import start_logs
from roles.memory import keep_little
from roles.settings import RoleSettings, SettingsWrong
from roles.stuck import Broker
from schemas.partition import partition_of
from streams.keeper import Keeper, ShellSettings
from streams.status import ShellMetrics, ShellStatus

WAIT_SECONDS: Final = 2.0  # between two looks for a broker that is away at the start

_log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Keeper)
Made = TypeVar("Made", bound=Keeper, covariant=True)
Limits = TypeVar("Limits", contravariant=True)
Counts = TypeVar("Counts", contravariant=True)


class Make(Protocol[Made, Limits, Counts]):
    """A class of keepers, as it is called; `since`: now, ms."""

    def __call__(
        self,
        partition: int,
        values: Mapping[bytes, bytes],
        partition_of: Callable[[bytes], int],
        limits: Limits,
        since: int,
        counts: Counts,
    ) -> Made: ...


class Keepers(Collector, Generic[K]):
    """Makes the keepers of the partitions a worker comes to own, and shows what they count and hold.

    `counts`: a dataclass of numbers that all keepers add to, each of which `about` explains. `gauges`: by name what is
    summed over the keepers, and what it means. `partitions`: how many there are in all.
    """

    def __init__(
        self,
        stem: str,
        make: Make[K, Any, Any],
        limits: Any,
        counts: Any,
        partitions: int,
        about: Mapping[str, str],
        gauges: Mapping[str, tuple[Callable[[K], int], str]],
    ) -> None:
        self._stem, self._counts, self._about, self._gauges = stem, counts, about, gauges
        self._new = partial(
            make, partition_of=partial(partition_of, partitions=partitions), limits=limits, counts=counts
        )
        self._kept: WeakValueDictionary[int, K] = WeakValueDictionary()

    def make(self, partition: int, values: Mapping[bytes, bytes]) -> Keeper:
        keeper = self._kept[partition] = self._new(partition, values, since=time.time_ns() // 1_000_000)
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
    keep_little()
    start_logs(name, level=role.log_level, form=role.log_format)
    collect_seldom()
    registry = CollectorRegistry()
    status = ShellStatus(metrics=ShellMetrics(registry))
    broker = Broker(role.kafka, dict(role.kafka_config))
    for guard in guards(
        role, registry, standstill=status.standstill, waits=broker.away, ready=status.ready, live=status.alive
    ):
        guard.start()
    partitions = partitions_of(role, table, broker, status)
    keepers = make_keepers(partitions)
    registry.register(keepers)
    run_shell(make_settings(partitions), keepers.make, status)


def refuse(name: str, wrong: SettingsWrong) -> NoReturn:
    """End a process that was not set up as it should be."""
    print(f"{name}: {wrong}", file=sys.stderr)
    sys.exit(2)

"""What stands beside every role: a watch over whether it gets on, and the probes that show what the watch finds."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from roles.probes import Check, Probes
from roles.settings import RoleSettings
from roles.stuck import Standstill, Watch, all_of


def guards(
    role: RoleSettings,
    registry: CollectorRegistry,
    *,
    standstill: Callable[[], Standstill | None],
    waits: Callable[[], str],
    ready: Check,
    live: Check | None = None,
) -> tuple[Watch, *tuple[Probes, ...]]:
    """Context managers, or to be started, in this order; probes only where the role was told a port for them.

    `standstill`, `waits`: as `Watch` has them. `ready`: whether the role makes progress. `live`: whether no fault is
    ending it; a role that is stuck is neither.
    """
    watch = Watch(standstill, waits, seconds=role.stuck_seconds)
    if role.metrics_port is None:
        return (watch,)
    probes = Probes(
        registry,
        live=watch.check if live is None else all_of(live, watch.check),
        ready=all_of(watch.check, ready),
        host=role.metrics_host,
        port=role.metrics_port,
    )
    return watch, probes

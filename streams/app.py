"""The streams role: settings in, the device keeper into the shell, probes beside it. Computes nothing.

METERLOG_STREAMS_SLOTS          jobs in flight a partition; 500
METERLOG_STREAMS_SILENT_SLOTS   of them at most for meters that did not answer lately; a quarter
METERLOG_STREAMS_ATTEMPTS       of one command; 3
METERLOG_STREAMS_RETRY_SECONDS  before the second attempt, doubled for the next; 30
METERLOG_STREAMS_OPERATION_SECONDS  an operation's time at most, whatever it declares; 86400
METERLOG_STREAMS_CONNECT_SECONDS  a job's time besides its operations; 60
METERLOG_STREAMS_GRACE_SECONDS  after a job's deadline, before it counts as lost; 30
METERLOG_STREAMS_COUNTER_LEAP   how far ahead of ours a meter's invocation counter is believed to be; 1000000
METERLOG_STREAMS_REFUSED_LIFECYCLES  states of life, with commas between, whose devices are sent nothing; none
METERLOG_STREAMS_DELEGATION_SECONDS  a gateway begins an M-Bus meter's command within it, or gives it back; 600
METERLOG_STREAMS_APPLICATION    consumer group, and stem of the transactional ids; meterlog-devices

and what all roles share (`roles/settings.py`). The number of partitions is the broker's: `meterlog topics apply`
fixed it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

from operations import catalogue
from operations._profile import profiles
from roles import settings as roles
from roles.settings import RoleSettings, SettingsWrong
from schemas import topics
from schemas.codec import encode
from schemas.records import Lifecycle, Tick
from streams.device.keeper import Counts, Partition
from streams.device.limits import Limits
from streams.device.state import LAST_COUNTER
from streams.hosting import Keepers, host, refuse
from streams.keeper import ShellSettings

APPLICATION = "meterlog-devices"
_ABOUT = {
    "forwarded": "Commands sent on from a partition their key does not belong to",
    "refused": "Commands rejected without being remembered",
    "dead_lettered": "Records set aside",
    "accepted": "Commands accepted",
    "dispatched": "Jobs dispatched to workers",
    "delegated": "Jobs of M-Bus meters given to their gateways",
    "doubted": "Commands whose answer was lost and which may not be repeated, to be looked for",
    "decisions": "Decisions logged",
    "late": "Results and repeats that changed nothing",
    "counters_doubted": "Invocation counters named by meters that were too far ahead to be followed",
}
_HELD: Final[Mapping[str, tuple[Callable[[Partition], int], str]]] = {
    "busy": (lambda keeper: len(keeper.index), "Devices with commands to carry out"),
    "in_flight": (lambda keeper: keeper.index.flying, "Devices with a job out"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamsSettings:
    """All the role is told."""

    role: RoleSettings
    limits: Limits
    application: str = APPLICATION


def read_settings(environment: Mapping[str, str] = os.environ) -> StreamsSettings:
    """From the environment. Raises SettingsWrong."""
    slots = roles.whole(environment, "METERLOG_STREAMS_SLOTS", Limits().slots, 1, 100_000)
    seconds = partial(roles.number, environment, least=0, most=86_400)
    return StreamsSettings(
        role=roles.read_settings(environment),
        limits=Limits(
            slots=slots,
            silent_slots=roles.whole(environment, "METERLOG_STREAMS_SILENT_SLOTS", max(1, slots // 4), 1, slots),
            attempts=roles.whole(environment, "METERLOG_STREAMS_ATTEMPTS", Limits().attempts, 1, 100),
            retry_delay=int(1_000 * seconds("METERLOG_STREAMS_RETRY_SECONDS", 30)),
            operation_seconds=roles.whole(
                environment, "METERLOG_STREAMS_OPERATION_SECONDS", Limits().operation_seconds, 1, 86_400
            ),
            connect=int(1_000 * seconds("METERLOG_STREAMS_CONNECT_SECONDS", 60)),
            grace=int(1_000 * seconds("METERLOG_STREAMS_GRACE_SECONDS", 30)),
            counter_leap=roles.whole(
                environment, "METERLOG_STREAMS_COUNTER_LEAP", Limits().counter_leap, 1, LAST_COUNTER
            ),
            refused_lifecycles=_lifecycles(environment, "METERLOG_STREAMS_REFUSED_LIFECYCLES"),
            delegation=int(1_000 * seconds("METERLOG_STREAMS_DELEGATION_SECONDS", 600)),
        ),
        application=environment.get("METERLOG_STREAMS_APPLICATION") or APPLICATION,
    )


def _lifecycles(environment: Mapping[str, str], name: str) -> frozenset[Lifecycle]:
    said = [part.strip().upper() for part in environment.get(name, "").split(",") if part.strip()]
    for part in said:
        if part not in set(Lifecycle):
            raise SettingsWrong(f"{name}: {part!r} is none of {', '.join(Lifecycle)}")
    return frozenset(Lifecycle(part) for part in said)


def make_tick(_partition: int, now: int, seed: int, ends: Mapping[str, int]) -> bytes:
    return encode(Tick(now, seed, ends[topics.JOB_RESULTS.name], ends[topics.DEVICE_MESSAGES.name]))


def keepers(limits: Limits, partitions: int) -> Keepers[Partition]:
    """Of devices."""
    return Keepers("meterlog_devices", Partition, limits, Counts(), partitions, _ABOUT, _HELD)


def shell_settings(settings: StreamsSettings, partitions: int) -> ShellSettings:
    return ShellSettings(
        application=settings.application,
        bootstrap=settings.role.kafka,
        inbox=tuple(topic.name for topic in topics.DEVICE_INBOX),
        table=topics.DEVICES.name,
        ticks=topics.TICKS.name,
        watched=(topics.JOB_RESULTS.name, topics.DEVICE_MESSAGES.name),
        make_tick=make_tick,
        partitions=partitions,
        outputs=tuple(topic.name for topic in topics.DEVICE_OUTPUTS),
        kafka=settings.role.kafka_config,
    )


def run(settings: StreamsSettings) -> NoReturn:
    """Run the role until it is told to stop or a fault ends it. Raises SettingsWrong or KafkaException before that."""
    catalogue(), profiles()  # a wrong operation or profile stops the start, not a device
    host(
        "streams",
        settings.role,
        topics.DEVICES.name,
        partial(shell_settings, settings),
        partial(keepers, settings.limits),
    )


def main() -> NoReturn:
    """`python -m streams.app`."""
    try:
        run(read_settings())
    except SettingsWrong as wrong:
        refuse("streams", wrong)


if __name__ == "__main__":
    main()

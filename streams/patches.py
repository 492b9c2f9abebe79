"""The two changes Faust 0.15.3 needs, and nothing else that reaches into it.

1. It reads uncommitted inputs under `at_least_once`, and has no setting for it (measured: commands of aborted
   transactions were answered). `read_committed` gives it a consumer that does not.
2. It seeks to the group's committed offsets, which cannot follow transaction markers and know nothing of our
   transactions. `seek_to_positions` makes it go on to our own positions: they are the only truth.

Both hang on Faust's inner names, so the pinned version is checked, and each has a test that fails without it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from importlib.metadata import version
from typing import Any, Protocol

import aiokafka
from aiokafka import TopicPartition

_PINNED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}


class _Consumer(Protocol):
    """What is used of Faust's consumer."""

    perform_seek: Callable[[], Awaitable[None]]
    _read_offset: MutableMapping[Any, int | None]
    _committed_offset: MutableMapping[Any, int | None]

    def assignment(self) -> Iterable[Any]: ...

    async def _seek(self, partition: Any, offset: int) -> None: ...


class ReadCommittedConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, blind to records of open and aborted transactions whatever it is told."""

    def __init__(self, *topics: str, **settings: Any) -> None:
        super().__init__(*topics, **{**settings, "isolation_level": "read_committed"})


def check_versions() -> None:
    """Raises RuntimeError when Faust or aiokafka are not the versions the patches were written and tested for."""
    for name, pinned in _PINNED.items():
        installed = version(name)
        if installed != pinned:
            raise RuntimeError(f"{name}: {installed} is installed, the shell's patches are for {pinned}")


def read_committed() -> None:
    """Make every consumer Faust creates a read-committed one. It looks the class up when it creates one."""
    check_versions()
    aiokafka.AIOKafkaConsumer = ReadCommittedConsumer


def seek_to_positions(consumer: _Consumer, positions: Callable[[], Mapping[tuple[str, int], int]]) -> None:
    """After each of Faust's seeks, seek on to our own positions.

    `positions` gives {(topic, partition): offset of the last input done, -1 if none} of every inbox partition that is
    loaded; what is not assigned (any more) is left alone.
    """
    check_versions()
    faust_seek = consumer.perform_seek

    async def perform_seek() -> None:
        await faust_seek()
        assigned = {(tp.topic, tp.partition): tp for tp in consumer.assignment()}
        for name, position in positions().items():
            if name in assigned:
                following = position + 1
                tp = TopicPartition(*name)
                await consumer._seek(tp, following)
                # 0 is "unknown" to Faust: it then takes whatever comes first, as it should
                consumer._read_offset[tp] = following or None
                consumer._committed_offset[tp] = following or None

    consumer.perform_seek = perform_seek

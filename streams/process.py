"""The process around a shell: what is checked before it starts, that it ends when it must, that it logs in measure."""

import logging
import os
import threading

from confluent_kafka.admin import AdminClient

from streams.keeper import ShellSettings

EXIT_FAULT = 70
_TALKATIVE = ("aiokafka", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator")


def check_topics(settings: ShellSettings) -> None:
    """Every topic of the shell exists and has the one partition count.

    Raises ValueError naming the topic: Faust would wait for a missing one in silence, and unequal counts would put one
    device's inputs on two workers.
    """
    client = AdminClient({**dict(settings.kafka), "bootstrap.servers": settings.bootstrap})
    found = client.list_topics(timeout=settings.look_timeout).topics
    for topic in (*settings.inbox, settings.table):
        if topic not in found:
            raise ValueError(f"{topic}: no such topic; create it first")
        count = len(found[topic].partitions)
        if count != settings.partitions:
            raise ValueError(f"{topic}: has {count} partitions, the shell is set to {settings.partitions}")


def exit_later(seconds: float) -> None:
    """End the process after some seconds with a status that is not 0, should it still be there."""
    timer = threading.Timer(seconds, os._exit, (EXIT_FAULT,))
    timer.daemon = True
    timer.start()


class _OncePerSecond(logging.Filter):
    """Lets one record of a kind pass a second: with the broker away aiokafka writes a hundred."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.name, str(record.msg)
        if record.created - self._passed.get(kind, 0.0) < 1.0:
            return False
        self._passed[kind] = record.created
        return True


def quieten() -> None:
    """No debug records of Faust's libraries (they cost a tenth of the throughput, read or not), no floods."""
    for name in ("faust", "mode", "aiokafka"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    once = _OncePerSecond()
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(once)

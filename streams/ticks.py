"""Time as a message: one tick to each owned partition every interval, on the inbox topic of ticks.

Decisions know no clock; they are told the time, a seed for jitter, and how far a watched topic has grown, so that "the
answer has not come" can be told from "the answer has not been read yet". A late or doubled tick of a former owner does
no harm.
"""

import secrets
import time
from collections.abc import Mapping

from confluent_kafka import Producer

from streams.keeper import ShellSettings
from streams.readers import Guard

_LATE = 5  # a tick not taken by the broker for so many intervals is given up: newer ones say more


class Ticks:
    """Sends ticks. Blocking: call it from a thread, one at a time."""

    def __init__(self, settings: ShellSettings) -> None:
        self._settings = settings
        self._guard = Guard(settings)  # of its own: ticks run beside batches
        self._producer = Producer(
            {
                **dict(settings.kafka),
                "bootstrap.servers": settings.bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": int(max(settings.tick_interval, 1.0) * _LATE * 1000),
            }
        )

    def send(self, positions: Mapping[int, Mapping[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """A tick to each partition; `positions` gives {partition: {inbox topic: offset of the last input done}}. Gives
        what was deleted unread, by watched topic and partition: first and last offset.

        Raises KafkaException, TimeoutError or BufferError when the broker is not there.
        """
        settings = self._settings
        deleted: dict[tuple[str, int], tuple[int, int]] = {}
        for number, done in positions.items():
            ends = {}
            for topic in settings.watched:
                ends[topic], gone = self._guard.end(topic, number, done.get(topic, -1))
                if gone is not None:
                    deleted[topic, number] = gone
            value = settings.make_tick(number, time.time_ns() // 1_000_000, secrets.randbits(63), ends)
            self._producer.produce(settings.ticks, value, partition=number)
        self._producer.poll(0)
        return deleted

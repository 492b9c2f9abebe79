"""What a meter sends unasked: data-notification and event-notification (meter-model 14.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ..axdr import Data, encode
from ..errors import RemoteProtocolError
from ..names import Attribute
from ._reader import Reader


@dataclass(frozen=True, slots=True)
class DataNotification:
    """Data-Notification ::= SEQUENCE {
        long-invoke-id-and-priority Unsigned32, date-time OCTET STRING, notification-body Data
    }

    `date_time` is empty or the 12 bytes; it has a length and no tag in front.
    """

    invoke: int
    date_time: bytes
    body: Data

    def encode(self) -> bytes:
        head = b"\x0f" + self.invoke.to_bytes(4, "big") + bytes((len(self.date_time),))
        return head + self.date_time + encode(self.body)

    @classmethod
    def read(cls, reader: Reader) -> DataNotification:
        return cls(reader.number(4), _date_time(reader.octets()), reader.data())


@dataclass(frozen=True, slots=True)
class EventNotification:
    """EventNotificationRequest ::= SEQUENCE {
        time OCTET STRING OPTIONAL,
        cosem-attribute-descriptor Cosem-Attribute-Descriptor,
        attribute-value Data
    }

    MX382 puts tag 09 before the time's length in place of the OPTIONAL flag; both forms are read.
    """

    time: bytes | None
    attribute: Attribute
    value: Data

    def encode(self) -> bytes:
        time = b"\x00" if self.time is None else bytes((1, len(self.time))) + self.time
        return b"\xc2" + time + self.attribute.encode() + encode(self.value)

    @classmethod
    def read(cls, reader: Reader) -> EventNotification:
        time = _date_time(reader.octets()) if reader.flag() else None
        return cls(time, reader.attribute(), reader.data())


def _date_time(raw: bytes) -> bytes:
    if len(raw) not in (0, 12):
        raise RemoteProtocolError(f"date-time of a notification has {len(raw)} bytes, not 0 or 12")
    return raw

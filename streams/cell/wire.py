"""Records to and from cells: what a received one says, and how one is sent."""

from typing import Final

from schemas import codec, topics
from schemas.records import PermitAsked, PermitGranted, PermitReturned, Tick
from streams.cell.events import TimePassed
from streams.cell.react import Told
from streams.envelope import complete, head, kind
from streams.keeper import Outgoing, Received

ROLE: Final = "streams/cell"
_HEAD: Final = head(f"meterlog/{ROLE}")


def read_request(received: Received) -> PermitAsked | PermitReturned | str:
    """A record of the topic `permit-requests`, or why it is none."""
    try:
        record = codec.decode(received.value)
    except codec.Unreadable as error:
        return error.reason
    if not isinstance(record, PermitAsked | PermitReturned):
        return f"{type(record).__name__} is neither PermitAsked nor PermitReturned"
    if record.cell_id.encode(errors="surrogatepass") != received.key:
        return f"cell_id {record.cell_id[:80]!r} is not the key of the record"
    return record


def read_tick(received: Received) -> TimePassed | str:
    """A record of the topic `cell-ticks`, or why it is none."""
    try:
        record = codec.decode(received.value)
    except codec.Unreadable as error:
        return error.reason
    return TimePassed(record.at) if isinstance(record, Tick) else f"{type(record).__name__} is not a Tick"


def told(cell: bytes, record: Told, partition: int, at: int) -> Outgoing:
    """A message to a device, in the partition of that one. Its CloudEvents id names the request."""
    number = record.permit.number if isinstance(record, PermitGranted) else record.number
    name = type(record).__name__
    receiver = record.device_id.encode()
    ident = receiver + b"/permit/%d/" % number + name.encode()
    pairs = (*_HEAD, kind(f"meterlog.{name}"), ("ce_id", ident), ("ce_subject", cell))
    return Outgoing(topics.PERMITS.name, receiver, codec.encode(record), complete(pairs, at, None), partition)

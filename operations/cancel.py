"""Cancel a command that has no outcome yet; what a worker has begun is not stopped, but not tried again either.

No GXF operation does this; design section 4. Only the streams know what a command waits for, so no meter is called.
Whichever comes first, the cancellation, the expiry or the result of an attempt, makes the one outcome.
"""

from dataclasses import dataclass
from enum import StrEnum

from operations import Device, decided
from operations._errors import Rejected
from operations._steps import Answer
from schemas.records import CORRELATION_ID, CancelAsked


class Became(StrEnum):
    """What a cancellation could do."""

    CANCELLED = "CANCELLED"  # the command had not begun, or waited between attempts: its outcome is Cancelled
    IN_FLIGHT = "IN_FLIGHT"  # a worker has it, or it is being looked what the meter did


@dataclass(frozen=True, slots=True)
class Request:
    """A command of the same device, by its correlation id."""

    correlation_id: str

    def __post_init__(self) -> None:
        if not CORRELATION_ID.fullmatch(self.correlation_id):
            raise Rejected(f"{self.correlation_id[:80]!r} is not a UUID in lower case", field="correlation_id")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the command. IN_FLIGHT: its running attempt goes on; what that ends with is its outcome, and if
    it would be tried again, its outcome is Cancelled instead.
    """

    became: Became


@decided("Cancel", in_any_lifecycle=True, before_registration=True)
def decide(request: Request, device: Device) -> Answer[Result]:
    """Raises Rejected: 405 for an id the device does not know, 401 for a command that has its outcome, or a Cancel."""
    known = device.command(request.correlation_id)
    if known is None:
        raise Rejected(
            f"{device.device_id} has no command {request.correlation_id}",
            field="correlation_id",
            code=405,
            name="UNKNOWN_CORRELATION_UID",
        )
    if known.status is not None:
        raise Rejected(f"the command has its outcome: {known.status}", field="correlation_id")
    if known.operation == "Cancel":
        raise Rejected("a Cancel cannot be cancelled", field="correlation_id")
    became = Became.IN_FLIGHT if known.in_flight else Became.CANCELLED
    return Answer(Result(became), facts=(CancelAsked(request.correlation_id),))

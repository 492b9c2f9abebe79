"""Page through the frames that were logged of a device in debug mode, newest first; the store is asked, not the meter.

Reference operations-reading 12: pages count from 0 and hold 30. The period is ours. What is not there yet is not waited
for: frames come to the store a second or two after they were exchanged.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from operations import Meter, operation
from operations._errors import Rejected
from operations._steps import Answer, FindFrames, Steps, StoredFrame

PAGE: Final = 30
LAST_PAGE: Final = 99_999


@dataclass(frozen=True, slots=True)
class Request:
    """A page, from 0, and a period: both ends belong to it, None is no end."""

    page: int
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.page <= LAST_PAGE:
            raise Rejected(f"{self.page} is not within 0 and {LAST_PAGE}", field="page")
        if self.since is not None and self.until is not None and self.until < self.since:
            raise Rejected(f"{self.until} lies before since ({self.since})", field="until")


@dataclass(frozen=True, slots=True)
class MessageLog:
    """One frame. `encoded_message` is hex; `decoded_message` the deciphered APDU as XML, or in one line where the
    worker that logged it had no translator. Neither holds a secret. Organisations are not kept: always None.
    """

    timestamp: datetime
    organisation_identification: str | None
    device_identification: str
    incoming: bool
    valid: bool
    encoded_message: str
    decoded_message: str


@dataclass(frozen=True, slots=True)
class Result:
    """A page of them; `total_pages` is 0 when there are none. A page behind the last is empty."""

    total_pages: int
    message_logs: tuple[MessageLog, ...]


@operation("FindMessageLogs", repeatable=True, seconds=30, frames=0, connects=False, of_store=True)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Asks once."""
    found: tuple[int, tuple[StoredFrame, ...]]
    found = yield FindFrames(meter.device_id, request.since, request.until, request.page * PAGE, PAGE)
    total, frames = found
    return Answer(Result(-(-total // PAGE), tuple([_told(meter.device_id, frame) for frame in frames])))


def _told(device_id: str, frame: StoredFrame) -> MessageLog:
    decoded: Any = frame.text or frame.summary
    return MessageLog(frame.at, None, device_id, frame.incoming, frame.valid, frame.frame, decoded)

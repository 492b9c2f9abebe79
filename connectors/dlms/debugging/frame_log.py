"""The frames of one job of a device in debug mode: taken where they pass the session, told in order to `dlms-log`.

A frame is deciphered once more here, under the keys of its association and from the bytes on the wire, so the engine
knows nothing of it and a session without debug mode carries nothing along. What leaves this file is redacted
(`redaction`). Ciphered bytes are told as sent: without the keys nobody reads them. Bytes that went in the clear are
told as far as they may be shown.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from connectors.dlms import cosem, frames
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.channel import unseal
from connectors.dlms.cosem.ciphering import is_ciphered, unframe
from connectors.dlms.cosem.security import ENCRYPTED
from connectors.dlms.cosem.wrapper import WpduReader, wrap
from connectors.dlms.debugging.redaction import Conversation
from connectors.dlms.debugging.summary import summary
from schemas.records import LoggedFrame

Tell = Callable[[LoggedFrame], Awaitable[None]]

HEADER_BYTES: Final = 8
TRANSLATED_BYTES: Final = 4_096
"""Largest APDU the translator is given: it takes some 6 ms a KiB."""
_ACSE: Final = (apdus.Aarq, apdus.Aare, apdus.Rlrq, apdus.Rlre)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What may be told of a frame's bytes, and the plain APDU without secrets, as far as it could be read."""

    frame: bytes
    apdu: bytes
    withheld: int
    valid: bool
    summary: str


class FrameLog:
    """Frames of one job. `command` is the correlation id of the command that is under way."""

    def __init__(self, device_id: str, job: int, tell: Tell) -> None:
        self.command: str | None = None
        self._device_id, self._job, self._tell = device_id, job, tell
        self._associations = 0
        self._sequence = 0
        self._queue: asyncio.Queue[tuple[LoggedFrame, bytes] | None] = asyncio.Queue()
        self._telling: asyncio.Task[None] | None = None

    def watch(self, client: cosem.ClientAssociation) -> "Watch":
        """The tap of a new association."""
        self._associations += 1
        return Watch(self, client, self._associations)

    def note(self, association: int, incoming: bool, seen: _Seen) -> None:
        """A frame that was sent or received just now."""
        record = LoggedFrame(
            device_id=self._device_id,
            job=self._job,
            association=association,
            sequence=self._sequence,
            at=time.time_ns() // 1_000_000,
            incoming=incoming,
            valid=seen.valid,
            correlation_id=self.command,
            frame=seen.frame,
            withheld=seen.withheld,
            summary=seen.summary,
        )
        self._sequence += 1
        self._queue.put_nowait((record, seen.apdu))
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all())

    async def close(self) -> None:
        """Return when all of it has been told."""
        if self._telling is not None:
            self._queue.put_nowait(None)
            await self._telling

    async def _tell_all(self) -> None:
        told: list[asyncio.Task[None]] = []
        while (item := await self._queue.get()) is not None:
            record, apdu = item
            try:
                record = replace(record, text=await asyncio.to_thread(_translated, apdu))
            except Exception as error:  # the frame is told without it: a translator must not cost a job its result
                _log.error("frame_not_translated", job=record.job, sequence=record.sequence, error=type(error).__name__)
            told.append(asyncio.create_task(self._told(record)))
        if told:
            await asyncio.wait(told)

    async def _told(self, record: LoggedFrame) -> None:
        try:
            await self._tell(record)
        except Exception as error:  # the log of a session must not be the end of it
            _log.error("frame_not_told", job=record.job, sequence=record.sequence, error=type(error).__name__)


class Watch:
    """The tap of one association: `sent` a frame, `received` a piece of the network, `over`."""

    def __init__(self, log: FrameLog, client: cosem.ClientAssociation, number: int) -> None:
        self._log, self._client, self._number = log, client, number
        self._conversation = Conversation()
        self._reader = WpduReader()
        self._server_title = client.settings.server_title or b""
        self._broken = False

    def sent(self, frame: bytes) -> None:
        self._log.note(self._number, False, self._seen(frame, incoming=False))

    def received(self, chunk: bytes) -> None:
        if self._broken:
            self._unread(len(chunk), "it follows what is no frame")
            return
        self._reader.feed(chunk)
        try:
            while (wpdu := self._reader.next()) is not None:
                self._log.note(self._number, True, self._seen(wrap(*wpdu), incoming=True))
        except cosem.CosemError as error:
            self._broken = True  # the stream cannot be cut into frames any further
            self._unread(len(chunk), str(error))

    def over(self) -> None:
        """What came of a frame that was never whole is told as well."""
        if self._reader.pending and not self._broken:
            self._broken = True
            self._unread(self._reader.pending, "the frame is not whole")

    def _unread(self, count: int, why: str) -> None:
        self._log.note(self._number, True, _Seen(b"", b"", count, False, f"{count} bytes unread: {why}"))

    def _seen(self, frame: bytes, *, incoming: bool) -> _Seen:
        head, apdu = frame[:HEADER_BYTES], frame[HEADER_BYTES:]
        enciphered = _enciphered(apdu)
        try:
            plain = apdus.decode(self._opened(apdu, incoming))
        except cosem.CosemError as error:
            shown = frame if enciphered else head
            return _Seen(shown, b"", len(frame) - len(shown), False, f"{len(apdu)} bytes unread: {error}")
        redacted = self._conversation.redacted(self._initiate_opened(plain, incoming))
        withheld = self._conversation.withheld
        if not enciphered:
            clear = self._conversation.redacted(plain).encode() if isinstance(plain, _ACSE) else redacted.encode()
            withheld = withheld or int(clear != apdu)
            frame = head + clear
        return _Seen(frame, redacted.encode(), withheld, True, summary(redacted))

    def _opened(self, apdu: bytes, incoming: bool) -> bytes:
        """The APDU without ciphering."""
        keys = self._client.keys
        if keys is None or not is_ciphered(apdu):
            return apdu
        title = self._server_title if incoming else self._client.settings.system_title
        return unseal(keys, title, -1, apdu, None)[1]

    def _initiate_opened(self, apdu: apdus.Apdu, incoming: bool) -> apdus.Apdu:
        """An ACSE APDU with what it carries in the clear; as it is when that cannot be opened."""
        if isinstance(apdu, apdus.Aare) and apdu.responding_title is not None:
            self._server_title = apdu.responding_title
        if isinstance(apdu, _ACSE) and apdu.user_information:
            try:
                return replace(apdu, user_information=self._opened(apdu.user_information, incoming))
            except cosem.CosemError:
                return apdu
        return apdu


def _enciphered(apdu: bytes) -> bool:
    """Whether all content of an APDU is unreadable without the keys: its security control says encrypted."""
    if not is_ciphered(apdu):
        return False
    try:
        content = unframe(apdu).content
    except cosem.CosemError:
        return False
    return bool(content) and bool(content[0] & ENCRYPTED)


def _translated(apdu: bytes) -> str:
    """The XML of an APDU, empty when there is no translator for it; in a thread of its own."""
    if not 0 < len(apdu) <= TRANSLATED_BYTES:
        return ""
    try:
        return frames.readable(apdu)
    except frames.NotAFrame:
        return ""

"""One TCP connection to a fleet: finds its meter in the first WPDU, feeds that meter's association, and misbehaves as
its fault says.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from connectors.dlms.cosem import ServerAssociation
from connectors.dlms.cosem.wrapper import wrap
from connectors.simulator import cells, forged
from connectors.simulator.faults import FORGED, Fault

if TYPE_CHECKING:
    from connectors.simulator.fleet import Fleet
    from connectors.simulator.meter import Meter

WPDU_DESTINATION: Final = slice(4, 6)
_NOT_OF_ANSWERS: Final = frozenset({Fault.NONE, Fault.REFUSE, Fault.STALL, Fault.LOST_ANSWER})
_DRIPS: Final = 20  # bytes of a dripping answer in the time in which a late one comes
_MISSING: Final = 100  # bytes that a false length announces beyond those that come


class Connection(asyncio.Protocol):
    """From the first byte to the last."""

    __slots__ = (
        "_answers",
        "_asked",
        "_association",
        "_begin",
        "_cell",
        "_client",
        "_fault",
        "_fleet",
        "_meter",
        "_noted",
        "_paused",
        "_spared",
        "_transport",
    )

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._meter: Meter | None = None
        self._association: ServerAssociation | None = None
        self._begin = b""
        self._cell = ("", "")  # of whom this is a connection, and the radio cell; empty: in none
        self._client = 0
        self._asked = b""  # the last request served, in clear
        self._answers = 0
        self._fault = Fault.NONE
        self._spared = 0
        self._noted = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._fleet.connections.add(self._transport)

    def data_received(self, data: bytes) -> None:
        association = self._association
        if association is None:
            self._begin += data
            if len(self._begin) < WPDU_DESTINATION.stop:
                return
            association = self._attach(int.from_bytes(self._begin[WPDU_DESTINATION], "big"))
            if association is None:
                self._transport.close()
                return
            data, self._begin = self._begin, b""
        if self._fault is Fault.STALL and self._answers >= self._spared:
            self._note()
            return
        acted, self._asked = self._acts(), b""
        out = association.receive(data)
        if self._fault is Fault.LOST_ANSWER and self._acts() != acted:
            self._note()
            self._transport.abort()
            return
        if out:
            self._answers += 1
            if self._answers > self._spared and self._strikes(association, out):
                return
        self._later(self._fleet.settings.delay, out, association.closed)

    def _attach(self, sap: int) -> ServerAssociation | None:
        """The association of the meter with this SAP; None when there is none, or it serves another client now."""
        fleet = self._fleet
        meter = fleet.at(sap)
        if meter is None:
            return None
        self._cell = meter.device_id, fleet.cell_of(sap)
        if meter.open:
            self._note_connection("refused")
            return None
        self._meter = meter
        meter.open = True
        meter.connections += 1
        self._note_connection("connected")
        self._fault, self._spared = fleet.settings.faults.draw(meter.number, meter.connections)
        if self._fault is Fault.REFUSE:
            self._note()
            return None
        self._association = ServerAssociation(
            fleet.settings_of(meter), meter.security, meter, sap=sap, observe=self._observe
        )
        return self._association

    def _note_connection(self, did: str) -> None:
        device_id, cell = self._cell
        at = cells.arrived(self._transport.get_extra_info("socket")) if cell else None
        self._fleet.ledger.note(device_id, did, cell, at=at)

    def _observe(self, client: int, counter: int | None, apdu: bytes) -> None:
        self._client, self._asked = client, apdu
        meter = self._meter
        if meter is None:
            return
        meter.ciphered = counter is not None
        if counter is not None:
            self._fleet.ledger.note(meter.device_id, "counter", value=str(counter))

    def _acts(self) -> int:
        return self._meter.acts if self._meter is not None else 0

    def _strikes(self, association: ServerAssociation, out: bytes) -> bool:
        """Send what the fault makes of an answer. False when it lets this one pass."""
        fault, slowness = self._fault, self._fleet.settings.slowness
        forgery = forged.answer(fault, self._asked) if fault in FORGED else b""
        if fault in _NOT_OF_ANSWERS or forgery is None:
            return False
        self._note()
        match fault:
            case Fault.DROP:
                self._transport.write(out[: len(out) // 2])
                self._transport.close()
            case Fault.WRONG_TAG:
                self._later(0, out[:-1] + bytes((out[-1] ^ 1,)), association.closed)
            case Fault.LATE:
                self._later(slowness, out, association.closed)
            case Fault.DRIP:
                self._drip(out, slowness / _DRIPS)
            case Fault.FALSE_LENGTH:
                length = int.from_bytes(out[6:8], "big") + _MISSING
                self._later(0, out[:6] + length.to_bytes(2, "big") + out[8:], association.closed)
            case Fault.UNASKED:
                self._later(0, self._wrapped(association, forged.notification()) + out, association.closed)
            case Fault.FLOOD:
                self._flood(self._wrapped(association, forged.notification()) * 1_000)
            case _:
                self._later(0, self._wrapped(association, association.protect(forgery)), closed=False)
        return True

    def _wrapped(self, association: ServerAssociation, apdu: bytes) -> bytes:
        return wrap(association.sap, self._client, apdu)

    def _drip(self, out: bytes, pause: float) -> None:
        """One byte, and in a while the rest in the same way."""
        if out and not self._transport.is_closing():
            self._transport.write(out[:1])
            asyncio.get_running_loop().call_later(pause, self._drip, out[1:], pause)

    def _flood(self, part: bytes) -> None:
        """As much as the connection takes, until it is cut."""
        if not self._transport.is_closing():
            if not self._paused:
                self._transport.write(part)
            asyncio.get_running_loop().call_later(0.001, self._flood, part)  # other meters have a word between

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def _later(self, seconds: float, out: bytes, closed: bool) -> None:
        if seconds and not self._transport.is_closing():
            asyncio.get_running_loop().call_later(seconds, self._send, out, closed)
        else:
            self._send(out, closed)

    def _send(self, out: bytes, closed: bool) -> None:
        if self._transport.is_closing():
            return
        if out:
            self._transport.write(out)
        if closed:
            self._transport.close()

    def _note(self) -> None:
        """Say in the ledger, once, that the fault has struck."""
        if self._meter is not None and not self._noted:
            self._noted = True
            self._fleet.ledger.note(self._meter.device_id, "fault", self._fault)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fleet.connections.discard(self._transport)
        if self._meter is not None:
            self._meter.session_ended(0 if self._association is None else self._association.failed_logins)
        device_id, cell = self._cell
        if cell:
            self._fleet.ledger.note(device_id, "closed", cell)

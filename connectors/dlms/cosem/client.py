"""The head-end's side of an association: asks, checks every answer, pages through blocks. See the package for how it is
driven.

A request is a generator (a flow) that yields plain APDUs and is sent plain APDUs: block transfer reads as a loop there
(`flows.py`, `opening.py`), while sealing, opening and the state of the association are here, in one place, so that no
flow can forget a check.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from . import flows, opening
from .apdu import Apdu, ConfirmedServiceError, ExceptionApdu, Selected, decode
from .axdr import Data
from .channel import room, seal, unseal
from .errors import (
    AssociationRefused,
    CosemError,
    ExceptionResponse,
    LocalProtocolError,
    RemoteProtocolError,
    ServiceError,
)
from .events import Associated, ClientSettings, Outcome, Released, Send, Step
from .names import Attribute, Method, Selection
from .security import InvocationCounter, Keys
from .wrapper import WpduReader, wrap

Flow = Generator[bytes, bytes, Outcome]


class ClientAssociation:
    """One association, from `open` to `release`; one request at a time.

    Every request method returns bytes to send and raises LocalProtocolError (nothing was sent) when it is out of order,
    larger than the meter takes, or a service that was not negotiated. `receive` raises any CosemError.
    """

    __slots__ = (
        "_flow",
        "_invoke",
        "_reader",
        "associated",
        "ciphered",
        "conformance",
        "counter",
        "dead",
        "keys",
        "max_send_pdu",
        "peer_counter",
        "server_title",
        "settings",
    )

    def __init__(self, settings: ClientSettings, counter: InvocationCounter | None = None) -> None:
        if settings.keys is not None and counter is None:
            raise LocalProtocolError("a range of invocation counters is missing")
        self.settings = settings
        self.counter = counter
        self.keys = settings.keys
        self.peer_counter = settings.peer_counter
        self.server_title = b""
        self.conformance = 0
        self.max_send_pdu = 0
        self.ciphered = False  # from the AARE on: the ACSE APDUs themselves are plain around a ciphered initiate
        self.associated = False
        self.dead = False
        self._reader = WpduReader(max(settings.max_receive_pdu or 65_535, 1024))  # the AARE obeys no PDU size yet
        self._flow: Flow | None = None
        self._invoke = 0

    def open(self) -> bytes:
        """Ask for the association. Outcome: Associated; raises AssociationRefused, or ExceptionResponse (stale
        counter), from `receive`."""
        if self.associated:
            raise LocalProtocolError("the association is open already")
        return self._start(opening.open_association(self))

    def get(self, attribute: Attribute, selection: Selection | None = None) -> bytes:
        """Read an attribute. Outcome: Got; AccessRefused."""
        return self._request(flows.get(self, attribute, selection))

    def get_rows(self, attribute: Attribute, selection: Selection | None = None) -> bytes:
        """Read a profile buffer by the fast decoder. Outcome: GotRows; AccessRefused."""
        return self._request(flows.get_rows(self, attribute, selection))

    def get_list(self, attributes: Sequence[Attribute | Selected]) -> bytes:
        """Read several attributes in one request, with a selection where one is given. Outcome: GotList."""
        return self._request(flows.get_list(self, attributes))

    def set(self, attribute: Attribute, value: Data, selection: Selection | None = None) -> bytes:
        """Write an attribute, in blocks when it is larger than the meter takes. Outcome: Written; AccessRefused."""
        return self._request(flows.set_value(self, attribute, value, selection))

    def set_list(self, values: Sequence[tuple[Attribute | Selected, Data]]) -> bytes:
        """Write several attributes in one request. Outcome: WrittenList."""
        return self._request(flows.set_list(self, values))

    def action(self, method: Method, parameters: Data | None = None) -> bytes:
        """Call a method, its parameters in blocks when they are larger than the meter takes. Outcome: Called;
        AccessRefused."""
        return self._request(flows.action(self, method, parameters))

    def release(self) -> bytes:
        """Close the association. Outcome: Released."""
        return self._request(opening.release(self))

    def use_keys(self, keys: Keys, counter: InvocationCounter | None = None) -> None:
        """Go on under other keys, from the next request on (after global_key_transfer).

        A new encryption key is a new counter space on both sides (meter-model 3.2) and needs a `counter`; a new
        authentication key alone goes on in the old one. Raises LocalProtocolError while an answer is awaited, or when
        the counter is missing.
        """
        if self._flow is not None or self.keys is None:
            raise LocalProtocolError("keys cannot change while an answer is awaited, or without ciphering")
        if keys.encryption != self.keys.encryption:
            if counter is None:
                raise LocalProtocolError("a new encryption key needs a counter range of its own")
            self.peer_counter = -1
        if counter is not None:
            self.counter = counter
        self.keys = keys

    @property
    def counters_used(self) -> int:
        """How many values of the present counter range were used."""
        return 0 if self.counter is None else self.counter.used

    @property
    def pending(self) -> int:
        """Bytes of an answer that is not whole yet."""
        return self._reader.pending

    def receive(self, chunk: bytes) -> Step | None:
        """Take bytes from the network: None while an answer is incomplete, Send to go on, or the outcome of the
        request."""
        self._reader.feed(chunk)
        try:
            wpdu = self._reader.next()
            if wpdu is None:
                return None
            flow = self._flow
            if flow is None:
                raise RemoteProtocolError("the meter sends, but nothing was asked")
            if (wpdu.source, wpdu.destination) != (self.settings.server_sap, self.settings.client_id):
                raise RemoteProtocolError(
                    f"answer from {wpdu.source} to {wpdu.destination} is not for this association"
                )
            if self._reader.pending:
                raise RemoteProtocolError(f"{self._reader.pending} bytes follow the answer")
            return Send(self._wrap(flow.send(wpdu.apdu)))
        except StopIteration as finished:
            self._flow = None
            outcome: Outcome = finished.value
            if isinstance(outcome, Associated):
                self._reader.limit = self.settings.max_receive_pdu or 65_535
            if isinstance(outcome, Released):
                self.dead = True
            return outcome
        except CosemError as error:
            self._flow = None
            if isinstance(error, RemoteProtocolError | AssociationRefused) or not self.associated:
                self.dead = True
            raise

    # For the flows: everything that leaves or enters passes here.

    def next_invoke(self) -> int:
        """The next invoke-id-and-priority: high priority, confirmed, ids 1 to 15 in turn, so that a late answer is told
        apart."""
        self._invoke = self._invoke % 15 + 1
        return 0xC0 | self._invoke

    def seal(self, plain: bytes) -> bytes:
        """The APDU as it goes out. Raises LocalProtocolError when it is larger than the meter takes,
        CounterExhausted."""
        if len(plain) > self.room:
            raise LocalProtocolError(f"request of {len(plain)} bytes, the meter takes {self.room}")
        if not self.ciphered or self.keys is None:
            return plain
        return seal(self.keys, self.settings.system_title, self.take_counter(), plain, self.settings.general)

    def unseal(self, apdu: bytes) -> Apdu:
        """The plain APDU of an answer. Raises ExceptionResponse, ServiceError (these may come in clear),
        RemoteProtocolError."""
        if self.ciphered and self.keys is not None and apdu[:1] not in (b"\xd8", b"\x0e"):
            self.peer_counter, apdu = unseal(
                self.keys, self.server_title, self.peer_counter, apdu, self.settings.general
            )
        return refuse_failures(decode(apdu))

    def take_counter(self) -> int:
        """The next invocation counter."""
        if self.counter is None:
            raise LocalProtocolError("a range of invocation counters is missing")
        return self.counter.take()

    @property
    def room(self) -> int:
        """Bytes of plain APDU the meter takes."""
        return room(self.max_send_pdu, self.ciphered, self.settings.general)

    def _request(self, flow: Flow) -> bytes:
        if not self.associated and not self.dead:
            raise LocalProtocolError("the association is not open")
        return self._start(flow)

    def _start(self, flow: Flow) -> bytes:
        if self.dead:
            raise LocalProtocolError("the association is over")
        if self._flow is not None:
            raise LocalProtocolError("the answer to the last request is still awaited")
        out = self._wrap(next(flow))
        self._flow = flow
        return out

    def _wrap(self, apdu: bytes) -> bytes:
        return wrap(self.settings.client_id, self.settings.server_sap, apdu)


def refuse_failures(apdu: Apdu) -> Apdu:
    """Any APDU but the two that refuse: those are raised."""
    if isinstance(apdu, ExceptionApdu):
        raise ExceptionResponse(apdu.state, apdu.service, apdu.counter)
    if isinstance(apdu, ConfirmedServiceError):
        raise ServiceError(apdu.service, apdu.kind, apdu.value)
    return apdu

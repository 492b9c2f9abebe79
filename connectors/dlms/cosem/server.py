"""The meter's side of an association, for the simulator: opening, ciphering, counters; services are in `serving.py`.

Built for thousands of meters in a process: settings are shared, an association holds a few slots, nothing is kept
between requests but a transfer in blocks.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import Enum
from secrets import token_bytes

from . import apdu as apdus
from . import axdr
from .apdu import (
    LN,
    LN_CIPHERED,
    Aare,
    Aarq,
    ActionRequestNormal,
    ActionResponseNormal,
    ConfirmedServiceError,
    ExceptionApdu,
    InitiateRequest,
    InitiateResponse,
    Mechanism,
    Rlre,
    Rlrq,
    failures,
)
from .channel import check_title, room, seal, unseal
from .ciphering import GENERAL_GLO, is_ciphered
from .errors import AccessResult, RemoteProtocolError, SecurityViolation, StaleCounter
from .opening import CHALLENGE_LENGTHS, REPLY_TO_HLS
from .security import MAX_COUNTER, Keys
from .server_settings import ClientRule, MeterSecurity, OnRefusal, ServerSettings
from .serving import ObjectAccess, Services
from .wrapper import WpduReader, wrap

__all__ = [
    "ClientRule",
    "MeterSecurity",
    "ObjectAccess",
    "Observer",
    "OnRefusal",
    "ServerAssociation",
    "ServerSettings",
    "State",
]

SMALLEST_CIPHERED_PDU = 64
AUTHENTICATION_FAILURE = 13  # acse-service-user (meter-model 4.4)


class State(Enum):
    """association_status of class 15."""

    NONE = 0
    PENDING = 1
    ASSOCIATED = 2


Observer = Callable[[int, int | None, bytes], None]


class ServerAssociation:
    """One connection to one meter. Feed it with `receive` until it is `closed`; it raises nothing for any bytes.

    `observe`, when given, sees every request the meter took: client id, invocation counter (None in clear), plain APDU.
    """

    __slots__ = (
        "_answer_due",
        "_challenge",
        "_general",
        "_reader",
        "ciphered",
        "client",
        "client_title",
        "closed",
        "failed_logins",
        "observe",
        "sap",
        "security",
        "services",
        "settings",
        "state",
    )

    def __init__(
        self,
        settings: ServerSettings,
        security: MeterSecurity,
        objects: ObjectAccess,
        sap: int = 1,
        observe: Observer | None = None,
    ) -> None:
        self.settings = settings
        self.security = security
        self.sap = sap
        self.observe = observe
        self.services = Services(objects, settings.max_transfer)
        self.state = State.NONE
        self.client = -1
        self.client_title = b""
        self.ciphered = False
        self.closed = False
        self.failed_logins = 0  # with a wrong password, key or title
        self._general = False
        self._challenge = b""  # ours, StoC
        self._answer_due = b""  # theirs, CtoS
        # an AARQ obeys no PDU size yet, and is longer than 128 bytes with a long challenge
        self._reader = WpduReader(max(settings.max_receive_pdu or 65_535, 1024))

    def receive(self, chunk: bytes) -> bytes:
        """What the meter sends for these bytes, often nothing. When `closed` is set, send it and close the
        connection."""
        out = []
        self._reader.feed(chunk)
        try:
            while not self.closed and (wpdu := self._reader.next()) is not None:
                if wpdu.destination != self.sap:
                    self.closed = True
                    break
                answer = self.answer(wpdu.source, wpdu.apdu)
                if answer is not None:
                    out.append(wrap(self.sap, wpdu.source, answer))
        except RemoteProtocolError:
            self.closed = True
        return b"".join(out)

    def answer(self, client: int, apdu: bytes) -> bytes | None:
        """The APDU that answers one APDU of a client; None for silence."""
        if apdu[:1] == b"\x60":
            return self._open(client, apdu)
        if self.state is State.NONE or client != self.client:
            return _exception(failures.SERVICE_NOT_ALLOWED, failures.OPERATION_NOT_POSSIBLE)
        if self.settings.max_receive_pdu and len(apdu) > self.settings.max_receive_pdu:
            self.closed = True
            return None
        try:
            if apdu[:1] == b"\x62":
                return self._release(apdu)
            return self._serve(apdu)
        except StaleCounter as stale:
            return self._refuse_stale(stale, None)
        except SecurityViolation:
            return self._refuse(self.settings.bad_key, _exception(1, failures.DECIPHERING_ERROR))
        except RemoteProtocolError:
            return _exception(failures.SERVICE_UNKNOWN, failures.SERVICE_NOT_SUPPORTED)

    def protect(self, plain: bytes) -> bytes:
        """An APDU as this association would send it, for a meter that answers what was not asked."""
        keys = self.security.keys
        if not self.ciphered or keys is None:
            return plain
        return seal(keys, self.security.system_title, self.security.next_counter(), plain, self._general)

    def _serve(self, apdu: bytes) -> bytes | None:
        security = self.security
        keys = security.keys
        counter = None
        if self.ciphered and keys is not None:
            if not is_ciphered(apdu):
                return _exception(failures.SERVICE_NOT_ALLOWED, failures.OPERATION_NOT_POSSIBLE)
            self._general = apdu[0] == GENERAL_GLO
            counter, apdu = self._unseal(keys, apdu)
        sent = security.sent
        if self.observe is not None:
            self.observe(self.client, counter, apdu)
        request = apdus.decode(apdu)
        if self.state is State.PENDING:
            response: apdus.Apdu = self._authenticate(request)
        else:
            space = room(self.services.max_send_pdu, self.ciphered, self._general)
            response = self.services.serve(self.client, request, space)
        plain = response.encode()
        if not self.ciphered or keys is None or isinstance(response, ExceptionApdu):
            return plain
        # a key changed by this very request holds from the next APDU on
        changed = security.keys is None or security.keys.encryption != keys.encryption
        own = (sent + 1) & MAX_COUNTER if changed else security.next_counter()
        return seal(keys, security.system_title, own, plain, self._general)

    def _unseal(self, keys: Keys, apdu: bytes) -> tuple[int, bytes]:
        tolerant = self.settings.stale_counter is OnRefusal.TOLERATE
        last = -1 if tolerant else self.security.accepted
        counter, plain = unseal(keys, self.client_title, last, apdu, None)
        self.security.accepted = counter
        return counter, plain

    def _open(self, client: int, apdu: bytes) -> bytes | None:
        self.state = State.NONE
        self.ciphered = False
        self.services.reset()
        aarq = apdus.decode(apdu)
        if not isinstance(aarq, Aarq):
            raise RemoteProtocolError("AARQ expected")
        rule = self.settings.clients.get(client)
        if rule is None:
            return self._refuse(self.settings.unknown_client, _rejected(LN, 1))
        if aarq.context not in rule.contexts:
            return _rejected(rule.contexts[0], 2)
        diagnostic = self._check_mechanism(rule, aarq)
        if diagnostic:
            self.failed_logins += diagnostic == AUTHENTICATION_FAILURE
            return _rejected(aarq.context, diagnostic)
        ciphered = aarq.context == LN_CIPHERED
        try:
            if ciphered or rule.mechanism == Mechanism.HLS5:
                self.client_title = check_title(aarq.calling_title, self.security.system_title, None)
            information, sealed = self._open_initiate(client, rule, aarq, ciphered)
        except StaleCounter as stale:
            return self._refuse_stale(stale, _rejected(aarq.context, 1))
        except SecurityViolation:
            self.failed_logins += 1
            return self._refuse(self.settings.bad_key, _rejected(aarq.context, AUTHENTICATION_FAILURE))
        return self._accept(client, rule, aarq, information, ciphered, sealed)

    def _check_mechanism(self, rule: ClientRule, aarq: Aarq) -> int:
        """The diagnostic of a refusal, or 0."""
        if rule.mechanism == Mechanism.NONE:
            return 0 if aarq.mechanism in (None, 0) else 11
        if aarq.mechanism is None:
            return 12
        if aarq.mechanism != rule.mechanism:
            return 11
        given = aarq.authentication or b""
        if rule.mechanism == Mechanism.LLS:
            return 0 if hmac.compare_digest(given, self.security.password) else AUTHENTICATION_FAILURE
        return 0 if len(given) in CHALLENGE_LENGTHS and self.security.keys is not None else AUTHENTICATION_FAILURE

    def _open_initiate(self, client: int, rule: ClientRule, aarq: Aarq, ciphered: bool) -> tuple[bytes, bool]:
        """The plain initiate request, and whether it came sealed. Where a password opens a ciphered context, some
        clients leave it in clear (meter-model 4.3)."""
        information = aarq.user_information or b""
        if not ciphered or (rule.mechanism == Mechanism.LLS and not is_ciphered(information)):
            return information, False
        if self.security.keys is None:
            raise SecurityViolation("this meter has no keys")
        self._general = information[:1] == bytes((GENERAL_GLO,))
        counter, plain = self._unseal(self.security.keys, information)
        if self.observe is not None:
            self.observe(client, counter, plain)
        return plain, True

    def _accept(
        self, client: int, rule: ClientRule, aarq: Aarq, information: bytes, ciphered: bool, sealed: bool
    ) -> bytes:
        request = apdus.decode(information)
        if not isinstance(request, InitiateRequest):
            raise RemoteProtocolError("InitiateRequest expected")
        conformance = request.conformance & self.settings.conformance
        smallest = SMALLEST_CIPHERED_PDU if ciphered else 12
        wrong = 0
        if request.version != 6:
            wrong = 1  # dlms-version-too-low
        elif not conformance:
            wrong = 2  # incompatible-conformance
        elif 0 < request.max_receive_pdu < smallest:
            wrong = 3  # pdu-size-too-short
        if wrong:
            return Aare(aarq.context, 1, 1, ConfirmedServiceError(1, 6, wrong).encode()).encode()
        response = InitiateResponse(conformance, self.settings.max_receive_pdu).encode()
        keys = self.security.keys
        if sealed and keys is not None:
            title = self.security.system_title
            response = seal(keys, title, self.security.next_counter(), response, self._general)
        hls = rule.mechanism == Mechanism.HLS5
        if hls:
            self._answer_due = aarq.authentication or b""
            self._challenge = token_bytes(self.settings.challenge_length)
        self.client = client
        self.ciphered = ciphered
        self.state = State.PENDING if hls else State.ASSOCIATED
        self.services.negotiated(conformance, request.max_receive_pdu)
        return Aare(
            aarq.context,
            0,
            14 if hls else 0,
            response,
            self.security.system_title if ciphered or hls else None,
            None if rule.mechanism == Mechanism.NONE else rule.mechanism.value,
            self._challenge if hls else None,
        ).encode()

    def _authenticate(self, request: apdus.Apdu) -> ActionResponseNormal | ExceptionApdu:
        """reply_to_HLS_authentication; nothing else is served before it."""
        keys = self.security.keys
        if not isinstance(request, ActionRequestNormal) or request.method != REPLY_TO_HLS or keys is None:
            return ExceptionApdu(failures.SERVICE_NOT_ALLOWED, failures.OPERATION_NOT_POSSIBLE)
        try:
            given = axdr.decode(request.parameters or b"\x00")
            if given.tag != 9:
                raise SecurityViolation("HLS answer is not an octet-string")
            keys.check_answer(self.client_title, self._challenge, given.value)
        except RemoteProtocolError:
            self.state = State.NONE
            self.failed_logins += 1
            return ActionResponseNormal(request.invoke, AccessResult.OTHER_REASON.value)
        self.state = State.ASSOCIATED
        own = keys.answer_challenge(self.security.system_title, self.security.next_counter(), self._answer_due)
        return ActionResponseNormal(request.invoke, 0, axdr.encode(axdr.octet_string(own)))

    def _release(self, apdu: bytes) -> bytes:
        rlrq = apdus.decode(apdu)
        information = rlrq.user_information if isinstance(rlrq, Rlrq) else None
        answer = None
        keys = self.security.keys
        if information is not None and self.ciphered and keys is not None:
            self._general = information[:1] == bytes((GENERAL_GLO,))
            counter, plain = self._unseal(keys, information)
            if self.observe is not None:
                self.observe(self.client, counter, plain)
            response = InitiateResponse(self.services.conformance, self.settings.max_receive_pdu).encode()
            answer = seal(keys, self.security.system_title, self.security.next_counter(), response, self._general)
        self.state = State.NONE
        self.services.reset()
        return Rlre(0, answer).encode()

    def _refuse_stale(self, stale: StaleCounter, rejection: bytes | None) -> bytes | None:
        how = self.settings.stale_counter
        if how is OnRefusal.EXCEPTION:
            expected = min(stale.last + 1, MAX_COUNTER)
            return ExceptionApdu(1, failures.INVOCATION_COUNTER_ERROR, expected).encode()
        return self._refuse(how, rejection or _exception(1, failures.OTHER_REASON))

    def _refuse(self, how: OnRefusal, rejection: bytes) -> bytes | None:
        if how in (OnRefusal.CLOSE, OnRefusal.TOLERATE):
            self.closed = True
        return None if how in (OnRefusal.CLOSE, OnRefusal.SILENCE, OnRefusal.TOLERATE) else rejection


def _exception(state: int, service: int) -> bytes:
    return ExceptionApdu(state, service).encode()


def _rejected(context: int, diagnostic: int) -> bytes:
    return Aare(context, 1, diagnostic, None).encode()

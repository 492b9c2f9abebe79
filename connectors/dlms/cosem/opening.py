"""Opening and closing an association from the client's side: AARQ, the HLS5 handshake, RLRQ (meter-model 4)."""

from __future__ import annotations

import hmac
from collections.abc import Generator
from secrets import token_bytes
from typing import TYPE_CHECKING

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
    decode,
)
from .channel import check_title, seal, unseal
from .errors import AssociationRefused, ExceptionResponse, RemoteProtocolError, SecurityViolation, ServiceError
from .events import Associated, Outcome, Released
from .names import method

if TYPE_CHECKING:
    from .client import ClientAssociation

REPLY_TO_HLS = method(15, "0.0.40.0.0.255", 1)
CHALLENGE_LENGTHS = range(8, 65)


def open_association(client: ClientAssociation) -> Generator[bytes, bytes, Outcome]:
    """AARQ, AARE and, for HLS5, both challenge answers. Nothing weaker than asked for is accepted."""
    settings = client.settings
    challenge = token_bytes(settings.challenge_length) if settings.mechanism == Mechanism.HLS5 else None
    aare = decode((yield _aarq(client, challenge)))
    if isinstance(aare, ExceptionApdu):
        raise ExceptionResponse(aare.state, aare.service, aare.counter)
    if isinstance(aare, ConfirmedServiceError):
        raise ServiceError(aare.service, aare.kind, aare.value)
    if not isinstance(aare, Aare):
        raise RemoteProtocolError(f"the AARQ was answered by {type(aare).__name__}")
    if aare.result != 0:
        raise AssociationRefused(aare.result, aare.diagnostic, aare.source)
    if aare.context != (LN_CIPHERED if settings.ciphered else LN):
        raise SecurityViolation(f"application context {aare.context} is not the one asked for")
    if settings.keys is not None:
        client.server_title = check_title(aare.responding_title, settings.system_title, settings.server_title)
    _take_initiate_response(client, aare)
    if settings.mechanism != Mechanism.HLS5:
        if aare.diagnostic != 0:
            raise RemoteProtocolError(f"accepted with diagnostic {aare.diagnostic}: the meter wants another mechanism")
    elif aare.diagnostic != 14 or aare.mechanism != Mechanism.HLS5 or challenge is None:
        raise SecurityViolation("HLS5 was asked for, the meter associates without")
    else:
        yield from _authenticate(client, challenge, aare.authentication)
    client.associated = True
    return Associated(client.server_title, client.conformance, client.max_send_pdu)


def _aarq(client: ClientAssociation, challenge: bytes | None) -> bytes:
    settings = client.settings
    none = settings.mechanism == Mechanism.NONE
    return Aarq(
        LN_CIPHERED if settings.ciphered else LN,
        _initiate_request(client),
        None if settings.keys is None else settings.system_title,
        None if none else settings.mechanism.value,
        settings.password if settings.mechanism == Mechanism.LLS else challenge,
    ).encode()


def _initiate_request(client: ClientAssociation) -> bytes:
    settings = client.settings
    request = InitiateRequest(settings.conformance, settings.max_receive_pdu).encode()
    if not settings.ciphered or client.keys is None:
        return request
    return seal(client.keys, settings.system_title, client.take_counter(), request, settings.general)


def _take_initiate_response(client: ClientAssociation, aare: Aare) -> None:
    information = aare.user_information
    if information is None:
        raise RemoteProtocolError("the AARE has no user information")
    if client.settings.ciphered and client.keys is not None and information[:1] != b"\x0e":
        client.peer_counter, information = unseal(
            client.keys, client.server_title, client.peer_counter, information, client.settings.general
        )
    response = decode(information)
    if isinstance(response, ConfirmedServiceError):
        raise ServiceError(response.service, response.kind, response.value)
    if not isinstance(response, InitiateResponse) or response.version != 6:
        raise RemoteProtocolError("the AARE does not hold an InitiateResponse of DLMS version 6")
    if response.max_receive_pdu and response.max_receive_pdu < 64:
        raise RemoteProtocolError(f"the meter takes PDUs of {response.max_receive_pdu} bytes: no block fits")
    client.conformance = response.conformance & client.settings.conformance
    client.max_send_pdu = response.max_receive_pdu
    client.ciphered = bool(client.settings.ciphered)


def _authenticate(client: ClientAssociation, challenge: bytes, theirs: bytes | None) -> Generator[bytes, bytes, None]:
    keys = client.keys
    if keys is None or theirs is None or len(theirs) not in CHALLENGE_LENGTHS:
        raise SecurityViolation("the meter's challenge is missing, or not 8 to 64 bytes")
    if hmac.compare_digest(theirs, challenge):
        raise SecurityViolation("the meter sends our own challenge back")
    answer = keys.answer_challenge(client.settings.system_title, client.take_counter(), theirs)
    invoke = client.next_invoke()
    request = ActionRequestNormal(invoke, REPLY_TO_HLS, axdr.encode(axdr.octet_string(answer)))
    response = client.unseal((yield client.seal(request.encode())))
    if not isinstance(response, ActionResponseNormal) or response.invoke != invoke:
        raise RemoteProtocolError("the HLS answer was not answered by the response to that action")
    if response.result != 0:  # the meter did not take our answer: the same as a refusal by AARE (meter-model 4.4)
        raise AssociationRefused(1, 13)
    if not isinstance(response.returned, bytes):
        raise SecurityViolation("the meter does not answer our challenge")
    returned = axdr.decode(response.returned)
    if returned.tag != 9:
        raise SecurityViolation("the answer to our challenge is not an octet-string")
    keys.check_answer(client.server_title, challenge, returned.value)


def release(client: ClientAssociation) -> Generator[bytes, bytes, Outcome]:
    """RLRQ with the ciphered initiate request when ciphered, and RLRE; what is ciphered in it is checked."""
    information = _initiate_request(client) if client.ciphered else None
    raw = yield Rlrq(0, information).encode()
    rlre = decode(raw)
    if isinstance(rlre, ExceptionApdu):
        raise ExceptionResponse(rlre.state, rlre.service, rlre.counter)
    if not isinstance(rlre, Rlre):
        raise RemoteProtocolError(f"the RLRQ was answered by {type(rlre).__name__}")
    if client.ciphered and client.keys is not None and rlre.user_information is not None:
        client.peer_counter, _ = unseal(
            client.keys, client.server_title, client.peer_counter, rlre.user_information, client.settings.general
        )
    return Released()

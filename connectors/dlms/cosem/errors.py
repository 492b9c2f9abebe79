"""Everything this engine can raise, sorted by who broke the rules; nothing else leaves it, whatever bytes arrive.

CosemError
+-- LocalProtocolError      the caller: wrong order, value that does not fit its type, request above the meter's PDU
|   +-- CounterExhausted    the range of counters is used up: open again with a new range
+-- RemoteProtocolError     the peer: malformed bytes, or anything weaker than negotiated; the association is dead
|   +-- SecurityViolation   bad tag, replay, downgrade, plain APDU, wrong challenge answer, foreign system title
+-- AssociationRefused      the AARE said no: result, diagnostic
+-- AccessRefused           the meter said no to a get, set or action: its result code; the association goes on
+-- ExceptionResponse       the meter refused the whole APDU: state, service, expected counter; it may go on
+-- ServiceError            confirmed-service-error: service, kind, value
"""

from __future__ import annotations

from enum import IntEnum


class CosemError(Exception):
    """Root of the tree above."""


class LocalProtocolError(CosemError):
    """The caller asked for something the protocol or the negotiated association does not allow."""


class CounterExhausted(LocalProtocolError):
    """No invocation counter is left in the range this association was given."""


class RemoteProtocolError(CosemError):
    """The peer sent what the protocol does not allow; the association must not be used any further."""


class SecurityViolation(RemoteProtocolError):
    """The peer sent something weaker than negotiated, or something it cannot have made itself."""


class StaleCounter(SecurityViolation):
    """The peer's invocation counter did not rise: a replay, or a peer that lost its count."""

    def __init__(self, counter: int, last: int) -> None:
        super().__init__(f"invocation counter {counter} does not rise above {last}")
        self.counter = counter
        self.last = last


class AssociationRefused(CosemError):
    """AARE with a result other than accepted (meter-model 4.4).

    `result` 1 permanent, 2 transient; `diagnostic` of `source` ("user" or "provider").
    """

    def __init__(self, result: int, diagnostic: int, source: str = "user") -> None:
        kind = {1: "rejected permanent", 2: "rejected transient"}.get(result, f"result {result}")
        names = USER_DIAGNOSTICS if source == "user" else PROVIDER_DIAGNOSTICS
        super().__init__(
            f"association refused: {kind}, {source} diagnostic {diagnostic} ({names.get(diagnostic, '?')})"
        )
        self.result = result
        self.diagnostic = diagnostic
        self.source = source


class AccessRefused(CosemError):
    """A get, set or action was answered with a result other than success (meter-model 6)."""

    def __init__(self, code: int, service: str = "get") -> None:
        self.code = code
        self.service = service
        self.name = action_result_name(code) if service == "action" else access_result_name(code)
        super().__init__(f"{service} refused: {self.name} ({code})")

    def __eq__(self, other: object) -> bool:
        return type(other) is AccessRefused and (other.code, other.service) == (self.code, self.service)

    def __hash__(self) -> int:
        return hash((self.code, self.service))


class ExceptionResponse(CosemError):
    """exception-response D8: the peer refused the APDU as a whole.

    `counter` is the invocation counter the peer expects, only with service error 6; it comes in clear, so it is a hint,
    not a proof.
    """

    def __init__(self, state: int, service: int, counter: int | None = None) -> None:
        expected = "" if counter is None else f", expected counter {counter}"
        super().__init__(
            f"exception response: {STATE_ERRORS.get(state, state)}, {SERVICE_ERRORS.get(service, service)}{expected}"
        )
        self.state = state
        self.service = service
        self.counter = counter


class ServiceError(CosemError):
    """confirmed-service-error 0E: the service it answers, the kind of error and its value."""

    def __init__(self, service: int, kind: int, value: int) -> None:
        super().__init__(f"confirmed service error: service {service}, kind {kind}, value {value}")
        self.service = service
        self.kind = kind
        self.value = value


class AccessResult(IntEnum):
    """Data-Access-Result, and Action-Result where the two agree (meter-model 6)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


ACTION_ONLY = {15: "long-action-aborted", 16: "no-long-action-in-progress"}
STATE_ERRORS = {1: "service not allowed", 2: "service unknown"}
SERVICE_ERRORS = {
    1: "operation not possible",
    2: "service not supported",
    3: "other reason",
    4: "pdu too long",
    5: "deciphering error",
    6: "invocation counter error",
}
USER_DIAGNOSTICS = {
    0: "null",
    1: "no reason given",
    2: "application context name not supported",
    11: "authentication mechanism name not recognised",
    12: "authentication mechanism name required",
    13: "authentication failure",
    14: "authentication required",
}
PROVIDER_DIAGNOSTICS = {0: "null", 1: "no reason given", 2: "no common ACSE version"}


def access_result_name(code: int) -> str:
    """The standard's name of a Data-Access-Result, such as `read-write-denied`."""
    try:
        return AccessResult(code).name.lower().replace("_", "-")
    except ValueError:
        return f"unknown-result-{code}"


def action_result_name(code: int) -> str:
    """The standard's name of an Action-Result: as for data access but for 15 and 16."""
    return ACTION_ONLY.get(code) or access_result_name(code)

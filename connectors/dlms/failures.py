"""What the engine's errors mean to an operation and its caller: codes and names of `operations-managing.md` 2.16."""

from connectors.dlms import cosem
from operations._errors import MeterRefused, MeterUnusable, OperationError, Unreachable


class OutOfStep(Unreachable):
    """The meter may expect a higher invocation counter: it closed, or refused, or said so (reference 2.11)."""

    def __init__(self, cause: Unreachable, expected: int | None = None) -> None:
        super().__init__(str(cause), code=cause.code, name=cause.name)
        self.expected = expected


def operation_error(error: cosem.CosemError, what: str) -> OperationError:
    """What an error of the engine means to an operation and its caller (reference 2.16, 0.6)."""
    match error:
        case cosem.AccessRefused():
            return MeterRefused(error.code, error.name, what)
        case cosem.ExceptionResponse(service=6):
            reason = Unreachable(f"{what}: {error}", code=230, name="UNABLE_TO_DECYPHER")
            return OutOfStep(reason, error.counter)
        case cosem.ExceptionResponse(service=5):
            return Unreachable(f"{what}: {error}", code=230, name="UNABLE_TO_DECYPHER")
        case cosem.ExceptionResponse() | cosem.ServiceError():
            return MeterUnusable(f"{what}: {error}")
        case cosem.SecurityViolation():
            return Unreachable(f"{what}: {error}", code=230, name="UNABLE_TO_DECYPHER")
        case cosem.RemoteProtocolError() if str(error).startswith("wrapper"):
            return Unreachable(f"{what}: {error}", code=231, name="WRAPPER_HEADER_INVALID")
        case cosem.RemoteProtocolError():
            return Unreachable(f"{what}: {error}", code=232, name="ILLEGAL_RESPONSE")
        case cosem.CounterExhausted():
            return Unreachable(f"{what}: every frame the job may use was sent: {error}")
        case _:  # we asked for what the protocol does not allow: no retry mends it
            return OperationError(f"{what}: {error}")


def not_associated(error: cosem.CosemError) -> OperationError:
    """What an error of the engine means while the association is being opened."""
    if not isinstance(error, cosem.AssociationRefused):
        return operation_error(error, "association")
    match error.source, error.diagnostic:
        case "user", 13:
            code, name = 223, "AUTHENTICATION_ERROR"
        case "user", 11 | 12 | 14:
            code, name = 224, "AUTHENTICATION_REQUIRED"
        case _ if error.result in (1, 2):
            code, name = 228, "CONNECTION_ESTABLISH_ERROR"
        case _:
            code, name = 234, "UNKNOWN_ASSOCIATION_RESULT"
    refused = Unreachable(str(error), code=code, name=name)
    # Rejected permanent by the user side is one of the two ways a stale counter shows (reference 2.11).
    return OutOfStep(refused) if (error.result, error.source) == (1, "user") else refused

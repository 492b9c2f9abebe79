"""Refusal of a whole APDU: exception-response and confirmed-service-error (meter-model 4.4, 6)."""

from __future__ import annotations

from dataclasses import dataclass

from ._reader import Reader

SERVICE_NOT_ALLOWED = 1
SERVICE_UNKNOWN = 2
OPERATION_NOT_POSSIBLE = 1
SERVICE_NOT_SUPPORTED = 2
OTHER_REASON = 3
PDU_TOO_LONG = 4
DECIPHERING_ERROR = 5
INVOCATION_COUNTER_ERROR = 6


@dataclass(frozen=True, slots=True)
class ExceptionApdu:
    """ExceptionResponse ::= SEQUENCE {
        state-error [0] IMPLICIT ENUMERATED, service-error [1] CHOICE { .., invocation-counter-error [6] Unsigned32 }
    }"""

    state: int
    service: int
    counter: int | None = None

    def encode(self) -> bytes:
        head = bytes((0xD8, self.state, self.service))
        return head if self.counter is None else head + self.counter.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: Reader) -> ExceptionApdu:
        state, service = reader.u8(), reader.u8()
        return cls(state, service, reader.number(4) if service == INVOCATION_COUNTER_ERROR else None)


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """ConfirmedServiceError ::= CHOICE { initiateError [1] ServiceError, .. }

    ServiceError ::= CHOICE { .., initiate [6] ENUMERATED, .. }
    """

    service: int
    kind: int
    value: int

    def encode(self) -> bytes:
        return bytes((0x0E, self.service, self.kind, self.value))

    @classmethod
    def read(cls, reader: Reader) -> ConfirmedServiceError:
        return cls(reader.u8(), reader.u8(), reader.u8())

"""What an operation, and the worker that runs it, may raise, sorted by who must act.

    OperationError
    |-- Rejected          the caller: the request is wrong; names the field
    |-- MeterRefused      the meter said no: an access or action result other than success
    |-- MeterUnusable     the meter answered, but with content nobody can use (wrong type, wrong count, no time)
    `-- Unreachable       nobody at fault: transport, association or time-out; `retriable`

They are turned into an outcome in one place, the worker. Codes, names and components are those of
`operations-managing.md` 2.16; which of them are tried again is its 0.6 with the DESIGN line taken.
"""

from typing import Final

from schemas.records import Fault

COMPONENT = "METERLOG"
PASSING: Final = frozenset({2, 14, 15, 17})
"""Results that another attempt may not meet (meter-model 6): temporary failure, data block unavailable, long get or
action aborted, long set aborted.
"""


class OperationError(Exception):
    """Root; `retriable` says whether another attempt may mend it."""

    retriable: bool = False
    code: int = 0
    name: str = "TECHNICAL"

    def fault(self) -> Fault:
        return Fault(code=self.code, name=self.name, component=COMPONENT, message=str(self))


class Rejected(OperationError):
    """The request cannot be carried out as asked, on this device, ever."""

    def __init__(
        self, reason: str, *, field: str | None = None, code: int = 401, name: str = "VALIDATION_ERROR"
    ) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason, self.field, self.code, self.name = reason, field, code, name

    def within(self, path: str) -> "Rejected":
        """The same, of a record that lies at `path` of the request."""
        field = f"{path}.{self.field}" if self.field else path
        return Rejected(self.reason, field=field, code=self.code, name=self.name)

    def fault(self) -> Fault:
        return Fault(code=self.code, name=self.name, component=COMPONENT, message=str(self), field=self.field)


class MeterRefused(OperationError):
    """A get, set or action was answered with a result other than success (DLMS Data-Access-Result / Action-Result).

    The meter decided, and will again: GXF tries such commands three times all the same (0.6), we only those whose
    result says that it passes. One that a caller is told under a code of its own (412) is final as well.
    """

    def __init__(self, result: int, result_name: str, what: str, *, code: int = 0, name: str = "METER_REFUSED") -> None:
        super().__init__(f"{what}: {result_name} ({result})")
        self.result, self.result_name, self.what = result, result_name, what
        self.code, self.name = code, name
        self.retriable = result in PASSING and not code


class MeterUnusable(OperationError):
    """The meter answered with something that is not what the object model says. Another reading may differ:
    retriable.
    """

    retriable = True
    name = "METER_ANSWER_UNUSABLE"


class Unreachable(OperationError):
    """No connection, no association, no answer, or the session ended early. `name` and `code` say which (223 to
    234).
    """

    retriable = True

    def __init__(self, reason: str, *, code: int = 211, name: str = "CONNECTION_ERROR") -> None:
        super().__init__(reason)
        self.code, self.name = code, name

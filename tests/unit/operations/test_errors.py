"""Which failures another attempt may mend: operations-managing 0.6, with its DESIGN line."""

import pytest

from operations._errors import MeterRefused, MeterUnusable, OperationError, Rejected, Unreachable


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (Unreachable("nobody listens", code=225, name="CONNECTION_REFUSED"), True),  # connection error
        (Unreachable("wrong keys", code=230, name="UNABLE_TO_DECYPHER"), True),
        (Rejected("not in the profile", code=416), False),  # not supported by protocol
        (Rejected("no such operation", code=407), False),  # missing executor
        (Rejected("not a zone", code=401), False),  # validation
        (Rejected("no such device", code=201), False),  # unknown entity
        (Rejected("15 octets", code=802), False),  # key format
        (MeterUnusable("text where a number belongs"), True),  # protocol adapter error: unexpected data type
        (MeterRefused(2, "temporary-failure", "clock"), True),  # and result not success, as far as it passes
        (MeterRefused(14, "data-block-unavailable", "profile"), True),
        (MeterRefused(3, "read-write-denied", "clock"), False),
        (MeterRefused(4, "object-undefined", "clock"), False),
        (MeterRefused(250, "other-reason", "clock"), False),
        (MeterRefused(2, "temporary-failure", "any", code=412), False),  # 4xx
        (OperationError("a mistake of ours"), False),
    ],
)
def test_whether_it_is_tried_again(error: OperationError, retriable: bool) -> None:
    assert error.retriable is retriable

"""What no honest meter sends, byte for byte: the association seals it, so that a head-end must judge what it says."""

from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.apdu import (
    DataNotification,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    decode,
)
from connectors.simulator.faults import Fault

_BLOCK: Final = bytes(64)
_FALSE_VALUE: Final = bytes.fromhex("01 84 FFFFFFFF")  # an array of four thousand million elements, none of which comes
_FOLDED: Final = bytes.fromhex("13 0202010FA00011 01 07")  # a compact array: 4,002 elements in ten bytes
_FOLDS: Final = 5_000


def answer(fault: Fault, asked: bytes) -> bytes | None:
    """The plain APDU that a meter with a forged fault answers to a get; None for requests that it answers honestly."""
    if asked[:1] != b"\xc0":
        return None
    request = decode(asked)
    if not isinstance(request, GetRequestNormal | GetRequestNext):
        return None
    invoke = request.invoke
    match fault:
        case Fault.FOREIGN:
            other = invoke & 0xF0 | (invoke + 7) & 0x0F
            return GetResponseNormal(other, axdr.encode(axdr.double_long_unsigned(4_711))).encode()
        case Fault.FALSE_VALUE:
            return b"\xc4\x01" + bytes((invoke, 0)) + _FALSE_VALUE
        case Fault.UNFOLDING:
            return GetResponseNormal(invoke, b"\x01" + axdr.encode_length(_FOLDS) + _FOLDED * _FOLDS).encode()
        case Fault.ENDLESS:
            number = request.number + 1 if isinstance(request, GetRequestNext) else 1
            return GetResponseWithDatablock(invoke, False, number, _BLOCK).encode()
    raise ValueError(f"{fault} is not forged")


def notification() -> bytes:
    """A data-notification, in clear."""
    return DataNotification(1, b"", axdr.octet_string(b"unasked")).encode()

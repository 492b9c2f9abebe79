"""One class a production of the standard, each with `encode` and `read`; `decode` chooses among them by the first
bytes.

A new APDU is a class in the file of its service and a row in one of the two tables.
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ._blocks import Block, Selected
from ._reader import Reader
from .action import (
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
)
from .association import LN, LN_CIPHERED, Aare, Aarq, Mechanism, Rlre, Rlrq
from .failures import ConfirmedServiceError, ExceptionApdu
from .get import (
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
)
from .initiate import CORE_CONFORMANCE, Conformance, InitiateRequest, InitiateResponse
from .notification import DataNotification, EventNotification
from .set import (
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
)

GetRequest = GetRequestNormal | GetRequestNext | GetRequestWithList
GetResponse = GetResponseNormal | GetResponseWithDatablock | GetResponseWithList
SetRequest = (
    SetRequestNormal
    | SetRequestWithFirstDatablock
    | SetRequestWithDatablock
    | SetRequestWithList
    | SetRequestWithListAndFirstDatablock
)
SetResponse = (
    SetResponseNormal
    | SetResponseDatablock
    | SetResponseLastDatablock
    | SetResponseLastDatablockWithList
    | SetResponseWithList
)
ActionRequest = (
    ActionRequestNormal
    | ActionRequestNextPblock
    | ActionRequestWithList
    | ActionRequestWithFirstPblock
    | ActionRequestWithPblock
)
ActionResponse = ActionResponseNormal | ActionResponseWithPblock | ActionResponseWithList | ActionResponseNextPblock
Apdu = (
    GetRequest
    | GetResponse
    | SetRequest
    | SetResponse
    | ActionRequest
    | ActionResponse
    | Aarq
    | Aare
    | Rlrq
    | Rlre
    | InitiateRequest
    | InitiateResponse
    | DataNotification
    | EventNotification
    | ExceptionApdu
    | ConfirmedServiceError
)

BY_TAG: dict[int, type[Apdu]] = {
    0x01: InitiateRequest,
    0x08: InitiateResponse,
    0x0E: ConfirmedServiceError,
    0x0F: DataNotification,
    0x60: Aarq,
    0x61: Aare,
    0x62: Rlrq,
    0x63: Rlre,
    0xC2: EventNotification,
    0xD8: ExceptionApdu,
}
BY_CHOICE: dict[int, type[Apdu]] = {
    0xC001: GetRequestNormal,
    0xC002: GetRequestNext,
    0xC003: GetRequestWithList,
    0xC101: SetRequestNormal,
    0xC102: SetRequestWithFirstDatablock,
    0xC103: SetRequestWithDatablock,
    0xC104: SetRequestWithList,
    0xC105: SetRequestWithListAndFirstDatablock,
    0xC301: ActionRequestNormal,
    0xC302: ActionRequestNextPblock,
    0xC303: ActionRequestWithList,
    0xC304: ActionRequestWithFirstPblock,
    0xC306: ActionRequestWithPblock,
    0xC401: GetResponseNormal,
    0xC402: GetResponseWithDatablock,
    0xC403: GetResponseWithList,
    0xC501: SetResponseNormal,
    0xC502: SetResponseDatablock,
    0xC503: SetResponseLastDatablock,
    0xC504: SetResponseLastDatablockWithList,
    0xC505: SetResponseWithList,
    0xC701: ActionResponseNormal,
    0xC702: ActionResponseWithPblock,
    0xC703: ActionResponseWithList,
    0xC704: ActionResponseNextPblock,
}


def decode(apdu: bytes) -> Apdu:
    """The plain APDU these bytes are. Raises RemoteProtocolError when they are none, cut off, or more than one."""
    start = 1
    kind = BY_TAG.get(apdu[0]) if apdu else None
    if kind is None:
        start = 2
        kind = BY_CHOICE.get(apdu[0] << 8 | apdu[1]) if len(apdu) > 1 else None
        if kind is None:
            raise RemoteProtocolError(f"APDU {apdu[:2].hex() or 'of no bytes'} is unknown")
    reader = Reader(apdu, start)
    decoded = kind.read(reader)
    reader.end()
    return decoded


__all__ = [
    "BY_CHOICE",
    "BY_TAG",
    "CORE_CONFORMANCE",
    "LN",
    "LN_CIPHERED",
    "Aare",
    "Aarq",
    "ActionRequest",
    "ActionRequestNextPblock",
    "ActionRequestNormal",
    "ActionRequestWithFirstPblock",
    "ActionRequestWithList",
    "ActionRequestWithPblock",
    "ActionResponse",
    "ActionResponseNextPblock",
    "ActionResponseNormal",
    "ActionResponseWithList",
    "ActionResponseWithPblock",
    "Apdu",
    "Block",
    "Conformance",
    "ConfirmedServiceError",
    "DataNotification",
    "EventNotification",
    "ExceptionApdu",
    "GetRequest",
    "GetRequestNext",
    "GetRequestNormal",
    "GetRequestWithList",
    "GetResponse",
    "GetResponseNormal",
    "GetResponseWithDatablock",
    "GetResponseWithList",
    "InitiateRequest",
    "InitiateResponse",
    "Mechanism",
    "Rlre",
    "Rlrq",
    "Selected",
    "SetRequest",
    "SetRequestNormal",
    "SetRequestWithDatablock",
    "SetRequestWithFirstDatablock",
    "SetRequestWithList",
    "SetRequestWithListAndFirstDatablock",
    "SetResponse",
    "SetResponseDatablock",
    "SetResponseLastDatablock",
    "SetResponseLastDatablockWithList",
    "SetResponseNormal",
    "SetResponseWithList",
    "decode",
]

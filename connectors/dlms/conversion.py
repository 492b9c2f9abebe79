"""Between the two kinds of COSEM value: the engine's, and the operations'.

Operations know no connector and the engine no operation, so each has a value class of its own. Both tell the same tags;
they differ in bit-strings (text of 0 and 1 here, number of bits and octets there) and in compact arrays.
"""

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.values import Data as CosemData
from operations._data import Data


def from_cosem(data: CosemData) -> Data:
    """The engine's value as operations see it: a bit-string is (number of bits, bytes), the rest is the same."""
    tag, value = data
    if tag in (1, 2):
        return Data(tag, tuple(from_cosem(item) for item in value))
    if tag == 4:
        return Data(tag, (len(value), axdr.bytes_of(value)))
    if tag == 19:
        return Data(tag, tuple(from_cosem(item) for item in value.items))
    return Data(tag, value)


def to_cosem(data: Data) -> CosemData:
    """The other way. Raises LocalProtocolError only when it is encoded."""
    if data.tag in (1, 2):
        return CosemData(data.tag, tuple(to_cosem(item) for item in data.value))
    if data.tag == 4:
        length, raw = data.value
        return CosemData(data.tag, axdr.bits_of(raw, length))
    return CosemData(data.tag, data.value)

"""Takes out of the plain APDUs of one association what is, or might be, secret: pure, in the order they were exchanged.

An answer does not say what it answers, and a block not what it is a piece of; so a `Conversation` remembers the request
under way. A hidden value becomes an octet-string of zeros that takes as many bytes, so that what is left is still an
APDU, of the size it had.
"""

from dataclasses import replace
from typing import Final, TypeVar

from connectors.dlms import cosem
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.apdu import Apdu, Mechanism
from connectors.dlms.debugging.whitelist import attribute_shown, method_shown

_OCTET_STRING: Final = 9

T = TypeVar("T")


def hidden(value: bytes) -> bytes:
    """Zeros for an encoded value, as an octet-string of the same size; null-data has nothing to hide."""
    size = len(value)
    if size < 2:
        return bytes(size)
    for lengths in range(5):  # bytes of the length, after its first
        content = size - 2 - lengths
        if content < (0x80 if not lengths else 1 << (8 * lengths)):
            break
    head = bytes((content,)) if not lengths else bytes((0x80 | lengths,)) + content.to_bytes(lengths, "big")
    return bytes((_OCTET_STRING,)) + head + bytes(content)


class Conversation:
    """The APDUs of one association. `withheld` counts the bytes hidden in the last one."""

    def __init__(self) -> None:
        self.withheld = 0
        self._shown: tuple[bool, ...] = ()  # of the request under way: may the value of each object be shown

    def redacted(self, apdu: Apdu) -> Apdu:
        """The APDU without secrets; the same object when there is nothing to hide."""
        self.withheld = 0
        match apdu:
            case apdus.Aarq() | apdus.Aare():
                return self._acse(apdu)
            case apdus.Rlrq() | apdus.Rlre():
                return replace(apdu, user_information=self._initiate(apdu.user_information))
            case apdus.InitiateRequest(dedicated_key=bytes(key)):
                self.withheld = len(key)
                return replace(apdu, dedicated_key=bytes(len(key)))
            case (
                apdus.GetRequestNormal()
                | apdus.GetRequestWithList()
                | apdus.SetRequestNormal()
                | apdus.SetRequestWithFirstDatablock()
                | apdus.SetRequestWithList()
                | apdus.SetRequestWithListAndFirstDatablock()
                | apdus.ActionRequestNormal()
                | apdus.ActionRequestWithFirstPblock()
                | apdus.ActionRequestWithList()
            ):
                self._shown = _shown(apdu)
                return self._request(apdu)
            case apdus.SetRequestWithDatablock() | apdus.ActionRequestWithPblock():
                return replace(apdu, block=self._block(apdu.block))
            case apdus.GetResponseNormal():
                return replace(apdu, result=self._value(apdu.result, self._all))
            case apdus.GetResponseWithDatablock():
                return replace(apdu, result=self._raw(apdu.result))
            case apdus.GetResponseWithList():
                return replace(apdu, results=tuple(map(self._value, apdu.results, self._each(len(apdu.results)))))
            case apdus.ActionResponseNormal():
                return replace(apdu, returned=self._value(apdu.returned, self._all))
            case apdus.ActionResponseWithPblock():
                return replace(apdu, block=self._block(apdu.block))
            case apdus.ActionResponseWithList():
                return replace(apdu, responses=tuple([(code, self._value(got, False)) for code, got in apdu.responses]))
            case apdus.DataNotification():
                self.withheld = len(apdu.encode())
                return replace(apdu, body=cosem.axdr.null())
            case apdus.EventNotification():
                self.withheld = len(apdu.encode())
                return replace(apdu, value=cosem.axdr.null())
        return apdu  # numbers of blocks, result codes, conformance: nothing of it is a value

    @property
    def _all(self) -> bool:
        return bool(self._shown) and all(self._shown)

    def _each(self, count: int) -> tuple[bool, ...]:
        return self._shown if len(self._shown) == count else (False,) * count

    def _request(self, apdu: Apdu) -> Apdu:
        match apdu:
            case apdus.SetRequestNormal():
                return replace(apdu, value=self._value(apdu.value, self._all))
            case apdus.SetRequestWithList():
                return replace(apdu, values=tuple(map(self._value, apdu.values, self._each(len(apdu.values)))))
            case apdus.ActionRequestNormal():
                return replace(apdu, parameters=self._value(apdu.parameters, self._all))
            case apdus.ActionRequestWithList():
                return replace(apdu, parameters=tuple([self._value(each, False) for each in apdu.parameters]))
            case (
                apdus.SetRequestWithFirstDatablock()
                | apdus.SetRequestWithListAndFirstDatablock()
                | apdus.ActionRequestWithFirstPblock()
            ):
                return replace(apdu, block=self._block(apdu.block))
        return apdu

    def _acse(self, apdu: apdus.Aarq | apdus.Aare) -> Apdu:
        """The challenges of HLS5 are random and go in clear; of any other mechanism it is a password, or may be."""
        secret = apdu.authentication
        if secret is not None and apdu.mechanism != Mechanism.HLS5:
            self.withheld += len(secret)
            secret = bytes(len(secret))
        return replace(apdu, authentication=secret, user_information=self._initiate(apdu.user_information))

    def _initiate(self, information: bytes | None) -> bytes | None:
        """A dedicated key travels in the initiate request; one that is ciphered stays as it is."""
        if not information or information[0] != 1:
            return information
        try:
            request = apdus.decode(information)
        except cosem.CosemError:
            self.withheld += len(information)
            return bytes(len(information))
        if not isinstance(request, apdus.InitiateRequest) or request.dedicated_key is None:
            return information
        self.withheld += len(request.dedicated_key)
        return replace(request, dedicated_key=bytes(len(request.dedicated_key))).encode()

    def _value(self, value: T, shown: bool) -> T:
        if shown or not isinstance(value, bytes):
            return value
        self.withheld += len(value)
        return hidden(value)  # type: ignore[return-value]  # bytes for bytes

    def _raw(self, raw: T) -> T:
        if self._all or not isinstance(raw, bytes):
            return raw
        self.withheld += len(raw)
        return bytes(len(raw))  # type: ignore[return-value]  # bytes for bytes

    def _block(self, block: apdus.Block) -> apdus.Block:
        return block._replace(raw=self._raw(block.raw))


def _shown(apdu: Apdu) -> tuple[bool, ...]:
    """Of each object of a request, in order, whether its value may be shown."""
    match apdu:
        case apdus.GetRequestNormal() | apdus.SetRequestNormal() | apdus.SetRequestWithFirstDatablock():
            return (attribute_shown(*apdu.attribute),)
        case apdus.GetRequestWithList() | apdus.SetRequestWithList() | apdus.SetRequestWithListAndFirstDatablock():
            return tuple([attribute_shown(*item.attribute) for item in apdu.attributes])
        case apdus.ActionRequestNormal() | apdus.ActionRequestWithFirstPblock():
            return (method_shown(apdu.method.class_id, apdu.method.method_id),)
    return ()

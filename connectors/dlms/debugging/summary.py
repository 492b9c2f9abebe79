"""One line about an APDU, for people: what it is, which objects it names, and a value where it is short.

Given redacted APDUs only. Needs no translator: what a log holds where gurux-dlms is not installed.
"""

from typing import Final

from connectors.dlms import cosem
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.apdu import Apdu, Conformance, Mechanism
from connectors.dlms.cosem.names import Attribute, Method, obis_text

_LONGEST: Final = 96  # characters of a value
_MOST: Final = 8  # objects of a list that are named


def summary(apdu: Apdu) -> str:
    """Such as `GetRequestNormal 8/0.0.1.0.0.255/2`."""
    about = _about(apdu)
    return f"{type(apdu).__name__} {about}" if about else type(apdu).__name__


def _about(apdu: Apdu) -> str:
    match apdu:
        case apdus.Aarq():
            return f"{_mechanism(apdu.mechanism)}, {_initiate(apdu.user_information)}"
        case apdus.Aare(result=0):
            return f"accepted, {_mechanism(apdu.mechanism)}, {_initiate(apdu.user_information)}"
        case apdus.Aare():
            return f"refused: result {apdu.result}, {apdu.source} diagnostic {apdu.diagnostic}"
        case apdus.Rlrq() | apdus.Rlre():
            return ""
        case apdus.GetRequestNormal():
            return _object(apdu.attribute) + ("" if apdu.selection is None else f" selector {apdu.selection.selector}")
        case apdus.GetRequestNext() | apdus.ActionRequestNextPblock() | apdus.ActionResponseNextPblock():
            return f"block {apdu.number}"
        case apdus.GetRequestWithList() | apdus.SetRequestWithListAndFirstDatablock():
            return _objects(apdu.attributes)
        case apdus.SetRequestWithList():
            return f"{_objects(apdu.attributes)} := {', '.join(map(_value, apdu.values[:_MOST]))}"
        case apdus.SetRequestNormal():
            return f"{_object(apdu.attribute)} := {_value(apdu.value)}"
        case apdus.SetRequestWithFirstDatablock():
            return f"{_object(apdu.attribute)} {_block(apdu.block)}"
        case apdus.ActionRequestNormal():
            return f"{_object(apdu.method)} {'' if apdu.parameters is None else _value(apdu.parameters)}".rstrip()
        case apdus.ActionRequestWithFirstPblock():
            return f"{_object(apdu.method)} {_block(apdu.block)}"
        case apdus.SetRequestWithDatablock() | apdus.ActionRequestWithPblock() | apdus.ActionResponseWithPblock():
            return _block(apdu.block)
        case apdus.GetResponseNormal():
            return _result(apdu.result)
        case apdus.GetResponseWithDatablock(result=int(code)):
            return f"block {apdu.number}, {_refused(code)}"
        case apdus.GetResponseWithDatablock(result=bytes(raw)):
            return _block(apdus.Block(apdu.last, apdu.number, raw))
        case apdus.GetResponseWithList():
            return ", ".join(map(_result, apdu.results[:_MOST])) + _more(len(apdu.results))
        case apdus.SetResponseNormal() | apdus.SetResponseLastDatablock():
            return _refused(apdu.result)
        case apdus.ActionResponseNormal(returned=None):
            return _refused(apdu.result)
        case apdus.ActionResponseNormal(returned=(bytes() | int()) as returned):
            return f"{_refused(apdu.result)}, {_result(returned)}"
        case apdus.ExceptionApdu():
            counter = "" if apdu.counter is None else f", invocation counter {apdu.counter} is expected"
            return f"state {apdu.state}, service {apdu.service}{counter}"
        case apdus.ConfirmedServiceError():
            return f"service {apdu.service}, kind {apdu.kind}, value {apdu.value}"
    return ""


def _mechanism(mechanism: int | None) -> str:
    if mechanism is None:
        return "no security"
    return Mechanism(mechanism).name if mechanism in list(Mechanism) else f"mechanism {mechanism}"


def _initiate(information: bytes | None) -> str:
    try:
        initiate = apdus.decode(information or b"")
    except cosem.CosemError:
        return "initiate not readable" if information else "no initiate"
    if isinstance(initiate, apdus.InitiateRequest | apdus.InitiateResponse):
        services = "+".join(each.name or "" for each in Conformance(initiate.conformance & 0xFFFFFF))
        return f"PDU {initiate.max_receive_pdu}, {services}"
    return type(initiate).__name__


def _object(named: Attribute | Method) -> str:
    class_id, instance_id, index = named
    return f"{class_id}/{obis_text(instance_id)}/{index}"


def _objects(listed: tuple[apdus.Selected, ...]) -> str:
    return ", ".join([_object(item.attribute) for item in listed[:_MOST]]) + _more(len(listed))


def _more(count: int) -> str:
    return f" and {count - _MOST} more" if count > _MOST else ""


def _block(block: apdus.Block) -> str:
    return f"block {block.number}{' (last)' if block.last else ''}, {len(block.raw)} bytes"


def _result(result: bytes | int) -> str:
    return _refused(result) if isinstance(result, int) else _value(result)


def _refused(code: int) -> str:
    """A result code by its name; 0 is success."""
    found = {each.value: each.name for each in cosem.AccessResult}
    return "success" if code == 0 else f"refused: {found.get(code, 'result')} ({code})"


def _value(encoded: bytes) -> str:
    try:
        tag, value = cosem.axdr.decode(encoded)
    except cosem.CosemError:
        return f"{len(encoded)} bytes"
    name = cosem.Tag(tag).name.lower()
    if isinstance(value, bytes):
        text = value.hex()
    elif isinstance(value, int | float | str) or value is None:
        text = "" if value is None else str(value)
    else:
        return f"{name}, {len(encoded)} bytes"
    return f"{name} {text}".rstrip() if len(text) <= _LONGEST else f"{name} {text[:_LONGEST]}..., {len(encoded)} bytes"

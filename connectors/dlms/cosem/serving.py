"""The services of an established association on the meter's side: get, set, action, lists and blocks (meter-model 5,
6)."""

from __future__ import annotations

from typing import Protocol

from . import axdr
from .apdu import (
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    Apdu,
    Block,
    Conformance,
    ExceptionApdu,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    Selected,
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
    failures,
)
from .apdu._reader import Reader
from .apdu.get import GetDataResult, encode_results
from .apdu.set import read_values
from .axdr import Data
from .errors import AccessResult, RemoteProtocolError
from .names import Attribute, Method, Selection
from .transfers import BLOCK_HEADER, Incoming, Outgoing

Answer = Data | bytes | int
Returned = Data | bytes | None

_SELECT = Conformance.SELECTIVE_ACCESS.value
_GET_BLOCKS = Conformance.BLOCK_TRANSFER_WITH_GET.value
_ACTION_BLOCKS = Conformance.BLOCK_TRANSFER_WITH_ACTION.value
_LIST = Conformance.MULTIPLE_REFERENCES.value
# what a request needs besides what it carries; anything not here is no request to a meter
_NEEDS: dict[type[Apdu], int] = {
    GetRequestNormal: Conformance.GET.value,
    GetRequestNext: Conformance.GET.value | _GET_BLOCKS,
    GetRequestWithList: Conformance.GET.value | _LIST,
    SetRequestNormal: Conformance.SET.value,
    SetRequestWithFirstDatablock: Conformance.SET.value | Conformance.BLOCK_TRANSFER_WITH_SET.value,
    SetRequestWithDatablock: Conformance.SET.value | Conformance.BLOCK_TRANSFER_WITH_SET.value,
    SetRequestWithList: Conformance.SET.value | _LIST,
    SetRequestWithListAndFirstDatablock: Conformance.SET.value | Conformance.BLOCK_TRANSFER_WITH_SET.value | _LIST,
    ActionRequestNormal: Conformance.ACTION.value,
    ActionRequestNextPblock: Conformance.ACTION.value | _ACTION_BLOCKS,
    ActionRequestWithList: Conformance.ACTION.value | _LIST,
    ActionRequestWithFirstPblock: Conformance.ACTION.value | _ACTION_BLOCKS,
    ActionRequestWithPblock: Conformance.ACTION.value | _ACTION_BLOCKS,
}


class ObjectAccess(Protocol):
    """The objects of a meter, as one client sees them. `client` is the client id; codes are those of meter-model 6."""

    def get(self, client: int, attribute: Attribute, selection: Selection | None) -> Answer:
        """The value, or its A-XDR bytes, or a result code other than 0."""

    def set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> int:
        """Write; the result code, 0 for success."""

    def action(self, client: int, method: Method, parameters: Data | None) -> int | tuple[int, Returned]:
        """Call; the result code, with what is returned when there is something."""


class Services:
    """Serves plain requests of one association; holds at most one transfer in blocks."""

    __slots__ = ("_incoming", "_outgoing", "conformance", "limit", "max_send_pdu", "objects")

    def __init__(self, objects: ObjectAccess, limit: int) -> None:
        self.objects = objects
        self.limit = limit
        self.conformance = 0
        self.max_send_pdu = 0
        self._outgoing: Outgoing | None = None
        self._incoming: Incoming | None = None

    def reset(self) -> None:
        """Forget a transfer."""
        self._outgoing = None
        self._incoming = None

    def negotiated(self, conformance: int, max_send_pdu: int) -> None:
        """Take what the association agreed on."""
        self.conformance = conformance
        self.max_send_pdu = max_send_pdu

    def serve(self, client: int, request: Apdu, space: int) -> Apdu:
        """The answer to a request, of at most `space` bytes. Raises RemoteProtocolError when a value in it is
        malformed."""
        needs = _NEEDS.get(type(request))
        if needs is None or self.conformance & needs != needs:
            return ExceptionApdu(failures.SERVICE_UNKNOWN, failures.SERVICE_NOT_SUPPORTED)
        match request:
            case GetRequestNext():
                return self._get_next(request, space)
            case SetRequestWithDatablock():
                return self._set_next(client, request)
            case ActionRequestWithPblock():
                return self._action_next(client, request, space)
            case ActionRequestNextPblock():
                return self._action_more(request, space)
        self.reset()  # a new request aborts a transfer
        match request:
            case GetRequestNormal():
                return self._get(client, request, space)
            case GetRequestWithList():
                results = tuple([self._value(client, *wanted) for wanted in request.attributes])
                listed = GetResponseWithList(request.invoke, results)
                return self._fit_get(listed, encode_results(results), space)
            case SetRequestNormal():
                value = axdr.decode(request.value)
                return SetResponseNormal(request.invoke, self._set(client, request.attribute, request.selection, value))
            case SetRequestWithList():
                return SetResponseWithList(request.invoke, self._set_all(client, request.attributes, request.values))
            case SetRequestWithFirstDatablock():
                self._incoming = Incoming(Selected(request.attribute, request.selection), self.limit)
                return self._set_block(client, request.invoke, request.block)
            case SetRequestWithListAndFirstDatablock():
                self._incoming = Incoming(request.attributes, self.limit)
                return self._set_block(client, request.invoke, request.block)
            case ActionRequestNormal():
                return self._action(client, request.invoke, request.method, request.parameters, space)
            case ActionRequestWithList():
                return self._action_list(client, request, space)
            case ActionRequestWithFirstPblock():
                self._incoming = Incoming(request.method, self.limit)
                return self._action_block(client, request.invoke, request.block, space)
        return ExceptionApdu(failures.SERVICE_UNKNOWN, failures.SERVICE_NOT_SUPPORTED)

    def _value(self, client: int, attribute: Attribute, selection: Selection | None) -> GetDataResult:
        if selection is not None and not self.conformance & _SELECT:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED.value
        answer = self.objects.get(client, attribute, selection)
        if isinstance(answer, bytes):
            return answer
        return int(answer) if isinstance(answer, int) else axdr.encode(answer)

    def _get(self, client: int, request: GetRequestNormal, space: int) -> Apdu:
        result = self._value(client, request.attribute, request.selection)
        return self._fit_get(
            GetResponseNormal(request.invoke, result), b"" if isinstance(result, int) else result, space
        )

    def _fit_get(self, response: GetResponseNormal | GetResponseWithList, content: bytes, space: int) -> Apdu:
        if len(content) + 4 <= space:
            return response
        if not self.conformance & _GET_BLOCKS:
            return ExceptionApdu(failures.SERVICE_NOT_ALLOWED, failures.PDU_TOO_LONG)
        self._outgoing = Outgoing(content)
        return self._next_block(self._outgoing, response.invoke, space)

    def _get_next(self, request: GetRequestNext, space: int) -> Apdu:
        transfer = self._outgoing
        wrong = 0
        if transfer is None:
            wrong = AccessResult.NO_LONG_GET_IN_PROGRESS.value
        elif transfer.done:
            wrong = AccessResult.DATA_BLOCK_UNAVAILABLE.value
        elif request.number != transfer.number:
            wrong = AccessResult.DATA_BLOCK_NUMBER_INVALID.value
        if transfer is None or wrong:
            self._outgoing = None
            return GetResponseWithDatablock(request.invoke, True, request.number, wrong)
        return self._next_block(transfer, request.invoke, space)

    def _next_block(self, transfer: Outgoing, invoke: int, space: int) -> Apdu:
        block = transfer.next(max(1, space - 4 - BLOCK_HEADER))
        return GetResponseWithDatablock(invoke, block.last, block.number, block.raw)

    def _set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> int:
        if selection is not None and not self.conformance & _SELECT:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED.value
        return int(self.objects.set(client, attribute, selection, value))

    def _set_all(self, client: int, wanted: tuple[Selected, ...], values: tuple[bytes, ...]) -> tuple[int, ...]:
        if len(wanted) != len(values):
            raise RemoteProtocolError(f"{len(wanted)} attributes, {len(values)} values")
        decoded = [axdr.decode(value) for value in values]
        return tuple([self._set(client, *target, value) for target, value in zip(wanted, decoded, strict=True)])

    def _set_next(self, client: int, request: SetRequestWithDatablock) -> Apdu:
        self._outgoing = None
        if self._incoming is None or isinstance(self._incoming.target, Method):
            self._incoming = None
            result = AccessResult.NO_LONG_SET_IN_PROGRESS.value
            return SetResponseLastDatablock(request.invoke, result, request.block.number)
        return self._set_block(client, request.invoke, request.block)

    def _set_block(self, client: int, invoke: int, block: Block) -> Apdu:
        transfer = self._incoming
        if transfer is None or isinstance(transfer.target, Method):
            raise RemoteProtocolError("block without a transfer")
        target = transfer.target
        count = 0 if isinstance(target, Selected) else len(target)
        due = len(transfer.blocks.parts) + 1
        try:
            transfer.blocks.add(block.number, block.last, block.raw)
        except RemoteProtocolError:
            self._incoming = None
            wrong = AccessResult.DATA_BLOCK_NUMBER_INVALID if block.number != due else AccessResult.LONG_SET_ABORTED
            return _set_result(invoke, wrong.value, block.number, count)
        if not block.last:
            return SetResponseDatablock(invoke, block.number)
        self._incoming = None
        try:
            content = transfer.blocks.joined()
            if isinstance(target, Selected):
                result = self._set(client, *target, axdr.decode(content))
                return SetResponseLastDatablock(invoke, result, block.number)
            reader = Reader(content)
            values = read_values(reader)
            reader.end()
            return SetResponseLastDatablockWithList(invoke, self._set_all(client, target, values), block.number)
        except RemoteProtocolError:
            return _set_result(invoke, AccessResult.TYPE_UNMATCHED.value, block.number, count)

    def _call(self, client: int, method: Method, parameters: bytes | None) -> tuple[int, bytes | None]:
        given = None if parameters is None else axdr.decode(parameters)
        answer = self.objects.action(client, method, given)
        if not isinstance(answer, tuple):
            return int(answer), None
        result, returned = answer
        if returned is None or isinstance(returned, bytes):
            return int(result), returned
        return int(result), axdr.encode(returned)

    def _action(self, client: int, invoke: int, method: Method, parameters: bytes | None, space: int) -> Apdu:
        result, returned = self._call(client, method, parameters)
        if result != 0 or returned is None or len(returned) + 6 <= space:
            return ActionResponseNormal(invoke, result, returned)
        if not self.conformance & _ACTION_BLOCKS:
            return ExceptionApdu(failures.SERVICE_NOT_ALLOWED, failures.PDU_TOO_LONG)
        self._outgoing = Outgoing(returned)
        return ActionResponseWithPblock(invoke, self._outgoing.next(max(1, space - 3 - BLOCK_HEADER)))

    def _action_list(self, client: int, request: ActionRequestWithList, space: int) -> Apdu:
        if len(request.methods) != len(request.parameters):
            raise RemoteProtocolError(f"{len(request.methods)} methods, {len(request.parameters)} parameters")
        called = zip(request.methods, request.parameters, strict=True)
        response = ActionResponseWithList(request.invoke, tuple([self._call(client, *item) for item in called]))
        if len(response.encode()) > space:
            return ExceptionApdu(failures.SERVICE_NOT_ALLOWED, failures.PDU_TOO_LONG)
        return response

    def _action_more(self, request: ActionRequestNextPblock, space: int) -> Apdu:
        transfer = self._outgoing
        if transfer is None or transfer.done or request.number != transfer.number:
            self._outgoing = None
            no_transfer = transfer is None or transfer.done
            return ActionResponseNormal(request.invoke, 16 if no_transfer else 15)
        return ActionResponseWithPblock(request.invoke, transfer.next(max(1, space - 3 - BLOCK_HEADER)))

    def _action_next(self, client: int, request: ActionRequestWithPblock, space: int) -> Apdu:
        self._outgoing = None
        if self._incoming is None or not isinstance(self._incoming.target, Method):
            self._incoming = None
            return ActionResponseNormal(request.invoke, 16)
        return self._action_block(client, request.invoke, request.block, space)

    def _action_block(self, client: int, invoke: int, block: Block, space: int) -> Apdu:
        transfer = self._incoming
        if transfer is None or not isinstance(transfer.target, Method):
            raise RemoteProtocolError("block without a transfer")
        try:
            transfer.blocks.add(block.number, block.last, block.raw)
        except RemoteProtocolError:
            self._incoming = None
            return ActionResponseNormal(invoke, 15)
        if not block.last:
            return ActionResponseNextPblock(invoke, block.number)
        self._incoming = None
        return self._action(client, invoke, transfer.target, transfer.blocks.joined(), space)


def _set_result(invoke: int, result: int, number: int, count: int) -> Apdu:
    """The refusal of a long set; `count` is the number of attributes of a list, 0 for a single one."""
    if count:
        return SetResponseLastDatablockWithList(invoke, (result,) * count, number)
    return SetResponseLastDatablock(invoke, result, number)

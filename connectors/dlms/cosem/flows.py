"""The client's conversations for get, set and action, block transfer included (meter-model 5.3)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from . import axdr, rows
from .apdu import (
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithPblock,
    Apdu,
    Block,
    Conformance,
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
)
from .apdu._reader import Reader
from .apdu.get import GetDataResult, read_results
from .apdu.set import encode_values
from .axdr import Data
from .errors import AccessRefused, LocalProtocolError, RemoteProtocolError
from .events import Called, Got, GotList, GotRows, Outcome, Written, WrittenList
from .names import Attribute, Method, Selection
from .transfers import BLOCK_HEADER, Blocks, cut

if TYPE_CHECKING:
    from .client import ClientAssociation

_LIST = Conformance.MULTIPLE_REFERENCES.value
_SELECT = Conformance.SELECTIVE_ACCESS.value
_GET = Conformance.GET.value
_SET = Conformance.SET.value
_ACTION = Conformance.ACTION.value
_SET_BLOCKS = Conformance.BLOCK_TRANSFER_WITH_SET.value
_ACTION_BLOCKS = Conformance.BLOCK_TRANSFER_WITH_ACTION.value

Flow = Generator[bytes, bytes, Outcome]


def get(client: ClientAssociation, attribute: Attribute, selection: Selection | None) -> Flow:
    """Get-Request-Normal; the value as Data."""
    return Got(axdr.decode((yield from _read(client, attribute, selection))))


def get_rows(client: ClientAssociation, attribute: Attribute, selection: Selection | None) -> Flow:
    """Get-Request-Normal; the value as rows."""
    return GotRows(rows.decode_rows((yield from _read(client, attribute, selection))))


def get_list(client: ClientAssociation, attributes: Sequence[Attribute | Selected]) -> Flow:
    """Get-Request-With-List; each value, or why there is none."""
    wanted = _selected(attributes)
    _need(client, _GET | _LIST | _selecting(wanted), "get with list")
    invoke = client.next_invoke()
    answer = yield from _exchange(client, invoke, GetRequestWithList(invoke, wanted).encode())
    if isinstance(answer, GetResponseWithList):
        results = answer.results
    else:
        reader = Reader((yield from _get_blocks(client, invoke, answer)))
        results = read_results(reader)
        reader.end()
    if len(results) != len(wanted):
        raise RemoteProtocolError(f"{len(wanted)} attributes were asked for, {len(results)} answered")
    return GotList(tuple([_item(result) for result in results]))


def _item(result: GetDataResult) -> Data | AccessRefused:
    return AccessRefused(result) if isinstance(result, int) else axdr.decode(result)


def _read(
    client: ClientAssociation, attribute: Attribute, selection: Selection | None
) -> Generator[bytes, bytes, bytes]:
    _need(client, _GET if selection is None else _GET | _SELECT, "get")
    invoke = client.next_invoke()
    answer = yield from _exchange(client, invoke, GetRequestNormal(invoke, attribute, selection).encode())
    if isinstance(answer, GetResponseNormal):
        return _value(answer.result)
    return (yield from _get_blocks(client, invoke, answer))


def _value(result: GetDataResult) -> bytes:
    if isinstance(result, int):
        raise AccessRefused(result)
    return result


def _get_blocks(client: ClientAssociation, invoke: int, answer: Apdu) -> Generator[bytes, bytes, bytes]:
    blocks = Blocks(client.settings.max_result)
    while True:
        if not isinstance(answer, GetResponseWithDatablock):
            raise RemoteProtocolError(f"a get was answered by {type(answer).__name__}")
        blocks.add(answer.number, answer.last, _value(answer.result))
        if answer.last:
            return blocks.joined()
        answer = yield from _exchange(client, invoke, GetRequestNext(invoke, answer.number).encode())


def set_value(client: ClientAssociation, attribute: Attribute, value: Data, selection: Selection | None) -> Flow:
    """Set-Request-Normal, or blocks."""
    _need(client, _SET if selection is None else _SET | _SELECT, "set")
    encoded = axdr.encode(value)
    invoke = client.next_invoke()
    request = SetRequestNormal(invoke, attribute, encoded, selection).encode()
    if len(request) <= client.room:
        answer = yield from _exchange(client, invoke, request)
        if not isinstance(answer, SetResponseNormal):
            raise RemoteProtocolError(f"a set was answered by {type(answer).__name__}")
    else:
        _need(client, _SET_BLOCKS, "set in blocks")
        head = len(request) - len(encoded)
        pieces = cut(encoded, client.room - head - BLOCK_HEADER, client.room - 3 - BLOCK_HEADER)
        first = SetRequestWithFirstDatablock(invoke, attribute, pieces[0], selection).encode()
        answer = yield from _send_blocks(client, invoke, first, pieces)
        if not isinstance(answer, SetResponseLastDatablock):
            raise RemoteProtocolError(f"the last block of a set was answered by {type(answer).__name__}")
        _check_number(answer.number, pieces[-1].number, answer.result)
    if answer.result != 0:
        raise AccessRefused(answer.result, "set")
    return Written()


def set_list(client: ClientAssociation, values: Sequence[tuple[Attribute | Selected, Data]]) -> Flow:
    """Set-Request-With-List, or with blocks of the list of values."""
    wanted = _selected([named for named, _ in values])
    encoded = tuple([axdr.encode(value) for _, value in values])
    _need(client, _SET | _LIST | _selecting(wanted), "set with list")
    invoke = client.next_invoke()
    request = SetRequestWithList(invoke, wanted, encoded).encode()
    if len(request) <= client.room:
        answer = yield from _exchange(client, invoke, request)
        if not isinstance(answer, SetResponseWithList):
            raise RemoteProtocolError(f"a set with list was answered by {type(answer).__name__}")
    else:
        _need(client, _SET_BLOCKS, "set in blocks")
        content = encode_values(encoded)
        head = len(request) - len(content)
        pieces = cut(content, client.room - head - BLOCK_HEADER, client.room - 3 - BLOCK_HEADER)
        first = SetRequestWithListAndFirstDatablock(invoke, wanted, pieces[0]).encode()
        answer = yield from _send_blocks(client, invoke, first, pieces)
        if not isinstance(answer, SetResponseLastDatablockWithList):
            raise RemoteProtocolError(f"the last block of a set was answered by {type(answer).__name__}")
        _check_number(answer.number, pieces[-1].number, 0)
    if len(answer.results) != len(wanted):
        raise RemoteProtocolError(f"{len(wanted)} attributes were written, {len(answer.results)} answered")
    return WrittenList(answer.results)


def _send_blocks(
    client: ClientAssociation, invoke: int, first: bytes, pieces: Sequence[Block]
) -> Generator[bytes, bytes, Apdu]:
    answer = yield from _exchange(client, invoke, first)
    for previous, piece in zip(pieces, pieces[1:], strict=False):
        if not isinstance(answer, SetResponseDatablock):
            break  # refused before the end: the caller judges it
        _check_number(answer.number, previous.number, 0)
        answer = yield from _exchange(client, invoke, SetRequestWithDatablock(invoke, piece).encode())
    return answer


def _check_number(number: int, due: int, result: int) -> None:
    if number != due and result == 0:
        raise RemoteProtocolError(f"block {number} acknowledged where {due} was sent")


def action(client: ClientAssociation, method: Method, parameters: Data | None) -> Flow:
    """Action-Request-Normal, or blocks of its parameters; the answer normal, or in blocks."""
    _need(client, _ACTION, "action")
    encoded = None if parameters is None else axdr.encode(parameters)
    invoke = client.next_invoke()
    request = ActionRequestNormal(invoke, method, encoded).encode()
    if encoded is None or len(request) <= client.room:
        answer = yield from _exchange(client, invoke, request)
    else:
        _need(client, _ACTION_BLOCKS, "action in blocks")
        pieces = cut(encoded, client.room - 12 - BLOCK_HEADER, client.room - 3 - BLOCK_HEADER)
        answer = yield from _exchange(client, invoke, ActionRequestWithFirstPblock(invoke, method, pieces[0]).encode())
        for previous, piece in zip(pieces, pieces[1:], strict=False):
            if not isinstance(answer, ActionResponseNextPblock):
                break
            _check_number(answer.number, previous.number, 0)
            answer = yield from _exchange(client, invoke, ActionRequestWithPblock(invoke, piece).encode())
    if isinstance(answer, ActionResponseWithPblock):
        return Called(axdr.decode((yield from _action_blocks(client, invoke, answer))))
    if not isinstance(answer, ActionResponseNormal):
        raise RemoteProtocolError(f"an action was answered by {type(answer).__name__}")
    if answer.result != 0:
        raise AccessRefused(answer.result, "action")
    if answer.returned is None:
        return Called(None)
    return Called(axdr.decode(_value(answer.returned)))


def _action_blocks(client: ClientAssociation, invoke: int, answer: Apdu) -> Generator[bytes, bytes, bytes]:
    blocks = Blocks(client.settings.max_result)
    while True:
        if not isinstance(answer, ActionResponseWithPblock):
            if isinstance(answer, ActionResponseNormal) and answer.result != 0:
                raise AccessRefused(answer.result, "action")
            raise RemoteProtocolError(f"a block of an action was followed by {type(answer).__name__}")
        last, number, raw = answer.block
        blocks.add(number, last, raw)
        if last:
            return blocks.joined()
        answer = yield from _exchange(client, invoke, ActionRequestNextPblock(invoke, number).encode())


def _exchange(client: ClientAssociation, invoke: int, request: bytes) -> Generator[bytes, bytes, Apdu]:
    answer = client.unseal((yield client.seal(request)))
    got = getattr(answer, "invoke", None)
    if got != invoke:
        raise RemoteProtocolError(f"{type(answer).__name__} with invoke id {got}, {invoke} was asked")
    return answer


def _selected(items: Sequence[Attribute | Selected]) -> tuple[Selected, ...]:
    if not items:
        raise LocalProtocolError("a request with a list needs one attribute at least")
    return tuple([item if isinstance(item, Selected) else Selected(item) for item in items])


def _selecting(items: Sequence[Selected]) -> int:
    return _SELECT if any(item.selection is not None for item in items) else 0


def _need(client: ClientAssociation, services: int, what: str) -> None:
    if client.conformance & services != services:
        raise LocalProtocolError(f"{what} was not negotiated with this meter")

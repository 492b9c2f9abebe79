"""The fast row decoder gives exactly what the generic one gives, or the same error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import Data, RemoteProtocolError, axdr, decode_rows, rows

from .meter import MOMENT, profile_buffer


def generic(buffer: bytes) -> list[tuple[Any, ...]]:
    data = axdr.decode(buffer)
    assert data.tag == 1
    return list(axdr.plain(data))


def test_an_interval_profile() -> None:
    decoded = decode_rows(profile_buffer(960))
    assert len(decoded) == 960
    assert decoded[959] == (MOMENT, 8, 959, 7)
    assert decoded == generic(profile_buffer(960))


def test_the_fast_path_is_the_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_decode_generic", None)
    assert len(decode_rows(profile_buffer(3))) == 3
    whole = axdr.structure(axdr.octet_string(MOMENT), axdr.unsigned(1), axdr.long_unsigned(5))
    compressed = axdr.structure(Data(0), axdr.unsigned(2), Data(0))
    rest = [(None, 2, None)] * 3
    assert decode_rows(axdr.encode(axdr.array(whole, compressed, compressed, compressed))) == [(MOMENT, 1, 5), *rest]


@pytest.mark.parametrize(
    "cells",
    [
        [
            (axdr.octet_string(MOMENT), axdr.unsigned(1)),
            (Data(0), axdr.unsigned(1)),
        ],  # compressed clock (meter-model 11)
        [(axdr.unsigned(1),), (axdr.long_unsigned(1),)],  # another type in a later row
        [(axdr.octet_string(b"ab"),), (axdr.octet_string(b"abc"),)],
        [(axdr.unsigned(1),), (axdr.unsigned(1), axdr.unsigned(2))],
        [(axdr.structure(axdr.unsigned(1)),)],
        [(axdr.visible_string("x"), axdr.bit_string("1"))],
        [(Data(25, MOMENT), Data(3, True), Data(23, 0.5), Data(20, -1))] * 3,
        [(axdr.octet_string(bytes(200)),)] * 2,
        [(Data(0), Data(0))] * 3,
        [(axdr.unsigned(1),), (Data(0),), (Data(0),), (Data(0),)],
        [()],
        [(), (), ()],
        [],
    ],
)
def test_rows_of_any_shape(cells: list[tuple[Data, ...]]) -> None:
    buffer = axdr.encode(axdr.array(*[axdr.structure(*row) for row in cells]))
    assert decode_rows(buffer) == [tuple(axdr.plain(cell) for cell in row) for row in cells]


CELL = st.sampled_from(
    [axdr.unsigned(7), axdr.double_long_unsigned(9), axdr.octet_string(MOMENT), Data(0), axdr.octet_string(b"")]
)


@given(st.lists(st.lists(CELL, max_size=4), max_size=6), st.integers(0, 200), st.binary(max_size=2))
def test_mutated_buffers_never_differ_from_the_generic_decoder(
    cells: list[list[Data]], at: int, replacement: bytes
) -> None:
    buffer = axdr.encode(axdr.array(*[axdr.structure(*row) for row in cells]))
    mutated = buffer[:at] + replacement + buffer[at + 1 :]
    try:
        expected = rows._decode_generic(mutated)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            decode_rows(mutated)
    else:
        assert decode_rows(mutated) == expected


@pytest.mark.parametrize("raw", ["", "00", "0200", "0101 1101", "0102 0201 1101", "0101 0201 11"])
def test_what_is_no_profile_buffer_is_refused(raw: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_rows(bytes.fromhex(raw))

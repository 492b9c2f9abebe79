"""WPDUs cut from a stream that TCP delivers as it likes (meter-model 1.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import RemoteProtocolError
from connectors.dlms.cosem.wrapper import Wpdu, WpduReader, wrap


def test_the_header_of_the_public_client() -> None:
    assert wrap(0x10, 1, b"\xc0").hex() == "0001001000010001c0"


def test_the_header_of_a_push() -> None:
    assert wrap(1, 0x66, bytes(40))[:8] == bytes.fromhex("0001 0001 0066 0028")  # meter-model 14.2


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(1, 20))
def test_any_cut_gives_the_same_wpdus(apdus: list[bytes], size: int) -> None:
    stream = b"".join(wrap(1, 16, apdu) for apdu in apdus)
    reader = WpduReader()
    found = []
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        while (wpdu := reader.next()) is not None:
            found.append(wpdu)
    assert found == [Wpdu(1, 16, apdu) for apdu in apdus]
    assert reader.pending == 0


@pytest.mark.parametrize("header", ["0002000100010001", "0000000100010001", "0001000100010401", "000100010001FFFF"])
def test_another_version_or_too_long_ends_the_connection(header: str) -> None:
    reader = WpduReader(limit=1024)
    reader.feed(bytes.fromhex(header))
    with pytest.raises(RemoteProtocolError):
        reader.next()


@given(st.binary(max_size=60))
def test_arbitrary_bytes(raw: bytes) -> None:
    reader = WpduReader(limit=20)
    reader.feed(raw)
    try:
        while reader.next() is not None:
            pass
    except RemoteProtocolError:
        pass

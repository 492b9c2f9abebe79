"""A-XDR: known bytes, round trips of every type, and bytes that are no value."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.dlms.cosem import Data, LocalProtocolError, RemoteProtocolError, Tag, axdr
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.compact import CompactArray, TypeDescription

FIXED = {
    5: st.integers(-(2**31), 2**31 - 1),
    6: st.integers(0, 2**32 - 1),
    13: st.integers(-128, 127),
    15: st.integers(-128, 127),
    16: st.integers(-(2**15), 2**15 - 1),
    17: st.integers(0, 255),
    18: st.integers(0, 65535),
    20: st.integers(-(2**63), 2**63 - 1),
    21: st.integers(0, 2**64 - 1),
    22: st.integers(0, 255),
    23: st.floats(width=32, allow_nan=False),
    24: st.floats(allow_nan=False),
}
LEAVES = st.one_of(
    *[st.builds(Data, st.just(tag), values) for tag, values in FIXED.items()],
    st.sampled_from([Data(0), Data(255), Data(3, True), Data(3, False)]),
    st.text("01", max_size=40).map(axdr.bit_string),
    st.binary(max_size=300).map(axdr.octet_string),
    st.text(st.characters(max_codepoint=255), max_size=20).map(axdr.visible_string),
    st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: Data(12, text)),
    *[st.builds(Data, st.just(tag), st.binary(min_size=n, max_size=n)) for tag, n in axdr.RAW_LENGTHS.items()],
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from([1, 2]), st.lists(inner, max_size=5).map(tuple)).map(lambda d: Data(*d)),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("encoded", "data"),
    [
        ("00", Data(0)),
        ("0100", axdr.array()),
        ("0201 0301", axdr.structure(axdr.boolean(True))),
        ("0410 5200", axdr.bit_string("0101001000000000")),  # configuration object, bits 1, 3, 6 (meter-model 16.2)
        ("0403 A0", axdr.bit_string("101")),
        ("05 FFFFFFFF", axdr.double_long(-1)),
        ("06 FFFFFFFF", axdr.double_long_unsigned(4_294_967_295)),
        ("0906 0000010000FF", axdr.octet_string(bytes.fromhex("0000010000FF"))),
        ("0A02 4B46", axdr.visible_string("KF")),
        ("0C02 C3A9", Data(12, "é")),
        ("0D 12", Data(13, 18)),
        ("0F FE", axdr.integer(-2)),
        ("10 FFC4", axdr.long(-60)),
        ("11 FF", axdr.unsigned(255)),
        ("12 0008", axdr.long_unsigned(8)),
        ("14 FFFFFFFFFFFFFFFF", Data(20, -1)),
        ("15 0000000000000001", axdr.long64_unsigned(1)),
        ("16 1E", axdr.enum(30)),
        ("17 3F800000", Data(23, 1.0)),
        ("18 3FF0000000000000", Data(24, 1.0)),
        ("1B 0A000000", Data(27, bytes.fromhex("0A000000"))),
        ("FF", Data(255)),
        # two structures of long-unsigned and unsigned
        (
            "13 02 02 12 11 06 0001 02 0003 04",
            Data(
                19,
                CompactArray(
                    TypeDescription(2, 0, (TypeDescription(18), TypeDescription(17))),
                    (
                        axdr.structure(axdr.long_unsigned(1), axdr.unsigned(2)),
                        axdr.structure(axdr.long_unsigned(3), axdr.unsigned(4)),
                    ),
                ),
            ),
        ),
    ],
)
def test_known_bytes(encoded: str, data: Data) -> None:
    assert axdr.decode(bytes.fromhex(encoded)) == data
    assert axdr.encode(data) == bytes.fromhex(encoded)


@given(VALUES)
def test_what_is_encoded_is_decoded(data: Data) -> None:
    assert axdr.decode(axdr.encode(data)) == data


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=5), st.lists(st.booleans(), min_size=3, max_size=3)))
)
def test_compact_arrays_round_trip(rows: list[tuple[int, bytes, list[bool]]]) -> None:
    description = TypeDescription(
        2, 0, (TypeDescription(18), TypeDescription(9), TypeDescription(1, 3, (TypeDescription(3),)))
    )
    items = tuple(
        axdr.structure(axdr.long_unsigned(n), axdr.octet_string(raw), axdr.array(*map(axdr.boolean, flags)))
        for n, raw, flags in rows
    )
    data = Data(19, CompactArray(description, items))
    assert axdr.decode(axdr.encode(data)) == data
    assert axdr.plain(data) == tuple((n, raw, tuple(flags)) for n, raw, flags in rows)


@given(st.binary(max_size=200))
@example(b"\x01\x84\xff\xff\xff\xff")  # four thousand million elements announced
@example(b"\x09\x84\xff\xff\xff\xff")
@example(b"\x01\x01" * 500)  # deep nesting
@example(b"\x13\x01\xff\xff\x01\xff\xff\x00\x01\x00")  # a compact array of 4 thousand million nulls
@example(b"\x13\x00\x01\x00")  # contents, but elements of no bytes
@example(b"\x13" + b"\x01\x00\x01" * 100)
def test_arbitrary_bytes_give_a_value_or_the_engines_error(raw: bytes) -> None:
    try:
        data = axdr.decode(raw)
    except RemoteProtocolError:
        return
    again = axdr.decode(axdr.encode(data))
    assert axdr.encode(again) == axdr.encode(data)


# A structure of 4,000 nulls and a byte: 4,002 elements in ten bytes.
_FOLDED = bytes.fromhex("13 0202010FA00011 01 07")


@pytest.mark.parametrize("part", [_FOLDED, b"\x00", b"\x02\x00", b"\x02\x01\x11\x07"], ids=bytes.hex)
def test_elements_are_bounded_over_the_whole_of_an_answer(part: bytes) -> None:
    """Or a meter could hold up a worker for minutes with a few thousand bytes."""
    fits = 10 if part is _FOLDED else 60_000
    assert len(axdr.decode(b"\x01" + axdr.encode_length(fits) + part * fits).value) == fits
    count = axdr.MAX_ELEMENTS // (4_000 if part is _FOLDED else 1) + 1
    many = b"\x01" + axdr.encode_length(count) + part * count
    with pytest.raises(RemoteProtocolError, match="more than 131072 elements"):
        axdr.decode(many)
    answer = b"\xc4\x03\xc1\x02" + (b"\x00\x01" + axdr.encode_length(count // 2 + 1) + part * (count // 2 + 1)) * 2
    with pytest.raises(RemoteProtocolError, match="more than 131072 elements"):
        apdus.decode(answer)


@given(VALUES, st.data())
def test_cut_off_values_are_refused(data: Data, draw: st.DataObject) -> None:
    encoded = axdr.encode(data)
    end = draw.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(RemoteProtocolError):
        axdr.decode(encoded[:end])
    with pytest.raises(RemoteProtocolError, match="left over"):
        axdr.decode(encoded + b"\0")


@pytest.mark.parametrize(
    "data",
    [
        Data(6, -1),
        Data(17, 256),
        Data(17, "1"),
        Data(9, "text"),
        Data(9, None),
        Data(4, "012"),
        Data(4, 5),
        Data(10, "\u20ac"),
        Data(25, b"short"),
        Data(1, 3),
        Data(2, (1,)),
        Data(7, 1),
        Data(23, 1e300),
        Data(19, CompactArray(TypeDescription(17), (axdr.long(1),))),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_the_callers_fault(data: Data) -> None:
    with pytest.raises(LocalProtocolError):
        axdr.encode(data)


def test_nesting_is_bounded_both_ways() -> None:
    data = Data(0)
    for _ in range(axdr.MAX_DEPTH + 1):
        data = axdr.array(data)
    with pytest.raises(LocalProtocolError, match="nested deeper"):
        axdr.encode(data)
    with pytest.raises(RemoteProtocolError, match="nested deeper"):
        axdr.decode(b"\x01\x01" * (axdr.MAX_DEPTH + 1) + b"\0")


def test_types_have_the_names_attribute_listings_print() -> None:
    assert (Tag.ENUMERATE.name, Tag.DOUBLE_LONG_UNSIGNED.name) == ("ENUMERATE", "DOUBLE_LONG_UNSIGNED")
    assert {tag.value for tag in Tag} == {0, 1, 2, 3, 4, 5, 6, 9, 10, 12, 13, *range(15, 28), 255}


def test_not_a_number_is_kept() -> None:
    assert math.isnan(axdr.decode(axdr.encode(Data(24, math.nan))).value)

"""APDUs by the bytes of meter-model 4, 5, 11 and 14, round trips of every class, and bytes that are none."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms.cosem import (
    Attribute,
    LocalProtocolError,
    Method,
    RemoteProtocolError,
    Selection,
    attribute,
    axdr,
    by_entry,
    by_range,
    obis,
    obis_text,
)
from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem.ciphering import frame, is_ciphered, unframe

from .meter import PROFILE
from .test_axdr import VALUES

RANGE = (
    "C0 01 C1 0007 0100630100FF 02 01 01 0204"
    "02 04 12 0008 09 06 0000010000FF 0F 02 12 0000"
    "09 0C 07E60B16FF00000000FFC400"
    "09 0C 07E60B17FF00000000FFC400"
    "01 00"
)
ENTRY = "C0 01 C1 0007 0100630100FF 02 01 02 02 04 06 00000001 06 0000000A 12 0001 12 0000"


def test_range_request() -> None:
    start, end = bytes.fromhex("07E60B16FF00000000FFC400"), bytes.fromhex("07E60B17FF00000000FFC400")
    request = apdus.GetRequestNormal(0xC1, PROFILE, by_range(start, end))
    assert request.encode() == bytes.fromhex(RANGE)
    assert apdus.decode(request.encode()) == request


def test_entry_request() -> None:
    request = apdus.GetRequestNormal(0xC1, PROFILE, by_entry(1, 10))
    assert request.encode() == bytes.fromhex(ENTRY)


def test_public_aarq() -> None:
    raw = bytes.fromhex("60 1D A109060760857405080101 BE10040E 01000000065F1F0400 001E1D 0400")
    initiate = apdus.InitiateRequest(apdus.CORE_CONFORMANCE, 0x400)
    aarq = apdus.Aarq(apdus.LN, initiate.encode())
    assert aarq.encode() == raw
    assert apdus.decode(raw) == aarq
    assert apdus.decode(initiate.encode()) == initiate


def test_lls_aarq_has_mechanism_and_password() -> None:
    aarq = apdus.Aarq(apdus.LN, b"\x01", mechanism=1, authentication=b"00000000")
    assert bytes.fromhex("8A020780 8B0760857405080201 AC0A8008 3030303030303030") in aarq.encode()


def test_hls_aarq_has_the_title() -> None:
    aarq = apdus.Aarq(apdus.LN_CIPHERED, b"\x21", b"MLG00001", 5, bytes(64))
    raw = aarq.encode()
    assert bytes.fromhex("A1090607608574050801 03 A60A0408") + b"MLG00001" in raw
    assert bytes.fromhex("8A020780 8B0760857405080205 AC428040") in raw
    assert apdus.decode(raw) == aarq


def test_aare() -> None:
    initiate = apdus.InitiateResponse(apdus.CORE_CONFORMANCE, 0x400).encode()
    assert initiate == bytes.fromhex("0800065F1F0400 001E1D 0400 0007")
    aare = apdus.Aare(apdus.LN_CIPHERED, 0, 14, initiate, b"KFM00001", 5, b"P6wRJ21F")
    raw = aare.encode()
    assert bytes.fromhex("A203020100 A305A10302010E A40A0408") + b"KFM00001" in raw
    assert bytes.fromhex("88020780 890760857405080205 AA0A8008") + b"P6wRJ21F" in raw
    assert apdus.decode(raw) == aare
    provider = apdus.Aare(1, 1, 2, None, source="provider")
    assert bytes.fromhex("A305A203020102") in provider.encode()
    assert apdus.decode(provider.encode()) == provider


def test_alarm_push_of_smr5() -> None:
    raw = bytes.fromhex("0F 00000001 00 02 03 09 11" + b"TEST1000012345621".hex() + "0906 0001190900FF 06 00000002")
    assert len(raw) == 40
    push = apdus.decode(raw)
    assert push == apdus.DataNotification(
        1,
        b"",
        axdr.structure(
            axdr.octet_string(b"TEST1000012345621"),
            axdr.octet_string(obis("0.1.25.9.0.255")),
            axdr.double_long_unsigned(2),
        ),
    )
    assert push.encode() == raw


@pytest.mark.parametrize("time", ["00", "09 0C 07E60B170300000000FFC400", "01 0C 07E60B170300000000FFC400"])
def test_last_gasp_of_mx382(time: str) -> None:
    raw = bytes.fromhex("C2" + time + "0001 0000600101FF 02 09 10") + b"TEST100001234562"
    event = apdus.decode(raw)
    assert isinstance(event, apdus.EventNotification)
    assert event.attribute == attribute(1, "0.0.96.1.1.255", 2)
    assert event.value == axdr.octet_string(b"TEST100001234562")
    assert event.time == (None if time == "00" else bytes.fromhex("07E60B170300000000FFC400"))


def test_failures() -> None:
    assert apdus.decode(bytes.fromhex("D80106 00000400")) == apdus.ExceptionApdu(1, 6, 1024)
    assert apdus.decode(bytes.fromhex("D80201")) == apdus.ExceptionApdu(2, 1)
    assert apdus.ConfirmedServiceError(1, 6, 2).encode() == bytes.fromhex("0E010602")


@pytest.mark.parametrize(
    ("apdu", "raw"),
    [
        (apdus.GetResponseNormal(0xC1, 4), "C401C10104"),
        (apdus.GetResponseNormal(0xC1, b"\x11\x05"), "C401C1001105"),
        (apdus.GetResponseWithDatablock(0xC1, True, 1, b"\x11"), "C402C101000000010001 11"),
        (apdus.GetResponseWithDatablock(0xC1, True, 7, 19), "C402C101000000070113"),
        (apdus.GetRequestNext(0xC1, 3), "C002C100000003"),
        (apdus.SetResponseDatablock(0xC1, 1), "C502C100000001"),
        (apdus.SetResponseLastDatablock(0xC1, 0, 2), "C503C10000000002"),
        (apdus.ActionResponseNormal(0xC1, 0, b"\x00"), "C701C100010000"),
        (apdus.ActionResponseNormal(0xC1, 0, 4), "C701C100010104"),
        (apdus.ActionResponseNormal(0xC1, 2), "C701C10200"),
        (apdus.Rlrq(0), "6203800100"),
        (apdus.Rlre(0), "6303800100"),
    ],
)
def test_bytes_of_section_5(apdu: apdus.Apdu, raw: str) -> None:
    assert apdu.encode() == bytes.fromhex(raw)
    assert apdus.decode(bytes.fromhex(raw)) == apdu


INVOKE = st.integers(0, 255)
CODE = st.integers(0, 255)
NUMBER = st.integers(0, 2**32 - 1)
RAW = st.binary(max_size=200)
ENCODED = VALUES.map(axdr.encode)
ATTRIBUTE = st.builds(Attribute, st.integers(0, 65535), st.binary(min_size=6, max_size=6), st.integers(-128, 127))
METHOD = st.builds(Method, st.integers(0, 65535), st.binary(min_size=6, max_size=6), st.integers(-128, 127))
SELECTION = st.none() | st.builds(Selection, CODE, VALUES)
SELECTED = st.lists(st.builds(apdus.Selected, ATTRIBUTE, SELECTION), max_size=4).map(tuple)
BLOCK = st.builds(apdus.Block, st.booleans(), NUMBER, RAW)
RESULT = CODE | ENCODED
CODES = st.lists(CODE, max_size=5).map(tuple)
VALUE_LIST = st.lists(ENCODED, max_size=4).map(tuple)
USER = st.none() | RAW
TITLE = st.none() | st.binary(min_size=8, max_size=8)
ANY_APDU: st.SearchStrategy[Any] = st.one_of(
    st.builds(apdus.GetRequestNormal, INVOKE, ATTRIBUTE, SELECTION),
    st.builds(apdus.GetRequestNext, INVOKE, NUMBER),
    st.builds(apdus.GetRequestWithList, INVOKE, SELECTED),
    st.builds(apdus.GetResponseNormal, INVOKE, RESULT),
    st.builds(apdus.GetResponseWithDatablock, INVOKE, st.booleans(), NUMBER, CODE | RAW),
    st.builds(apdus.GetResponseWithList, INVOKE, st.lists(RESULT, max_size=4).map(tuple)),
    st.builds(apdus.SetRequestNormal, INVOKE, ATTRIBUTE, ENCODED, SELECTION),
    st.builds(apdus.SetRequestWithFirstDatablock, INVOKE, ATTRIBUTE, BLOCK, SELECTION),
    st.builds(apdus.SetRequestWithDatablock, INVOKE, BLOCK),
    st.builds(apdus.SetRequestWithList, INVOKE, SELECTED, VALUE_LIST),
    st.builds(apdus.SetRequestWithListAndFirstDatablock, INVOKE, SELECTED, BLOCK),
    st.builds(apdus.SetResponseNormal, INVOKE, CODE),
    st.builds(apdus.SetResponseDatablock, INVOKE, NUMBER),
    st.builds(apdus.SetResponseLastDatablock, INVOKE, CODE, NUMBER),
    st.builds(apdus.SetResponseLastDatablockWithList, INVOKE, CODES, NUMBER),
    st.builds(apdus.SetResponseWithList, INVOKE, CODES),
    st.builds(apdus.ActionRequestNormal, INVOKE, METHOD, st.none() | ENCODED),
    st.builds(apdus.ActionRequestNextPblock, INVOKE, NUMBER),
    st.builds(apdus.ActionRequestWithList, INVOKE, st.lists(METHOD, max_size=4).map(tuple), VALUE_LIST),
    st.builds(apdus.ActionRequestWithFirstPblock, INVOKE, METHOD, BLOCK),
    st.builds(apdus.ActionRequestWithPblock, INVOKE, BLOCK),
    st.builds(apdus.ActionResponseNormal, INVOKE, CODE, st.none() | RESULT),
    st.builds(apdus.ActionResponseWithPblock, INVOKE, BLOCK),
    st.builds(
        apdus.ActionResponseWithList, INVOKE, st.lists(st.tuples(CODE, st.none() | RESULT), max_size=4).map(tuple)
    ),
    st.builds(apdus.ActionResponseNextPblock, INVOKE, NUMBER),
    st.builds(apdus.Aarq, st.sampled_from([1, 2, 3, 4]), USER, TITLE, st.none() | st.integers(0, 7), USER),
    st.builds(
        apdus.Aare,
        st.sampled_from([1, 3]),
        CODE,
        CODE,
        USER,
        TITLE,
        st.none() | st.integers(0, 7),
        USER,
        st.sampled_from(["user", "provider"]),
    ),
    st.builds(apdus.Rlrq, st.none() | CODE, USER),
    st.builds(apdus.Rlre, st.none() | CODE, USER),
    st.builds(
        apdus.InitiateRequest, st.integers(0, 2**24 - 1), st.integers(0, 65535), st.none() | st.binary(max_size=16)
    ),
    st.builds(apdus.InitiateResponse, st.integers(0, 2**24 - 1), st.integers(0, 65535)),
    st.builds(apdus.DataNotification, NUMBER, st.sampled_from([b"", bytes(12)]), VALUES),
    st.builds(apdus.EventNotification, st.none() | st.just(bytes(12)), ATTRIBUTE, VALUES),
    st.builds(apdus.ExceptionApdu, CODE, CODE.filter(lambda code: code != 6)),
    st.builds(apdus.ExceptionApdu, CODE, st.just(6), NUMBER),
    st.builds(apdus.ConfirmedServiceError, CODE, CODE, CODE),
)


@given(ANY_APDU)
def test_every_apdu_round_trips(apdu: apdus.Apdu) -> None:
    assert apdus.decode(apdu.encode()) == apdu


@given(ANY_APDU, st.data())
def test_mutated_apdus_give_an_apdu_or_the_engines_error(apdu: apdus.Apdu, draw: st.DataObject) -> None:
    raw = bytearray(apdu.encode())
    for _ in range(draw.draw(st.integers(1, 4))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(CODE)
    cut = bytes(raw[: draw.draw(st.integers(0, len(raw)))])
    for candidate in (bytes(raw), cut):
        with contextlib.suppress(RemoteProtocolError):
            apdus.decode(candidate)


@given(st.sampled_from(sorted([*apdus.BY_TAG, *{choice >> 8 for choice in apdus.BY_CHOICE}])), st.binary(max_size=80))
def test_arbitrary_bytes_behind_every_tag(tag: int, rest: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        apdus.decode(bytes((tag,)) + rest)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_as_ciphered_apdu(raw: bytes) -> None:
    for candidate in (raw, b"\xdb" + raw, b"\xcc" + raw):
        try:
            unframe(candidate)
        except RemoteProtocolError:
            continue
        assert is_ciphered(candidate)


def test_frames_of_both_forms() -> None:
    assert frame(0xC0, bytes(200)).hex().startswith("c881c8")
    assert frame(0x0F, b"x", b"KFM00001") == b"\xdb\x08KFM00001\x01x"
    assert unframe(frame(0xC0, b"x", b"KFM00001")) == (None, b"KFM00001", b"x")
    with pytest.raises(LocalProtocolError):
        frame(0x0F, b"x")


def test_obis_codes() -> None:
    assert obis("1.0.99.1.0.255") == obis("1-0:99.1.0.255") == bytes((1, 0, 99, 1, 0, 255))
    assert obis_text(bytes((1, 0, 99, 1, 0, 255))) == "1.0.99.1.0.255"
    for wrong in ("", "1.0.99.1.0", "1.0.99.1.0.256", "1.0.99.1.0.x", "0.0.43.0.0255"):
        with pytest.raises(LocalProtocolError, match="OBIS"):
            obis(wrong)
    with pytest.raises(LocalProtocolError, match="class_id"):
        attribute(65_536, "1.0.99.1.0.255", 2)
    with pytest.raises(LocalProtocolError, match="attribute_id"):
        attribute(1, "1.0.99.1.0.255", 200)


def test_a_field_may_not_come_twice_in_an_acse_apdu() -> None:
    with pytest.raises(RemoteProtocolError, match="twice"):
        apdus.decode(bytes.fromhex("6206 800100 800100"))


def test_data_is_left_encoded_until_asked() -> None:
    response = apdus.decode(bytes.fromhex("C401C1000203"))
    assert isinstance(response, apdus.GetResponseNormal)
    with pytest.raises(RemoteProtocolError):
        axdr.decode(bytes(response.result))

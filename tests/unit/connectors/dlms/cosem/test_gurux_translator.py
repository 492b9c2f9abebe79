"""The other half of independence: gurux-dlms' translator reads what our client sends as what it is."""

from __future__ import annotations

from typing import Any

import pytest
from gurux_dlms import GXDLMSTranslator
from gurux_dlms.enums import TranslatorOutputType

from connectors.dlms.cosem import apdu as apdus
from connectors.dlms.cosem import axdr, by_entry, by_range
from connectors.dlms.cosem.apdu import Apdu

from .meter import CLIENT_TITLE, CLOCK, ECHO, MOMENT, NOTE, PROFILE

INITIATE = apdus.InitiateRequest(apdus.CORE_CONFORMANCE, 1024).encode()
VALUE = axdr.encode(axdr.structure(axdr.unsigned(7), axdr.octet_string(b"\xab\xcd"), axdr.bit_string("0101")))


@pytest.mark.parametrize(
    ("apdu", "parts"),
    [
        (apdus.GetRequestNormal(0xC1, CLOCK), ["GetRequestNormal", '"0008"', "0000010000FF"]),
        (apdus.GetRequestNormal(0xC1, PROFILE, by_range(MOMENT, MOMENT)), ["AccessSelection", MOMENT.hex().upper()]),
        (apdus.GetRequestNormal(0xC1, PROFILE, by_entry(1, 10)), ["AccessSelector", "0000000A"]),
        (apdus.GetRequestNext(0xC1, 3), ["GetRequestForNextDataBlock", "00000003"]),
        (
            apdus.GetRequestWithList(0xC1, (apdus.Selected(CLOCK), apdus.Selected(NOTE))),
            ["GetRequestWithList", 'Qty="02"', "0000600109FF"],
        ),
        (apdus.SetRequestNormal(0xC1, NOTE, VALUE), ["SetRequestNormal", "ABCD", "0101"]),
        (
            apdus.SetRequestWithFirstDatablock(0xC1, NOTE, apdus.Block(False, 1, b"\xab\xcd")),
            ["SetRequestFirstDataBlock", "ABCD"],
        ),
        (apdus.SetRequestWithDatablock(0xC1, apdus.Block(True, 2, b"\xab\xcd")), ["SetRequestWithDataBlock", "ABCD"]),
        (apdus.ActionRequestNormal(0xC1, ECHO, VALUE), ["ActionRequestNormal", "00000A0064FF", "ABCD"]),
        (apdus.Aarq(apdus.LN, INITIATE), ["AssociationRequest", "InitiateRequest", "SelectiveAccess"]),
        (
            apdus.Aarq(apdus.LN, INITIATE, CLIENT_TITLE, 1, b"00000000"),
            ["MechanismName", CLIENT_TITLE.hex().upper(), "3030303030303030"],
        ),
        (apdus.Rlrq(0), ["ReleaseRequest"]),
        (apdus.DataNotification(1, b"", axdr.decode(VALUE)), ["DataNotification", "ABCD"]),
    ],
)
def test_it_reads_what_we_send(apdu: Apdu, parts: list[str]) -> None:
    translator: Any = GXDLMSTranslator(TranslatorOutputType.SIMPLE_XML)
    xml = translator.pduToXml(apdu.encode())
    for part in parts:
        assert part in xml, xml

"""GetSpecificAttributeValue: operations-reading 4.3 and its worked cases."""

from typing import Any

import pytest

from operations._data import Data, Tag
from operations._describe import describe
from operations._errors import MeterRefused, Rejected
from operations._steps import Attribute, Get
from tests.unit.operations.conversation import VERSIONS, PlayedMeter, meter_of, octets, play, u32

NAME = "GetSpecificAttributeValue"


def asked(class_id: Any = 1, obis_code: Any = "0.0.42.0.0.255", attribute: Any = 2) -> dict[str, Any]:
    return {"class_id": class_id, "obis_code": obis_code, "attribute": attribute}


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
@pytest.mark.parametrize("obis", ["0.0.42.0.0.255", "0-0:42.0.0.255"])
def test_logical_device_name(protocol: str, version: str, obis: str) -> None:
    address = Attribute(1, bytes((0, 0, 42, 0, 0, 255)), 2)
    meter = PlayedMeter({address: octets(b"device name")})
    result = play(NAME, asked(obis_code=obis), meter_of(protocol, version), meter.answer).result
    assert meter.steps == [Get(address)]
    assert "bytes[100, 101, 118, 105, 99, 101, 32, 110, 97, 109, 101]" in result.value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (Data(Tag.ENUMERATE, 2), "DataObject: Choice=ENUMERATE, ResultData isNumber, value=[Number]: 2"),
        (octets(b"AB"), "DataObject: Choice=OCTET_STRING, ResultData isByteArray, value=[ByteArray]: bytes[65, 66]"),
        (octets(bytes((1, 0, 1, 8, 0, 255))), "value=[ByteArray]: 1-0:1.8.0.255"),
        (
            octets(bytes.fromhex("07E80701FF0C00002AFF8880")),
            "year=2024, month=7, day=1, weekday=-1, hour=12, minute=0, second=0, hundredths=42, deviation=-120, "
            "clockstatus=-128",
        ),
        (
            Data(Tag.BIT_STRING, "0101001000000000"),
            "isBitString, value=[BitString]: 2 bytes, 16 bits, 20992, 01010010 000",
        ),
        (Data(Tag.BOOLEAN, True), "Choice=BOOLEAN, ResultData isBoolean, value=[Boolean]: true"),
        (Data(Tag.NULL_DATA, None), "Choice=NULL_DATA, ResultData isNull, value=[Null]: null"),
        (Data(Tag.DATE, b"\x07\xe8\x01\x01\xff"), "ResultData isCosemDateFormat"),
        (
            Data(Tag.VISIBLE_STRING, "AB"),
            "Choice=VISIBLE_STRING, ResultData isByteArray, value=[ByteArray]: bytes[65, 66]",
        ),
        (u32(4_294_967_295), "Choice=DOUBLE_LONG_UNSIGNED, ResultData isNumber, value=[Number]: 4294967295"),
        (Data(Tag.FLOAT64, 1.5), "Choice=FLOAT64, ResultData isNumber, value=[Number]: 1.5"),
        (Data(99, b""), "Choice=99, ResultData is?"),
    ],
)
def test_texts(data: Data, text: str) -> None:
    assert text in describe(data)


def test_elements_are_described_a_line_each() -> None:
    scaler = Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -3), Data(Tag.ENUMERATE, 13)))
    assert describe(Data(Tag.ARRAY, (scaler, u32(1)))).split("\n") == [
        "DataObject: Choice=ARRAY, ResultData isComplex, value=[Complex]: 2 elements",
        "  DataObject: Choice=STRUCTURE, ResultData isComplex, value=[Complex]: 2 elements",
        "    DataObject: Choice=INTEGER, ResultData isNumber, value=[Number]: -3",
        "    DataObject: Choice=ENUMERATE, ResultData isNumber, value=[Number]: 13",
        "  DataObject: Choice=DOUBLE_LONG_UNSIGNED, ResultData isNumber, value=[Number]: 1",
    ]


def test_a_refusal_is_412_and_names_everything() -> None:
    with pytest.raises(MeterRefused) as caught:
        play(NAME, asked(999, "9.9.9.9.9.9", 2), meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    fault = caught.value.fault()
    assert (fault.code, fault.name) == (412, "ERROR_RETRIEVING_ATTRIBUTE_VALUE")
    assert fault.message == "class 999, OBIS code 9.9.9.9.9.9, attribute 2: object-undefined (4)"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (asked(class_id=65_536), "class_id"),
        (asked(class_id=-1), "class_id"),
        (asked(class_id="one"), "class_id"),
        (asked(attribute=128), "attribute"),
        (asked(attribute=-129), "attribute"),
        (asked(obis_code="1.0.1.8.0"), "obis_code"),
        (asked(obis_code="1.0.1.8.0.256"), "obis_code"),
        (asked(obis_code="1.0.1.8.0.²"), "obis_code"),
        (asked(obis_code=""), "obis_code"),
        ({"class_id": 1, "attribute": 2}, "obis_code"),
    ],
)
def test_ranges(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        play(NAME, request_, meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    assert (caught.value.field, caught.value.code) == (field, 401)

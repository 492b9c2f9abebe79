"""GetGsmDiagnostic: operations-reading 14.4 and its worked cases."""

from dataclasses import replace
from typing import Any

import pytest

from operations import build_request, catalogue
from operations._data import Data, Tag
from operations._errors import MeterRefused, MeterUnusable, Rejected
from operations._steps import Attribute, GetList
from operations.get_gsm_diagnostic import AdjacentCell, CellInfo
from schemas.records import CommandHeader, CommunicationMethod, RegisterRead, RegisterReads
from tests.unit.operations.association import array, structure
from tests.unit.operations.conversation import (
    DEVICE,
    VERSIONS,
    PlayedMeter,
    clock,
    meter_of,
    millis,
    octets,
    play,
    u32,
    utc,
)

NAME = "GetGsmDiagnostic"
GROUP_B = {"GPRS": 0, "CDMA": 1, "LTE": 2}
CODES = {"GPRS": 1, "CDMA": 6, "LTE": 5}
FROM = {"GPRS": ("5.0.0", "5.1", "5.2", "5.5"), "CDMA": ("4.3", "5.0.0", "5.1", "5.2", "5.5"), "LTE": ("5.2", "5.5")}
TIME = "2026-11-01T10:00:00"


def attribute(method: str, index: int) -> Attribute:
    return Attribute(47, bytes((0, GROUP_B[method], 25, 6, 0, 255)), index)


def enum(code: int) -> Data:
    return Data(Tag.ENUMERATE, code)


def u8(value: int) -> Data:
    return Data(Tag.UNSIGNED, value)


def u16(value: int) -> Data:
    return Data(Tag.LONG_UNSIGNED, value)


CELL = structure(u32(77), u16(2230), u8(13), u8(6), u16(66), u16(204), u32(107))


def modem(method: str) -> PlayedMeter:
    values = {
        2: Data(Tag.VISIBLE_STRING, "Utility Connect"),
        3: enum(5),
        4: enum(0),
        5: enum(CODES[method]),
        6: CELL,
        7: array(structure(u32(93), u8(11)), structure(u32(94), u8(12))),
        8: octets(clock(utc(TIME))),
    }
    return PlayedMeter({attribute(method, index): value for index, value in values.items()})


@pytest.mark.parametrize(("protocol", "version"), VERSIONS)
@pytest.mark.parametrize("method", GROUP_B)
@pytest.mark.parametrize("asked_for", [True, False], ids=["by the request", "by the registration"])
def test_the_modem_of_every_version(protocol: str, version: str, method: str, asked_for: bool) -> None:
    meter, request = modem(method), {"communication_method": method} if asked_for else {}
    device = meter_of(protocol, version, communication_method=None if asked_for else CommunicationMethod(method))
    if version not in FROM[method]:
        with pytest.raises(Rejected) as caught:
            play(NAME, request, device, meter.answer)
        refusal = f"No address found for {method}_DIAGNOSTIC in protocol {protocol} {version}"
        assert (str(caught.value), caught.value.code, meter.steps) == (refusal, 416, [])
        with pytest.raises(Rejected):
            catalogue()[NAME].check(device.profile, build_request(NAME, {"communication_method": method}))
        return
    result = play(NAME, request, device, meter.answer).result
    assert meter.steps == [GetList(tuple(attribute(method, index) for index in range(2, 9)))]
    assert (result.operator, result.modem_registration_status) == ("Utility Connect", "REGISTERED_ROAMING")
    assert (result.circuit_switched_status, result.packet_switched_status) == ("INACTIVE", method)
    assert result.cell_info == CellInfo(77, 2230, "MINUS_87_DBM", -87, 6, 66, 204, 107)
    assert result.adjacent_cells == (AdjacentCell(93, "MINUS_91_DBM", -91), AdjacentCell(94, "MINUS_89_DBM", -89))
    assert result.capture_time == utc(TIME)


def asked(meter: PlayedMeter) -> Any:
    return play(NAME, {"communication_method": "GPRS"}, meter_of("SMR", "5.0.0"), meter.answer).result


def test_nobody_says_which_modem() -> None:
    with pytest.raises(Rejected) as caught:
        play(NAME, {}, meter_of("SMR", "5.0.0"), modem("GPRS").answer)
    assert (caught.value.code, caught.value.field) == (401, "communication_method")


@pytest.mark.parametrize(
    ("signal", "text", "dbm"),
    [
        (0, "MINUS_113_DBM_OR_LESS", -113),
        (1, "MINUS_111_DBM", -111),
        (30, "MINUS_53_DBM", -53),
        (31, "MINUS_51_DBM_OR_GREATER", -51),
        (32, "RESERVED", None),
        (99, "NOT_KNOWN", None),
    ],
)
def test_signal_quality(signal: int, text: str, dbm: int | None) -> None:
    meter = modem("GPRS")
    meter.attributes[attribute("GPRS", 6)] = structure(*CELL.value[:2], u8(signal), u8(99), *CELL.value[4:])
    cell = asked(meter).cell_info
    assert (cell.signal_quality, cell.signal_dbm, cell.bit_error_rate) == (text, dbm, None)


def test_an_early_meter_says_four_things_of_its_cell() -> None:
    meter = modem("CDMA")
    meter.attributes[attribute("CDMA", 6)] = structure(u16(77), *CELL.value[1:4])
    result = play(NAME, {"communication_method": "CDMA"}, meter_of("SMR", "4.3"), meter.answer).result
    assert result.cell_info == CellInfo(77, 2230, "MINUS_87_DBM", -87, 6)


@pytest.mark.parametrize(
    ("index", "code", "names"),
    [
        (3, 2, "NOT_REGISTERED_CURRENT_SEARCH_OPERATOR_TO_REGISTER_TO"), (3, 4, "UNKNOWN"), (3, 6, "RESERVED"),
        (4, 1, "INCOMING_CALL"), (4, 2, "ACTIVE"), (4, 3, "RESERVED"),
        (5, 0, "INACTIVE"), (5, 4, "HSDPA"), (5, 7, "LTE_CAT_M_1"), (5, 8, "LTE_NB_IOT"), (5, 9, "RESERVED"),
        (5, 255, "RESERVED"),
    ],
)  # fmt: skip
def test_names_of_states(index: int, code: int, names: str) -> None:
    meter = modem("GPRS")
    meter.attributes[attribute("GPRS", index)] = enum(code)
    fields = {3: "modem_registration_status", 4: "circuit_switched_status", 5: "packet_switched_status"}
    assert getattr(asked(meter), fields[index]) == names


@pytest.mark.parametrize("time", [octets(bytes(12)), octets(b""), u32(1), Data(Tag.NULL_DATA, None)])
def test_a_capture_time_that_is_none_is_null(time: Data) -> None:
    meter = modem("GPRS")
    meter.attributes[attribute("GPRS", 8)] = time
    assert asked(meter).capture_time is None


def test_an_operator_may_come_as_octets_and_a_time_not_at_all() -> None:
    meter = modem("GPRS")
    meter.attributes[attribute("GPRS", 2)] = octets(b"")
    del meter.attributes[attribute("GPRS", 8)]
    result = asked(meter)
    assert (result.operator, result.capture_time) == ("", None)
    reads = catalogue()[NAME].reads
    assert reads is not None
    (record,) = reads(CommandHeader("id", DEVICE, 0), result, 99)
    assert isinstance(record, RegisterReads)
    assert record.captured_at == 99


def test_the_numbers_of_the_cell_are_register_reads() -> None:
    reads = catalogue()[NAME].reads
    assert reads is not None
    (record,) = reads(CommandHeader("id", DEVICE, 0), asked(modem("GPRS")), 99)
    assert record == RegisterReads(
        DEVICE,
        "id",
        millis(TIME),
        99,
        (
            RegisterRead("gsm_signal_strength", "dBm", -87_000_000),
            RegisterRead("gsm_bit_error_rate", "", 6_000_000),
            RegisterRead("gsm_cell_id", "", 77_000_000),
            RegisterRead("gsm_location_id", "", 2_230_000_000),
            RegisterRead("gsm_adjacent_cells", "", 2_000_000),
        ),
    )


@pytest.mark.parametrize("index", range(2, 8))
def test_all_six_have_to_be_there(index: int) -> None:
    meter = modem("GPRS")
    meter.refusals[attribute("GPRS", index)] = (3, "read-write-denied")
    with pytest.raises(
        MeterRefused, match=r"(operator|status|cs_attachment|ps_status|cell_info|adjacent_cells): read-"
    ):
        asked(meter)


@pytest.mark.parametrize(
    ("index", "odd"),
    [
        (2, u32(1)), (3, octets(b"5")), (4, Data(Tag.NULL_DATA, None)), (6, u32(1)), (6, structure(u32(1))),
        (6, structure(*CELL.value[:6], octets(b"7"))), (7, u32(1)), (7, array(u32(1))), (7, array(structure(u32(1)))),
        (7, array(structure(u32(1), octets(b"7")))),
    ],
)  # fmt: skip
def test_another_type_is_unusable(index: int, odd: Data) -> None:
    meter = modem("GPRS")
    meter.attributes[attribute("GPRS", index)] = odd
    with pytest.raises(MeterUnusable):
        asked(meter)


def test_another_number_of_answers_is_unusable() -> None:
    device = replace(meter_of("SMR", "5.0.0"), communication_method=CommunicationMethod.GPRS)
    with pytest.raises(MeterUnusable, match="7 attributes were asked for, 6 came"):
        play(NAME, {}, device, lambda step: modem("GPRS").answer(step)[:-1])

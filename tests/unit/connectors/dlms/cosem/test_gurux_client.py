"""An independent party: the gurux-dlms client against our meter's side, in memory.

It shares no line with this engine. It does not check authentication tags (platform-facts), so it proves that the meter
speaks as others expect, not that either side is safe: that is `test_forgeries.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, DataType, InterfaceType, Security
from gurux_dlms.objects import GXDLMSCaptureObject, GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.secure import GXDLMSSecureClient

from connectors.dlms.cosem import (
    ClientRule,
    Data,
    Mechanism,
    MeterSecurity,
    Method,
    Selection,
    ServerAssociation,
    ServerSettings,
    axdr,
)

from .meter import CLIENT_TITLE, CLOCK, KEYS, METER_TITLE, NOTE, PASSWORD, PROFILE, Objects


class GuruxObjects(Objects):
    """As the other meter, but its register can be reset: a method gurux knows how to call."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[Method, Data | None]] = []

    def action(self, client: int, method: Method, parameters: Data | None) -> int | tuple[int, Data | None]:
        self.called.append((method, parameters))
        return 0


class Gurux:
    """A gurux client whose every frame goes straight into our association."""

    def __init__(self, authentication: int, pdu: int, mechanism: Mechanism, *, ciphered: bool) -> None:
        self.objects = GuruxObjects()
        settings = ServerSettings({1: ClientRule(mechanism)}, max_receive_pdu=pdu)
        self.meter = ServerAssociation(settings, MeterSecurity(METER_TITLE, KEYS, PASSWORD), self.objects)
        password = PASSWORD.decode() if mechanism == Mechanism.LLS else None
        self.client: Any = GXDLMSSecureClient(True, 1, 1, authentication, password, InterfaceType.WRAPPER)
        self.client.maxReceivePDUSize = pdu
        if ciphered:
            ciphering = self.client.ciphering
            ciphering.systemTitle = CLIENT_TITLE
            ciphering.blockCipherKey = KEYS.encryption
            ciphering.authenticationKey = KEYS.authentication
            ciphering.security = Security.AUTHENTICATION_ENCRYPTION
            ciphering.invocationCounter = 1
        self.blocks = 0

    def exchange(self, frames: Any) -> Any:
        """Send frames, and ask on while the reply says there is more."""
        reply: Any = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            out = frame
            while True:
                answer = self.meter.receive(bytes(out))
                assert answer, "the meter closed" if self.meter.closed else "the meter is silent"
                self.client.getData(GXByteBuffer(answer), reply, None)
                assert reply.error == 0
                if not reply.isMoreData():
                    break
                self.blocks += 1
                out = self.client.receiverReady(reply)
        return reply

    def read(self, item: Any, attribute: int) -> Any:
        return self.client.updateValue(item, attribute, self.exchange(self.client.read(item, attribute)).value)

    def opened(self) -> Gurux:
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        if self.client.isAuthenticationRequired:
            answer = self.exchange(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(answer.data)
        return self


@pytest.fixture(
    params=[
        pytest.param((Authentication.HIGH_GMAC, 512, Mechanism.HLS5, True), id="hls5-512"),
        pytest.param((Authentication.HIGH_GMAC, 2048, Mechanism.HLS5, True), id="hls5-2048"),
        pytest.param((Authentication.LOW, 256, Mechanism.LLS, False), id="lls"),
        pytest.param((Authentication.LOW, 512, Mechanism.LLS, True), id="lls-ciphered"),
        pytest.param((Authentication.NONE, 256, Mechanism.NONE, False), id="public"),
    ]
)
def gurux(request: pytest.FixtureRequest) -> Gurux:
    *how, ciphered = request.param
    return Gurux(*how, ciphered=ciphered).opened()


def test_it_associates_and_releases(gurux: Gurux) -> None:
    assert gurux.meter.state.name == "ASSOCIATED"
    gurux.exchange(gurux.client.releaseRequest())
    assert gurux.meter.state.name == "NONE"


def test_it_reads_clock_and_register(gurux: Gurux) -> None:
    clock = gurux.read(GXDLMSClock("0.0.1.0.0.255"), 2)
    assert clock.value.timestamp() == datetime.fromisoformat("2022-11-23T00:00:00+01:00").timestamp()
    assert gurux.read(GXDLMSRegister("1.0.1.8.0.255"), 2) == 12_345


def test_it_reads_a_profile_range_in_blocks(gurux: Gurux) -> None:
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    columns = [GXDLMSClock("0.0.1.0.0.255"), GXDLMSData("0.0.96.10.2.255")]
    columns += [GXDLMSRegister("1.0.1.8.0.255"), GXDLMSRegister("1.0.2.8.0.255")]
    profile.captureObjects.extend([(column, GXDLMSCaptureObject(2, 0)) for column in columns])
    request = gurux.client.readRowsByRange(profile, datetime(2022, 11, 23), datetime(2022, 11, 24))  # noqa: DTZ001
    rows = gurux.client.updateValue(profile, 2, gurux.exchange(request).value)
    assert [row[1:] for row in rows] == [[8, n, 7] for n in range(96)]
    assert gurux.blocks >= 1
    selection = gurux.objects.selections[-1]
    assert selection is not None
    assert selection.selector == 1
    restricting, start, end, selected = selection.parameters.value
    assert axdr.plain(restricting) == (CLOCK.class_id, CLOCK.instance_id, 2, 0)
    assert start.value[:4] == bytes.fromhex("07E60B17")
    assert end.value[:4] == bytes.fromhex("07E60B18")
    assert selected.tag == 1


def test_it_reads_entries(gurux: Gurux) -> None:
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    gurux.exchange(gurux.client.readRowsByEntry(profile, 1, 10))
    selection = gurux.objects.selections[-1]
    assert isinstance(selection, Selection)
    assert selection.selector == 2
    assert axdr.plain(selection.parameters)[:2] == (1, 10)
    assert axdr.plain(axdr.decode(bytes(gurux.objects.values[PROFILE])))


@pytest.mark.parametrize("size", [5, 1_500])
def test_it_writes_also_in_blocks(gurux: Gurux, size: int) -> None:
    note = GXDLMSData("0.0.96.1.9.255")
    note.value = bytearray(size)
    note.setDataType(2, DataType.OCTET_STRING)
    frames = gurux.client.write(note, 2)
    assert (len(frames) > 1) is (size > 1_000 and gurux.client.maxReceivePDUSize < size)
    gurux.exchange(frames)
    assert gurux.objects.values[NOTE] == axdr.octet_string(bytes(size))


def test_it_calls_a_method(gurux: Gurux) -> None:
    gurux.exchange(gurux.client.method(GXDLMSRegister("1.0.1.8.0.255"), 1, 0, DataType.INT8))
    assert gurux.objects.called == [(Method(3, bytes((1, 0, 1, 8, 0, 255)), 1), axdr.integer(0))]


def test_it_reads_a_list(gurux: Gurux) -> None:
    wanted = [(GXDLMSClock("0.0.1.0.0.255"), 2), (GXDLMSRegister("1.0.1.8.0.255"), 2)]
    values = []
    for frames in gurux.client.readList(wanted):
        values.extend(gurux.exchange(frames).value)
    assert values[1] == 12_345
    assert bytes(values[0])[:4] == bytes.fromhex("07E60B17")

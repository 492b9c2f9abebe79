"""Frames made readable: what people see, and what they are told about bytes that are none."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dlms import cosem, frames
from connectors.dlms.cosem.wrapper import wrap
from connectors.dlms.frames import NotAFrame, readable

GET = bytes.fromhex("C001C100080000010000FF0200")
GLO_GET = bytes.fromhex("C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B")  # meter-model 3.3


def test_an_apdu_is_xml_with_the_fields_of_the_standard() -> None:
    root = ElementTree.fromstring(readable(GET))
    assert root.tag == "GetRequest"
    assert [node.get("Value") for node in root.iter("InstanceId")] == ["0000010000FF"]


def test_frames_of_the_wrapper_are_shown_one_by_one_with_their_addresses() -> None:
    text = readable(wrap(16, 1, GET) + wrap(1, 16, bytes.fromhex("C401C1000600001267")))
    first, second = text.split("</Wrapper>\n")
    root = ElementTree.fromstring(first + "</Wrapper>")
    assert (root.get("Source"), root.get("Destination"), root.get("Length")) == ("16", "1", "13")
    assert ElementTree.fromstring(second).find(".//UInt32").get("Value") == "00001267"  # type: ignore[union-attr]


def test_a_ciphered_apdu_stays_ciphered() -> None:
    assert "glo_GetRequest" in readable(GLO_GET)


def test_our_own_association_request_is_readable() -> None:
    client = cosem.ClientAssociation(cosem.ClientSettings(client_id=16))
    assert "AssociationRequest" in readable(client.open())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no bytes"),
        (b"\xff\x00", "begins with ff"),
        (b"\xc0", "malformed"),
        (b"\x7e\xa0\x0a", "HDLC"),
        (wrap(1, 16, GET)[:-1], "no whole frame"),
        (wrap(1, 16, GET) + b"\x00\x02" + bytes(6), "wrapper version 2"),
        (bytes(2_000_000), "more than"),
    ],
)
def test_what_is_no_frame_is_told(data: bytes, says: str) -> None:
    with pytest.raises(NotAFrame, match=says):
        readable(data)


@given(data=st.binary(max_size=60))
def test_no_bytes_do_worse_than_not_a_frame(data: bytes) -> None:
    for each in (data, GET[:2] + data, wrap(1, 16, data)):
        try:
            assert readable(each)
        except NotAFrame as error:
            assert str(error)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotAFrame):
        readable(bytes.fromhex("01"))  # the translator prints "value"
    assert capsys.readouterr().out == ""


def test_without_the_translator_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gurux_dlms")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gurux_dlms", None)
    frames._translator.cache_clear()
    try:
        with pytest.raises(NotAFrame, match=r"meterlog\[frames\]"):
            readable(GET)
    finally:
        frames._translator.cache_clear()


def test_sessions_that_begin_together_all_get_their_translation() -> None:
    """In a process of its own: what is tried is the first import of the translator, by many threads at once."""
    program = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from connectors.dlms.frames import readable
sys.setswitchinterval(1e-5)
with ThreadPoolExecutor(8) as pool:
    told = set(pool.map(readable, [bytes.fromhex("{GET.hex()}")] * 64))
print(len(told), "GetRequest" in told.pop())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 True\n"), done.stderr

"""DLMS frames and APDUs made readable, for people who look at a log or a capture: bytes in, XML out.

The translator of gurux-dlms does it. This is its only importer, and it is optional, for its licence (GPL-2.0-only) and
because nothing on the way to a meter needs it. The wrapper is cut by our own engine: the translator of this version
swaps the addresses of the header. Ciphered APDUs are shown as they are; no key ever comes here.
"""

from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from threading import Lock
from typing import Any, Final

from connectors.dlms.cosem import CosemError
from connectors.dlms.cosem.wrapper import WpduReader

MAX_BYTES: Final = 1_048_576
_HDLC_FLAG: Final = 0x7E
_UNKNOWN: Final = "<Data="  # how the translator shows what it does not know
# The translator has state, and the standard output is one for all threads. Its package imports itself in circles, which
# two threads that begin together were seen to fail at (KeyError: 'gurux_dlms').
_ONE_AT_A_TIME: Final = Lock()


class NotAFrame(ValueError):
    """The bytes are neither wrapper frames nor an APDU, or the translator is not installed. Says which."""


@cache
def _translator() -> Any:
    try:
        from gurux_dlms.enums import TranslatorOutputType
        from gurux_dlms.GXDLMSTranslator import GXDLMSTranslator
    except ImportError:
        raise NotAFrame(
            "gurux-dlms, which translates frames, is not installed: `pip install 'meterlog[frames]'` (GPL-2.0-only)"
        ) from None
    return GXDLMSTranslator(TranslatorOutputType.SIMPLE_XML)


def readable(data: bytes) -> str:
    """The XML of one APDU, or of one or more frames of the TCP wrapper. Raises NotAFrame."""
    if not data:
        raise NotAFrame("there are no bytes")
    if len(data) > MAX_BYTES:
        raise NotAFrame(f"{len(data)} bytes are more than {MAX_BYTES}")
    if data[0] == _HDLC_FLAG:
        raise NotAFrame("it begins like an HDLC frame, which Meterlog does not speak")
    if data[:2] != b"\x00\x01":
        return _apdu(data)
    reader = WpduReader()
    reader.feed(data)
    parts = []
    try:
        while (wpdu := reader.next()) is not None:
            head = f'<Wrapper Source="{wpdu.source}" Destination="{wpdu.destination}" Length="{len(wpdu.apdu)}">'
            inner = "\n".join(f"  {line}" for line in _apdu(wpdu.apdu).splitlines())
            parts.append(f"{head}\n{inner}\n</Wrapper>")
    except CosemError as error:
        raise NotAFrame(str(error)) from None
    if reader.pending:
        raise NotAFrame(f"{reader.pending} bytes at the end are no whole frame of the wrapper")
    return "\n".join(parts)


def _apdu(apdu: bytes) -> str:
    with _ONE_AT_A_TIME, redirect_stdout(StringIO()):  # it prints what it cannot read
        translator = _translator()
        try:
            text: str = translator.pduToXml(bytes(apdu))
        except Exception as error:  # it has no error of its own: IndexError, ValueError, TypeError ...
            raise NotAFrame(f"the APDU is malformed: {type(error).__name__}") from None
    if not text or text.startswith(_UNKNOWN):
        raise NotAFrame(f"no APDU begins with {apdu[:1].hex() or 'nothing'}")
    return text.replace("\r\n", "\n").rstrip()

"""Logical names as people write them, and as meters do: six bytes."""

from operations._errors import Rejected


def obis_of(text: str, field: str) -> bytes:
    """The logical name of `1.0.1.8.0.255` or `1-0:1.8.0.255`. Raises Rejected when the text is none."""
    parts = text.replace("-", ".").replace(":", ".").split(".")
    if len(parts) != 6 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise Rejected(f"{text!r} is not six numbers from 0 to 255", field=field)
    return bytes(map(int, parts))


def obis_text(obis: bytes) -> str:
    """The six bytes as 1-0:1.8.0.255."""
    a, b, c, d, e, f = obis
    return f"{a}-{b}:{c}.{d}.{e}.{f}"

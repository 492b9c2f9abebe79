"""What a request names: attributes, methods, OBIS codes, and the selectors of selective access."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from .axdr import Data, array, double_long_unsigned, integer, long_unsigned, octet_string, structure
from .cosem_time import CosemDateTime
from .errors import LocalProtocolError


class Attribute(NamedTuple):
    """Cosem-Attribute-Descriptor ::= SEQUENCE {
        class-id Unsigned16, instance-id OCTET STRING (SIZE(6)), attribute-id Integer8
    }"""

    class_id: int
    instance_id: bytes
    attribute_id: int

    def encode(self) -> bytes:
        """The nine bytes."""
        return self.class_id.to_bytes(2, "big") + self.instance_id + bytes((self.attribute_id & 0xFF,))


class Method(NamedTuple):
    """Cosem-Method-Descriptor ::= SEQUENCE {
        class-id Unsigned16, instance-id OCTET STRING (SIZE(6)), method-id Integer8
    }"""

    class_id: int
    instance_id: bytes
    method_id: int

    def encode(self) -> bytes:
        """The nine bytes."""
        return self.class_id.to_bytes(2, "big") + self.instance_id + bytes((self.method_id & 0xFF,))


class Selection(NamedTuple):
    """Selective-Access-Descriptor ::= SEQUENCE { access-selector Unsigned8, access-parameters Data }"""

    selector: int
    parameters: Data


@lru_cache(maxsize=4096)
def obis(code: str) -> bytes:
    """The six bytes of `1.0.99.1.0.255` (also written `1-0:99.1.0.255`). Raises LocalProtocolError when it is not six
    numbers 0..255."""
    parts = code.replace("-", ".").replace(":", ".").split(".")
    try:
        if len(parts) == 6:
            return bytes([int(part) for part in parts])
    except ValueError:
        pass
    raise LocalProtocolError(f"OBIS code {code!r} is not six numbers 0..255")


def obis_text(instance_id: bytes) -> str:
    """`1.0.99.1.0.255` of the six bytes."""
    return ".".join([str(part) for part in instance_id])


@lru_cache(maxsize=4096)
def attribute(class_id: int, code: str, attribute_id: int) -> Attribute:
    """The descriptor of an attribute. Raises LocalProtocolError when a number does not fit its field."""
    _check(class_id, attribute_id, "attribute_id")
    return Attribute(class_id, obis(code), attribute_id)


@lru_cache(maxsize=4096)
def method(class_id: int, code: str, method_id: int) -> Method:
    """The descriptor of a method. Raises LocalProtocolError when a number does not fit its field."""
    _check(class_id, method_id, "method_id")
    return Method(class_id, obis(code), method_id)


def _check(class_id: int, member: int, name: str) -> None:
    if class_id not in range(65_536):
        raise LocalProtocolError(f"class_id {class_id} does not lie in 0..65535")
    if member not in range(-128, 128):
        raise LocalProtocolError(f"{name} {member} does not lie in -128..127")


CLOCK_TIME = attribute(8, "0.0.1.0.0.255", 2)


def capture_object(column: Attribute, data_index: int = 0) -> Data:
    """capture_object_definition: structure of class, logical name, attribute and data index."""
    return structure(
        long_unsigned(column.class_id),
        octet_string(column.instance_id),
        integer(column.attribute_id),
        long_unsigned(data_index),
    )


def by_range(
    start: datetime | bytes, end: datetime | bytes, columns: Sequence[Data] = (), restricting: Attribute = CLOCK_TIME
) -> Selection:
    """Selector 1 of a profile buffer: rows from `start` to `end`, both included; no `columns` is all of them
    (meter-model 11.1).

    Datetimes are aware and in the meter's zone; 12 bytes are sent as they are. `columns` are capture objects.
    """
    bounds = [
        value if isinstance(value, bytes) else CosemDateTime.from_datetime(value).to_bytes() for value in (start, end)
    ]
    return Selection(
        1, structure(capture_object(restricting), octet_string(bounds[0]), octet_string(bounds[1]), array(*columns))
    )


def by_entry(first: int, last: int = 0, first_column: int = 1, last_column: int = 0) -> Selection:
    """Selector 2 of a profile buffer: entries from 1, both ends included, `last` 0 is the last there is (meter-model
    11.2)."""
    return Selection(
        2,
        structure(
            double_long_unsigned(first),
            double_long_unsigned(last),
            long_unsigned(first_column),
            long_unsigned(last_column),
        ),
    )

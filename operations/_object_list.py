"""The object list of an association (meter-model 2.2, operations-reading 4.4): what the meter says it has, and what
this client may do with it, in words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from operations._data import Data, Tag
from operations._errors import MeterUnusable

TAG: Final = "ASSOCIATION_LN"
BITS_FROM: Final = 3  # version of the association whose access modes are sets of bits

_ATTRIBUTES: Final = (
    "NO_ACCESS",
    "READ_ONLY",
    "WRITE_ONLY",
    "READ_AND_WRITE",
    "AUTHENTICATED_READ_ONLY",
    "AUTHENTICATED_WRITE_ONLY",
    "AUTHENTICATED_READ_AND_WRITE",
)
_METHODS: Final = ("NO_ACCESS", "ACCESS", "AUTHENTICATED_ACCESS")
_PROTECTIONS: Final = (  # bits 2 to 7
    "AUTHENTICATED_REQUEST", "ENCRYPTED_REQUEST", "SIGNED_REQUEST",
    "AUTHENTICATED_RESPONSE", "ENCRYPTED_RESPONSE", "SIGNED_RESPONSE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AttributeAccess:
    """What may be done with one attribute. `access`: the mode in words, MODE_<n> for one that nobody knows."""

    attribute_id: int
    access_mode: int  # as the meter says it
    access: str
    access_selectors: tuple[int, ...] = ()  # 1 by range, 2 by entry


@dataclass(frozen=True, slots=True)
class MethodAccess:
    """What may be done with one method. `access`: the mode in words, MODE_<n> for one that nobody knows."""

    method_id: int
    access_mode: int  # as the meter says it; 0 and 1 where it says false and true
    access: str


@dataclass(frozen=True, slots=True)
class AccessRights:
    """Of one object, in the meter's order."""

    attribute_access: tuple[AttributeAccess, ...]
    method_access: tuple[MethodAccess, ...]


@dataclass(frozen=True, slots=True)
class Element:
    """One object as the list has it. `rights`: None where the meter says nothing of them."""

    class_id: int
    version: int
    obis: bytes
    rights: AccessRights | None

    @property
    def logical_name(self) -> str:
        """As people write it: 1-0:1.8.0.255."""
        a, b, c, d, e, f = self.obis
        return f"{a}-{b}:{c}.{d}.{e}.{f}"


def elements(data: Data, version: int) -> list[Element]:
    """The objects, in the meter's order; `version`: of the association. Raises MeterUnusable, naming the place."""
    if data.tag != Tag.ARRAY:
        raise _unexpected("object_list", data)
    return [_element(each, f"object_list[{index}]", version) for index, each in enumerate(data.value)]


def attribute_access(mode: int, version: int) -> str:
    """The mode of an attribute in words (meter-model 2.2). Up to version 2 of the association modes are numbered; from
    3 they are bits: what may be done, and how requests and answers have to be protected for it.
    """
    if mode < 4 or (version < BITS_FROM and mode < len(_ATTRIBUTES)):
        return _ATTRIBUTES[mode]
    return f"MODE_{mode}" if version < BITS_FROM else "_".join((_ATTRIBUTES[mode & 3], *_protections(mode)))


def method_access(mode: int, version: int) -> str:
    """The mode of a method in words, numbered or in bits as above (bit 0: may be invoked)."""
    if mode < 2 or (version < BITS_FROM and mode < len(_METHODS)):
        return _METHODS[mode]
    return f"MODE_{mode}" if version < BITS_FROM else "_".join((_METHODS[mode & 1], *_protections(mode)))


def readable(access: AttributeAccess) -> bool:
    """Whether it is worth asking. Of a mode that nobody knows it is: the meter will say."""
    return not access.access.startswith(("NO_ACCESS", "WRITE_ONLY", "AUTHENTICATED_WRITE_ONLY"))


def _protections(mode: int) -> Iterable[str]:
    return ("WITH", *(name for bit, name in enumerate(_PROTECTIONS, start=2) if mode >> bit & 1))


def _element(data: Data, what: str, version: int) -> Element:
    parts = _parts(data, what, 4)
    class_id = _number(parts[0], f"{what}.class_id", Tag.LONG_UNSIGNED)
    class_version = _number(parts[1], f"{what}.version", Tag.UNSIGNED)
    name = parts[2]
    if name.tag != Tag.OCTET_STRING or len(name.value) != 6:
        raise _unexpected(f"{what}.logical_name", name)
    rights = _rights(parts[3], f"{what}.access_rights", version) if parts[3].tag == Tag.STRUCTURE else None
    return Element(class_id, class_version, name.value, rights)


def _rights(data: Data, what: str, version: int) -> AccessRights:
    attributes, methods = _parts(data, what, 2)
    return AccessRights(
        tuple(_attribute(each, f"{what}.attribute_access", version) for each in _array(attributes, what)),
        tuple(_method(each, f"{what}.method_access", version) for each in _array(methods, what)),
    )


def _attribute(data: Data, what: str, version: int) -> AttributeAccess:
    index, mode, selectors = _parts(data, what, 3)
    number = _number(mode, what, Tag.ENUMERATE)
    named = () if selectors.tag == Tag.NULL_DATA else _array(selectors, what)
    return AttributeAccess(
        _number(index, what, Tag.INTEGER),
        number,
        attribute_access(number, version),
        tuple(_number(each, f"{what}.access_selectors", Tag.INTEGER) for each in named),
    )


def _method(data: Data, what: str, version: int) -> MethodAccess:
    index, mode = _parts(data, what, 2)
    number = int(mode.value) if mode.tag == Tag.BOOLEAN else _number(mode, what, Tag.ENUMERATE)
    return MethodAccess(_number(index, what, Tag.INTEGER), number, method_access(number, version))


def _parts(data: Data, what: str, count: int) -> tuple[Data, ...]:
    if data.tag != Tag.STRUCTURE or len(data.value) != count:
        raise _unexpected(what, data)
    parts: tuple[Data, ...] = data.value
    return parts


def _array(data: Data, what: str) -> tuple[Data, ...]:
    if data.tag != Tag.ARRAY:
        raise _unexpected(what, data)
    items: tuple[Data, ...] = data.value
    return items


def _number(data: Data, what: str, tag: Tag) -> int:
    if data.tag != tag:
        raise _unexpected(what, data)
    number: int = data.value
    return number


def _unexpected(what: str, data: Data) -> MeterUnusable:
    return MeterUnusable(f"Unexpected type of element: {what} is of type {data.tag}")

"""What all meters of a profile share: the objects a client sees, by logical name, and their description."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from connectors.dlms.cosem import axdr
from connectors.dlms.cosem.axdr import NULL, Data
from connectors.dlms.cosem.cosem_time import NOT_SPECIFIED
from connectors.dlms.cosem.errors import AccessResult
from connectors.simulator import logs
from connectors.simulator.chronicle import INTERVALS, INTERVALS_GAS, READINGS, READINGS_GAS
from connectors.simulator.columns import ENERGY, GAS_VALUES
from operations._data import Tag
from operations._profile import MANAGEMENT_CLIENT, PHASES, PUBLIC_CLIENT, CosemAttribute, CosemObject, Profile, profile

CLIENTS: Final = (PUBLIC_CLIENT, MANAGEMENT_CLIENT)
_EMPTY: Final[Mapping[int, Data]] = {
    Tag.OCTET_STRING: axdr.octet_string(b""),
    Tag.VISIBLE_STRING: axdr.visible_string(""),
    Tag.ARRAY: axdr.array(),
    Tag.STRUCTURE: axdr.structure(),
    Tag.BOOLEAN: axdr.boolean(False),
    Tag.BIT_STRING: axdr.bit_string(""),
    Tag.NULL_DATA: NULL,
}
_STRUCTURES: Final[Mapping[tuple[int, int], Data]] = {  # class and attribute: meter-model 7.3, 14.1, 15.3, 20
    (3, 3): axdr.structure(axdr.integer(0), axdr.enum(255)),
    (4, 3): axdr.structure(axdr.integer(0), axdr.enum(255)),
    (22, 2): axdr.structure(axdr.octet_string(bytes(6)), axdr.long_unsigned(0)),
    (40, 3): axdr.structure(axdr.enum(0), axdr.octet_string(b""), axdr.enum(0)),
    (47, 6): axdr.structure(
        axdr.double_long_unsigned(0),
        axdr.long_unsigned(0),
        axdr.unsigned(99),
        axdr.unsigned(99),
        axdr.long_unsigned(0),
        axdr.long_unsigned(0),
        axdr.double_long_unsigned(0),
    ),
    (77, 9): axdr.structure(axdr.unsigned(0), axdr.octet_string(NOT_SPECIFIED)),
}


@dataclass(frozen=True, slots=True)
class Model:
    """What all meters of a profile share: objects by logical name, and how computed attributes are computed."""

    profile: Profile
    phases: int
    objects: Mapping[bytes, CosemObject]
    object_lists: Mapping[int, bytes]  # attribute 2 of the association, by client
    clock: bytes  # logical name
    logged: Mapping[str, tuple[CosemObject, int]]  # by the tag of what a log captures: the log, and the column
    reasons: Mapping[bytes, int]  # why a session is held that reads the object of a name (meter-model 12)

    def find(self, client: int, class_id: int, obis: bytes) -> CosemObject | AccessResult:
        """The object, or what a client is told that asks for one it does not see (meter-model 6)."""
        found = self.objects.get(obis)
        if found is None or not any(attribute.access(client) for attribute in found.attributes.values()):
            return AccessResult.OBJECT_UNDEFINED
        return found if found.class_id == class_id else AccessResult.OBJECT_CLASS_INCONSISTENT


@cache
def model(protocol: str, version: str, *, polyphase: bool) -> Model:
    """The shared part of all meters of a profile; a single-phase one lacks the objects of the other phases."""
    shared = profile(protocol, version)
    there = [_there(shared, each, polyphase) for each in shared.objects.values() if polyphase or not each.polyphase]
    captured = [
        (log, place, column.tag) for log in there if logs.is_log(log) for place, column in enumerate(log.columns)
    ]
    return Model(
        profile=shared,
        phases=len(PHASES) if polyphase else 1,
        objects={each.obis: each for each in there},
        object_lists={client: _object_list(shared, there, client) for client in CLIENTS},
        clock=shared.objects["CLOCK"].obis,
        logged={tag: (log, place) for log, place, tag in captured if place},
        reasons={each.obis: reason for each in there if (reason := _reason(each))},
    )


def _reason(found: CosemObject) -> int:
    """Why a session is held that reads this object; 0: the session log has no word for it."""
    if found.class_id == 7 and not logs.is_log(found):
        return INTERVALS_GAS if found.channel else INTERVALS
    if found.class_id == 4 and found.tag.startswith(GAS_VALUES):
        return READINGS_GAS
    return READINGS if found.tag in ENERGY else 0


def _there(profile: Profile, found: CosemObject, polyphase: bool) -> CosemObject:
    """The object with the columns a meter of this supply captures: a single-phase one knows no L2 and L3."""
    if polyphase or not found.columns:
        return found
    columns = tuple(each for each in found.columns if not profile.objects[each.tag].polyphase)
    return replace(found, columns=columns)


def initial(class_id: int, known: CosemAttribute) -> Data:
    """What an attribute holds while nobody has set it and the profile does not say: nothing, in its type and length."""
    if known.type == Tag.STRUCTURE and (class_id, known.index) in _STRUCTURES:
        return _STRUCTURES[class_id, known.index]
    if known.type == Tag.ARRAY and known.length is not None:
        return axdr.array(*(axdr.long_unsigned(0) for _ in range(known.length)))  # a fingerprint (meter-model 9.4)
    if known.type == Tag.OCTET_STRING and known.length is not None:
        never = NOT_SPECIFIED if known.length == len(NOT_SPECIFIED) else b"\x00" * known.length  # a date-time, or none
        return axdr.octet_string(never)
    if known.type == Tag.BIT_STRING and known.length is not None:
        return axdr.bit_string("0" * known.length)
    return _EMPTY.get(known.type, Data(int(known.type), 0))


def fits(known: CosemAttribute, value: Data) -> bool:
    """Whether a value has the attribute's type, and its length where that is fixed (meter-model 6: type-unmatched)."""
    if value.tag != known.type:
        return False
    return known.length is None or not hasattr(value.value, "__len__") or len(value.value) == known.length


def _object_list(profile: Profile, objects: Iterable[CosemObject], client: int) -> bytes:
    """What a client sees: one structure an object (meter-model 2.2)."""
    version = profile.objects["ASSOCIATION_LN"].version
    elements = []
    for each in objects:
        rights = [(known, known.access(client)) for known in each.attributes.values()]
        if not any(access for _, access in rights):
            continue
        attributes = axdr.array(*(_attribute_access(known, int(access)) for known, access in rights))
        methods = axdr.array(
            *(
                axdr.structure(axdr.integer(known.index), _method_access(version, bool(known.access(client))))
                for known in each.methods.values()
            )
        )
        elements.append(
            axdr.structure(
                axdr.long_unsigned(each.class_id),
                axdr.unsigned(each.version),
                axdr.octet_string(each.obis),
                axdr.structure(attributes, methods),
            )
        )
    return axdr.encode(axdr.array(*elements))


def _attribute_access(known: CosemAttribute, access: int) -> Data:
    selectors = axdr.array(*(axdr.integer(each) for each in known.selectors)) if known.selectors else NULL
    return axdr.structure(axdr.integer(known.index), axdr.enum(access), selectors)


def _method_access(version: int, allowed: bool) -> Data:
    return axdr.boolean(allowed) if version == 0 else axdr.enum(int(allowed))

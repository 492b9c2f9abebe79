"""A meter's object list, and its attributes, made from a profile the way the standard lays them out."""

from collections.abc import Iterable

from operations._data import Data, Tag
from operations._profile import Access, CosemAttribute, CosemMethod, CosemObject, Profile


def structure(*parts: Data) -> Data:
    return Data(Tag.STRUCTURE, parts)


def array(*parts: Data) -> Data:
    return Data(Tag.ARRAY, parts)


def element(found: CosemObject, attributes: Data | None = None, methods: Data | None = None) -> Data:
    """One element (meter-model 2.2) with the rights of the management client."""
    rights = structure(
        array(*map(attribute_item, found.attributes.values())) if attributes is None else attributes,
        array(*map(method_item, found.methods.values())) if methods is None else methods,
    )
    return structure(
        Data(Tag.LONG_UNSIGNED, found.class_id),
        Data(Tag.UNSIGNED, found.version),
        Data(Tag.OCTET_STRING, found.obis),
        rights,
    )


def attribute_item(known: CosemAttribute) -> Data:
    selectors = array(*(Data(Tag.INTEGER, each) for each in known.selectors))
    return item(known.index, known.management, selectors if known.selectors else Data(Tag.NULL_DATA, None))


def item(index: int, mode: int, *selectors: Data) -> Data:
    return structure(Data(Tag.INTEGER, index), Data(Tag.ENUMERATE, int(mode)), *selectors)


def method_item(known: CosemMethod) -> Data:
    return item(known.index, bool(known.management))


def object_list(profile: Profile, only: Iterable[str] = ()) -> Data:
    """The whole list, or that of some tags."""
    tags = tuple(only) or profile.objects
    return array(*(element(profile.objects[tag]) for tag in tags))


def readable(found: CosemObject) -> list[CosemAttribute]:
    return [each for each in found.attributes.values() if Access.READ in each.management]

"""Read every attribute of every object the meter has, and describe the values as text: for diagnosis.

Reference operations-reading 4.2. The ids of attributes are those of the meter's own list (its advice), and what the
list says cannot be read is not asked for. What the meter refuses is told beside the attribute, by the name of the
result, and the others go on. The buffers of profiles and logs are read only when they are asked for: they are a hundred
times all the rest, and have operations of their own.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from operations import Cost, Meter, operation
from operations._data import Data, Tag
from operations._describe import describe
from operations._errors import MeterRefused, MeterUnusable
from operations._object_list import TAG, AttributeAccess, Element, elements, readable
from operations._profile import CosemObject
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Attribute, Get, GetList, Refusal, Steps

PROFILE_CLASS: Final = 7
BUFFER: Final = 2
_PLAIN: Final = Cost(1_800, ASSOCIATION + 2_300)  # 300 objects of 6 attributes one by one, and their list in blocks
_WHOLE: Final = Cost(7_200, ASSOCIATION + 2_300 + 8_000)  # and full buffers, some 700 kB, in blocks of 90 bytes


@dataclass(frozen=True, slots=True)
class Request:
    """`buffers`: read the buffers of profiles and logs as well. It takes an hour and gives megabytes of text."""

    buffers: bool = False


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """One attribute. Either `value` is there, or `refused`, or neither: it was not asked for, as `access` or `note`
    says.
    """

    attribute_id: int
    name: str | None  # as the profile, and so the standard, calls it; null when the profile does not know it
    access_mode: int  # as the meter says it
    access: str  # in words
    value: str | None = None  # type and value as text, as GetSpecificAttributeValue describes it
    refused: str | None = None  # the name of the data-access-result
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectValues:
    """One object with its attributes in the order of the meter's list. `tag`: what the meter's profile calls it; null
    when the profile does not know it. `note`: in what it differs from the profile, or why it could not be read.
    """

    class_id: int
    version: int
    logical_name: str  # 1-0:1.8.0.255
    tag: str | None
    attributes: tuple[AttributeValue, ...]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The objects in the order of the meter's list."""

    objects: tuple[ObjectValues, ...]


def cost(request: Request) -> Cost:
    return _WHOLE if request.buffers else _PLAIN


@operation(
    "GetAllAttributeValues",
    needs=(TAG,),
    repeatable=True,
    seconds=_PLAIN.seconds,
    frames=_PLAIN.frames,
    alone=True,
    decide=electricity_meter,
    cost=cost,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused 412 when the object list is refused, MeterUnusable for something in it of another type."""
    association = meter.profile[TAG]
    try:
        listed: Data = yield Get(association.at(2))
    except MeterRefused as refused:
        raise MeterRefused(
            refused.result, refused.result_name, "object list", code=412, name="ERROR_RETRIEVING_ATTRIBUTE_VALUE"
        ) from None
    found = elements(listed, association.version)
    own = {association.at(2): f"{describe(Data(Tag.ARRAY, ()))[: -len('0 elements')]}{len(found)} elements"}
    objects = []
    for element in found:
        objects.append((yield from _object(element, meter, request.buffers, own)))
    return Answer(Result(tuple(objects)))


def _object(
    element: Element, meter: Meter, buffers: bool, own: dict[Attribute, str]
) -> Generator[GetList, Any, ObjectValues]:
    """One object; what goes wrong with it is its note. `own`: attributes whose value is known already."""
    known = meter.profile.find(element.class_id, element.obis)
    listed = element.rights.attribute_access if element.rights is not None else ()
    asked = {
        access: Attribute(element.class_id, element.obis, access.attribute_id)
        for access in listed
        if readable(access) and (buffers or not _is_buffer(element, access))
    }
    wanted = tuple(attribute for attribute in asked.values() if attribute not in own)
    note = None if element.rights is not None else "the meter says nothing of its attributes"
    answers: dict[Attribute, Data | Refusal] = {}
    if wanted:
        try:
            answers = dict(zip(wanted, (yield GetList(wanted)), strict=True))
        except (MeterRefused, MeterUnusable, ValueError) as error:
            note = f"could not be read: {error}"
    values = tuple(
        _value(access, asked.get(access), answers, own, known, _is_buffer(element, access)) for access in listed
    )
    notes = [each for each in (note, _difference(element, known, len(listed))) if each]
    return ObjectValues(
        element.class_id,
        element.version,
        element.logical_name,
        None if known is None else known.tag,
        values,
        "; ".join(notes) or None,
    )


def _value(
    access: AttributeAccess,
    asked: Attribute | None,
    answers: dict[Attribute, Data | Refusal],
    own: dict[Attribute, str],
    known: CosemObject | None,
    buffer: bool,
) -> AttributeValue:
    attribute = known.attributes.get(access.attribute_id) if known is not None else None
    name = None if attribute is None else attribute.name
    told: dict[str, str] = {}
    if asked is None:
        if buffer and readable(access):
            told["note"] = "a buffer, not read: see the request's buffers"
    elif asked in own:
        told["value"] = own[asked]
    elif (answer := answers.get(asked)) is not None:
        told = {"refused": answer.name} if isinstance(answer, Refusal) else {"value": describe(answer)}
    return AttributeValue(access.attribute_id, name, access.access_mode, access.access, **told)


def _is_buffer(element: Element, access: AttributeAccess) -> bool:
    return element.class_id == PROFILE_CLASS and access.attribute_id == BUFFER


def _difference(element: Element, known: CosemObject | None, count: int) -> str | None:
    """In what an object is not as its profile says (4.2)."""
    if known is None:
        return None
    told = []
    if element.version != known.version:
        told.append(f"version {known.version} in the profile")
    if element.rights is not None and count != len(known.attributes):
        told.append(f"{len(known.attributes)} attributes in the profile")
    return "; ".join(told) or None

"""Read which objects the meter has, and what the head-end may do with each attribute and method.

Reference operations-reading 4.4, with its advice: an access mode that nobody knows is told by its number.
"""

from dataclasses import dataclass

from operations import Meter, operation
from operations._data import Data
from operations._object_list import TAG, AccessRights, elements
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Get, Steps


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to say: the association is the one the head-end is in."""


@dataclass(frozen=True, slots=True)
class AssociationObject:
    """One object. `tag`: what the meter's profile calls it; null when the profile does not know it."""

    class_id: int
    version: int
    logical_name: str  # 1-0:1.8.0.255
    tag: str | None
    access_rights: AccessRights | None  # null when the meter says nothing of them


@dataclass(frozen=True, slots=True)
class Result:
    """The objects in the meter's order."""

    objects: tuple[AssociationObject, ...]


@operation(
    "GetAssociationLnObjects",
    needs=(TAG,),
    repeatable=True,
    seconds=120,
    frames=ASSOCIATION + 300,  # some 300 objects, 25 kB, in blocks of 90 bytes
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused when the list is refused, MeterUnusable when something in it is of another type."""
    association = meter.profile[TAG]
    listed: Data = yield Get(association.at(2))
    objects = []
    for each in elements(listed, association.version):
        known = meter.profile.find(each.class_id, each.obis)
        tag = None if known is None else known.tag
        objects.append(AssociationObject(each.class_id, each.version, each.logical_name, tag, each.rights))
    return Answer(Result(tuple(objects)))

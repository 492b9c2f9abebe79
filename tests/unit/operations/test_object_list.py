"""GetAssociationLnObjects and GetAllAttributeValues: operations-reading 4.2, 4.4 and their worked cases."""

from dataclasses import replace
from typing import Any

import pytest

from operations import build_request, catalogue
from operations._data import Data, Tag
from operations._describe import describe
from operations._errors import MeterRefused, MeterUnusable
from operations._object_list import attribute_access, method_access
from operations._profile import Profile
from operations._steps import Attribute, Get, GetList, Step
from tests.unit.operations.association import array, attribute_item, element, item, object_list, readable, structure
from tests.unit.operations.conversation import OBJECT_UNDEFINED, VERSIONS, PlayedMeter, meter_of, octets, play, u32

OBJECTS, VALUES = "GetAssociationLnObjects", "GetAllAttributeValues"
NULL = Data(Tag.NULL_DATA, None)
LIST = Attribute(15, bytes((0, 0, 40, 0, 0, 255)), 2)
versions = pytest.mark.parametrize(("protocol", "version"), VERSIONS)


def whole(profile: Profile) -> PlayedMeter:
    """A meter with everything its profile says, each value the number of its attribute."""
    attributes = {LIST: object_list(profile)}
    for each in profile.objects.values():
        attributes |= {
            each.at(known.index): u32(known.index) for known in readable(each) if each.at(known.index) != LIST
        }
    return PlayedMeter(attributes)


@versions
def test_every_object_with_its_rights_in_words(protocol: str, version: str) -> None:
    device = meter_of(protocol, version)
    meter = whole(device.profile)
    result = play(OBJECTS, {}, device, meter.answer).result
    assert meter.steps == [Get(LIST)]
    assert [each.tag for each in result.objects] == list(device.profile.objects)
    by_tag = {each.tag: each for each in result.objects}
    clock, log = by_tag["CLOCK"], by_tag["STANDARD_EVENT_LOG"]
    assert (clock.class_id, clock.version, clock.logical_name) == (8, 0, "0-0:1.0.0.255")
    assert clock.access_rights is not None and log.access_rights is not None
    assert [(each.attribute_id, each.access) for each in clock.access_rights.attribute_access[:4]] == [
        (1, "READ_ONLY"),
        (2, "READ_AND_WRITE"),
        (3, "READ_AND_WRITE"),
        (4, "READ_ONLY"),
    ]
    assert [(each.method_id, each.access) for each in clock.access_rights.method_access][:1] == [(1, "ACCESS")]
    buffer = next(each for each in log.access_rights.attribute_access if each.attribute_id == 2)
    assert (buffer.access_mode, buffer.access_selectors) == (1, (1, 2))
    secret = by_tag["ASSOCIATION_LN"].access_rights
    assert secret is not None
    assert {each.attribute_id: each.access for each in secret.attribute_access}[7] == "WRITE_ONLY"


def test_an_object_the_profile_does_not_know_and_one_without_rights() -> None:
    maker = structure(Data(Tag.LONG_UNSIGNED, 8192), Data(Tag.UNSIGNED, 3), octets(bytes((0, 0, 128, 1, 2, 255))), NULL)
    meter = PlayedMeter({LIST: array(maker)})
    (found,) = play(OBJECTS, {}, meter_of("SMR", "5.0.0"), meter.answer).result.objects
    assert (found.class_id, found.version, found.logical_name, found.tag) == (8192, 3, "0-0:128.1.2.255", None)
    assert found.access_rights is None


@pytest.mark.parametrize(
    ("mode", "before", "since"),
    [
        (0, "NO_ACCESS", "NO_ACCESS"),
        (1, "READ_ONLY", "READ_ONLY"),
        (2, "WRITE_ONLY", "WRITE_ONLY"),
        (3, "READ_AND_WRITE", "READ_AND_WRITE"),
        (4, "AUTHENTICATED_READ_ONLY", "NO_ACCESS_WITH_AUTHENTICATED_REQUEST"),
        (5, "AUTHENTICATED_WRITE_ONLY", "READ_ONLY_WITH_AUTHENTICATED_REQUEST"),
        (6, "AUTHENTICATED_READ_AND_WRITE", "WRITE_ONLY_WITH_AUTHENTICATED_REQUEST"),
        (7, "MODE_7", "READ_AND_WRITE_WITH_AUTHENTICATED_REQUEST"),
        (13, "MODE_13", "READ_ONLY_WITH_AUTHENTICATED_REQUEST_ENCRYPTED_REQUEST"),
        (
            0xDF,
            "MODE_223",
            "READ_AND_WRITE_WITH_AUTHENTICATED_REQUEST_ENCRYPTED_REQUEST_SIGNED_REQUEST_ENCRYPTED_RESPONSE_SIGNED_RESPONSE",
        ),
    ],
)
def test_modes_of_attributes_are_numbered_and_since_version_3_bits(mode: int, before: str, since: str) -> None:
    assert (attribute_access(mode, 1), attribute_access(mode, 3)) == (before, since)


@pytest.mark.parametrize(
    ("mode", "before", "since"),
    [
        (0, "NO_ACCESS", "NO_ACCESS"),
        (1, "ACCESS", "ACCESS"),
        (2, "AUTHENTICATED_ACCESS", "NO_ACCESS_WITH"),
        (3, "MODE_3", "ACCESS_WITH"),
        (13, "MODE_13", "ACCESS_WITH_AUTHENTICATED_REQUEST_ENCRYPTED_REQUEST"),
    ],
)
def test_modes_of_methods(mode: int, before: str, since: str) -> None:
    assert method_access(mode, 1) == before
    assert method_access(mode, 3).startswith(since)


def test_a_method_of_version_0_is_true_or_false() -> None:
    shipped = meter_of("SMR", "5.0.0").profile
    methods = array(*(structure(Data(Tag.INTEGER, n), Data(Tag.BOOLEAN, n == 1)) for n in (1, 2)))
    meter = PlayedMeter({LIST: array(element(shipped["CLOCK"], methods=methods))})
    (found,) = play(OBJECTS, {}, meter_of("SMR", "5.0.0"), meter.answer).result.objects
    assert [(each.access_mode, each.access) for each in found.access_rights.method_access] == [
        (1, "ACCESS"),
        (0, "NO_ACCESS"),
    ]


CLOCK = meter_of("SMR", "5.0.0").profile["CLOCK"]
ODD = {
    "no array": u32(1),
    "no structure": array(u32(1)),
    "three parts": array(structure(u32(1), u32(1), u32(1))),
    "class of another type": array(structure(u32(8), *element(CLOCK).value[1:])),
    "version of another type": array(structure(*element(CLOCK).value[:1], u32(8), *element(CLOCK).value[2:])),
    "five bytes": array(structure(*element(CLOCK).value[:2], octets(bytes(5)), element(CLOCK).value[3])),
    "rights of one part": array(structure(*element(CLOCK).value[:3], structure(array()))),
    "attributes of another type": array(element(CLOCK, attributes=u32(1))),
    "an attribute of two parts": array(element(CLOCK, attributes=array(item(1, 1)))),
    "a mode of another type": array(element(CLOCK, attributes=array(structure(Data(Tag.INTEGER, 1), u32(1), NULL)))),
    "selectors of another type": array(element(CLOCK, attributes=array(item(1, 1, u32(1))))),
    "a method of another type": array(element(CLOCK, methods=array(u32(1)))),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("operation", [OBJECTS, VALUES])
def test_something_of_another_type_fails_the_request(operation: str, odd: Data) -> None:
    with pytest.raises(MeterUnusable, match="Unexpected type of element: object_list"):
        play(operation, {}, meter_of("SMR", "5.0.0"), PlayedMeter({LIST: odd}).answer)


def test_a_list_that_is_refused() -> None:
    with pytest.raises(MeterRefused, match="object-undefined"):
        play(OBJECTS, {}, meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    with pytest.raises(MeterRefused) as caught:
        play(VALUES, {}, meter_of("SMR", "5.0.0"), PlayedMeter().answer)
    assert (caught.value.fault().code, str(caught.value)) == (412, "object list: object-undefined (4)")


@versions
def test_every_attribute_of_every_object(protocol: str, version: str) -> None:
    device = meter_of(protocol, version)
    meter = whole(device.profile)
    result = play(VALUES, {}, device, meter.answer).result
    assert [each.tag for each in result.objects] == list(device.profile.objects)
    assert {each.note for each in result.objects} == {None}
    asked = {attribute for step in meter.steps[1:] if isinstance(step, GetList) for attribute in step.attributes}
    buffers = {each.at(2) for each in device.profile.objects.values() if each.class_id == 7}
    assert asked == meter.attributes.keys() - buffers - {LIST}
    for found in result.objects:
        known = device.profile.objects[found.tag]
        assert [(each.attribute_id, each.name) for each in found.attributes] == [
            (each.index, each.name) for each in known.attributes.values()
        ]
        for each in found.attributes:
            if known.at(each.attribute_id) == LIST:
                assert each.value.endswith(f"isComplex, value=[Complex]: {len(result.objects)} elements")
            elif known.at(each.attribute_id) in buffers:
                assert (each.value, each.refused) == (None, None) and "buffer, not read" in each.note
            elif each.access == "WRITE_ONLY":
                assert (each.value, each.refused, each.note) == (None, None, None)
            else:
                assert each.value == describe(u32(each.attribute_id))


@versions
def test_it_costs_what_it_says(protocol: str, version: str) -> None:
    """One attribute a frame, each block of the list a frame more, and what is longer than a block."""
    device = meter_of(protocol, version)
    meter = whole(device.profile)
    play(VALUES, {}, device, meter.answer)
    asked = sum(len(step.attributes) for step in meter.steps[1:] if isinstance(step, GetList))
    listed = sum(40 + 6 * len(each.attributes) + 6 * len(each.methods) for each in device.profile.objects.values())
    plain, whole_ = (catalogue()[VALUES].cost_of(build_request(VALUES, {"buffers": each})) for each in (False, True))
    assert 8 + asked + listed // 90 < plain.frames < whole_.frames
    assert plain.seconds < whole_.seconds
    assert catalogue()[OBJECTS].frames > listed // 90
    assert catalogue()[VALUES].alone


def test_buffers_are_read_when_they_are_asked_for() -> None:
    device = meter_of("SMR", "5.0.0")
    log = device.profile["STANDARD_EVENT_LOG"]
    meter = PlayedMeter({LIST: object_list(device.profile, ["STANDARD_EVENT_LOG"]), log.at(2): array()})
    (found,) = play(VALUES, {"buffers": True}, device, meter.answer).result.objects
    assert found.attributes[1].value == describe(array())


def test_what_the_meter_refuses_is_told_by_name_and_the_others_go_on() -> None:
    device = meter_of("SMR", "5.0.0")
    meter = whole(device.profile)
    meter.refusals[device.profile["CLOCK"].at(3)] = (3, "read-write-denied")
    meter.attributes[LIST] = object_list(device.profile, ["CLOCK", "ALARM_REGISTER_1"])
    clock, alarms = play(VALUES, {}, device, meter.answer).result.objects
    assert (clock.attributes[2].name, clock.attributes[2].value, clock.attributes[2].refused) == (
        "time_zone",
        None,
        "read-write-denied",
    )
    assert clock.attributes[3].value == describe(u32(4))
    assert alarms.attributes[1].value == describe(u32(2))


def test_an_object_that_cannot_be_read_has_no_values_and_the_others_go_on() -> None:
    device = meter_of("SMR", "5.0.0")
    meter = whole(device.profile)
    meter.attributes[LIST] = object_list(device.profile, ["CLOCK", "ALARM_REGISTER_1", "ALARM_FILTER_1"])

    def answer(step: Step) -> Any:
        if isinstance(step, GetList) and step.attributes[0].class_id == 8:
            raise MeterRefused(*OBJECT_UNDEFINED, "list of 9")
        found = meter.answer(step)
        return found[:-1] if isinstance(step, GetList) and step.attributes[0].obis[4] == 10 else found

    clock, alarms, short = play(VALUES, {}, device, answer).result.objects
    assert {each.value for each in clock.attributes} == {None}
    assert clock.note == "could not be read: list of 9: object-undefined (4)"
    assert (alarms.note, alarms.attributes[1].value) == (None, describe(u32(2)))
    assert short.note is not None and short.note.startswith("could not be read")


def test_where_the_meter_differs_from_its_profile_is_a_note() -> None:
    device = meter_of("SMR", "5.0.0")
    found = device.profile["ALARM_REGISTER_1"]
    other = replace(found, version=9)
    fewer = array(attribute_item(found.attributes[2]))
    unknown = replace(found, obis=bytes((0, 0, 128, 1, 2, 255)))
    bare = structure(*element(device.profile["CLOCK"]).value[:3], NULL)
    listed = array(element(other, attributes=fewer), element(unknown, attributes=fewer), bare)
    meter = PlayedMeter({LIST: listed, found.at(2): u32(5), unknown.at(2): u32(6)})
    differs, not_known, without = play(VALUES, {}, device, meter.answer).result.objects
    assert differs.note == "version 0 in the profile; 2 attributes in the profile"
    assert [each.attribute_id for each in differs.attributes] == [2], "the meter's ids, not 1, 2, 3"
    assert (not_known.tag, not_known.note, not_known.attributes[0].name) == (None, None, None)
    assert not_known.attributes[0].value == describe(u32(6))
    assert (without.attributes, without.note) == ((), "the meter says nothing of its attributes")


@pytest.mark.parametrize("mode", [0, 2, 5])
def test_what_the_list_says_cannot_be_read_is_not_asked_for(mode: int) -> None:
    device = meter_of("DSMR", "4.2.2")
    found = device.profile["ALARM_REGISTER_1"]
    meter = PlayedMeter({LIST: array(element(found, attributes=array(item(2, mode, NULL), item(1, 4, NULL))))})
    meter.attributes[found.at(1)] = octets(found.obis)
    (told,) = play(VALUES, {}, device, meter.answer).result.objects
    assert meter.steps[1:] == [GetList((found.at(1),))]
    assert (told.attributes[0].value, told.attributes[0].access_mode) == (None, mode)
    assert told.attributes[1].value == describe(octets(found.obis))

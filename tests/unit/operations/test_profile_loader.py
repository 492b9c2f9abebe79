"""What is wrong in a profile file stops the start, and the error names file, table and key."""

from importlib.resources import files

import pytest

from operations._data import Data, Tag
from operations._profile import Audience, PowerQuality, Supply
from operations._profile_loader import load
from operations._profile_values import ProfileError

CLASSES = files("operations").joinpath("profiles", "_classes.toml").read_text("utf-8")
HEAD = 'protocol = "SMR"\nversion = "9"\n'
CLOCK = '[objects.CLOCK]\nclass = 8\nversion = 0\nobis = "0.0.1.0.0.255"\nclause = "17"\n'
GAS = '[objects.GAS]\nclass = 4\nversion = 0\nobis = "0.x.24.2.1.255"\nclause = "15.1"\n'
NAME = '[objects.NAME]\nclass = 1\nversion = 0\nobis = "0.0.42.0.0.255"\nclause = "8.1"\n'
LOG = '[objects.LOG]\nclass = 7\nversion = 1\nobis = "0.0.99.98.0.255"\nclause = "12"\nentries = 10\n'
PUSH = '[objects.PUSH]\nclass = 40\nversion = 0\nobis = "0.0.25.9.0.255"\nclause = "14.1"\n'
VOLTAGE = (
    '[objects.VOLTAGE]\nclass = 3\nversion = 0\nobis = ["1.0.32.7.0.255", "1.0.52.7.0.255", "1.0.72.7.0.255"]\n'
    'clause = "9.2"\n'
)


def loaded(**texts: str) -> dict[tuple[str, str], object]:
    return dict(load({"_classes": CLASSES} | texts))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + CLOCK + "colour = 1\n", "bad.toml: [objects.CLOCK]: colour: is not a key"),
        (HEAD + "colour = 1\n" + CLOCK, "bad.toml: colour: is not a key"),
        (HEAD + "[traits]\ncolour = 1\n", "bad.toml: [traits]: colour: is not a key"),
        (HEAD + "[traits]\nmax_pdu = true\n", "bad.toml: [traits]: max_pdu: is not of type int"),
        (HEAD + '[traits]\npush_format = "fax"\n', "[traits]: push_format: 'fax' is none of text, data-notification"),
        ('version = "9"\n', "bad.toml: protocol: is missing"),
        (HEAD + 'extends = "grandmother"\n', "bad.toml: extends: there is no grandmother.toml"),
        (HEAD + 'extends = "bad"\n', "bad.toml: extends: bad extends itself: bad -> bad"),
        (HEAD + CLOCK + CLOCK, "bad.toml: Cannot declare ('objects', 'CLOCK') twice"),
        (HEAD + GAS + NAME.replace("NAME", "GAS_2"), "bad.toml: [objects.GAS_2]: tag GAS_2 is given twice"),
        (HEAD + "[objects]\nclock = 5\n", "bad.toml: [objects]: clock: is not a table of a tag in capitals"),
        (HEAD + CLOCK.replace("class = 8", "class = 99"), "[objects.CLOCK]: class: there is no class 99 version 0"),
        (HEAD + CLOCK.replace("version = 0", "version = 5"), "[objects.CLOCK]: class: there is no class 8 version 5"),
        (HEAD + CLOCK.replace('clause = "17"\n', ""), "[objects.CLOCK]: clause: is missing"),
        (HEAD + CLOCK.replace("0.0.1.0.0.255", "0.0.1.0.0"), "[objects.CLOCK]: obis: '0.0.1.0.0' is not six numbers"),
        (HEAD + CLOCK.replace("0.0.1.0.0.255", "0.0.1.0.0.256"), "obis: '0.0.1.0.0.256' is not six numbers"),
        (HEAD + CLOCK + CLOCK.replace("CLOCK", "WATCH"), "[objects.WATCH]: obis: 0-0:1.0.0.255 is CLOCK already"),
        (HEAD + NAME, "[objects.NAME.attributes.2]: type: is missing"),
        (HEAD + NAME + 'type = "text"\n', "[objects.NAME.attributes.2]: type: 'text' is not a type"),
        (HEAD + NAME + 'type = "octet-string(x)"\n', "type: 'octet-string(x)' is not a type"),
        (HEAD + NAME + 'type = "octet-string"\nmanagement = "rz"\n', "management: 'rz' is not made of r, w and x"),
        (HEAD + NAME + 'type = "unsigned"\nvalue = 256\n', "[objects.NAME.attributes.2]: value: 256 is no unsigned"),
        (HEAD + NAME + 'type = "octet-string(2)"\nvalue = { hex = "00" }\n', "is no octet_string of length 2"),
        (HEAD + NAME + 'type = "octet-string"\nvalue = { hex = "0" }\n', "is no octet_string"),
        (HEAD + NAME + 'type = "structure(1)"\nvalue = ["enum a"]\n', "value[0]: 'a' is no enumerate"),
        (HEAD + NAME + 'type = "structure(1)"\nvalue = [5]\n', "value[0]: is neither a text"),
        (HEAD + NAME + 'type = "structure(1)"\nvalue = ["colour 5"]\n', "value[0]: 'colour' is not a type"),
        (HEAD + NAME + 'type = "boolean"\nattributes.2 = { colour = 1 }\n', "[objects.NAME.attributes.2]: colour:"),
        (
            HEAD + NAME + 'type = "boolean"\nattributes.0 = { type = "enum" }\n',
            "attributes.0: is not a table of an index",
        ),
        (HEAD + NAME + 'type = "boolean"\nscaler_unit = [0, "Wh"]\n', "scaler_unit: only an object of class 3 or 4"),
        (HEAD + GAS + 'scaler_unit = [0, "pint"]\n', "[objects.GAS]: scaler_unit: is not [scaler, unit]"),
        (HEAD + NAME + 'type = "boolean"\nentries = 5\n', "only an object of class 7 has columns"),
        (HEAD + LOG, "[objects.LOG]: columns: a profile needs columns and entries"),
        (HEAD + LOG + 'columns = ["CLOCK.2"]\n', "[objects.LOG]: columns: CLOCK.2 names no attribute of an object"),
        (HEAD + CLOCK + LOG + 'columns = ["CLOCK.20"]\n', "[objects.LOG]: columns: CLOCK.20 names no attribute"),
        (HEAD + CLOCK + LOG + 'columns = ["CLOCK"]\n', "[objects.LOG]: columns: 'CLOCK' is not TAG.attribute"),
        (HEAD + CLOCK + LOG + 'columns = ["CLOCK.2"]\nselectable = ["SUN"]\n', "selectable: SUN names no object"),
        (HEAD + NAME + 'type = "enum"\npushes = ["NAME.2"]\n', "pushes: only an object of class 40"),
        (HEAD + PUSH + 'pushes = ["CLOCK.2"]\n', "[objects.PUSH]: pushes: CLOCK.2 names no attribute of an object"),
        (HEAD + PUSH + 'pushes = ["CLOCK"]\n', "[objects.PUSH]: pushes: 'CLOCK' is not TAG.attribute"),
        (HEAD + VOLTAGE.replace('"1.0.52.7.0.255", ', ""), "obis: a list has one logical name for each of L1, L2, L3"),
        (HEAD + VOLTAGE.replace("1.0.52.7.0.255", "1.0.52.7.0"), "[objects.VOLTAGE]: obis: '1.0.52.7.0' is not six"),
        (HEAD + VOLTAGE.replace("1.0.52.7.0.255", "1.0.32.7.0.255"), "obis: 1-0:32.7.0.255 is VOLTAGE_L1 already"),
        (HEAD + VOLTAGE + "power_quality = {}\n", "[objects.VOLTAGE.power_quality]: audience: is missing"),
        (HEAD + VOLTAGE + 'power_quality = { audience = "all" }\n', "audience: 'all' is none of public, private"),
        (HEAD + VOLTAGE + 'power_quality = { audience = "public", actual = ["two"] }\n', "actual: 'two' is none of"),
        (HEAD + VOLTAGE + 'power_quality = { audience = "public", colour = 1 }\n', "colour: is not a key"),
        ('includes = ["_parts"]\n' + HEAD, "bad.toml: includes: there is no _parts.toml"),
        ('includes = ["_classes"]\n' + HEAD, "bad.toml: includes: there is no _classes.toml"),
        ("[objects\n", "bad.toml: "),
    ],
)
def test_errors_name_the_place(text: str, named: str) -> None:
    with pytest.raises(ProfileError) as caught:
        loaded(bad=text)
    assert named in str(caught.value)


def test_a_cycle_over_several_files() -> None:
    texts = {a: f'protocol = "SMR"\nversion = "{a}"\nextends = "{b}"\n' for a, b in ("ab", "bc", "ca")}
    with pytest.raises(ProfileError, match="extends itself"):
        loaded(**texts)


def test_two_files_of_one_version() -> None:
    with pytest.raises(ProfileError, match="two.toml: version: SMR 9 is declared by another file"):
        loaded(one=HEAD, two=HEAD)


def test_a_parents_column_is_checked_in_the_child_under_the_parents_name() -> None:
    child = (
        f'protocol = "SMR"\nversion = "10"\nextends = "one"\n{CLOCK.replace("class = 8", "class = 1")}type = "enum"\n'
    )
    child = child.replace("CLOCK", "CODE")
    parent = HEAD + CLOCK + NAME.replace("NAME", "CODE").replace("42", "43") + 'type = "enum"\n' + LOG
    found = load({"_classes": CLASSES, "one": parent + 'columns = ["CLOCK.2", "CODE.2"]\n', "two": child})
    # A child's object replaces the parent's of the same tag, and the parent's log captures the child's object.
    assert found["SMR", "10"]["LOG"].columns[1].obis == bytes((0, 0, 1, 0, 0, 255))
    assert found["SMR", "9"]["LOG"].columns[1].obis == bytes((0, 0, 43, 0, 0, 255))


def test_traits_are_inherited_and_replaced() -> None:
    parent = HEAD + "[traits]\nmax_pdu = 512\ncolumn_selection = false\n"
    child = 'protocol = "SMR"\nversion = "10"\nextends = "one"\n[traits]\nmax_pdu = 128\n'
    traits = load({"_classes": CLASSES, "one": parent, "two": child})["SMR", "10"].traits
    assert (traits.max_pdu, traits.column_selection, traits.range_selection) == (128, False, True)


VALUES = """
2 = { type = "structure", value = ["bit-string(3) 101", "boolean true", ["octet-string hex 07", "long -5"]] }
3 = { name = "b", type = "visible-string", value = { text = "ab" } }
4 = { name = "c", type = "long64", value = -5 }
5 = { name = "d", type = "octet-string(6)", value = { obis = "0.0.1.0.0.255" } }
6 = { name = "e", type = "array", value = [] }
7 = { name = "f", type = "array", value = [["unsigned 1", [["octet-string obis 0.0.1.0.0.255"]]]] }
8 = { name = "g", type = "structure", value = [{ structure = ["visible-string text a b"] }] }
"""


def test_values_of_every_kind() -> None:
    text = HEAD + NAME + 'type = "enum"\n[objects.NAME.attributes]\n' + VALUES
    made = load({"_classes": CLASSES, "one": text})["SMR", "9"]["NAME"].attributes
    nested = Data(Tag.ARRAY, (Data(Tag.OCTET_STRING, b"\x07"), Data(Tag.LONG_INTEGER, -5)))
    assert made[2].value == Data(Tag.STRUCTURE, (Data(Tag.BIT_STRING, "101"), Data(Tag.BOOLEAN, True), nested))
    assert made[3].value == Data(Tag.VISIBLE_STRING, "ab")
    assert made[4].value == Data(Tag.LONG64, -5)
    assert made[5].value == Data(Tag.OCTET_STRING, bytes((0, 0, 1, 0, 0, 255)))
    assert made[6].value == Data(Tag.ARRAY, ())
    inner = Data(Tag.STRUCTURE, (Data(Tag.OCTET_STRING, bytes((0, 0, 1, 0, 0, 255))),))
    assert made[7].value == Data(Tag.ARRAY, (Data(Tag.STRUCTURE, (Data(Tag.UNSIGNED, 1), Data(Tag.ARRAY, (inner,)))),))
    assert made[8].value == Data(Tag.STRUCTURE, (Data(Tag.STRUCTURE, (Data(Tag.VISIBLE_STRING, "a b"),)),))


def test_data_index_of_a_column() -> None:
    text = HEAD + CLOCK + LOG + 'columns = ["CLOCK.2", "CLOCK.4#3"]\n'
    made = load({"_classes": CLASSES, "one": text})["SMR", "9"]["LOG"]
    assert made.columns[1].definition == (8, bytes((0, 0, 1, 0, 0, 255)), 4, 3)


def test_an_object_of_the_phases() -> None:
    text = HEAD + CLOCK + VOLTAGE + 'power_quality = { audience = "public", periodic = ["single"] }\n' + LOG
    made = load({"_classes": CLASSES, "one": text + 'columns = ["CLOCK.2", "VOLTAGE.2"]\nselectable = ["VOLTAGE"]\n'})
    nine = made["SMR", "9"]
    assert [(nine[f"VOLTAGE_{phase}"].name, nine[f"VOLTAGE_{phase}"].polyphase) for phase in ("L1", "L2", "L3")] == [
        ("1-0:32.7.0.255", False), ("1-0:52.7.0.255", True), ("1-0:72.7.0.255", True),
    ]  # fmt: skip
    assert [column.tag for column in nine["LOG"].columns] == ["CLOCK", "VOLTAGE_L1", "VOLTAGE_L2", "VOLTAGE_L3"]
    assert nine["LOG"].selectable == ("VOLTAGE_L1", "VOLTAGE_L2", "VOLTAGE_L3")
    first, second = nine["VOLTAGE_L1"].power_quality, nine["VOLTAGE_L2"].power_quality
    assert first == PowerQuality(Audience.PUBLIC, frozenset(Supply), frozenset({Supply.SINGLE}))
    assert second == PowerQuality(Audience.PUBLIC, frozenset({Supply.POLY}), frozenset())


def test_included_objects_are_replaced_by_a_files_own() -> None:
    shared = CLOCK + NAME + 'type = "enum"\n'
    text = 'includes = ["_shared"]\n' + HEAD + NAME.replace("8.1", "here") + 'type = "boolean"\n'
    found = load({"_classes": CLASSES, "_shared": shared, "one": text})
    assert list(found) == [("SMR", "9")]
    assert (found["SMR", "9"]["NAME"].clause, found["SMR", "9"]["CLOCK"].clause) == ("here", "17")
    with pytest.raises(ProfileError, match="_shared.toml: protocol: is not a key"):
        load({"_classes": CLASSES, "_shared": HEAD + shared, "one": text})
    with pytest.raises(ProfileError, match="one.toml: extends: _shared is no profile"):
        load({"_classes": CLASSES, "_shared": shared, "one": 'extends = "_shared"\n' + HEAD})


def test_what_a_push_setup_pushes() -> None:
    text = HEAD + CLOCK + PUSH + 'pushes = ["CLOCK.2", "PUSH.1"]\n'
    pushed = load({"_classes": CLASSES, "one": text})["SMR", "9"]["PUSH"].attributes[2].value
    assert pushed is not None
    assert [[part.value for part in each.value] for each in pushed.value] == [
        [8, bytes((0, 0, 1, 0, 0, 255)), 2, 0], [40, bytes((0, 0, 25, 9, 0, 255)), 1, 0],
    ]  # fmt: skip

"""Requests from records and from words of a command line: everything wrong is Rejected with field and reason."""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import build_request, catalogue
from operations._build import build
from operations._errors import Rejected


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    share: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Sample:
    number: int
    text: str = ""
    truth: bool = False
    octets: bytes = b""
    moment: datetime | None = None
    colour: Colour | None = None
    numbers: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    part: Part | None = None
    labels: dict[str, str] = field(default_factory=dict)


def test_python_values_of_a_record() -> None:
    moment = datetime(2024, 1, 31, 1, tzinfo=timezone(timedelta(hours=1)))
    built = build(
        Sample,
        {
            "number": 7,
            "text": "x",
            "truth": True,
            "octets": b"\1",
            "moment": moment,
            "colour": "Red",
            "numbers": (1, 2),
            "parts": [{"name": "a"}, {"name": "b", "share": Decimal("0.5")}],
            "part": None,
            "labels": {"a": "b"},
        },
    )
    assert built == Sample(
        7,
        "x",
        True,
        b"\1",
        datetime(2024, 1, 31, tzinfo=UTC),
        Colour.RED,
        (1, 2),
        (Part("a"), Part("b", Decimal("0.5"))),
        None,
        {"a": "b"},
    )
    assert built.moment is not None and built.moment.tzinfo is UTC


def test_words_of_a_command_line() -> None:
    built = build(
        Sample,
        {
            "number": "-7",
            "truth": "TRUE",
            "octets": "00ff",
            "moment": "2024-01-31T01:00:00+01:00",
            "colour": "red",
            "numbers": "1, 2",
            "labels": "a=b;c=d=e",
        },
    )
    assert built == Sample(
        -7,
        truth=True,
        octets=b"\x00\xff",
        moment=datetime(2024, 1, 31, tzinfo=UTC),
        colour=Colour.RED,
        numbers=(1, 2),
        labels={"a": "b", "c": "d=e"},
    )


@pytest.mark.parametrize("value", ["2024-01-31", "2024-01-31T00:00:00Z", 1_706_659_200_000, datetime(2024, 1, 31)])  # noqa: DTZ001
def test_moments(value: Any) -> None:
    assert build(Sample, {"number": 1, "moment": value}).moment == datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("number", "seven", "must be a whole number, not 'seven'"),
        ("number", 1.5, "must be a whole number"),
        ("number", True, "must be a whole number"),
        ("number", None, "must be a whole number"),
        ("text", 5, "must be text"),
        ("truth", 1, "must be true or false"),
        ("truth", "maybe", "must be true or false"),
        ("octets", "0g", "is not hexadecimal"),
        ("octets", 5, "is int, not bytes"),
        ("moment", "yesterday", "must be a moment"),
        ("moment", True, "must be a moment"),
        ("moment", 1 << 80, "must be a moment"),
        ("colour", "green", "'green' is none of Blue, Red"),
        ("colour", 1, "is none of"),
        ("numbers", 5, "must be a list"),
        ("labels", "a", "must be name=value"),
        ("labels", {"a": 1}, "must be a map"),
        ("part", "x", "must be a record"),
        ("text", ["x" * 200], "..."),
    ],
)
def test_a_wrong_value_names_field_and_reason(name: str, value: Any, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        build(Sample, {"number": 1} | {name: value})
    assert (caught.value.field, caught.value.code) == (name, 401)
    assert reason in caught.value.reason
    assert len(caught.value.reason) < 120


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "number"),
        ({"number": 1, "nmber": 2}, "nmber"),
        ({"number": 1, "numbers": "1,x"}, "numbers[1]"),
        ({"number": 1, "parts": [{"name": "a"}, {}]}, "parts[1].name"),
        ({"number": 1, "part": {"name": "a", "share": "NaN"}}, "part.share"),
        ({"number": 1, "part": {"name": "a", "weight": 1}}, "part.weight"),
    ],
)
def test_the_place_is_named(values: dict[str, Any], path: str) -> None:
    with pytest.raises(Rejected) as caught:
        build(Sample, values)
    assert caught.value.field == path


def test_an_unknown_field_tells_which_there_are() -> None:
    with pytest.raises(Rejected, match="its fields are time_zone"):
        build_request("SynchronizeTime", {"zone": "UTC"})
    with pytest.raises(Rejected, match="its fields are none"):
        build_request("ClearAlarmRegister", {"register": 1})


def test_an_unknown_operation() -> None:
    with pytest.raises(Rejected) as caught:
        build_request("MakeCoffee", {})
    assert (caught.value.field, caught.value.code) == ("operation", 407)


def test_a_type_requests_cannot_have_stops_the_start() -> None:
    @dataclass(frozen=True)
    class Odd:
        ratio: complex

    with pytest.raises(TypeError, match="complex"):
        build(Odd, {"ratio": 1})


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_anything_is_a_request_or_rejected(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(catalogue())))
    names = [each.name for each in fields(catalogue()[name].request)] or ["x"]
    values = data.draw(st.dictionaries(st.sampled_from(names), _values, max_size=len(names)))
    try:
        built = build_request(name, values)
    except Rejected as rejected:
        assert rejected.field
        return
    assert isinstance(built, catalogue()[name].request)

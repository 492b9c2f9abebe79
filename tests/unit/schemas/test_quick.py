"""Quick records are what the dataclasses they are made of would be: frozen, equal, with their defaults."""

import dataclasses
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from schemas._quick import quick, replace
from schemas.records import Fault, Registration, Security


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plain:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize("given", [{"a": 1}, {"a": 1, "b": "x"}, {"a": 1, "c": {"k": 2}}])
def test_fields_and_defaults_are_the_dataclasss(given: dict[str, Any]) -> None:
    assert dataclasses.asdict(Quick(**given)) == dataclasses.asdict(Plain(**given))
    assert Quick(**given) == Quick(*dataclasses.astuple(Plain(**given)))


def test_a_factory_makes_a_new_value_each_time() -> None:
    assert Quick(1).c is not Quick(1).c


def test_it_stays_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick(1).a = 2  # type: ignore[misc]


@pytest.mark.parametrize("given", [{}, {"a": 1, "z": 2}])
def test_wrong_arguments_are_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Quick.__init__"):
        Quick(**given)


def test_replace_keeps_what_is_not_named() -> None:
    fault = Fault(1, "N", "C", "m", None, "f")
    assert replace(fault, message="n") == dataclasses.replace(fault, message="n")
    assert replace(fault, field=None) == Fault(1, "N", "C", "m")
    with pytest.raises(TypeError, match="colour"):
        replace(fault, colour="red")  # type: ignore[call-arg]


def test_dataclasses_replace_and_fields_still_work() -> None:
    known = Registration("E", "SMR", "5.1", "h", 1, 1, 1, Security.NONE, b"", ())
    assert dataclasses.replace(known, time_zone="UTC").labels == {}
    assert [each.name for each in dataclasses.fields(known)][-3:] == ["labels", "polyphase", "communication_method"]


def test_what_it_does_not_write_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Odd\.a"):

        @quick
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Odd:
            a: int

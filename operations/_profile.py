"""Meter profiles: what objects a meter of one protocol version has, loaded from `profiles/*.toml` and resolved once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from operations._steps import Attribute


@dataclass(frozen=True, slots=True)
class Profile:
    """Objects by tag, and named traits."""

    protocol: str
    version: str
    objects: Mapping[str, "CosemObject"]

    def __contains__(self, tag: str) -> bool:
        return tag in self.objects

    def __getitem__(self, tag: str) -> "CosemObject":
        return self.objects[tag]


@dataclass(frozen=True, slots=True)
class CosemObject:
    """One object; the profile engineer completes this."""

    tag: str
    class_id: int
    version: int
    obis: bytes

    def at(self, index: int) -> Attribute:
        return Attribute(self.class_id, self.obis, index)


@cache
def profile(protocol: str, version: str) -> Profile:
    """The profile of a protocol version. Raises KeyError when there is none."""
    raise KeyError((protocol, version))

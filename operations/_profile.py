"""What a meter of one protocol version looks like: its COSEM objects by tag, and named traits. The model, and the
look-up.

The facts are data (`profiles/*.toml`, read by `_profile_loader`); operations ask by tag or trait, never by the
profile's name, and the simulator builds its meters from the same objects. An object of an M-Bus channel
(`0.x.24.2.1.255`) is here four times, its tag followed by the channel: MBUS_VALUE_1 to MBUS_VALUE_4. One of the
phases is here three times: AVERAGE_VOLTAGE_L1 to AVERAGE_VOLTAGE_L3; only poly-phase meters have L2 and L3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from functools import cache

from operations._data import Data, Tag
from operations._errors import Rejected
from operations._steps import Attribute

PUBLIC_CLIENT = 16
MANAGEMENT_CLIENT = 1
CHANNELS = range(1, 5)
PHASES = ("L1", "L2", "L3")


class Access(IntFlag):
    """What a client may do with an attribute or a method."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4


@dataclass(frozen=True, slots=True)
class ScalerUnit:
    """value x 10^scaler, in a unit of the DLMS unit codes (30 Wh, 13 m3 ...)."""

    scaler: int
    unit: int


@dataclass(frozen=True, slots=True)
class CosemAttribute:
    """One attribute. `length`: octets of an octet-string, bits of a bit-string, elements of an array; None when it
    varies.
    """

    index: int
    name: str
    type: Tag
    length: int | None
    public: Access
    management: Access
    value: Data | None  # what the meter ships with; None when it is measured, configured or made on the way
    selectors: tuple[int, ...] = ()  # selective access: 1 range, 2 entry

    def access(self, client_id: int) -> Access:
        """What this client may do; a client that is neither public nor management may do nothing."""
        return _access(self, client_id)


@dataclass(frozen=True, slots=True)
class CosemMethod:
    """One method; `parameter` is the type of its parameter."""

    index: int
    name: str
    parameter: Tag
    public: Access
    management: Access

    def access(self, client_id: int) -> Access:
        return _access(self, client_id)


@dataclass(frozen=True, slots=True)
class Column:
    """One capture object of a profile: `tag` names the object it is captured from."""

    tag: str
    class_id: int
    obis: bytes
    attribute: int
    data_index: int = 0

    @property
    def definition(self) -> tuple[int, bytes, int, int]:
        """As `Range.columns` and the meter's capture_objects have it: class, logical name, attribute, data index."""
        return self.class_id, self.obis, self.attribute, self.data_index


class Audience(StrEnum):
    """Whom a power-quality read is for (operations-reading 14.2): grid data, or what shows how a household lives."""

    PUBLIC = "public"
    PRIVATE = "private"


class Supply(StrEnum):
    """How many phases a meter measures."""

    SINGLE = "single"
    POLY = "poly"


@dataclass(frozen=True, slots=True)
class PowerQuality:
    """The power-quality reads an object takes part in, by the supply of the meter: of actual values (operations-reading
    14.2), and of profile buffers (14.3).
    """

    audience: Audience
    actual: frozenset[Supply]
    periodic: frozenset[Supply]


@dataclass(frozen=True, slots=True)
class CosemObject:
    """One object. Attribute 1, the logical name, is among its attributes, readable by every client that sees the
    object.
    """

    tag: str
    class_id: int
    version: int
    obis: bytes
    clause: str  # where the reference says so
    attributes: Mapping[int, CosemAttribute]
    methods: Mapping[int, CosemMethod]
    channel: int | None = None  # M-Bus channel 1 to 4
    polyphase: bool = False  # only poly-phase meters have it
    scaler_unit: ScalerUnit | None = None  # fixed by the protocol; None: read attribute 3
    columns: tuple[Column, ...] = ()  # class 7: as shipped
    capture_period: int = 0  # seconds; 0 = not by time (monthly profiles, logs)
    entries: int = 0
    power_quality: PowerQuality | None = None
    selectable: tuple[str, ...] = ()  # class 7 of power quality: tags whose columns GetPowerQualityProfile may take

    def at(self, index: int) -> Attribute:
        """The address of one attribute, for a step."""
        return Attribute(self.class_id, self.obis, index)

    @property
    def name(self) -> str:
        """The logical name as people write it: 1-0:1.8.0.255."""
        a, b, c, d, e, f = self.obis
        return f"{a}-{b}:{c}.{d}.{e}.{f}"


@dataclass(frozen=True, slots=True)
class Traits:
    """Named differences that are no object. Each is read in one place."""

    range_selection: bool = True  # buffers know selector 1 (meter-model 11)
    column_selection: bool = True  # ... and its selected_values
    null_data_compression: bool = False  # null-data where a clock or value follows from the row before (meter-model 11)
    configuration_object: str = "bit-string"  # or "structure" (meter-model 16.2)
    push_format: str = "data-notification"  # or "text" (meter-model 14.2)
    max_pdu: int = 1024  # octets the meter can receive (meter-model 5.2)


@dataclass(frozen=True, slots=True)
class Profile:
    """Objects by tag, and named traits, of one protocol version."""

    protocol: str
    version: str
    objects: Mapping[str, CosemObject]
    traits: Traits = Traits()

    def __contains__(self, tag: str) -> bool:
        return tag in self.objects

    def __getitem__(self, tag: str) -> CosemObject:
        """The object of a tag. Raises Rejected 416 when this protocol version has none: nobody can mend that by
        trying again.
        """
        found = self.objects.get(tag)
        if found is None:
            raise not_in_profile(self, tag)
        return found

    def on_channel(self, tag: str, channel: int) -> CosemObject:
        """The object of an M-Bus channel, 1 to 4. Raises Rejected 416 as above."""
        return self[f"{tag}_{channel}"]

    def actual_power_quality(self, audience: Audience, supply: Supply) -> tuple[CosemObject, ...]:
        """What GetActualPowerQuality reads besides the clock (operations-reading 14.2), in the order of the profile."""
        parts = ((each, each.power_quality) for each in self.objects.values())
        return tuple(each for each, part in parts if part and part.audience is audience and supply in part.actual)

    def periodic_power_quality(
        self, buffer: CosemObject, audience: Audience, supply: Supply
    ) -> tuple[CosemObject, ...]:
        """The objects whose columns GetPowerQualityProfile may take from a buffer besides the clock (operations-reading
        14.3). Empty: the buffer has nothing for this audience.
        """
        parts = ((self.objects[tag], self.objects[tag].power_quality) for tag in buffer.selectable)
        return tuple(each for each, part in parts if part and part.audience is audience and supply in part.periodic)

    def find(self, class_id: int, obis: bytes) -> CosemObject | None:
        """The object of a class and a logical name, as a meter looks it up."""
        return next((each for each in self.objects.values() if each.obis == obis and each.class_id == class_id), None)


def not_in_profile(profile: Profile, tag: str) -> Rejected:
    """The refusal of operations-reading 1.4."""
    return not_supported(f"No address found for {tag} in protocol {profile.protocol} {profile.version}")


def not_supported(reason: str) -> Rejected:
    """What this protocol version cannot do: not retriable, code 416 (operations-managing 2.16)."""
    return Rejected(reason, code=416, name="OPERATION_NOT_SUPPORTED_BY_PLATFORM_FOR_PROTOCOL")


@cache
def profiles() -> Mapping[tuple[str, str], Profile]:
    """All profiles by (protocol, version), sorted. Raises ProfileError when a file is wrong: call it at start."""
    from operations._profile_loader import load_shipped  # the loader needs the model above

    return load_shipped()


def profile(protocol: str, version: str) -> Profile:
    """The profile of exactly this protocol and version (`SMR`, `5.0.0`; not `5.0`). Raises KeyError when there is
    none.
    """
    return profiles()[protocol, version]


def _access(part: CosemAttribute | CosemMethod, client_id: int) -> Access:
    if client_id == MANAGEMENT_CLIENT:
        return part.management
    return part.public if client_id == PUBLIC_CLIENT else Access.NONE

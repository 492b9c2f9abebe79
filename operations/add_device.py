"""Register a meter with its protocol, its address and its keys; no meter is called.

Reference operations-managing 1.1. One line of a shipment file is one request; which device it is stands in the
command's header. Keys come encrypted for the platform's public key and leave this operation sealed under the
platform's own.
"""

import re
from dataclasses import dataclass, field

from operations import Device, Meter, operation
from operations._errors import Rejected
from operations._profile import CHANNELS, MANAGEMENT_CLIENT, PUBLIC_CLIENT, profiles
from operations._rules import ELECTRICITY, check_zone
from operations._steps import Answer, Reseal, Steps
from schemas.records import CommunicationMethod, DeviceRegistered, KeyKind, Registration, SealedKey, Security

DEVICE_TYPES = (ELECTRICITY, "SMART_METER_G", "SMART_METER_W")
DEVICE_ID = re.compile(r"[A-Za-z0-9 ]{16,40}")  # operations-managing 2.13
CELL_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._:/-]{0,62}[A-Za-z0-9])?")  # names base station and cell
DLMS_PORT = 4059
_ELECTRICITY_KEYS = (KeyKind.MASTER, KeyKind.AUTHENTICATION, KeyKind.ENCRYPTION)
_REQUIRED = {  # of an electricity meter; operations-managing 2.10
    Security.NONE: (),
    Security.LLS: (*_ELECTRICITY_KEYS, KeyKind.PASSWORD),
    Security.HLS5: _ELECTRICITY_KEYS,
}


@dataclass(frozen=True, slots=True)
class Request:
    """Secrets are encrypted for the platform's public key. Raises Rejected: 401 naming the field, 806 for a missing
    key.
    """

    device_type: str  # SMART_METER_E, SMART_METER_G, SMART_METER_W
    protocol: str
    protocol_version: str
    host: str = ""  # of an electricity meter, required
    port: int = DLMS_PORT
    client_id: int | None = None  # None: 16 without security, else 1
    logical_device: int = 1
    security: Security = Security.HLS5
    system_title: bytes = b""  # the meter's, 8 bytes; empty: not known
    master_key: bytes | None = None
    authentication_key: bytes | None = None
    encryption_key: bytes | None = None
    password: bytes | None = None
    invocation_counter: int = 0  # first the platform may use
    gateway_id: str | None = None  # of an M-Bus meter
    channel: int | None = None  # 1 to 4
    mbus_identification: str | None = None  # 8 digits
    mbus_key: bytes | None = None
    cell_id: str | None = None  # base station and cell, such as 21/7: one that is called by permit
    labels: dict[str, str] = field(default_factory=dict)
    time_zone: str | None = None  # IANA
    with_list_max: int = 1  # attributes in one request; less than 1 counts as 1
    selective_access: bool = True  # column selection in periodic reads
    polyphase: bool = False  # has phases L2 and L3
    communication_method: CommunicationMethod | None = None  # which modem: GPRS, CDMA, LTE

    def __post_init__(self) -> None:
        _one_of("device_type", self.device_type, DEVICE_TYPES)
        _between("port", self.port, 1, 65_535)
        _between("client_id", self.client_id, 1, 127)
        _between("logical_device", self.logical_device, 1, 16_383)
        _between("invocation_counter", self.invocation_counter, 0, (1 << 32) - 1)
        _between("channel", self.channel, CHANNELS.start, CHANNELS.stop - 1)
        if len(self.system_title) not in (0, 8):
            raise Rejected(f"has {len(self.system_title)} bytes, not 8", field="system_title")
        if self.mbus_identification is not None and not re.fullmatch(r"[0-9]{8}", self.mbus_identification):
            raise Rejected("is not 8 digits", field="mbus_identification")
        if self.gateway_id is not None and not DEVICE_ID.fullmatch(self.gateway_id):
            raise Rejected("is no device identification", field="gateway_id")
        if self.cell_id is not None and not CELL_ID.fullmatch(self.cell_id):
            raise Rejected("is not 1 to 64 letters, digits, spaces, . _ : / -", field="cell_id")
        if self.time_zone is not None:
            check_zone(self.time_zone)
        _check_keys(self)
        if self.device_type == ELECTRICITY and not self.host:
            raise Rejected("is missing: where is the meter?", field="host")

    def secrets(self) -> dict[KeyKind, bytes]:
        """The encrypted secrets that are there."""
        all_kinds = {kind: getattr(self, _field(kind)) for kind in KeyKind}
        return {kind: encrypted for kind, encrypted in all_kinds.items() if encrypted}


@dataclass(frozen=True, slots=True)
class Result:
    """Which secrets were taken over."""

    keys: tuple[KeyKind, ...]


def decide(request: Request, device: Device) -> None:
    """Raises Rejected: 401 for the device's identification, 206 for an unknown protocol version, 204 when it exists."""
    if not DEVICE_ID.fullmatch(device.device_id):
        raise Rejected("must be 16 to 40 letters, digits and spaces", field="device_id")
    if (request.protocol, request.protocol_version) not in profiles():
        known = ", ".join(" ".join(pair) for pair in profiles())
        raise Rejected(
            f"{request.protocol} {request.protocol_version} is none of {known}",
            field="protocol_version",
            code=206,
            name="UNKNOWN_PROTOCOL_NAME_OR_VERSION_OR_VARIANT",
        )
    if device.registered:
        raise Rejected(f"{device.device_id} is registered already", field="device_id", code=204, name="EXISTING_DEVICE")


@operation("AddDevice", repeatable=True, seconds=10, frames=0, connects=False, decide=decide)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """A secret that cannot be opened is thrown in as Rejected 804, one of the wrong length as 802, and passes
    through.
    """
    sealed: list[SealedKey] = []
    for kind, encrypted in request.secrets().items():
        sealed.append(SealedKey(kind, (yield Reseal(kind, meter.device_id, encrypted))))
    registration = Registration(
        device_type=request.device_type,
        protocol=request.protocol,
        protocol_version=request.protocol_version,
        host=request.host,
        port=request.port,
        client_id=_client(request),
        logical_device=request.logical_device,
        security=request.security,
        system_title=request.system_title,
        keys=tuple(sealed),
        time_zone=request.time_zone,
        with_list_max=max(1, request.with_list_max),
        selective_access=request.selective_access,
        gateway_id=request.gateway_id,
        channel=request.channel,
        mbus_identification=request.mbus_identification,
        cell_id=request.cell_id,
        labels=dict(request.labels),
        polyphase=request.polyphase,
        communication_method=request.communication_method,
    )
    fact = DeviceRegistered(registration, request.invocation_counter)
    return Answer(Result(tuple(key.kind for key in sealed)), facts=(fact,))


def _client(request: Request) -> int:
    if request.client_id is not None:
        return request.client_id
    return PUBLIC_CLIENT if request.security is Security.NONE else MANAGEMENT_CLIENT


def _check_keys(request: Request) -> None:
    """Which set of secrets a meter has hangs on its type; a missing member is 806, one of the other set 401."""
    there = request.secrets().keys()
    electricity = request.device_type == ELECTRICITY
    required = _REQUIRED[request.security] if electricity else (KeyKind.MBUS,)
    foreign = there & {KeyKind.MBUS} if electricity else there - {KeyKind.MBUS}
    for kind in sorted(foreign):
        reason = f"is a key of the other kind of meter: {request.device_type} and M-Bus keys must not be mixed"
        raise Rejected(reason, field=_field(kind))
    for kind in required:
        if kind not in there:
            raise Rejected("is missing", field=_field(kind), code=806, name="KEY_NOT_PRESENT")


def _field(kind: KeyKind) -> str:
    return kind.value if kind is KeyKind.PASSWORD else f"{kind.value}_key"


def _between(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise Rejected(f"{value} is not from {low} to {high}", field=name)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Rejected(f"{value!r} is none of {', '.join(allowed)}", field=name)

"""From a device's registration to what the engine and an operation need of it: settings, keys, counters, profile."""

from typing import Final

from connectors.dlms import cosem
from connectors.dlms.keys import Keys, check_length
from operations import Meter
from operations._errors import Rejected, Unreachable
from operations._profile import Profile, profile
from schemas.records import KeyKind, Registration, Security

_CIPHERING: Final = (KeyKind.ENCRYPTION, KeyKind.AUTHENTICATION)
_ASSOCIATING: Final = frozenset({*_CIPHERING, KeyKind.PASSWORD})


def client_settings(registration: Registration, device_id: str, keys: Keys, title: bytes) -> cosem.ClientSettings:
    """How to open the association a registration asks for (reference 2.10).

    Raises Rejected: 806 KEY_NOT_PRESENT, 805 READING_KEY_EXCEPTION, 802 INVALID_DLMS_KEY_FORMAT.
    """
    if registration.security is Security.NONE:
        return cosem.ClientSettings(client_id=registration.client_id, server_sap=registration.logical_device)
    secrets = {key.kind: keys.open(device_id, key) for key in registration.keys if key.kind in _ASSOCIATING}
    lls = registration.security is Security.LLS
    ciphered = not lls or KeyKind.ENCRYPTION in secrets  # LLS goes in clear where no key was given
    for kind in (*((KeyKind.PASSWORD,) if lls else ()), *(_CIPHERING if ciphered else ())):
        if kind not in secrets:
            raise Rejected(f"{kind.value} of the device is missing", field="keys", code=806, name="KEY_NOT_PRESENT")
        check_length(kind, secrets[kind])
    return cosem.ClientSettings(
        client_id=registration.client_id,
        server_sap=registration.logical_device,
        mechanism=cosem.Mechanism.LLS if lls else cosem.Mechanism.HLS5,
        system_title=title if ciphered else b"",
        server_title=registration.system_title or None,
        keys=cosem.Keys(*(secrets[kind] for kind in _CIPHERING)) if ciphered else None,
        password=secrets[KeyKind.PASSWORD] if lls else b"",
    )


def client_title(head_end: int) -> bytes:
    """The platform's system title: three spaces and five bytes of number, most significant first (reference 2.10).

    GXF puts the device's number there. Ours is the head-end's: one title for all meters is enough, as each has a key of
    its own, but two head-ends that share a meter's keys must not share counters, and so must differ here.
    """
    return b"   " + head_end.to_bytes(5, "big")


def counters(first: int, last: int) -> cosem.InvocationCounter:
    """A job's range, both included. Raises Unreachable when it is empty: the next job brings another."""
    try:
        return cosem.InvocationCounter(first, last)
    except cosem.CosemError as error:
        raise Unreachable(f"the job's range of invocation counters is empty: {error}") from None


def meter_of(device_id: str, registration: Registration) -> Meter:
    """What operations may know of a registered device. Raises Rejected 206 when its profile is not known."""
    try:
        found = profile(registration.protocol, registration.protocol_version)
    except KeyError:
        raise Rejected(
            f"{registration.protocol} {registration.protocol_version} is not known",
            field="protocol_version",
            code=206,
            name="UNKNOWN_PROTOCOL_NAME_OR_VERSION_OR_VARIANT",
        ) from None
    return Meter(
        device_id,
        found,
        time_zone=registration.time_zone,
        with_list_max=registration.with_list_max,
        selective_access=registration.selective_access,
        channel=registration.channel,
        polyphase=registration.polyphase,
        communication_method=registration.communication_method,
    )


def no_meter(device_id: str) -> Meter:
    """The meter of an operation that connects to none: only its device id means anything."""
    return Meter(device_id, Profile("", "", {}))

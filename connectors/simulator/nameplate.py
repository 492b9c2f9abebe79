"""What a meter is and never changes: its names, its firmware, its gas meters, and how its associations are opened."""

from hashlib import sha256
from typing import Final

from connectors.dlms.cosem import Mechanism, axdr
from connectors.dlms.cosem.apdu import CORE_CONFORMANCE, LN, LN_CIPHERED
from connectors.dlms.cosem.axdr import Data
from operations._profile import PUBLIC_CLIENT, CosemObject, Profile

MAKER: Final = 13703  # "MLG", five bits a letter (meter-model 15.2)
CONTEXT, MECHANISM = 1, 2
GAS_METER_VERSIONS: Final = {  # meter-model 15.1
    "MBUS_DEVICE_MODEL_": b"G4 RF1",
    "MBUS_HARDWARE_VERSION_": b"H 2.1",
    "MBUS_METROLOGY_FIRMWARE_VERSION_": b"M 1.4",
    "MBUS_OTHER_FIRMWARE_VERSION_": b"O 3.0",
    "MBUS_VERSION_INFO_": bytes((1, 4, 3, 0)),
}
ASSOCIATED: Final = 2


def nameplate(found: CosemObject, index: int, *, device_id: str, number: int, profile: Profile) -> Data | None:
    """Attribute `index` of a name or firmware object; None for others."""
    if (found.class_id, index) == (17, 2):  # SAP assignment: this logical device
        name = axdr.octet_string(device_id[:16].encode())
        return axdr.array(axdr.structure(axdr.long_unsigned(number), name))
    if (found.class_id, index) != (1, 2):
        return None
    match found.tag:
        case "LOGICAL_DEVICE_NAME":
            return axdr.octet_string(device_id[:16].encode())
        case "DEVICE_ID_1":
            return axdr.octet_string(f"{number:010d}".encode())
        case "DEVICE_ID_2":
            return axdr.octet_string(device_id.encode())
        case "P1_PORT_VERSION":
            return axdr.octet_string(profile.version.replace(".", "")[:2].encode())
    if found.tag.endswith("FIRMWARE_IDENTIFIER"):
        return axdr.octet_string(f"MLG {profile.version}".encode())
    if found.tag.endswith("FIRMWARE_SIGNATURE"):
        return axdr.octet_string(sha256(f"{found.tag} {profile.version}".encode()).digest()[:16])
    return None


def gas_meter_name(channel: int, number: int) -> bytes:
    """The equipment identifier of the gas meter on a channel of meter `number`."""
    return f"G0000{channel}{number:011d}".encode()


def gas_meter(found: CosemObject, index: int, number: int) -> Data | None:
    """What an M-Bus channel with a gas meter says of it (meter-model 15.1, 15.2); None for the rest."""
    channel = found.channel or 0
    if found.tag.startswith("MBUS_DEVICE_ID") and index == 2:
        return axdr.octet_string(gas_meter_name(channel, number))
    if found.class_id == 4 and index == 2:
        version = next((text for tag, text in GAS_METER_VERSIONS.items() if found.tag.startswith(tag)), None)
        return None if version is None else axdr.octet_string(version)
    if found.class_id != 72:
        return None
    digits = number % 100_000_000
    told = {
        5: axdr.unsigned(channel),
        # eight digits: as BCD in version 0 of the class, a plain number in version 1 (operations-reading 5)
        6: axdr.double_long_unsigned(int(f"{digits:08d}", 16) if found.version == 0 else digits),
        7: axdr.long_unsigned(MAKER),
        8: axdr.unsigned(0x50),
        9: axdr.unsigned(3),  # gas
        14: axdr.enum(4),  # its key is in use
    }
    return told.get(index)


def association(
    index: int, client: int, sap: int, mechanism: Mechanism, max_pdu: int, *, ciphered: bool
) -> Data | None:
    """Attributes of the current association besides its object list (meter-model 2.1)."""
    if client == PUBLIC_CLIENT:
        mechanism = Mechanism.NONE
    context = LN_CIPHERED if ciphered else LN
    match index:
        case 3:
            return axdr.structure(axdr.integer(client), axdr.long_unsigned(sap))
        case 4:
            return axdr.octet_string(_object_identifier(CONTEXT, context))
        case 5:
            return axdr.structure(
                axdr.bit_string(f"{CORE_CONFORMANCE:024b}"),
                axdr.long_unsigned(max_pdu),
                axdr.long_unsigned(max_pdu),
                axdr.unsigned(6),
                axdr.integer(0),
                axdr.octet_string(b""),
            )
        case 6:
            return axdr.octet_string(_object_identifier(MECHANISM, mechanism))
        case 8:
            return axdr.enum(ASSOCIATED)
        case _:
            return None


def _object_identifier(kind: int, last: int) -> bytes:
    """2.16.756.5.8.kind.last"""
    return bytes((0x60, 0x85, 0x74, 0x05, 0x08, kind, last))

"""Thousands of meters on one port of one process: each is a server SAP (its `logical_device`), found in the first
bytes that arrive, as meter-model 2 says of simulators.

Everything of the fleet follows from its seed, so that the shipment file, the keys and the curves of a fleet are the
same wherever they are made.
"""

import asyncio
import csv
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from connectors.dlms.cosem import ClientRule, Keys, Mechanism, MeterSecurity, ServerSettings
from connectors.simulator.connection import Connection
from connectors.simulator.curves import household, mix
from connectors.simulator.faults import NO_FAULTS, Faults
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import Meter
from connectors.simulator.model import model
from connectors.simulator.nameplate import gas_meter_name
from operations._profile import CHANNELS, MANAGEMENT_CLIENT, PUBLIC_CLIENT

HOST: Final = "127.0.0.1"
MAX_METERS: Final = 16_383  # logical devices that AddDevice takes: 14 bits (meter-model 2)
MIX: Final = (
    ("SMR", "5.0.0"), ("SMR", "5.1"), ("DSMR", "4.2.2"), ("SMR", "5.2"), ("SMR", "5.5"), ("SMR", "4.3"),
    ("DSMR", "2.2"),
)  # fmt: skip
BY_PASSWORD: Final = ("DSMR", "2.2")  # opens with LLS (operations-managing 2.10 and its worked cases)

MODEMS: Final = {
    "4.3": "CDMA",
    "5.2": "LTE",
    "5.5": "LTE",
}  # by version; the others have GPRS (operations-reading 14.4)
SHIPMENT_FIELDS: Final = (
    "device_id", "device_type", "protocol", "protocol_version", "host", "port", "logical_device", "security",
    "system_title", "master_key", "authentication_key", "encryption_key", "password", "with_list_max", "time_zone",
    "labels", "gateway_id", "channel", "mbus_identification", "mbus_key", "cell_id", "polyphase",
    "communication_method",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """A fleet.

    `profiles` are handed out in turn; `delay` is the time in seconds a meter takes for each answer, `slowness` what a
    faulty one takes for a late answer, and twenty times what it lets pass between two bytes. `lls` is the share
    of meters whose HLS flags are not set yet: they open by password, ciphered or not (meter-model 2), and those of
    DSMR 2.2 always do; `public` the share that the shipment hands over without any secret, so that the head-end sees no
    more of them than the public client may.
    `gas_meters`: on channels 1 to so many of each meter, each a device of the shipment; None: four of five meters have
    one, and the shipment leaves them out. `cells`: radio cells the meters are in, by turns; 0: in none. `past`: logs
    tell what happened before; else they begin empty.
    """

    meters: int
    seed: int = 1
    profiles: Sequence[tuple[str, str]] = MIX
    delay: float = 0.0
    slowness: float = 60.0
    lls: float = 0.0
    public: float = 0.0
    gas_meters: int | None = None
    cells: int = 0
    past: bool = True
    faults: Faults = field(default_factory=lambda: NO_FAULTS)

    def __post_init__(self) -> None:
        if not 0 < self.meters <= MAX_METERS:
            raise ValueError(f"meters: a fleet has 1 to {MAX_METERS} meters, not {self.meters}")
        if min(self.lls, self.public) < 0 or self.lls + self.public > 1:
            raise ValueError(f"lls, public: shares of meters lie in 0 to 1 together, not {self.lls} and {self.public}")
        if self.gas_meters is not None and not 0 <= self.gas_meters <= CHANNELS[-1]:
            raise ValueError(f"gas_meters: a meter has 0 to {CHANNELS[-1]} of them, not {self.gas_meters}")
        if self.cells < 0:
            raise ValueError(f"cells: {self.cells} is negative")
        for name in ("delay", "slowness"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} s is negative")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a meter is, as its maker knows it: the content of its line in a shipment file."""

    number: int  # from 1; its logical device
    security: str  # what its shipment line says: hls5, lls or none
    device_id: str
    protocol: str
    version: str
    system_title: bytes
    encryption: bytes
    authentication: bytes
    master: bytes
    password: bytes


def identity(settings: FleetSettings, number: int) -> Identity:
    """Meter `number` (from 1) of a fleet."""
    protocol, version = settings.profiles[(number - 1) % len(settings.profiles)]
    code = f"ML{version.replace('.', ''):0<3}"[:5]

    luck = mix(settings.seed, 62, number)
    by_password = settings.lls if (protocol, version) != BY_PASSWORD else 1.0 - settings.public

    def key(kind: str) -> bytes:
        return sha256(f"meterlog fleet {settings.seed} meter {number} {kind}".encode()).digest()[:16]

    return Identity(
        number=number,
        security="lls" if luck < by_password else "none" if luck < by_password + settings.public else "hls5",
        device_id=f"{code}{number:012d}",
        protocol=protocol,
        version=version,
        system_title=b"MLG" + number.to_bytes(5, "big"),
        encryption=key("encryption"),
        authentication=key("authentication"),
        master=key("master"),
        password=key("password").hex()[:8].encode(),
    )


def is_polyphase(settings: FleetSettings, number: int) -> bool:
    """Whether meter `number` has phases L2 and L3: three of five have."""
    return mix(_seed_of(settings, number), 41) < 0.6


def _seed_of(settings: FleetSettings, number: int) -> int:
    return int(mix(settings.seed, number) * (1 << 60))


def gas_meter_id(number: int, channel: int) -> str:
    """The device identification of the gas meter on a channel of meter `number`: what the gateway says of it."""
    return gas_meter_name(channel, number).decode()


def cell_of(settings: FleetSettings, number: int) -> str:
    """The radio cell of meter `number`: base station and cell. Empty: none."""
    return f"1/{(number - 1) % settings.cells + 1}" if settings.cells else ""


def street_of(settings: FleetSettings, number: int) -> str:
    """The label `street` of meter `number` and of its gas meters: 1 to 40."""
    return str(int(40 * mix(settings.seed, 61, number)) + 1)


def write_shipment(path: Path, settings: FleetSettings, port: int, host: str = HOST) -> None:
    """The maker's delivery file of this fleet, CSV with plain keys: for a laboratory (`meterlog devices import
    --plain-keys`)."""
    with path.open("w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(SHIPMENT_FIELDS)
        for number in range(1, settings.meters + 1):
            who = identity(settings, number)
            keys = (who.master, who.authentication, who.encryption) if who.security != "none" else (b"", b"", b"")
            password = who.password if who.security == "lls" else b""
            street = street_of(settings, number)
            rows.writerow(
                (who.device_id, "SMART_METER_E", who.protocol, who.version, host, port, number, who.security,
                 who.system_title.hex(), *(key.hex() for key in keys), password.hex(), 16, "Europe/Amsterdam",
                 f"street={street}", "", "", "", "", cell_of(settings, number),
                 str(is_polyphase(settings, number)).lower(), MODEMS.get(who.version, "GPRS"))
            )  # fmt: skip
            for channel in range(1, (settings.gas_meters or 0) + 1):
                key = sha256(f"meterlog fleet {settings.seed} meter {number} gas {channel}".encode()).digest()[:16]
                rows.writerow(
                    (gas_meter_id(number, channel), "SMART_METER_G", who.protocol, who.version, "", "", "", "",
                     "", "", "", "", "", "", "Europe/Amsterdam", f"street={street}",
                     who.device_id, channel, f"{number:08d}", key.hex(), "", "", "")
                )  # fmt: skip


def port_of(path: Path) -> int:
    """Where the fleet of a shipment file that `write_shipment` made listens."""
    with path.open(newline="", encoding="utf-8") as text:
        return int(next(csv.DictReader(text))["port"])


class Fleet:
    """The meters and their listener.

    `port` is known once started.
    """

    def __init__(self, settings: FleetSettings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.meters = [self._meter(number) for number in range(1, settings.meters + 1)]
        self.port = 0
        self.connections: set[asyncio.Transport] = set()  # open now
        self._server: asyncio.Server | None = None
        self._rules = {
            (size, mechanism): ServerSettings(
                clients={PUBLIC_CLIENT: ClientRule(Mechanism.NONE), MANAGEMENT_CLIENT: ClientRule(mechanism)},
                max_receive_pdu=size,
            )
            for size, mechanism in {(each.model.profile.traits.max_pdu, each.mechanism) for each in self.meters}
        }

    def _meter(self, number: int) -> Meter:
        who = identity(self.settings, number)
        seed = _seed_of(self.settings, number)
        meter = Meter(
            number,
            who.device_id,
            model(who.protocol, who.version, polyphase=is_polyphase(self.settings, number)),
            household(seed),
            MeterSecurity(
                who.system_title,
                Keys(who.encryption, who.authentication),
                who.password,
            ),
            mechanism=Mechanism.LLS if who.security == "lls" else Mechanism.HLS5,
            gas_meters=self._gas_meters(seed),
            ledger=self.ledger,
            now=time.time,
            past=self.settings.past,
        )
        if mix(seed, 43) < 0.1:
            meter.raise_alarm(1 << (1 if mix(seed, 44) < 0.5 else 2))  # replace battery, power up
        return meter

    def _gas_meters(self, seed: int) -> int:
        given = self.settings.gas_meters
        return given if given is not None else 1 if mix(seed, 42) < 0.8 else 0

    async def start(self, port: int = 0, host: str = HOST) -> None:
        """Listen.

        Raises OSError when the port is taken.
        """
        _raise_descriptor_limit()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=4_096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.abort()

    def settings_of(self, meter: Meter) -> ServerSettings:
        return self._rules[meter.model.profile.traits.max_pdu, meter.mechanism]

    def cell_of(self, number: int) -> str:
        return cell_of(self.settings, number)

    def at(self, sap: int) -> Meter | None:
        """The meter with this SAP."""
        return self.meters[sap - 1] if 0 < sap <= len(self.meters) else None


def _raise_descriptor_limit() -> None:
    """As many descriptors as the system lets us have: a fleet holds a connection a meter."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

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
from typing import Final, cast

from connectors.dlms.cosem import ClientRule, Keys, Mechanism, MeterSecurity, ServerAssociation, ServerSettings
from connectors.simulator.curves import household, mix
from connectors.simulator.faults import NO_FAULTS, Fault, Faults
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import Meter
from connectors.simulator.model import model
from connectors.simulator.nameplate import gas_meter_name
from operations._profile import CHANNELS, MANAGEMENT_CLIENT, PUBLIC_CLIENT

HOST: Final = "127.0.0.1"
MAX_METERS: Final = 16_383  # logical devices that AddDevice takes: 14 bits (meter-model 2)
WPDU_DESTINATION: Final = slice(4, 6)
MIX: Final = (("SMR", "5.0.0"), ("SMR", "5.1"), ("DSMR", "4.2.2"), ("SMR", "5.2"), ("SMR", "5.5"))

SHIPMENT_FIELDS: Final = (
    "device_id", "device_type", "protocol", "protocol_version", "host", "port", "logical_device", "security",
    "system_title", "master_key", "authentication_key", "encryption_key", "password", "with_list_max", "time_zone",
    "labels", "gateway_id", "channel", "mbus_identification", "mbus_key",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """A fleet.

    `profiles` are handed out in turn; `delay` is the time in seconds a meter takes for each answer. `lls` is the share
    of meters whose HLS flags are not set yet: they open by password (meter-model 2); `public` the share that the
    shipment hands over without any secret, so that the head-end sees no more of them than the public client may.
    `gas_meters`: on channels 1 to so many of each meter, each a device of the shipment; None: four of five meters have
    one, and the shipment leaves them out.
    """

    meters: int
    seed: int = 1
    profiles: Sequence[tuple[str, str]] = MIX
    delay: float = 0.0
    lls: float = 0.0
    public: float = 0.0
    gas_meters: int | None = None
    faults: Faults = field(default_factory=lambda: NO_FAULTS)

    def __post_init__(self) -> None:
        if not 0 < self.meters <= MAX_METERS:
            raise ValueError(f"meters: a fleet has 1 to {MAX_METERS} meters, not {self.meters}")
        if min(self.lls, self.public) < 0 or self.lls + self.public > 1:
            raise ValueError(f"lls, public: shares of meters lie in 0 to 1 together, not {self.lls} and {self.public}")
        if self.gas_meters is not None and not 0 <= self.gas_meters <= CHANNELS[-1]:
            raise ValueError(f"gas_meters: a meter has 0 to {CHANNELS[-1]} of them, not {self.gas_meters}")
        if self.delay < 0:
            raise ValueError(f"delay: {self.delay} s is negative")


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

    def key(kind: str) -> bytes:
        return sha256(f"meterlog fleet {settings.seed} meter {number} {kind}".encode()).digest()[:16]

    return Identity(
        number=number,
        security="lls" if luck < settings.lls else "none" if luck < settings.lls + settings.public else "hls5",
        device_id=f"{code}{number:012d}",
        protocol=protocol,
        version=version,
        system_title=b"MLG" + number.to_bytes(5, "big"),
        encryption=key("encryption"),
        authentication=key("authentication"),
        master=key("master"),
        password=key("password").hex()[:8].encode(),
    )


def gas_meter_id(number: int, channel: int) -> str:
    """The device identification of the gas meter on a channel of meter `number`: what the gateway says of it."""
    return gas_meter_name(channel, number).decode()


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
            street = int(40 * mix(settings.seed, 61, number))
            rows.writerow(
                (who.device_id, "SMART_METER_E", who.protocol, who.version, host, port, number, who.security,
                 who.system_title.hex(), *(key.hex() for key in keys), password.hex(), 16, "Europe/Amsterdam",
                 f"street={street + 1}", "", "", "", "")
            )  # fmt: skip
            for channel in range(1, (settings.gas_meters or 0) + 1):
                key = sha256(f"meterlog fleet {settings.seed} meter {number} gas {channel}".encode()).digest()[:16]
                rows.writerow(
                    (gas_meter_id(number, channel), "SMART_METER_G", who.protocol, who.version, "", "", "", "",
                     "", "", "", "", "", "", "Europe/Amsterdam", f"street={street + 1}",
                     who.device_id, channel, f"{number:08d}", key.hex())
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
        seed = int(mix(self.settings.seed, number) * (1 << 60))
        meter = Meter(
            number,
            who.device_id,
            model(who.protocol, who.version, polyphase=mix(seed, 41) < 0.6),
            household(seed),
            MeterSecurity(
                who.system_title,
                None if who.security == "lls" else Keys(who.encryption, who.authentication),
                who.password,
            ),
            gas_meters=self._gas_meters(seed),
            ledger=self.ledger,
            now=time.time,
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
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=4_096)
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


class _Connection(asyncio.Protocol):
    """One TCP connection: finds its meter in the first WPDU, then feeds that meter's association."""

    __slots__ = (
        "_answers",
        "_association",
        "_begin",
        "_fault",
        "_fleet",
        "_meter",
        "_spared",
        "_stalled",
        "_transport",
    )

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._meter: Meter | None = None
        self._association: ServerAssociation | None = None
        self._begin = b""
        self._answers = 0
        self._fault = Fault.NONE
        self._spared = 0
        self._stalled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._fleet.connections.add(self._transport)

    def data_received(self, data: bytes) -> None:
        association = self._association
        if association is None:
            self._begin += data
            if len(self._begin) < WPDU_DESTINATION.stop:
                return
            association = self._attach(int.from_bytes(self._begin[WPDU_DESTINATION], "big"))
            if association is None:
                self._transport.close()
                return
            data, self._begin = self._begin, b""
        if self._fault is Fault.STALL and self._answers >= self._spared:
            if not self._stalled:
                self._stalled = True
                self._note("stall")
            return
        acted = self._acts()
        out = association.receive(data)
        if self._fault is Fault.LOST_ANSWER and self._acts() != acted:
            self._note("lost-answer")
            self._transport.abort()
            return
        if out:
            self._answers += 1
            out = self._spoil(out)
        delay = self._fleet.settings.delay
        if delay and not self._transport.is_closing():
            asyncio.get_running_loop().call_later(delay, self._send, out, association.closed)
        else:
            self._send(out, association.closed)

    def _attach(self, sap: int) -> ServerAssociation | None:
        """The association of the meter with this SAP; None when there is none, or it serves another client now."""
        fleet = self._fleet
        if not 0 < sap <= len(fleet.meters):
            return None
        meter = fleet.meters[sap - 1]
        if meter.open:
            fleet.ledger.note(meter.device_id, "refused")
            return None
        self._meter = meter
        meter.open = True
        meter.connections += 1
        fleet.ledger.note(meter.device_id, "connected")
        self._fault, self._spared = fleet.settings.faults.draw(meter.number, meter.connections)
        if self._fault is Fault.REFUSE:
            self._note("refuse")
            return None
        self._association = ServerAssociation(
            fleet.settings_of(meter), meter.security, meter, sap=sap, observe=self._observe
        )
        return self._association

    def _observe(self, client: int, counter: int | None, _apdu: bytes) -> None:
        meter = self._meter
        if counter is not None and meter is not None:
            self._fleet.ledger.note(meter.device_id, "counter", value=str(counter))

    def _acts(self) -> int:
        return self._meter.acts if self._meter is not None else 0

    def _spoil(self, out: bytes) -> bytes:
        """What the fault makes of an answer."""
        if self._answers <= self._spared:
            return out
        if self._fault is Fault.DROP:
            self._note("drop")
            self._transport.write(out[: len(out) // 2])
            self._transport.close()
            return b""
        if self._fault is Fault.WRONG_TAG:
            self._note("wrong-tag")
            return out[:-1] + bytes((out[-1] ^ 1,))
        return out

    def _send(self, out: bytes, closed: bool) -> None:
        if self._transport.is_closing():
            return
        if out:
            self._transport.write(out)
        if closed:
            self._transport.close()

    def _note(self, fault: str) -> None:
        if self._meter is not None:
            self._fleet.ledger.note(self._meter.device_id, "fault", fault)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fleet.connections.discard(self._transport)
        if self._meter is not None:
            self._meter.open = False


def _raise_descriptor_limit() -> None:
    """As many descriptors as the system lets us have: a fleet holds a connection a meter."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

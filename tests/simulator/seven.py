"""One simulated meter of each of the seven profiles on a loopback port, and jobs that the worker's own code carries out
on them.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.dlms.job import carry_out
from connectors.dlms.session import Times
from connectors.simulator.fleet import Fleet, FleetSettings, gas_meter_id, identity, is_polyphase
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import Meter
from operations import build_request
from operations._profile import profiles
from schemas import codec
from schemas.records import Delegated, Job, JobCommand, KeyKind, Registration, SealedKey, Security
from tests.simulator.test_job import Asked, command, desk, own_platform, registration

Version = tuple[str, str]

VERSIONS: Final = list(profiles())
FLEET: Final = FleetSettings(meters=len(VERSIONS), seed=5, profiles=VERSIONS, gas_meters=2, past=False)


def is_polyphase_one(version: Version) -> bool:
    """Whether the meter of this profile has phases L2 and L3."""
    return is_polyphase(FLEET, VERSIONS.index(version) + 1)


@dataclass(frozen=True, slots=True)
class Seven:
    """The meters while they listen."""

    fleet: Fleet
    runner: asyncio.Runner

    def meter(self, version: Version) -> Meter:
        return self.fleet.meters[VERSIONS.index(version)]

    def ask(self, version: Version, *asked: Asked, **changes: Any) -> tuple[list[Any], list[object]]:
        """Of each command its decoded result, or its fault; and what was read. `changes`: of the registration."""
        device = self.meter(version).device_id
        return self._told(
            version, asked, [command(name, build_request(name, request), device) for name, request in asked], changes
        )

    def ask_gas(self, version: Version, channel: int, *asked: Asked) -> tuple[list[Any], list[object]]:
        """The same of the gas meter on a channel, which its gateway's association carries out."""
        device = gas_meter_id(VERSIONS.index(version) + 1, channel)
        commands = [
            replace(
                own := command(name, build_request(name, request), device),
                correlation_id=str(uuid.uuid4()),
                delegated=Delegated(device, 1, own.correlation_id, channel),
            )
            for name, request in asked
        ]
        return self._told(version, asked, commands, {})

    def _told(
        self, version: Version, asked: tuple[Asked, ...], commands: list[JobCommand], changes: dict[str, Any]
    ) -> tuple[list[Any], list[object]]:
        meter = self.meter(version)
        first = 1_000 + max(meter.security.accepted, 0)
        known = self._registration(version, **changes)
        job = Job(meter.device_id, meter.connections + 1, 1 << 52, first, first + 100_000, known, tuple(commands))
        patient = replace(desk(), times=Times(connect=30, answer=60, release=30, counter=0.01))
        done = self.runner.run(carry_out(job, 0, patient))
        told: list[Any] = []
        for ended, each, (name, _) in zip(done.ended.commands, commands, asked, strict=True):
            body = done.results.get(each.correlation_id)
            told.append(ended.fault if body is None else codec.decode_result(name, body))
        return told, done.reads

    def _registration(self, version: Version, **changes: Any) -> Registration:
        number = VERSIONS.index(version) + 1
        who = identity(FLEET, number)
        secrets = {
            KeyKind.ENCRYPTION: who.encryption,
            KeyKind.AUTHENTICATION: who.authentication,
            KeyKind.PASSWORD: who.password,
        }
        seal = own_platform().seal
        return registration(
            self.fleet.port,
            device=who.device_id,
            protocol=who.protocol,
            protocol_version=who.version,
            logical_device=number,
            security=Security(who.security),
            system_title=who.system_title,
            keys=tuple(SealedKey(kind, seal(who.device_id, kind, secret)) for kind, secret in secrets.items()),
            time_zone="Europe/Amsterdam",
            polyphase=is_polyphase_one(version),
            **changes,
        )


@contextmanager
def listening() -> Iterator[Seven]:
    with asyncio.Runner() as runner:
        fleet = Fleet(FLEET, Ledger(None))
        runner.run(fleet.start())
        try:
            yield Seven(fleet, runner)
        finally:
            runner.run(fleet.stop())

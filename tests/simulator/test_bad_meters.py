"""Meters that stall, flood, lie or never stop, beside honest ones in one worker: each is cut off within its bounds and
reported by what it did, and the others notice nothing.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.dlms.job import Carried, carry_out
from connectors.dlms.link import MAX_PENDING
from connectors.dlms.session import Times
from connectors.simulator import ledger
from connectors.simulator.faults import Fault, Faults
from connectors.simulator.fleet import Fleet, FleetSettings, Identity, identity
from connectors.simulator.ledger import Ledger
from schemas.records import Ended, Job, KeyKind, Registration, SealedKey, Security
from tests.simulator.test_job import READS, Asked, desk, job, own_platform

HONEST: Final = 8
RANGE: Final = (100, 199)  # invocation counters of a job, and so nearly its frames
READ_AT_ONCE: Final = 256 * 1024  # bytes that an event loop takes from a socket in one turn
PUBLIC: Final = ("GetSpecificAttributeValue", {"class_id": 1, "obis_code": "0-0:96.1.1.255", "attribute": 2})
TIMES: Final = Times(connect=20, answer=2, release=2, counter=0.01)
SLOWNESS: Final = 20.0  # of late and dripping meters: ten times what we wait for an answer


def registered(fleet: Fleet, who: Identity, security: Security) -> Registration:
    """As AddDevice leaves it; each attribute is asked for on its own."""
    secrets = {KeyKind.ENCRYPTION: who.encryption, KeyKind.AUTHENTICATION: who.authentication}
    seal = own_platform().seal
    return Registration(
        device_type="SMART_METER_E",
        protocol=who.protocol,
        protocol_version=who.version,
        host="127.0.0.1",
        port=fleet.port,
        client_id=16 if security is Security.NONE else 1,
        logical_device=who.number,
        security=security,
        system_title=who.system_title,
        keys=tuple(SealedKey(kind, seal(who.device_id, kind, secret)) for kind, secret in secrets.items()),
        with_list_max=1,
    )


def asked_of(fleet: Fleet, number: int, *asked: Asked, security: Security = Security.HLS5) -> Job:
    who = identity(fleet.settings, number)
    return job(registered(fleet, who, security), *asked, seconds=90, counters=RANGE, device=who.device_id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def beside_honest_ones(
    fault: Fault, book: Path, *asked: Asked, security: Security = Security.HLS5
) -> tuple[Carried, list[Carried]]:
    """What a job comes to with a meter of this fault, and with honest ones in the meantime."""
    told: dict[str, Any] = {"profiles": [("SMR", "5.1")], "slowness": SLOWNESS}
    bad = Fleet(FleetSettings(meters=1, faults=Faults({fault: 1.0}), **told), Ledger(book))
    good = Fleet(FleetSettings(meters=HONEST, **told), Ledger(None))
    office = replace(desk(), times=TIMES, pool=ThreadPoolExecutor(1))
    await bad.start()
    await good.start()
    try:
        found, *others = await asyncio.gather(
            carry_out(asked_of(bad, 1, *asked, security=security), 0, office),
            *(carry_out(asked_of(good, number, READS), 0, office) for number in range(1, HONEST + 1)),
        )
        await until(lambda: not bad.connections and not good.connections)
        assert not bad.meters[0].open  # it would take the next connection
    finally:
        await bad.stop()
        await good.stop()
    return found, others


@pytest.mark.parametrize(
    ("fault", "code", "name", "says"),
    [
        (Fault.REFUSE, 229, "SOCKET_CLOSED_BY_REMOTE", "closed the connection"),
        (Fault.STALL, 233, "RESPONSE_TIMEOUT", "no answer within 2 s"),
        (Fault.LATE, 233, "RESPONSE_TIMEOUT", "no answer within 2 s"),
        (Fault.DRIP, 233, "RESPONSE_TIMEOUT", "no whole answer within 2 s, only [0-9] bytes of one"),
        (Fault.DROP, 229, "SOCKET_CLOSED_BY_REMOTE", "closed the connection, only [0-9]+ bytes of one"),
        (Fault.FALSE_LENGTH, 233, "RESPONSE_TIMEOUT", "no whole answer within 2 s, only [0-9]+ bytes of one"),
        (Fault.FLOOD, 232, "ILLEGAL_RESPONSE", "bytes follow the answer"),
        (Fault.UNASKED, 232, "ILLEGAL_RESPONSE", "bytes follow the answer"),
        (Fault.FALSE_VALUE, 232, "ILLEGAL_RESPONSE", "4294967295 elements announced, 0 bytes left"),
        (Fault.UNFOLDING, 232, "ILLEGAL_RESPONSE", "more than 131072 elements"),
        (Fault.FOREIGN, 232, "ILLEGAL_RESPONSE", "invoke id [0-9]+, [0-9]+ was asked"),
        (Fault.ENDLESS, 211, "CONNECTION_ERROR", "every frame the job may use was sent"),
        (Fault.WRONG_TAG, 230, "UNABLE_TO_DECYPHER", "authentication tag is wrong"),
    ],
)
def test_a_bad_meter_is_cut_off_and_reported(fault: Fault, code: int, name: str, says: str, tmp_path: Path) -> None:
    found, others = asyncio.run(beside_honest_ones(fault, tmp_path / "ledger", READS))
    (command,) = found.ended.commands
    assert command.ended is Ended.RETRIABLE
    assert command.fault is not None
    assert (command.fault.code, command.fault.name) == (code, name)
    assert re.search(says, command.fault.message), command.fault.message
    assert found.received <= MAX_PENDING + READ_AT_ONCE
    entries = list(ledger.read(tmp_path / "ledger"))
    assert {entry["what"] for entry in entries if entry["did"] == "fault"} == {fault}
    counters = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
    assert all(RANGE[0] <= counter <= RANGE[1] for counter in counters)
    assert len(counters) == len(set(counters))
    assert [each.ended for other in others for each in other.ended.commands] == [Ended.SUCCESSFUL] * HONEST


def test_a_transfer_without_end_is_ended_where_no_counter_does(tmp_path: Path) -> None:
    asked = [PUBLIC] * 6  # the fault waits for five answers at most
    found, _ = asyncio.run(beside_honest_ones(Fault.ENDLESS, tmp_path / "ledger", *asked, security=Security.NONE))
    (first, *later) = [each for each in found.ended.commands if each.ended is not Ended.SUCCESSFUL]
    assert first.fault is not None
    assert (first.ended, first.fault.code) == (Ended.RETRIABLE, 211)
    assert "every frame the job may use was sent" in first.fault.message
    assert {each.ended for each in later} <= {Ended.NOT_STARTED}

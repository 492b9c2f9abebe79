"""Gas meters read through their gateways on the real thing, the streams killed in the middle: every read comes out
once, of the right channel, under the gas meter's own name.

Eight gateways of all profiles have four gas meters each. A device's partition is where its key hashes to, so most gas
meters do not live in the partition of their gateway.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Final

import pytest

from connectors.dlms.keys import PUBLIC_FILE, seal_for_platform
from connectors.faces.upstream import Response
from connectors.simulator.columns import REGISTER_MASK
from connectors.simulator.fleet import FleetSettings, gas_meter_id, identity
from schemas import codec
from schemas.partition import partition_of
from schemas.records import DelegatedEnded, DelegatedJob, RegisterReads, Status
from schemas.topics import DEVICE_MESSAGES, DEVICES, JOBS, READS_REGISTERS, RESPONSES
from streams.device import verify
from streams.device.keeper import is_device_key
from streams.device.wire import decode_device
from tests.e2e.world import PARTITIONS, PATIENCE, System, running, until

FLEET: Final = FleetSettings(meters=8, seed=11, delay=0.15, gas_meters=4)
GAS: Final = {gas_meter_id(number, channel): (number, channel) for number in range(1, 9) for channel in (1, 2, 3, 4)}
UNDER_WAY: Final = 4  # outcomes before the streams are killed: the others wait, are at the gateways, or on their way

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gas_system(
    serve_kafka: Callable[[], AbstractContextManager[str]],
    clickhouse: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("gas")
    with serve_kafka() as kafka, running(kafka, clickhouse.host, clickhouse.port, folder, FLEET) as made:
        yield made


def killed(system: System) -> None:
    """The streams, with -9; started again as a supervisor would."""
    role = system.roles["streams"]
    assert role.pid is not None
    os.kill(role.pid, signal.SIGKILL)
    until(lambda: not role.running, what="the streams are dead")
    role.start()
    role.wait_ready(PATIENCE)


def read_all(system: System) -> dict[str, Response]:
    """Ask every gas meter and every gateway, kill the streams while they are at it: outcomes by correlation id."""
    world = system.world
    found: dict[str, Response] = {}
    with world.upstream() as upstream:
        asked = {upstream.send("GetActualMeterReadsGas", device, {}) for device in GAS}
        asked |= {upstream.send("GetActualMeterReads", device, {}) for device in world.devices}
        upstream.flush()
        for response in upstream.responses(PATIENCE):
            if response.header.correlation_id in asked:
                found[response.header.correlation_id] = response
            if len(found) == UNDER_WAY:
                killed(system)
            if len(found) == len(asked):
                return found
    raise AssertionError(f"{len(asked) - len(found)} commands without an outcome")


def test_four_channels_of_every_gateway_are_read_once_although_the_streams_are_killed(gas_system: System) -> None:
    world = gas_system.world
    assert gas_system.imported == {"added": 8 + len(GAS), "unchanged": 0, "refused": [], "unanswered": 0}
    found = read_all(gas_system)
    failed = [response.header for response in found.values() if response.header.status is not Status.SUCCESSFUL]
    assert not failed
    meters = {meter.number: meter for meter in world.meters().values()}
    seen = {}
    for response in found.values():
        if response.header.operation != "GetActualMeterReadsGas":
            continue
        number, channel = GAS[response.header.device_id]
        result = response.result
        assert result is not None
        taken = result["capture_time"].timestamp()
        litres = meters[number].household.gas(channel).at(taken) & REGISTER_MASK
        assert result["consumption"] == Decimal(litres) / 1_000, (response.header.device_id, result)
        seen[response.header.device_id] = response.header.correlation_id
    assert seen.keys() == GAS.keys()
    answers_are_one_each(gas_system, found)
    messages_lie_where_their_receiver_lives(gas_system)
    jobs_are_the_gateways(gas_system)
    reads_are_stored_once_under_the_gas_meters_name(gas_system, seen)
    verdict = verify.read(world.kafka)
    assert verdict.agrees, verdict
    table = {told.key: told.value for told in world.committed(DEVICES.name) if is_device_key(told.key)}
    assert [key for key, value in table.items() if not decode_device(value).idle] == []


def answers_are_one_each(system: System, found: dict[str, Response]) -> None:
    told = Counter(
        codec.decode_response(each.value)[0].correlation_id for each in system.world.committed(RESPONSES.name)
    )
    assert {told[correlation_id] for correlation_id in found} == {1}


def messages_lie_where_their_receiver_lives(system: System) -> None:
    ways: Counter[tuple[type, bool]] = Counter()
    taken: Counter[tuple[str, int, str]] = Counter()
    for told in system.world.committed(DEVICE_MESSAGES.name):
        message = codec.decode(told.value)
        assert told.key == message.device_id.encode()
        assert told.partition == partition_of(told.key, PARTITIONS)
        sender = message.mbus_device_id if isinstance(message, DelegatedJob) else message.gateway_id
        ways[type(message), partition_of(sender.encode(), PARTITIONS) == told.partition] += 1
        if isinstance(message, DelegatedEnded):
            taken[message.device_id, message.number, message.command.correlation_id] += 1
    assert ways.keys() == {(kind, same) for kind in (DelegatedJob, DelegatedEnded) for same in (True, False)}
    assert set(taken.values()) == {1}


def jobs_are_the_gateways(system: System) -> None:
    """No job is a gas meter's, but the one that registers it; and no meter saw a counter twice."""
    jobs = [codec.decode(told.value) for told in system.world.committed(JOBS.name)]
    for job in jobs:
        if job.device_id in GAS:
            assert [each.operation for each in job.commands] == ["AddDevice"]
    shared = [job for job in jobs if sum(each.delegated is not None for each in job.commands) > 1]
    assert shared, "gas meters of a gateway share its association"
    for device_id, entries in system.world.ledger().items():
        counters = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
        assert counters == sorted(set(counters)), device_id


def reads_are_stored_once_under_the_gas_meters_name(system: System, asked: dict[str, str]) -> None:
    world = system.world
    records: list[RegisterReads] = []
    for told in world.committed(READS_REGISTERS.name):
        record = codec.decode(told.value)
        if record.device_id in GAS:
            assert told.key == record.device_id.encode()
            records.append(record)
    assert {(each.device_id, each.correlation_id) for each in records} == set(asked.items())
    world.await_stored()
    stored = world.ask(
        "SELECT device_id, quantity, unit, toString(correlation_id), count() FROM register_reads FINAL "
        "WHERE unit = 'm3' GROUP BY ALL"
    )
    assert sorted(stored) == sorted((device, "consumption", "m3", name, 1) for device, name in asked.items())


def test_a_gas_meter_is_shown_with_its_gateway_and_a_gateway_with_its_gas_meters(gas_system: System) -> None:
    world = gas_system.world
    world.await_stored()
    gateway = identity(FLEET, 3).device_id
    with world.queries() as queries:  # what `meterlog devices show` prints
        told, other = queries.device(gas_meter_id(3, 2)), queries.device(gateway)
    assert told is not None and other is not None
    assert (told["device_type"], told["gateway_id"], told["channel"]) == ("SMART_METER_G", gateway, 2)
    assert [(read["quantity"], read["unit"]) for read in told["latest_reads"]] == [("consumption", "m3")]
    assert {each["operation"] for each in told["latest_commands"]} == {"AddDevice", "GetActualMeterReadsGas"}
    assert told["mbus_meters"] == []
    behind = [(each["device_id"], each["channel"]) for each in other["mbus_meters"]]
    assert behind == [(gas_meter_id(3, channel), channel) for channel in (1, 2, 3, 4)]


def test_a_gas_meter_on_an_unknown_gateway_is_told_so(gas_system: System) -> None:
    """Registered before its gateway ever is: the gateway's partition gives the read back."""
    with gas_system.world.upstream() as upstream:
        request = {
            "device_type": "SMART_METER_G",
            "protocol": "SMR",
            "protocol_version": "5.0.0",
            "gateway_id": "NOBODY00000000001",
            "channel": 1,
            "mbus_key": sealed(gas_system),
        }
        device = "G0000100000009999"
        added = upstream.send("AddDevice", device, request)
        asked = upstream.send("GetActualMeterReadsGas", device, {})
        upstream.flush()
        assert upstream.await_response(added, timeout=PATIENCE).header.status is Status.SUCCESSFUL
        header = upstream.await_response(asked, timeout=PATIENCE).header
    assert header.fault is not None and (header.status, header.fault.code) == (Status.ERROR, 201)


def sealed(system: System) -> bytes:
    return seal_for_platform((system.world.folder / "keys" / PUBLIC_FILE).read_bytes(), bytes(16))

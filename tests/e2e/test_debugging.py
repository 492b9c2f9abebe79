"""Debug mode through every hop: what a device and we said is on its topic, in ClickHouse and on the command line, and
no key of the fleet is in any of it.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from connectors.dlms.cosem.security import wrap_key
from connectors.simulator.fleet import FleetSettings, identity
from infra.embedded.roles import STORE_READER
from operations._errors import Rejected
from schemas import codec
from schemas.records import LoggedFrame, Status
from schemas.topics import DLMS_LOG
from tests.e2e.world import System, World, asked_of_all, outcomes, running

FLEET = FleetSettings(meters=4, seed=12, profiles=(("SMR", "5.1"), ("DSMR", "2.2")), lls=0.3)
"""Of the three that are watched, one opens by its keys and two by password."""


@pytest.fixture(scope="module")
def system(
    serve_kafka: Callable[[], AbstractContextManager[str]], clickhouse: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("debugging")
    with (
        serve_kafka() as kafka,
        running(kafka, clickhouse.host, clickhouse.port, folder, FLEET, [STORE_READER]) as made,
    ):
        yield made


def frames(world: World) -> list[LoggedFrame]:
    """In order for each device; partitions are read in any order."""
    told = [codec.decode(each.value) for each in world.committed(DLMS_LOG.name)]
    return sorted(told, key=lambda frame: (frame.device_id, frame.job, frame.sequence))


def secrets(world: World) -> set[bytes]:
    """Every key of the fleet, plain and wrapped, in every form it could be told in."""
    kinds = [
        [each.encryption, each.authentication, each.master, each.password]
        for each in (identity(world.fleet, number) for number in range(1, world.fleet.meters + 1))
    ]
    plain = {key for keys in kinds for key in keys}
    wrapped = {wrap_key(keys[2], key) for keys in kinds for key in keys if len(key) == 16}
    found = set()
    for secret in plain | wrapped:
        text = secret.hex()
        found |= {secret, text.encode(), text.upper().encode(), base64.b64encode(secret)}
    return found


def test_the_frames_of_a_device_in_debug_mode_and_of_no_other_are_kept(system: System) -> None:
    world = system.world
    watched, others = world.devices[:3], world.devices[3:]
    with world.upstream() as upstream:
        for response in asked_of_all(upstream, watched, "EnableDebugging", {}).values():
            assert (response.header.status, response.header.attempts) == (Status.SUCCESSFUL, 0)
        asked = {upstream.send("GetActualMeterReads", device, {}): device for device in world.devices}
        upstream.flush()
        assert {each.header.status for each in outcomes(upstream, asked).values()} == {Status.SUCCESSFUL}
        told = frames(world)  # before the end of each job, so they are there now
        asked_of_all(upstream, watched, "DisableDebugging", {})
        asked_of_all(upstream, world.devices, "ReadAlarmRegister", {})
    assert frames(world) == told, "nothing more once it is off"
    assert {frame.device_id for frame in told} == set(watched) and others
    assert {asked[frame.correlation_id or ""] for frame in told} == set(watched)
    for device in watched:
        own = [frame for frame in told if frame.device_id == device]
        assert [frame.sequence for frame in own] == list(range(len(own)))
        assert own[0].summary.startswith("Aarq") and own[-1].summary == "Rlre" and all(frame.valid for frame in own)
    world.await_stored()
    stored = world.ask("SELECT device_id, job, sequence, frame = unhex(%(f)s) FROM dlms_log FINAL WHERE size > 0", f="")
    assert len(stored) == len(told)
    assert world.ask("SELECT count() FROM debugged_devices") == [(0,)]


def test_no_key_of_the_fleet_is_in_any_log(system: System) -> None:
    world = system.world
    topic = b"".join(told.value + (told.key or b"") for told in world.committed(DLMS_LOG.name))
    table = "".join(str(row) for row in world.ask("SELECT hex(frame), summary, text FROM dlms_log")).encode()
    logs = b"".join(path.read_bytes() for path in (world.folder / "logs").iterdir())
    assert topic and table and logs
    for secret in secrets(world):
        assert secret not in topic and secret not in table and secret not in logs
    assert any("LLS" in frame.summary and frame.withheld for frame in frames(world)), "a password was there to be told"


def test_the_command_line_shows_them_in_order(system: System) -> None:
    world = system.world
    device = world.devices[0]
    done = world.meterlog("logs", device, "--json")
    assert done.returncode == 0, done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    own = [frame for frame in frames(world) if frame.device_id == device]
    assert [(each["sequence"], each["frame"], each["summary"]) for each in shown] == [
        (frame.sequence, frame.frame.hex(), frame.summary) for frame in own
    ]
    assert json.loads(world.meterlog("logs", device, "--json", "--limit", "1").stdout)["sequence"] == len(own) - 1
    text = world.meterlog("logs", device, "--xml", "--hex").stdout
    assert "-> " in text and "<- " in text and "<AssociationRequest>" in text and own[0].frame.hex() in text
    before = world.meterlog("logs", device, "--until", "2020-01-01")
    assert before.returncode == 1 and "EnableDebugging" in before.stderr


def test_find_message_logs_is_answered_from_the_store(system: System) -> None:
    """Not by the meter: its ledger shows nothing."""
    world = system.world
    device = world.devices[0]
    own = [frame for frame in frames(world) if frame.device_id == device]
    before = world.ledger()[device]
    with world.upstream() as upstream:
        period = {"since": None, "until": None}
        pages = {upstream.send("FindMessageLogs", device, {"page": page, **period}): page for page in range(3)}
        with pytest.raises(Rejected, match="page: -1 is not within"):
            upstream.send("FindMessageLogs", device, {"page": -1, **period})
        upstream.flush()
        found = outcomes(upstream, pages)
    assert {each.header.status for each in found.values()} == {Status.SUCCESSFUL}
    results: list[Any] = [found[name].result for name in sorted(pages, key=lambda name: pages[name])]
    assert {result["total_pages"] for result in results} == {-(-len(own) // 30)}
    logs = [each for result in results for each in result["message_logs"]]
    assert [log["encoded_message"] for log in logs] == [frame.frame.hex() for frame in reversed(own)]
    assert world.ledger()[device] == before
    assert system.unharmed()

"""A bundle through every hop: asked at the command line, carried out in one association, answered entry by entry."""

import json

from operations import build_request, bundle
from schemas.records import Status
from tests.e2e.world import System, asked_of_all

NOBODY_HAS = {"class_id": 999, "obis_code": "9.9.9.9.9.9", "attribute": 2}
NAME_OF_METER = {"class_id": 1, "obis_code": "0-0:42.0.0.255", "attribute": 2}
ACTIONS = [
    {"SynchronizeTime": {"time_zone": "Europe/Amsterdam"}},
    "GetActualMeterReads",
    "ReadAlarmRegister",
    {"GetSpecificAttributeValue": NAME_OF_METER},
    {"GetSpecificAttributeValue": NOBODY_HAS},
    {"GetPeriodicMeterReads": {"period_type": "DAILY", "begin_date": "2026-11-01", "end_date": "2026-11-04"}},
    "ClearAlarmRegister",
    "ReadAlarmRegister",
    "GetActualMeterReads",
    {"GetSpecificAttributeValue": NAME_OF_METER},
    {"SynchronizeTime": {"time_zone": "UTC"}},
    {"GetPeriodicMeterReads": {"period_type": "MONTHLY", "begin_date": "2026-09-01", "end_date": "2026-11-01"}},
    "ReadAlarmRegister",
]


def test_thirteen_actions_are_thirteen_entries_of_every_meter(system: System) -> None:
    world = system.world
    before = {device: len(entries) for device, entries in world.ledger().items()}
    with world.upstream() as upstream:
        found = asked_of_all(upstream, world.devices, bundle.NAME, {"actions": ACTIONS})
    request = build_request(bundle.NAME, {"actions": ACTIONS})
    wanted = [f"meterlog.{bundle.operation_of(action).result.__module__}.Result" for action in request.actions]
    wanted[4] = "meterlog.operations.bundle.FaultEntry"
    done = world.ledger()
    world.await_stored()
    for device_id, response in found.items():
        header, result = response.header, response.result
        assert (header.status, header.fault, header.attempts) == (Status.SUCCESSFUL, None, 1)
        assert result is not None
        entries = result["entries"]
        assert [name for name, _ in entries] == wanted
        assert (entries[4][1]["outcome"], entries[4][1]["code"]) == ("Failed", 412)
        assert entries[3] == entries[9], "the meter's own name, twice"
        seen = [entry["did"] for entry in done[device_id][before[device_id] :]]
        assert (seen.count("connected"), seen.count("set")) == (1, 2 + len(entries[6][1]["cleared"]))
        stored = world.ask(
            "SELECT count() FROM energy_reads FINAL WHERE correlation_id = %(id)s", id=header.correlation_id
        )
        assert stored == [(len(entries[5][1]["log_times"]) + len(entries[11][1]["log_times"]),)]
        assert world.ask(
            "SELECT uniqExact(quantity) FROM register_reads FINAL WHERE correlation_id = %(id)s",
            id=header.correlation_id,
        ) == [(6,)]
    with world.queries() as queries:
        assert {device["time_zone"] for device in queries.devices()} == {"UTC"}, "learnt in the order of the actions"


def test_the_command_line_sends_one_and_names_the_action_that_is_wrong(system: System) -> None:
    world = system.world
    send = ("send", bundle.NAME, "--device", world.devices[0], "--wait", "--json", "--set")
    done = world.meterlog(*send, f"actions={json.dumps(ACTIONS[:3])}")
    assert done.returncode == 0, done.stdout + done.stderr
    entries = json.loads(done.stdout)["result"]["entries"]
    assert [name.split(".")[2] for name, _ in entries] == [
        "synchronize_time", "get_actual_meter_reads", "read_alarm_register",
    ]  # fmt: skip
    wrong = world.meterlog(*send, 'actions=["ReadAlarmRegister", {"SynchronizeTime": {"time_zone": "Mars"}}]')
    assert wrong.returncode != 0
    assert "actions[1].time_zone" in wrong.stdout + wrong.stderr

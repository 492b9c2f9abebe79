"""Records a small log as it lies on the topic, so that later versions can show that they still read it.

`python -m tests.golden.log` writes `tests/golden/log/<name>/`: the schemas of the day, `log.txt` (a record a line, key
and value in hex) and `table.txt` (what it led to). A recording is never changed: a log is read for years. Until
the first release it may be made anew when the shared records change in a way that cannot be read beside the old; from
then on only another may be added.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from schemas import topics
from schemas.records import CommandEnded, DeviceRegistered, Ended, Fault, TimeZoneSet
from streams.device.limits import Limits
from tests.unit.streams.world import (
    MINUTE,
    NOON,
    REGISTRATION,
    World,
    attempting,
    command,
    ended,
    jobs,
    on,
    tick,
    uid,
)

FOLDER: Final = Path(__file__).parent / "log"
SCHEMAS: Final = Path(__file__).parents[2] / "schemas" / "avro" / "shared"
REFUSED: Final = Fault(225, "CONNECTION_REFUSED", "METERLOG", "nobody listens", inner="errno 111", field=None)


def played() -> World:
    """A device that met nearly all that can happen: every kind of event is in its log, snapshots among them."""
    world = World(Limits(snapshot_every=8))
    world.batch(tick(NOON))
    (job,) = jobs(world.batch(command(1, operation="AddDevice"), command(2)))
    given = replace(REGISTRATION, labels={"street": "Long Lane"}, cell_id="21")
    told = CommandEnded(uid(1), Ended.SUCCESSFUL, result=b"\x00", facts=(DeviceRegistered(given, 9),))
    (job,) = jobs(world.batch(ended(job, told)))
    world.batch(command(1, operation="AddDevice"), command(2, request={"time_zone": "Mars/Olympus"}), command(3))
    failed = CommandEnded(uid(2), Ended.RETRIABLE, REFUSED)
    (job,) = jobs(world.batch(ended(job, failed, reached=False, counter_floor=5_000)))
    world.batch(command(4, operation="Cancel", request={"correlation_id": uid(3)}))
    world.batch(tick(job.deadline + Limits().grace))
    now = job.deadline + 3 * MINUTE
    sent = world.batch(tick(now), command(5, operation="ClearAlarmRegister", request={}, at=now))
    (job,) = jobs(sent)
    zone = CommandEnded(uid(2), Ended.SUCCESSFUL, result=b"", facts=(TimeZoneSet("Europe/Amsterdam"),))
    sent = world.batch(attempting(job, uid(5), now), ended(job, zone, at=now))
    looks = iter([Ended.RETRIABLE, Ended.NOT_DONE])  # then it is sent again, and succeeds
    for _ in range(8):
        now += MINUTE
        sent = world.batch(tick(now, results_end=world.offsets[topics.JOB_RESULTS.name]))
        for job in jobs(sent):
            how = next(looks, Ended.SUCCESSFUL)
            world.batch(ended(job, *(CommandEnded(c.correlation_id, how, REFUSED) for c in job.commands), at=now))
    world.batch(command(6, operation="SetDeviceLifecycleStatus", request={"status": "IN_USE"}, at=now))
    world.batch(command(9, operation="EnableDebugging", request={"hours": 24}, at=now))
    world.batch(command(7, at=now, scheduled_at=now + MINUTE, expires_at=now + 2 * MINUTE))
    world.batch(command(8, device_id="TEST1024000000009"))
    return world


def write(name: str) -> Path:
    """Raises FileExistsError: a recording is never changed."""
    folder = FOLDER / name
    folder.mkdir(parents=True)
    world = played()
    for schema in ("DeviceEvents", "DeviceState"):
        shutil.copy(SCHEMAS / f"{schema}.avsc", folder)
    records = on(topics.DEVICE_EVENTS, world.sent)
    (folder / "log.txt").write_text("".join(f"{each.key.hex()} {each.value.hex()}\n" for each in records))
    table = [f"{key.hex()} {world.values[key].hex()}\n" for key in world.devices()]
    (folder / "table.txt").write_text("".join(table))
    return folder


if __name__ == "__main__":
    print(f"wrote {write(sys.argv[1])}")

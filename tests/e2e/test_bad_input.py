"""What bad input gets: an answer that names the field and the reason when somebody can be told, else a place among the
dead letters with the original bytes; and every role goes on.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.dlms.keys import PUBLIC_FILE, seal_for_platform
from connectors.faces.dead_letters import DeadLetter, letters
from connectors.faces.shipment import GoodLine, read
from connectors.faces.upstream import Response, Upstream
from connectors.simulator.fleet import FleetSettings, identity, write_shipment
from schemas import codec, headers
from schemas.partition import partition_of
from schemas.records import CommandHeader, LargeResult, Status, Tick
from schemas.topics import COMMANDS, DEVICE_INBOX, JOB_RESULTS, JOBS, READS_PROFILES
from tests.e2e.world import PARTITIONS, SINK_TOPICS, System, asked_of_all, outcomes, until

KIB: Final = 1_024
NOBODY: Final = "ML500000000009999"
UNKNOWN_SCHEMA: Final = b"\xc3\x01" + bytes(range(8)) + b"whatever it says"
MURMUR2: Final = {"partitioner": "murmur2_random"}


@pytest.fixture
def upstream(system: System) -> Iterator[Upstream]:
    with system.world.upstream() as opened:
        yield opened


@pytest.fixture(autouse=True)
def every_role_goes_on(system: System) -> Iterator[None]:
    """After each test every meter can still be read, by the processes that were there before."""
    yield
    world = system.world
    with world.upstream() as opened:
        found = asked_of_all(opened, world.devices, "ReadAlarmRegister", {})
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}
    assert system.unharmed()


def header(device_id: str, **fields: Any) -> CommandHeader:
    return CommandHeader(str(uuid.uuid4()), device_id, Upstream.now(), requester="e2e", **fields)


def produce(
    system: System,
    value: bytes | None,
    *,
    key: str | bytes | None,
    told: headers.Headers | None = None,
    topic: str = COMMANDS.name,
    **settings: Any,
) -> None:
    """A record as a foreign producer would send it."""
    producer = Producer({"bootstrap.servers": system.world.kafka, **MURMUR2, **settings})
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            failed.append(error)

    raw: Any = told or []
    producer.produce(topic, value, key, headers=raw, on_delivery=delivered)
    assert producer.flush(30) == 0
    if failed:
        raise KafkaException(failed[0])


def says(correlation_id: str, operation: str) -> headers.Headers:
    """The headers that let a record be attributed without reading it."""
    return [(headers.CORRELATION_ID, correlation_id.encode()), (headers.OPERATION, operation.encode())]


def sent(system: System, operation: str, about: CommandHeader, request: dict[str, Any], **settings: Any) -> str:
    """A command that nobody has checked; gives its correlation id."""
    value = codec.encode_command(operation, about, request)
    told = headers.for_command(operation, about)
    produce(system, value, key=about.device_id, told=told, **settings)
    return about.correlation_id


def answer(upstream: Upstream, correlation_id: str) -> Response:
    return outcomes(upstream, [correlation_id])[correlation_id]


def refused(upstream: Upstream, correlation_id: str) -> tuple[int, str | None, str]:
    """Code, field and message of the one Rejected that a command got."""
    response = answer(upstream, correlation_id)
    assert (response.header.status, response.result) == (Status.REJECTED, None)
    fault = response.header.fault
    assert fault is not None
    return fault.code, fault.field, fault.message


def dead(system: System, value: bytes) -> DeadLetter:
    """The one dead letter with these bytes."""
    found: list[DeadLetter] = []

    def there() -> bool:
        found[:] = [letter for letter in letters(system.world.kafka) if letter.value == value]
        return bool(found)

    until(there, what="a dead letter")
    (letter,) = found
    return letter


def shipped(system: System, numbers: Sequence[int], **fields: Any) -> dict[str, Any]:
    """AddDevice requests by device, as the shipment of a larger fleet holds them, sealed for this platform."""
    world = system.world
    path = world.folder / f"{uuid.uuid4()}.csv"
    write_shipment(path, replace(world.fleet, meters=max(numbers)), world.fleet_port)
    pem = (world.folder / "keys" / PUBLIC_FILE).read_bytes()
    lines = [line for line in read(path, seal_plain=lambda secret: seal_for_platform(pem, secret))]
    good = [line for line in lines if isinstance(line, GoodLine) and line.number - 1 in numbers]
    return {line.device_id: replace(line.request, **fields) if fields else line.request for line in good}


def test_a_device_that_nobody_knows(system: System, upstream: Upstream) -> None:
    asked = upstream.send("GetActualMeterReads", NOBODY, {})
    code, field, message = refused(upstream, asked)
    assert (code, field) == (201, "device_id")
    assert NOBODY in message and "AddDevice" in message


def test_an_operation_that_nobody_knows(system: System, upstream: Upstream) -> None:
    asked = str(uuid.uuid4())
    produce(system, UNKNOWN_SCHEMA, key=system.world.devices[0], told=says(asked, "OpenTheDoor"))
    response = answer(upstream, asked)
    assert (response.header.status, response.header.operation) == (Status.REJECTED, "OpenTheDoor")
    fault = response.header.fault
    assert fault is not None
    assert (fault.code, fault.field) == (407, "operation")
    assert "OpenTheDoor" in fault.message


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"\x00not a record at all", "c301", id="no-header"),
        pytest.param(UNKNOWN_SCHEMA, "unknown schema", id="unknown-schema"),
        pytest.param(b"", "no value", id="empty"),
        pytest.param(codec.encode(Tick(1, 2, 3)), "Tick", id="another-record"),
        pytest.param(
            codec.encode_command("SynchronizeTime", header(NOBODY), {"time_zone": "UTC"})[:-2],
            "SynchronizeTimeCommand",
            id="cut-off",
        ),
    ],
)
def test_bytes_that_cannot_be_read(system: System, upstream: Upstream, value: bytes, reason: str) -> None:
    """With a key and headers that say whose they are, the caller is told; without, they are set aside."""
    device_id, asked = system.world.devices[1], str(uuid.uuid4())
    produce(system, value, key=device_id, told=says(asked, "SynchronizeTime"))
    code, field, message = refused(upstream, asked)
    assert (code, field) == (401, "request")
    assert "unreadable" in message and reason in message
    mark = ("x-mark", uuid.uuid4().bytes)
    produce(system, value, key=device_id, told=[mark])
    until(lambda: any(mark in letter.headers for letter in letters(system.world.kafka)), what="a dead letter")
    (letter,) = [letter for letter in letters(system.world.kafka) if mark in letter.headers]
    assert (letter.value, letter.key, letter.topic) == (value, device_id.encode(), COMMANDS.name)
    assert (letter.role, letter.headers) == ("streams/device", (mark,))
    assert reason in letter.reason
    partition = partition_of(device_id.encode(), PARTITIONS)
    assert letter.origin.startswith(f"{COMMANDS.name}:{partition}:")


@pytest.mark.parametrize(
    ("operation", "request_", "field"),
    [
        ("SynchronizeTime", {"time_zone": "Mars/Olympus"}, "time_zone"),
        ("GetSpecificAttributeValue", {"class_id": 3, "obis_code": "1.0.1.8", "attribute": 2}, "obis_code"),
        ("GetSpecificAttributeValue", {"class_id": -1, "obis_code": "1-0:1.8.0.255", "attribute": 2}, "class_id"),
        ("GetPeriodicMeterReads", {"period_type": "DAILY", "begin_date": 2_000, "end_date": 1_000}, "begin_date"),
    ],
)
def test_a_field_that_is_wrong(
    system: System, upstream: Upstream, operation: str, request_: dict[str, Any], field: str
) -> None:
    asked = sent(system, operation, header(system.world.devices[2]), request_)
    code, named, message = refused(upstream, asked)
    assert (code, named) == (401, field)
    assert message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": 10}, "priority"),
        ({"scheduled_at": 2_000, "expires_at": 1_000}, "expires_at"),
        ({"scheduled_at": -1}, "scheduled_at"),
    ],
)
def test_a_header_that_is_wrong(system: System, upstream: Upstream, fields: dict[str, Any], field: str) -> None:
    asked = sent(system, "ReadAlarmRegister", header(system.world.devices[2], **fields), {})
    code, named, message = refused(upstream, asked)
    assert (code, named) == (401, field)
    assert field in message


def test_a_key_that_is_not_the_device(system: System, upstream: Upstream) -> None:
    about = header(system.world.devices[3])
    value = codec.encode_command("ReadAlarmRegister", about, {})
    produce(system, value, key=system.world.devices[4], told=headers.for_command("ReadAlarmRegister", about))
    code, field, _ = refused(upstream, about.correlation_id)
    assert (code, field) == (401, "device_id")
    about = header(system.world.devices[3])
    value = codec.encode_command("ReadAlarmRegister", about, {})
    produce(system, value, key=None, told=headers.for_command("ReadAlarmRegister", about))
    code, field, _ = refused(upstream, about.correlation_id)
    assert (code, field) == (401, "key")


def test_a_record_without_value(system: System) -> None:
    before = {letter.place for letter in letters(system.world.kafka)}
    produce(system, None, key=system.world.devices[0])

    def there() -> list[DeadLetter]:
        return [letter for letter in letters(system.world.kafka) if letter.place not in before]

    until(lambda: bool(there()), what="a dead letter")
    (letter,) = there()
    assert (letter.value, letter.key, letter.topic) == (b"", system.world.devices[0].encode(), COMMANDS.name)


def test_a_profile_that_nobody_knows(system: System, upstream: Upstream) -> None:
    ((device_id, request),) = shipped(system, [1], protocol_version="9.9").items()
    device_id = device_id[:-4] + "9001"
    asked = upstream.send("AddDevice", device_id, request)
    code, field, message = refused(upstream, asked)
    assert (code, field) == (206, "protocol_version")
    assert "SMR 9.9" in message
    code, field, _ = refused(upstream, upstream.send("ReadAlarmRegister", device_id, {}))
    assert (code, field) == (201, "device_id")


def test_a_key_that_was_not_sealed_for_us(system: System, upstream: Upstream) -> None:
    ((device_id, request),) = shipped(system, [1], encryption_key=bytes(256)).items()
    response = answer(upstream, upstream.send("AddDevice", device_id[:-4] + "9002", request))
    fault = response.header.fault
    assert response.header.status in (Status.REJECTED, Status.ERROR) and fault is not None
    assert (fault.code, fault.field) == (804, "encryption_key")


def test_an_object_that_the_meter_does_not_have(system: System, upstream: Upstream) -> None:
    nothing = {"class_id": 3, "obis_code": "1-0:99.1.2.255", "attribute": 2}
    for device_id, response in asked_of_all(
        upstream, system.world.devices, "GetSpecificAttributeValue", nothing
    ).items():
        fault = response.header.fault
        assert response.header.status is Status.ERROR and fault is not None, device_id
        assert (fault.code, fault.name) == (412, "ERROR_RETRIEVING_ATTRIBUTE_VALUE")
        for said in ("class 3", "1-0:99.1.2.255", "attribute 2"):
            assert said in fault.message
        assert response.header.attempts == 1


def test_the_same_command_again_gets_the_same_outcome(system: System, upstream: Upstream) -> None:
    device_id = system.world.devices[5]
    asked = upstream.send("ReadAlarmRegister", device_id, {})
    first = answer(upstream, asked)
    assert not first.header.repeated
    assert upstream.send("ReadAlarmRegister", device_id, {}, correlation_id=asked) == asked
    again = answer(upstream, asked)
    assert again.header.repeated
    assert (again.header.status, again.header.settled_at) == (Status.SUCCESSFUL, first.header.settled_at)
    wrong = upstream.send("SynchronizeTime", device_id, {"time_zone": "UTC"}, correlation_id=asked)
    code, field, message = refused(upstream, wrong)
    assert (code, field) == (401, "correlation_id")
    assert "another request" in message


def test_a_device_that_is_there_already(system: System, upstream: Upstream) -> None:
    for device_id, request in shipped(system, [1, 2]).items():
        code, field, message = refused(upstream, upstream.send("AddDevice", device_id, request))
        assert (code, field) == (204, "device_id")
        assert device_id in message


def test_a_record_that_is_too_large(system: System, upstream: Upstream) -> None:
    device_id, asked = system.world.devices[6], str(uuid.uuid4())
    value = b"\xc3\x01" + uuid.uuid4().bytes + bytes(400 * KIB)
    produce(system, value, key=device_id, told=says(asked, "SynchronizeTime"))
    code, field, message = refused(upstream, asked)
    assert (code, field) == (401, "request")
    assert str(len(value)) in message
    produce(system, value, key=device_id)
    assert str(len(value)) in dead(system, value).reason
    huge: dict[str, Any] = {"message.max.bytes": 8 * KIB * KIB}
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):  # the broker takes none of that size at all
        produce(system, bytes(3 * KIB * KIB), key=device_id, **huge)


@pytest.mark.parametrize(
    ("topic", "role"),
    [(JOBS.name, "dlms-worker"), (JOB_RESULTS.name, "streams/device"), (READS_PROFILES.name, "clickhouse-sink")],
)
def test_poison_on_any_topic_is_set_aside_by_its_reader(system: System, topic: str, role: str) -> None:
    for value in (b"poison " + uuid.uuid4().bytes, codec.encode(Tick(uuid.uuid4().int >> 65, 2, 3))):
        produce(system, value, key=system.world.devices[7], topic=topic)
        letter = dead(system, value)
        assert (letter.topic, letter.role) == (topic, role)
        assert letter.reason


READERS: Final = {
    **{topic.name: "streams/device" for topic in DEVICE_INBOX},
    JOBS.name: "dlms-worker",
    **{topic.name: "clickhouse-sink" for topic in SINK_TOPICS},
}
"""Every topic a role reads, and who sets aside what lies there."""


def poison(device_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records that nobody can do anything with, one of a kind, and what the kind is called."""
    yield "unreadable", {"value": b"poison " + uuid.uuid4().bytes, "key": device_id}
    yield "unknown schema", {"value": UNKNOWN_SCHEMA, "key": device_id}
    yield "a record that belongs nowhere", {"value": codec.encode(LargeResult("", "", "", b"")), "key": device_id}
    yield "cut off", {"value": codec.encode(Tick(1, 2, 3))[:-1], "key": device_id}
    yield "no value", {"value": None, "key": device_id}
    yield "no key", {"value": b"poison", "key": None}
    yield "a key that is no text", {"value": b"poison", "key": b"\xff\xfe"}
    yield "a key as large as a record", {"value": b"poison", "key": bytes(900 * KIB)}
    yield "headers as large as a record", {"value": b"poison", "key": device_id, "told": [("x", bytes(900 * KIB))]}
    packed = {"compression.type": "zstd", "message.max.bytes": 16 * KIB * KIB}
    yield "eight MiB, compressed", {"value": bytes(8 * KIB * KIB), "key": device_id, **packed}


def test_every_kind_of_poison_on_every_topic_is_set_aside_once(system: System) -> None:
    device_id = system.world.devices[7]
    sent: dict[bytes, tuple[str, str]] = {}
    for topic in READERS:
        for kind, record in poison(device_id):
            mark = uuid.uuid4().bytes
            sent[mark] = topic, kind
            told: headers.Headers = [("x-mark", mark), *record.pop("told", [])]
            produce(system, topic=topic, told=told, **record)

    def marked() -> list[tuple[bytes, DeadLetter]]:
        found = [(dict(letter.headers).get("x-mark", b""), letter) for letter in letters(system.world.kafka)]
        return [(mark, letter) for mark, letter in found if mark in sent]

    until(lambda: {mark for mark, _ in marked()} == sent.keys(), what="a dead letter for each")
    with system.world.upstream() as opened:  # every role reads on, so what came twice would have come
        asked_of_all(opened, system.world.devices, "GetActualMeterReads", {})
    system.world.await_stored()
    found = marked()
    assert sorted(mark for mark, _ in found) == sorted(sent)
    for mark, letter in found:
        topic, kind = sent[mark]
        assert (letter.topic, letter.role) == (topic, READERS[topic]), kind
        assert letter.reason, kind


def test_a_dead_letter_can_be_shown_and_sent_back(system: System) -> None:
    value = b"poison " + uuid.uuid4().bytes
    produce(system, value, key=system.world.devices[0])
    letter = dead(system, value)
    listed = system.world.meterlog("dlq", "list", "--json")
    assert letter.place in listed.stdout, listed.stderr
    replayed = system.world.meterlog("dlq", "replay", letter.place)
    assert replayed.returncode == 0, replayed.stderr
    until(lambda: sum(each.value == value for each in letters(system.world.kafka)) == 2, what="the same letter again")


def test_an_upstream_that_partitions_by_another_rule(system: System, upstream: Upstream) -> None:
    """librdkafka's default partitioner: CRC-32 of the key. What lies in a wrong partition is sent on, once."""
    devices = system.world.devices
    about = {device_id: header(device_id) for device_id in devices}
    for device_id in devices:
        sent(system, "GetActualMeterReads", about[device_id], {}, partitioner="consistent_random")
    asked = [each.correlation_id for each in about.values()]
    found = outcomes(upstream, asked)
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}
    keys = {device_id.encode() for device_id in devices}
    places = [record for record in system.world.committed(COMMANDS.name) if record.key in keys]
    mine = [record for record in places if headers.read(record.headers).correlation_id in asked]
    astray = [each for each in mine if each.partition != partition_of(each.key, PARTITIONS)]
    assert astray, "none of the keys was partitioned otherwise"
    assert len(mine) == len(asked) + len(astray)
    told = system.world.notifications(asked)
    assert {len(each) for each in told.values()} == {2}


def test_what_was_aborted_never_was(system: System, upstream: Upstream) -> None:
    devices = system.world.devices
    producer = Producer({"bootstrap.servers": system.world.kafka, **MURMUR2, "transactional.id": f"e2e-{uuid.uuid4()}"})
    producer.init_transactions(30)
    ids: dict[bool, list[str]] = {True: [], False: []}
    for commit in (False, True, False, True):
        producer.begin_transaction()
        for device_id in devices:
            about = header(device_id)
            value = codec.encode_command("ReadAlarmRegister", about, {})
            raw: Any = headers.for_command("ReadAlarmRegister", about)
            producer.produce(COMMANDS.name, value, device_id, headers=raw)
            ids[commit].append(about.correlation_id)
        assert producer.flush(30) == 0, "the records have to lie on the broker before they are aborted"
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    found = outcomes(upstream, ids[True])
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}
    after = asked_of_all(upstream, devices, "ReadAlarmRegister", {})  # in every partition, behind the last abort
    assert len(after) == len(devices)
    told = system.world.notifications([*ids[True], *ids[False]])
    assert [len(told[name]) for name in ids[True]] == [2] * len(ids[True])
    assert [len(told[name]) for name in ids[False]] == [0] * len(ids[False])


@pytest.mark.parametrize("codec_name", ["lz4", "zstd", "gzip", "snappy"])
def test_compressed_records_are_read(system: System, upstream: Upstream, codec_name: str) -> None:
    device_id = system.world.devices[8]
    padding = {f"street{number}": "Dorpsstraat" for number in range(200)}  # large enough that it is compressed
    fleet = FleetSettings(meters=1, seed=len(codec_name))
    ((_, request),) = shipped(system, [1], labels=padding).items()
    other = identity(fleet, 1).device_id[:-4] + f"8{sum(codec_name.encode()):03d}"[-4:]
    about = [header(other), header(device_id)]
    sent(system, "AddDevice", about[0], _fields(request), **{"compression.type": codec_name})
    sent(system, "ReadAlarmRegister", about[1], {}, **{"compression.type": codec_name})
    found = outcomes(upstream, [each.correlation_id for each in about])
    assert {response.header.status for response in found.values()} == {Status.SUCCESSFUL}


def _fields(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in type(request).__slots__}

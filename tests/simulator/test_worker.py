"""The worker on a real broker: jobs are taken at most once, whatever dies, and what became of them is always told."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.dlms import cosem, keys, teller
from connectors.dlms.worker import Worker
from connectors.dlms.worker_settings import WorkerMetrics, WorkerSettings
from schemas import codec, headers
from schemas.records import Ended, Job, JobEnded, LargeResult, RegisterReads
from schemas.topics import DEAD_LETTERS, JOB_RESULTS, READS_REGISTERS, RESULTS_LARGE
from tests.simulator import loopback, test_job
from tests.simulator.loopback import GET, SET
from tests.simulator.stand import TOPICS, Stand

RANGE = 20  # invocation counters a job gets here


@pytest.fixture
def stand(kafka: str, make_topics: Callable[..., dict[str, str]], tmp_path: Path) -> Iterator[Stand]:
    names = make_topics(*(topic.name for topic in TOPICS), partitions=4)
    prefix = next(iter(names.values())).removesuffix(TOPICS[0].name)
    folder = tmp_path / "keys"
    keys.generate(folder)
    stand = Stand(kafka, prefix, folder, tmp_path)
    yield stand
    stand.close()


@contextmanager
def meter(delay: float = 0.0) -> Iterator[loopback.Loopback]:
    """One meter that stands for all: it takes counters in any order, so that every job's can be found in `took`."""
    ready, stop, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with loopback.meter(stale=cosem.OnRefusal.TOLERATE, delay=delay) as served:
            test_job.fill(served)
            found.append(served)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join(10)


def jobs(
    served: loopback.Loopback, stand: Stand, count: int, *asked: test_job.Asked, seconds: float = 60, first: int = 0
) -> list[Job]:
    """Jobs of as many devices. Each has counters of its own: those of job n begin at n * RANGE."""
    platform = keys.load_folder(stand.keys)
    made = []
    for number in range(first, first + count):
        device = f"KFM{number:013d}"
        registered = test_job.registration(served.port, platform=platform, device=device)
        job = test_job.job(registered, *asked, seconds=seconds, device=device)
        made.append(replace(job, counter_from=number * RANGE, counter_to=(number + 1) * RANGE - 1))
    return made


def associations(served: loopback.Loopback) -> Counter[int]:
    """How often each job opened its association, by the job's number."""
    return Counter(counter // RANGE for counter in served.counters if counter % RANGE == 0)


def test_what_became_of_each_job_is_told_in_its_partition(stand: Stand) -> None:
    with meter() as served:
        worker = stand.start()
        sent = jobs(served, stand, 40, test_job.READS)
        stand.send(*sent)
        ended = stand.ended(40)
        assert {each.device_id for each in ended} == {job.device_id for job in sent}
        assert [command.ended for each in ended for command in each.commands] == [Ended.SUCCESSFUL] * 40
        assert all(command.result for each in ended for command in each.commands)
        results = stand.read(JOB_RESULTS)
        where = {job.device_id: number % 4 for number, job in enumerate(sent)}
        assert all(each.partition == where[each.record.device_id] for each in results)
        reads = stand.read(READS_REGISTERS)
        assert {each.record.device_id for each in reads} == set(where)
        for each in reads:
            assert isinstance(each.record, RegisterReads)
            said = each.attributes
            assert (said.type, said.subject) == ("meterlog.RegisterReads", each.record.device_id)
            assert said.correlation_id == each.record.correlation_id
        status, text = stand.ask(worker, "/metrics")
        assert status == 200
        assert 'meterlog_worker_commands_total{ended="Successful",operation="GetActualMeterReads"} 40.0' in text
        assert "meterlog_worker_sessions 0.0" in text
        assert loopback.GUEK.hex() not in stand.log(worker)


def test_a_command_that_may_not_be_repeated_is_announced_first(stand: Stand) -> None:
    with meter() as served:
        served.faults[SET] = loopback.silence
        stand.start(METERLOG_ANSWER_SECONDS="0.5")
        stand.send(*jobs(served, stand, 1, test_job.CLEAR))
        (ended,) = stand.ended(1)
        assert ended.commands[0].ended is Ended.UNKNOWN
        records = [each.record for each in stand.read(JOB_RESULTS)]
        assert [type(each).__name__ for each in records] == ["JobAttempting", "JobEnded"]
        assert records[0].correlation_id == ended.commands[0].correlation_id


def test_what_is_no_job_goes_to_the_dead_letters_and_the_rest_goes_on(stand: Stand) -> None:
    with meter() as served:
        stand.start()
        (good,) = jobs(served, stand, 1, test_job.ALARMS)
        wrong = codec.encode(JobEnded("d", 1, "w", 0, 0, False, 0, None, ()))
        stand.send(b"nonsense", wrong, good, b"", partition=2)
        assert [each.commands[0].ended for each in stand.ended(1)] == [Ended.SUCCESSFUL]
        letters = stand.read(DEAD_LETTERS, lambda found: len(found) == 3)
        assert {each.value for each in letters} == {b"nonsense", wrong, b""}
        told = {letter.offset: letter for letter in (headers.dead_letter(each.headers) for each in letters)}
        assert sorted(told) == [0, 1, 3]
        assert {each.role for each in told.values()} == {"dlms-worker"}
        assert told[1].reason == "JobEnded is no Job"


def test_thousands_of_sessions_wait_at_once(stand: Stand) -> None:
    with meter(delay=1.0) as served:
        worker = stand.start()
        stand.wait_ready(worker)
        stand.send(*jobs(served, stand, 400, test_job.ALARMS, seconds=120))
        most = 0
        for _ in range(40):
            time.sleep(0.1)
            _, text = stand.ask(worker, "/metrics")
            line = next((line for line in text.splitlines() if line.startswith("meterlog_worker_sessions ")), "x 0")
            most = max(most, int(float(line.split()[1])))
        assert most > 350
        ended = stand.ended(400, 60)
        assert Counter(each.commands[0].ended for each in ended) == {Ended.SUCCESSFUL: 400}


def test_no_more_sessions_are_opened_than_allowed(stand: Stand) -> None:
    with meter(delay=0.05) as served:
        stand.start(METERLOG_WORKER_SESSIONS="5")
        stand.send(*jobs(served, stand, 60, test_job.ALARMS))
        assert len(stand.ended(60)) == 60
        assert served.most_connections <= 5
        assert set(associations(served).values()) == {1}


def test_two_workers_share_the_jobs(stand: Stand) -> None:
    with meter() as served:
        first, second = stand.start(), stand.start()
        stand.wait_ready(first, second)
        time.sleep(1)  # the second one's joining is heard by the first
        stand.send(*jobs(served, stand, 80, test_job.ALARMS))
        ended = stand.ended(80)
        assert Counter(each.worker for each in ended) == {"w0": 40, "w1": 40}
        assert set(associations(served).values()) == {1}


@pytest.mark.timeout(240)
def test_a_killed_workers_jobs_are_taken_at_most_once(stand: Stand) -> None:
    with meter(delay=0.05) as served:
        first, second = stand.start(METERLOG_WORKER_SESSIONS="20"), stand.start(METERLOG_WORKER_SESSIONS="20")
        stand.wait_ready(first, second)
        stand.send(*jobs(served, stand, 300, test_job.ALARMS, seconds=120))
        stand.ended(60)
        first.kill()
        third = stand.start(METERLOG_WORKER_SESSIONS="20")
        stand.send(*jobs(served, stand, 100, test_job.ALARMS, seconds=120, first=300))
        ended = stand.ended(380, 60)  # all but what the killed one had begun
        time.sleep(1)
        ended = stand.ended(380)
        devices = Counter(each.device_id for each in ended)
        assert set(devices.values()) == {1}
        assert 400 - 20 <= len(devices) <= 400
        times = associations(served)
        assert set(times.values()) == {1}, "a job was carried out twice"
        assert max(Counter(served.counters).values()) == 1
        assert third.poll() is None and second.poll() is None


@pytest.mark.timeout(240)
def test_a_worker_that_slept_takes_nothing_that_others_have(stand: Stand) -> None:
    with meter(delay=0.02) as served:
        first, second = stand.start(METERLOG_WORKER_SESSIONS="10"), stand.start(METERLOG_WORKER_SESSIONS="10")
        stand.wait_ready(first, second)
        stand.send(*jobs(served, stand, 400, test_job.ALARMS, seconds=120))
        stand.ended(40)
        first.send_signal(signal.SIGSTOP)
        time.sleep(9)  # longer than its session timeout: its partitions have another owner
        stand.send(*jobs(served, stand, 200, test_job.ALARMS, seconds=120, first=400))
        first.send_signal(signal.SIGCONT)
        ended = stand.ended(600, 60)
        assert Counter(each.device_id for each in ended) == {f"KFM{number:013d}": 1 for number in range(600)}
        assert max(Counter(served.counters).values()) == 1


def test_a_job_whose_deadline_passed_while_the_worker_slept_sends_nothing(stand: Stand) -> None:
    with meter() as served:
        worker = stand.start()
        stand.wait_ready(worker)
        worker.send_signal(signal.SIGSTOP)
        stand.send(*jobs(served, stand, 4, test_job.CLEAR, seconds=1))
        time.sleep(1.5)
        worker.send_signal(signal.SIGCONT)
        ended = stand.ended(4)
        assert {command.ended for each in ended for command in each.commands} == {Ended.NOT_STARTED}
        assert served.connections == 0


def test_a_stop_lets_sessions_end_and_tells_the_rest(stand: Stand) -> None:
    with meter() as served:
        served.faults[GET] = loopback.silence
        worker = stand.start(METERLOG_STOP_SECONDS="1", METERLOG_ANSWER_SECONDS="60")
        stand.wait_ready(worker)
        stand.send(*jobs(served, stand, 8, test_job.ALARMS, test_job.CLEAR, seconds=120))
        until = time.monotonic() + 10
        while len(associations(served)) < 8 and time.monotonic() < until:
            time.sleep(0.05)
        began = time.monotonic()
        worker.terminate()
        assert worker.wait(15) == 0, stand.log(worker)
        assert 1 <= time.monotonic() - began < 8
        ended = stand.ended(8)
        outcomes = Counter(tuple(command.ended.value for command in each.commands) for each in ended)
        assert outcomes == {("Retriable", "NotStarted"): 8}
        assert not served.written


def test_a_worker_that_is_not_set_up_says_what_is_missing(stand: Stand) -> None:
    worker = stand.start(METERLOG_KEYS="")
    assert worker.wait(20) == 2
    assert "METERLOG_KEYS" in stand.log(worker)
    worker = stand.start(METERLOG_WORKER_SESSIONS="many")
    assert worker.wait(20) == 2
    assert "METERLOG_WORKER_SESSIONS" in stand.log(worker)


def test_a_result_too_large_for_a_record_is_told_apart(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "MAX_RESULT_BYTES", 8)

    async def walk(served: loopback.Loopback) -> None:
        settings = WorkerSettings(
            kafka={"bootstrap.servers": stand.bootstrap}, name="w", group=stand.prefix + "g", topic_prefix=stand.prefix
        )
        worker = Worker(settings, keys.load_folder(stand.keys), WorkerMetrics())
        running = asyncio.create_task(worker.run())
        await asyncio.to_thread(stand.ended, 1)
        assert worker.unready == ""
        worker.stop()
        await running

    with meter() as served:
        stand.send(*jobs(served, stand, 1, test_job.READS))
        asyncio.run(walk(served))
    (ended,) = stand.ended(1)
    (large,) = stand.read(RESULTS_LARGE)
    (command,) = ended.commands
    assert (command.ended, command.result) == (Ended.SUCCESSFUL, None)
    assert command.large_result == f"{stand.prefix}{RESULTS_LARGE.name}:{large.partition}:{large.offset}"
    record = large.record
    assert isinstance(record, LargeResult) and record.operation == "GetActualMeterReads"
    assert codec.decode_result(record.operation, record.result)["active_energy_import"] is not None

"""The supervisor on the real servers: start, restart, refuse, stop, and leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from clickhouse_driver import Client
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.embedded import folder, remote
from infra.embedded.errors import DataFolderInUse, DataFolderUnusable, PortTaken, RoleFailed
from infra.embedded.process import run_task
from infra.embedded.roles import Role, Task
from infra.embedded.supervisor import Ports, Stack

HERE = Path(__file__).parent
TOY = Role("toy", (sys.executable, str(HERE / "toy_role.py")))


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def write(stack: Stack) -> None:
    """One record in Kafka, one row in ClickHouse."""
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    producer = Producer({"bootstrap.servers": stack.kafka.bootstrap})
    producer.produce("kept", b"record")
    assert producer.flush(10) == 0
    client = Client("127.0.0.1", stack.clickhouse.port)
    client.execute("CREATE TABLE default.kept (id Int64) ENGINE = MergeTree ORDER BY id")
    client.execute("INSERT INTO default.kept VALUES", [(42,)])
    client.disconnect()


def read(stack: Stack) -> tuple[bytes | None, object]:
    """What `write` left there."""
    consumer = Consumer({"bootstrap.servers": stack.kafka.bootstrap, "group.id": "none"})
    consumer.assign([TopicPartition("kept", 0, OFFSET_BEGINNING)])
    (message,) = consumer.consume(1, 20)
    consumer.close()
    client = Client("127.0.0.1", stack.clickhouse.port)
    rows = client.execute("SELECT id FROM default.kept")
    client.disconnect()
    return message.value(), rows


def test_the_stack_restarts_what_dies_keeps_its_data_and_stops(tmp_path: Path) -> None:
    said: list[str] = []
    marker = Task("marker", (sys.executable, "-c", "import os; print(os.environ['METERLOG_CLICKHOUSE_HTTP'])"))
    with Stack(tmp_path, roles=[TOY], tasks=[marker], announce=said.append) as stack:
        write(stack)
        found = remote.status(tmp_path)
        assert found is not None and found.pid == os.getpid()
        assert [(part.name, part.state) for part in found.parts] == [
            ("kafka", "running"),
            ("clickhouse", "running"),
            ("toy", "ready"),
        ]
        assert found.environment["METERLOG_KAFKA"] == stack.kafka.bootstrap
        assert (tmp_path / "logs" / "marker.log").read_text().strip() == stack.clickhouse.http
        first = [part.pid for part in found.parts]

        with pytest.raises(DataFolderInUse, match=f"process id {os.getpid()}.*meterlog down"):
            Stack(tmp_path, announce=said.append).start()

        for pid in first:  # role, engine and broker alike
            os.kill(pid, signal.SIGKILL)

        def again() -> bool:
            now = remote.status(tmp_path)
            return now is not None and [part.restarts for part in now.parts] == [1, 1, 1]

        assert until(again), said
        assert until(lambda: stack.kafka.ready() and stack.clickhouse.ready()), stack.kafka.log_end()
        for name in ("kafka", "clickhouse", "toy"):
            assert any(line.startswith(f"{name} died: killed by signal 9; starting it again in 0.5 s") for line in said)
            assert f"{name} was started again" in said
        assert read(stack) == (b"record", [(42,)])
        last = [part.pid for part in (remote.status(tmp_path) or found).parts]
    assert not [pid for pid in (*first, *last) if psutil.pid_exists(pid)]
    assert remote.status(tmp_path) is None and remote.down(tmp_path) is False

    with Stack(tmp_path, roles=[], tasks=[], announce=said.append) as stack:
        assert read(stack) == (b"record", [(42,)])


def test_a_role_that_is_stuck_or_stands_still_is_started_again(tmp_path: Path) -> None:
    """One says that it is stuck, one is stopped and answers nothing, and one only waits: that one is let be."""
    names = ("stuck", "stopped", "waiting")
    roles = [Role(name, (*TOY.argv, name)) for name in names]
    said: list[str] = []
    with Stack(tmp_path, roles=roles, tasks=[], announce=said.append, unlive_seconds=1.0):

        def parts() -> dict[str, remote.PartStatus]:
            found = remote.status(tmp_path)
            assert found is not None
            return {part.name: part for part in found.parts if part.name in names}

        first = parts()
        (tmp_path / "waiting").touch()
        (tmp_path / "stuck").touch()
        os.kill(first["stopped"].pid, signal.SIGSTOP)
        assert until(lambda: parts()["stuck"].restarts > 0 and parts()["stopped"].restarts > 0, 60), said
        (tmp_path / "stuck").unlink()
        assert until(lambda: parts()["stuck"].state == parts()["stopped"].state == "ready", 60), said
        assert parts()["waiting"] == replace(first["waiting"], state="not ready: waiting for Godot")
        assert not psutil.pid_exists(first["stopped"].pid)
    assert "stuck has not been live for 1 s and is killed: stuck: the toy says so" in said
    assert "stopped has not been live for 1 s and is killed: its /livez does not answer within 5 s" in said
    assert not [line for line in said if line.startswith("waiting")]


def supervisor(data: Path) -> tuple["subprocess.Popen[str]", list[psutil.Process]]:
    """A stack in a process of its own, and every process below it."""
    program = [sys.executable, str(HERE / "toy_stack.py"), str(data)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1])
    assert process.stdout is not None
    for line in process.stdout:
        if line == "up\n":
            break
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) == 6, below  # three leashes, broker, engine, role
    return process, below


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    process, below = supervisor(tmp_path)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(below, timeout=15)
    assert not alive and len(gone) == 6
    folder.take(tmp_path).close()  # and its lock is free


def test_down_stops_a_stack_of_another_process(tmp_path: Path) -> None:
    process, below = supervisor(tmp_path)
    assert remote.down(tmp_path) is True
    output, _ = process.communicate(timeout=10)
    assert output.endswith("stopped\n") and process.returncode == 0
    assert not [one for one in below if one.is_running()]


def test_a_role_that_never_gets_ready_ends_the_start_with_its_own_words(tmp_path: Path) -> None:
    said: list[str] = []
    stack = Stack(tmp_path, roles=[Role("dying", (*TOY.argv, "die"))], tasks=[], announce=said.append)
    with pytest.raises(RoleFailed, match=r"(?s)dying died 3 times before.*exit code 3.*a broken setting"):
        stack.start()
    assert [line for line in said if line.startswith("dying died: exit code 3; starting it again in 1 s")]
    assert stack.kafka.pid and not psutil.pid_exists(stack.kafka.pid)
    assert stack.clickhouse.pid and not psutil.pid_exists(stack.clickhouse.pid)
    folder.take(tmp_path).close()  # its lock is free again


def test_a_failed_task_is_quoted(tmp_path: Path) -> None:
    failing = Task("migrate", (sys.executable, "-c", "raise SystemExit('no such column')"))
    with pytest.raises(RoleFailed, match=r"(?s)migrate ended with exit code 1; .*no such column"):
        run_task(failing, {}, tmp_path, tmp_path / "logs")
    endless = Task("topics", (sys.executable, "-c", "import time; time.sleep(60)"), seconds=0.2)
    with pytest.raises(RoleFailed, match="topics took longer than 0.2 s"):
        run_task(endless, {}, tmp_path, tmp_path / "logs")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for ClickHouse's native protocol is taken"):
            Stack(tmp_path, Ports(clickhouse=port), roles=[], tasks=[], announce=lambda _: None).start()
    folder.take(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusable, match=r"file/data cannot be written to \(Not a directory\)"):
        Stack(tmp_path / "file" / "data").start()


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "room", lambda _: 3 * 2**20)
    with pytest.raises(DataFolderUnusable, match=r"only 3 MB left, at least 512 MB are needed"):
        Stack(tmp_path).start()
    monkeypatch.undo()
    folder.take(tmp_path).close()

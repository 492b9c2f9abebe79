"""What a worker can be told, and that nonsense is refused by name."""

import resource

import pytest
from prometheus_client import generate_latest

from connectors.dlms.job import Carried
from connectors.dlms.opening import client_title
from connectors.dlms.worker_settings import WorkerMetrics, raise_descriptor_limit, read_settings
from roles.settings import RoleSettings, SettingsWrong
from schemas.records import CommandEnded, Ended, Fault, JobEnded

ROLE = RoleSettings(kafka="broker:9092", kafka_config=(("security.protocol", "SSL"),))


def test_defaults_are_those_of_the_design() -> None:
    settings = read_settings(ROLE, {})
    assert settings.kafka == {"bootstrap.servers": "broker:9092", "security.protocol": "SSL"}
    assert (settings.sessions, settings.stop_seconds, settings.topic_prefix) == (2_000, 10, "")
    assert (settings.times.connect, settings.times.answer, settings.times.counter) == (10, 30, 1)
    assert settings.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METERLOG_WORKER_SESSIONS", "0"),
        ("METERLOG_WORKER_SESSIONS", "1.5"),
        ("METERLOG_HEAD_END", str(2**40)),
        ("METERLOG_ANSWER_SECONDS", "soon"),
        ("METERLOG_CONNECT_SECONDS", "nan"),
        ("METERLOG_STOP_SECONDS", "-1"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsWrong, match=name):
        read_settings(ROLE, {name: value})


def test_the_clients_title_is_three_spaces_and_five_bytes_of_number() -> None:
    assert client_title(0x0102030405) == b"   \x01\x02\x03\x04\x05"
    assert client_title(read_settings(ROLE, {}).head_end) == b"   \0\0\0\0\x01"


def test_sessions_are_as_many_as_descriptors_carry() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        soft = min(before[0], 1_024) if before[0] != resource.RLIM_INFINITY else 1_024
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
        carried = raise_descriptor_limit(1_500)
        now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert carried == min(1_500, now - 200)
        assert now >= soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_metrics_name_operations_and_faults_but_no_device() -> None:
    metrics = WorkerMetrics()
    fault = Fault(225, "CONNECTION_REFUSED", "METERLOG", "connection refused")
    ended = JobEnded("KFM1", 1, "w", 0, 0, False, 0, None, (CommandEnded("c", Ended.RETRIABLE, fault),))
    metrics.observe(Carried(ended, operations={"c": "ReadAlarmRegister"}, sent=10, received=20), 0.5)
    text = generate_latest(metrics.registry).decode()
    assert 'commands_total{ended="Retriable",operation="ReadAlarmRegister"} 1.0' in text
    assert 'faults_total{name="CONNECTION_REFUSED"} 1.0' in text
    assert "meterlog_worker_sent_bytes_total 10.0" in text
    assert "KFM1" not in text

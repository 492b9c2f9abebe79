"""The role's settings, and what it counts; the process itself is tried end to end."""

from dataclasses import fields

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from roles.settings import SettingsWrong
from schemas import codec, topics
from schemas.records import Lifecycle, Tick
from streams.app import keepers, make_tick, read_settings, shell_settings
from streams.device.keeper import Counts
from streams.device.limits import Limits
from tests.unit.streams.world import NOON, command

KAFKA = {"METERLOG_KAFKA": "broker:9092"}


def test_defaults_are_the_references() -> None:
    settings = read_settings(KAFKA)
    assert settings.limits == Limits()
    assert settings.role.kafka == "broker:9092" and settings.role.metrics_port is None


def test_everything_can_be_set() -> None:
    given = KAFKA | {
        "METERLOG_STREAMS_SLOTS": "10",
        "METERLOG_STREAMS_RETRY_SECONDS": "0.5",
        "METERLOG_STREAMS_GRACE_SECONDS": "1",
        "METERLOG_STREAMS_OPERATION_SECONDS": "7",
        "METERLOG_STREAMS_REFUSED_LIFECYCLES": "destroyed, RETURNED_TO_INVENTORY",
        "METERLOG_STREAMS_APPLICATION": "other",
        "METERLOG_KAFKA_CONFIG": "security.protocol=SSL; ssl.key.password=a=b",
        "METERLOG_METRICS_PORT": "0",
    }
    settings = read_settings(given)
    assert (settings.limits.slots, settings.limits.silent_slots) == (10, 2)
    assert (settings.limits.retry_delay, settings.limits.grace) == (500, 1_000)
    assert settings.limits.operation_seconds == 7
    assert settings.limits.refused_lifecycles == {Lifecycle.DESTROYED, Lifecycle.RETURNED_TO_INVENTORY}
    assert settings.role.kafka_config == (("security.protocol", "SSL"), ("ssl.key.password", "a=b"))
    shell = shell_settings(settings, 4)
    assert (shell.application, shell.partitions) == ("other", 4)
    assert shell.watched == (topics.JOB_RESULTS.name, topics.DEVICE_MESSAGES.name)
    assert set(shell.inbox) == {t.name for t in topics.DEVICE_INBOX}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METERLOG_KAFKA", ""),
        ("METERLOG_STREAMS_SLOTS", "0"),
        ("METERLOG_STREAMS_SLOTS", "many"),
        ("METERLOG_STREAMS_SLOTS", "1.5"),
        ("METERLOG_STREAMS_SILENT_SLOTS", "501"),
        ("METERLOG_STREAMS_RETRY_SECONDS", "nan"),
        ("METERLOG_STREAMS_REFUSED_LIFECYCLES", "DESTROYED,LOST"),
        ("METERLOG_KAFKA_CONFIG", "secret"),
        ("METERLOG_LOG_LEVEL", "loud"),
        ("METERLOG_METRICS_PORT", "70000"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsWrong, match=name) as refused:
        read_settings(KAFKA | {name: value})
    assert "secret" not in str(refused.value)


def test_a_tick_carries_what_the_shell_found() -> None:
    ends = {topics.JOB_RESULTS.name: 17, topics.DEVICE_MESSAGES.name: 18}
    assert codec.decode(make_tick(3, NOON, 9, ends)) == Tick(NOON, 9, 17, 18)


def test_metrics_sum_over_partitions_and_keep_no_partition_alive() -> None:
    kept = keepers(Limits(), 1)
    registry = CollectorRegistry()
    registry.register(kept)
    keeper = kept.make(0, {})
    keeper.receive(command(1))
    text = generate_latest(registry).decode()
    assert "meterlog_devices_refused_total 1.0" in text
    assert all(f"meterlog_devices_{field.name}_total" in text for field in fields(Counts))
    del keeper
    assert "meterlog_devices_busy 0.0" in generate_latest(registry).decode()

"""The sink's settings: what is missing or wrong is refused by name; and when it stands still."""

import pytest

from connectors.clickhouse.role import Settings, sink_of, standstill
from roles.settings import SettingsWrong
from roles.stuck import JOIN_SECONDS, NOT_LET_IN, Broker, Standstill, Waiting

GIVEN = {"METERLOG_KAFKA": "broker:9092", "METERLOG_CLICKHOUSE": "store:9440"}


def test_what_is_not_said_has_a_default() -> None:
    settings = Settings.read(GIVEN)
    assert (settings.host, settings.port, settings.database, settings.user) == ("store", 9440, "default", "default")
    assert (settings.group, settings.records, settings.seconds, settings.secure) == ("meterlog-sink", 5_000, 1.0, False)
    assert Settings.read({**GIVEN, "METERLOG_CLICKHOUSE": "store"}).port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METERLOG_KAFKA", ""),
        ("METERLOG_CLICKHOUSE", ""),
        ("METERLOG_CLICKHOUSE", "store:http"),
        ("METERLOG_CLICKHOUSE", "store:99999"),
        ("METERLOG_CLICKHOUSE_SECURE", "perhaps"),
        ("METERLOG_SINK_RECORDS", "0"),
        ("METERLOG_SINK_RECORDS", "many"),
        ("METERLOG_SINK_SECONDS", "0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsWrong, match=f"^{name}"):
        Settings.read({**GIVEN, name: value})


def test_a_sink_that_waits_stands_still_so_that_the_watch_asks_whether_the_server_is_away() -> None:
    nowhere = "127.0.0.1:1"
    sink = sink_of(Settings.read({"METERLOG_KAFKA": nowhere, "METERLOG_CLICKHOUSE": nowhere}))
    waiting = Waiting(Broker(nowhere, {}), sink.feed.reached)
    found = standstill(sink, waiting, sink.turned_at)
    assert found is not None and found.what == NOT_LET_IN, "its group has given it no partitions, not even none"
    assert found.least == JOIN_SECONDS, "a group takes its time to gather"
    sink.waiting_for = "Kafka does not say where its logs begin"
    said = "it waits, and says: Kafka does not say where its logs begin"
    assert standstill(sink, waiting, sink.turned_at) == Standstill(sink.turned_at, said)
    sink.feed.close()

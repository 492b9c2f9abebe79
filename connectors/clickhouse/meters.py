"""What the sink counts, for Prometheus. No device is a label: there are millions."""

from collections import Counter as Tally
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from connectors.clickhouse.batch import Batch

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RECORDS: Final = Counter("meterlog_sink_records_total", "Records stored.", ["topic"])
SET_ASIDE: Final = Counter("meterlog_sink_set_aside_total", "Records set aside onto dead-letters.", ["topic"])
OVERTAKEN: Final = Counter(
    "meterlog_sink_overtaken_offsets_total", "Offsets that retention deleted before they were read.", ["topic"]
)
ROWS: Final = Counter("meterlog_sink_rows_total", "Rows the stored records became.", ["topic"])
BATCHES: Final = Counter("meterlog_sink_batches_total", "Batches stored and committed.")
BATCH_SECONDS: Final = Histogram("meterlog_sink_batch_seconds", "From a batch in hand to its commit.", buckets=SECONDS)
INSERT_SECONDS: Final = Histogram("meterlog_sink_insert_seconds", "One insert.", ["table"], buckets=SECONDS)
RETRIES: Final = Counter("meterlog_sink_retries_total", "Attempts that found ClickHouse or Kafka away.")
COMMITS_REFUSED: Final = Counter("meterlog_sink_commits_refused_total", "Commits of positions that were not taken.")
LAG: Final = Gauge("meterlog_sink_lag_records", "Records behind the position of this process.", ["topic"])


def count(batch: Batch, seconds: float) -> None:
    """Account for a batch that is stored and committed."""
    BATCHES.inc()
    BATCH_SECONDS.observe(seconds)
    stored: Tally[str] = Tally()
    rows: Tally[str] = Tally()
    aside: Tally[str] = Tally()
    for number, record in enumerate(batch.records):
        topic = record.topic() or ""
        if number in batch.aside:
            aside[topic] += 1
        else:
            stored[topic] += 1
            rows[topic] += batch.expanded.get(number, 1)
    for metric, tally in ((RECORDS, stored), (ROWS, rows), (SET_ASIDE, aside)):
        for topic, total in tally.items():
            metric.labels(topic).inc(total)

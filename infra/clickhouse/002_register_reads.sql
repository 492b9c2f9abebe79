-- Registers as they stood at one moment: one row a meter, quantity and capture time. Narrow, because every operation reads others.
CREATE TABLE register_reads
(
    device_id LowCardinality(String),
    quantity LowCardinality(String) COMMENT 'what was read, in the operation''s own word',
    captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the meter''s clock when it was read',
    value Nullable(Decimal64(6)) CODEC(GCD, Delta, ZSTD(1)) COMMENT 'in `unit`; NULL when the meter gave none',
    unit LowCardinality(String),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it'
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (device_id, quantity, captured_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE register_reads_in
(
    device_id String,
    captured_at Int64,
    received_at Int64,
    correlation FixedString(16),
    quantities Array(String),
    units Array(String),
    packed_values String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW register_reads_mv TO register_reads AS
SELECT
    i.device_id AS device_id,
    q AS quantity,
    fromUnixTimestamp64Milli(i.captured_at, 'UTC') AS captured_at,
    if(v = -9223372036854775808, NULL, reinterpret(if(v = -9223372036854775808, 0, v), 'Decimal64(6)')) AS value,
    u AS unit,
    fromUnixTimestamp64Milli(i.received_at, 'UTC') AS received_at,
    reinterpret(correlation, 'UUID') AS correlation_id
FROM register_reads_in AS i
ARRAY JOIN quantities AS q, units AS u, reinterpret(packed_values, 'Array(Int64)') AS v;

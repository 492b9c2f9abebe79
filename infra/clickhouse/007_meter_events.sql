-- Entries of the meters' event logs: one row an entry, however often it was read.
--
-- The name of a code is written beside it when it is stored, from the one table that answers use as well (operations/_events.py). Two
-- entries of one time and code (three failed logins in a second) are told apart by their place among each other, sessions by their counter.
CREATE TABLE meter_events
(
    device_id LowCardinality(String),
    log LowCardinality(String) COMMENT 'STANDARD_EVENT_LOG, FRAUD_DETECTION_LOG, COMMUNICATION_SESSION_LOG, M_BUS_EVENT_LOG, ...',
    captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the meter''s clock when it wrote the entry',
    code UInt16 CODEC(ZSTD(1)) COMMENT 'as the meter wrote it',
    event LowCardinality(String) COMMENT 'the name of the code; UNKNOWN_EVENT_HEADEND for one that nobody named',
    counter Nullable(UInt32) CODEC(ZSTD(1)) COMMENT 'of COMMUNICATION_SESSION_LOG',
    magnitude Nullable(Decimal64(6)) CODEC(ZSTD(1)) COMMENT 'of the extended and THD logs, in magnitude_unit; without a unit the meter''s raw number',
    magnitude_unit LowCardinality(String) COMMENT 'V, %; empty',
    duration Nullable(Decimal64(6)) CODEC(ZSTD(1)) COMMENT 'of POWER_QUALITY_EXTENDED_EVENT_LOG, seconds',
    occurrence UInt16 CODEC(ZSTD(1)) COMMENT 'place among the entries of equal time, code and counter, from 0',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the entry came in; of two readings of one entry the later wins',
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it'
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (device_id, log, captured_at, code, ifNull(counter, 0), occurrence)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE meter_events_in
(
    device_id String,
    log String,
    received_at Int64,
    correlation FixedString(16),
    times Array(Int64),
    codes Array(UInt16),
    occurrences Array(UInt16),
    events Array(String),
    counters Array(Nullable(UInt32)),
    packed_magnitudes String,
    units Array(String),
    packed_durations String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW meter_events_mv TO meter_events AS
SELECT
    i.device_id AS device_id,
    i.log AS log,
    fromUnixTimestamp64Milli(t, 'UTC') AS captured_at,
    c AS code,
    e AS event,
    n AS counter,
    if(m = -9223372036854775808, NULL, reinterpret(if(m = -9223372036854775808, 0, m), 'Decimal64(6)')) AS magnitude,
    u AS magnitude_unit,
    if(d = -9223372036854775808, NULL, reinterpret(if(d = -9223372036854775808, 0, d), 'Decimal64(6)')) AS duration,
    o AS occurrence,
    fromUnixTimestamp64Milli(i.received_at, 'UTC') AS received_at,
    reinterpret(correlation, 'UUID') AS correlation_id
FROM meter_events_in AS i
ARRAY JOIN times AS t, codes AS c, occurrences AS o, events AS e, counters AS n,
    reinterpret(packed_magnitudes, 'Array(Int64)') AS m, units AS u, reinterpret(packed_durations, 'Array(Int64)') AS d;

-- Long power failures as the meters remember them: one row a failure.
CREATE TABLE meter_outages
(
    device_id LowCardinality(String),
    ended_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'when the power came back, by the meter''s clock',
    duration UInt32 CODEC(ZSTD(1)) COMMENT 'seconds',
    started_at DateTime64(3, 'UTC') ALIAS ended_at - toIntervalSecond(duration),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it'
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(ended_at)
ORDER BY (device_id, ended_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE meter_outages_in
(
    device_id String,
    received_at Int64,
    correlation FixedString(16),
    times Array(Int64),
    durations Array(UInt32)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW meter_outages_mv TO meter_outages AS
SELECT
    i.device_id AS device_id,
    fromUnixTimestamp64Milli(t, 'UTC') AS ended_at,
    s AS duration,
    fromUnixTimestamp64Milli(i.received_at, 'UTC') AS received_at,
    reinterpret(correlation, 'UUID') AS correlation_id
FROM meter_outages_in AS i
ARRAY JOIN times AS t, durations AS s;

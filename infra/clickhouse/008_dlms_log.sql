-- Frames of the sessions of devices in debug mode, without keys and secrets: one row a frame, however often it was delivered.
--
-- How long they are kept is a setting: `meterlog migrate` puts METERLOG_DLMS_LOG_DAYS in the place of the 30 days here.
CREATE TABLE dlms_log
(
    device_id LowCardinality(String),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when it was sent or received, by the clock of the worker',
    job UInt64 COMMENT 'number of the job of the device',
    association UInt16 COMMENT 'which connection of the job, from 1',
    sequence UInt32 COMMENT 'place within the job, from 0',
    incoming Bool COMMENT 'from the meter',
    valid Bool COMMENT 'whether it could be read',
    correlation_id Nullable(UUID) COMMENT 'the command that was under way',
    frame String CODEC(ZSTD(3)) COMMENT 'the bytes: as on the wire where they were ciphered, in the clear as far as they may be shown',
    size UInt32 MATERIALIZED length(frame),
    withheld UInt32 COMMENT 'bytes that are not shown because they are, or might be, secret',
    summary String CODEC(ZSTD(3)) COMMENT 'the deciphered APDU in one line',
    text String CODEC(ZSTD(3)) COMMENT 'the deciphered APDU as XML; empty where the worker has no translator'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (device_id, at, job, sequence)
TTL toDateTime(at) + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE dlms_log_in
(
    device_id String,
    at Int64,
    job UInt64,
    association UInt16,
    sequence UInt32,
    incoming Bool,
    valid Bool,
    correlation Nullable(FixedString(16)),
    frame String,
    withheld UInt32,
    summary String,
    text String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW dlms_log_mv TO dlms_log AS
SELECT
    device_id,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    job, association, sequence, incoming, valid,
    reinterpret(correlation, 'UUID') AS correlation_id,
    frame, withheld, summary, text
FROM dlms_log_in AS i;

-- Which devices are in debug mode, and until when, from their log.
CREATE TABLE device_debugging
(
    device_id String,
    version UInt64,
    at DateTime64(3, 'UTC'),
    until Nullable(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY device_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW device_debugging_mv TO device_debugging AS
SELECT
    device_id, version,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    parseDateTime64BestEffortOrNull(JSONExtractString(detail, 'until'), 3, 'UTC') AS until
FROM device_events_in AS i
WHERE kind = 'DebuggingSet';

CREATE VIEW debugged_devices AS
SELECT device_id, at AS since, until FROM device_debugging FINAL WHERE until > now64(3, 'UTC');

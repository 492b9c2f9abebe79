-- One row a response record: what became of every command. The record's place on its topic is its identity, so that a redelivered record
-- is one row, and an outcome told twice (`repeated`) is two.
CREATE TABLE responses
(
    device_id LowCardinality(String),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the command came in',
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'zero when the caller''s id was no UUID: see correlation_text',
    correlation_text String COMMENT 'the caller''s id when it was no UUID, otherwise empty',
    operation LowCardinality(String),
    status LowCardinality(String) COMMENT 'Successful, Error, Rejected, Cancelled, Expired, Unknown',
    fault_code Nullable(Int32),
    fault_name LowCardinality(String),
    fault_component LowCardinality(String),
    fault_message String CODEC(ZSTD(3)),
    fault_inner String CODEC(ZSTD(3)),
    fault_field LowCardinality(String) COMMENT 'the field of the request at fault, of a Rejected',
    attempts UInt16 COMMENT 'jobs that carried the command to the meter',
    repeated Bool COMMENT 'the same outcome told again because the command was sent again',
    created_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)) COMMENT 'by the caller''s clock',
    settled_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    result String CODEC(ZSTD(3)) COMMENT 'the operation''s result as JSON; empty without one, or when it is in large_results',
    large_result String COMMENT 'topic:partition:offset of a result too large for the record',
    topic_partition UInt32,
    topic_offset UInt64 CODEC(Delta, ZSTD(1)),
    INDEX by_correlation correlation_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(settled_at)
ORDER BY (device_id, settled_at, topic_partition, topic_offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE large_results
(
    correlation_id UUID,
    device_id LowCardinality(String),
    operation LowCardinality(String),
    stored_at DateTime64(3, 'UTC') COMMENT 'when the record was appended to its topic',
    result String CODEC(ZSTD(3)) COMMENT 'as JSON'
)
ENGINE = ReplacingMergeTree(stored_at)
PARTITION BY toYYYYMM(stored_at)
ORDER BY (correlation_id, device_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Inlets: times as milliseconds, ids as the 16 bytes of a UUID, text as bytes; what the target declares they become here.
CREATE TABLE responses_in
(
    device_id String,
    received_at Int64,
    correlation FixedString(16),
    correlation_text String,
    operation String,
    status String,
    fault_code Nullable(Int32),
    fault_name String,
    fault_component String,
    fault_message String,
    fault_inner String,
    fault_field String,
    attempts UInt16,
    repeated Bool,
    created_at Nullable(Int64),
    settled_at Int64,
    result String,
    large_result String,
    topic_partition UInt32,
    topic_offset UInt64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW responses_mv TO responses AS
SELECT
    device_id,
    fromUnixTimestamp64Milli(i.received_at, 'UTC') AS received_at,
    reinterpret(correlation, 'UUID') AS correlation_id,
    correlation_text, operation, status,
    fault_code, fault_name, fault_component, fault_message, fault_inner, fault_field,
    attempts, repeated,
    fromUnixTimestamp64Milli(i.created_at, 'UTC') AS created_at,
    fromUnixTimestamp64Milli(i.settled_at, 'UTC') AS settled_at,
    result, large_result, topic_partition, topic_offset
FROM responses_in AS i;

CREATE TABLE large_results_in
(
    correlation FixedString(16),
    device_id String,
    operation String,
    stored_at Int64,
    result String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW large_results_mv TO large_results AS
SELECT
    reinterpret(correlation, 'UUID') AS correlation_id,
    device_id, operation,
    fromUnixTimestamp64Milli(i.stored_at, 'UTC') AS stored_at,
    result
FROM large_results_in AS i;

-- How long commands took, from their arrival to their outcome. An outcome told again is the outcome of the first.
CREATE VIEW command_durations AS
SELECT
    device_id,
    correlation_id,
    operation,
    status,
    fault_name,
    attempts,
    received_at,
    settled_at,
    dateDiff('millisecond', received_at, settled_at) / 1000 AS seconds
FROM responses FINAL
WHERE NOT repeated;

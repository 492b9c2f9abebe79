-- What the sink did with every record it was given: produced = stored + set aside.
--
-- Offsets are kept as sets, so that a record delivered twice, in batches cut differently, is one record. A topic that is deleted and
-- created anew counts from zero again: delete its rows here as well.
CREATE TABLE sink_ledger
(
    topic LowCardinality(String),
    partition UInt32,
    bucket UInt64 COMMENT 'offset / 1,048,576: bounds the size of one set',
    stored AggregateFunction(groupBitmap, UInt64),
    set_aside AggregateFunction(groupBitmap, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, partition, bucket)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a batch and partition, as it happened: a batch that was delivered twice is here twice.
CREATE TABLE sink_batches
(
    topic LowCardinality(String),
    partition UInt32,
    first_offset UInt64,
    last_offset UInt64,
    records UInt32,
    set_aside UInt32,
    rows UInt64 COMMENT 'rows sent to the tables for these records, before duplicates are removed',
    at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (topic, partition, first_offset)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE sink_batches_in
(
    topic String,
    partition UInt32,
    rows UInt64,
    at Int64,
    stored_offsets String,
    set_aside_offsets String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW sink_ledger_mv TO sink_ledger AS
SELECT
    topic,
    partition,
    intDiv(o.1, 1048576) AS bucket,
    groupBitmapStateIf(o.1, o.2 = 0) AS stored,
    groupBitmapStateIf(o.1, o.2 = 1) AS set_aside
FROM sink_batches_in
ARRAY JOIN arrayConcat(
    arrayMap(x -> (x, 0), reinterpret(stored_offsets, 'Array(UInt64)')),
    arrayMap(x -> (x, 1), reinterpret(set_aside_offsets, 'Array(UInt64)'))) AS o
GROUP BY topic, partition, bucket;

CREATE MATERIALIZED VIEW sink_batches_mv TO sink_batches AS
SELECT
    topic,
    partition,
    arrayMin(arrayConcat(reinterpret(stored_offsets, 'Array(UInt64)'), reinterpret(set_aside_offsets, 'Array(UInt64)'))) AS first_offset,
    arrayMax(arrayConcat(reinterpret(stored_offsets, 'Array(UInt64)'), reinterpret(set_aside_offsets, 'Array(UInt64)'))) AS last_offset,
    intDiv(length(stored_offsets) + length(set_aside_offsets), 8) AS records,
    intDiv(length(set_aside_offsets), 8) AS set_aside,
    rows,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at
FROM sink_batches_in AS i;

-- Why a record was set aside; its bytes are on the topic of dead letters.
CREATE TABLE set_aside
(
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64,
    device_id String COMMENT 'key of the record, when it can be read',
    reason String,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE set_aside_in
(
    topic String,
    partition UInt32,
    offset UInt64,
    device_id String,
    reason String,
    at Int64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW set_aside_mv TO set_aside AS
SELECT topic, partition, offset, device_id, reason, fromUnixTimestamp64Milli(i.at, 'UTC') AS at
FROM set_aside_in AS i;

-- What retention deleted before the sink had read it: produced = stored + set aside + overtaken. Offsets, so markers of transactions
-- count as well. A gap may be seen twice, from the same offset or within another: the union counts.
CREATE TABLE overtaken
(
    topic LowCardinality(String),
    partition UInt32,
    first_offset UInt64,
    last_offset UInt64,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (topic, partition, first_offset, last_offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE overtaken_in
(
    topic String,
    partition UInt32,
    first_offset UInt64,
    last_offset UInt64,
    at Int64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW overtaken_mv TO overtaken AS
SELECT topic, partition, first_offset, last_offset, fromUnixTimestamp64Milli(i.at, 'UTC') AS at
FROM overtaken_in AS i;

CREATE VIEW sink_totals AS
SELECT
    topic,
    partition,
    sum(s) AS stored,
    sum(a) AS set_aside,
    stored + set_aside AS records,
    sum(o) AS overtaken
FROM
(
    SELECT topic, partition, groupBitmapMerge(stored) AS s, groupBitmapMerge(set_aside) AS a, 0 AS o
    FROM sink_ledger
    GROUP BY topic, partition
    UNION ALL
    SELECT topic, partition, 0, 0, intervalLengthSum(first_offset, last_offset + 1)
    FROM overtaken
    GROUP BY topic, partition
)
GROUP BY topic, partition;

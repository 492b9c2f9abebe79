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

CREATE OR REPLACE VIEW sink_totals AS
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

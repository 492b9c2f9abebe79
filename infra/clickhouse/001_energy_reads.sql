-- Rows of energy profiles: one row a meter, period and capture time, however often it was read.
--
-- Values are kWh with six decimals: the same bits as the int64 millionths the records carry. Meters count in Wh, so every value is a
-- multiple of 1,000 millionths: GCD takes that out before DoubleDelta, and a row costs what an integer of Wh would (docs/analytics.md).
--
-- The day comes first in the sort key: a day of the fleet lies together, and reads of one night overlap no other day where FINAL joins
-- them. A year of one meter is a granule a day. The index finds the day for whoever asks by captured_at.
CREATE TABLE energy_reads
(
    device_id LowCardinality(String),
    period Enum8('INTERVAL' = 1, 'DAILY' = 2, 'MONTHLY' = 3),
    captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the meter''s clock when it stored the row',
    import_total Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh taken, all tariffs',
    export_total Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh delivered, all tariffs',
    import_rate1 Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh taken, tariff 1',
    import_rate2 Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh taken, tariff 2',
    export_rate1 Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh delivered, tariff 1',
    export_rate2 Nullable(Decimal64(6)) CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'kWh delivered, tariff 2',
    status UInt8 CODEC(ZSTD(1)) COMMENT 'AMR profile status, one bit a flag: the views name them; 0 if the profile has none',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the row came in; of two reads of one row the later wins',
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it',
    INDEX captured captured_at TYPE minmax
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (toDate(captured_at), device_id, period, captured_at)
-- A repeated insert is known again by its token among the last 10,000. Larger is not dearer, smaller forgets sooner.
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a record, its columns as the little-endian bytes the record carries; an empty column is one the profile does not have.
CREATE TABLE energy_reads_in
(
    device_id String,
    period String,
    received_at Int64,
    correlation FixedString(16),
    times String,
    statuses String,
    packed_import_total String,
    packed_export_total String,
    packed_import_rate1 String,
    packed_import_rate2 String,
    packed_export_rate1 String,
    packed_export_rate2 String
)
ENGINE = Null;

-- The least int64 stands for a missing value; it must not stay behind the NULL, where arithmetic would overflow on it. A ragged column is refused (ARRAY JOIN wants equal lengths), an empty one is filled.
CREATE MATERIALIZED VIEW energy_reads_mv TO energy_reads AS
SELECT
    i.device_id AS device_id,
    i.period AS period,
    fromUnixTimestamp64Milli(t, 'UTC') AS captured_at,
    if(v1 = -9223372036854775808, NULL, reinterpret(if(v1 = -9223372036854775808, 0, v1), 'Decimal64(6)')) AS import_total,
    if(v2 = -9223372036854775808, NULL, reinterpret(if(v2 = -9223372036854775808, 0, v2), 'Decimal64(6)')) AS export_total,
    if(v3 = -9223372036854775808, NULL, reinterpret(if(v3 = -9223372036854775808, 0, v3), 'Decimal64(6)')) AS import_rate1,
    if(v4 = -9223372036854775808, NULL, reinterpret(if(v4 = -9223372036854775808, 0, v4), 'Decimal64(6)')) AS import_rate2,
    if(v5 = -9223372036854775808, NULL, reinterpret(if(v5 = -9223372036854775808, 0, v5), 'Decimal64(6)')) AS export_rate1,
    if(v6 = -9223372036854775808, NULL, reinterpret(if(v6 = -9223372036854775808, 0, v6), 'Decimal64(6)')) AS export_rate2,
    s AS status,
    fromUnixTimestamp64Milli(i.received_at, 'UTC') AS received_at,
    reinterpret(correlation, 'UUID') AS correlation_id
FROM energy_reads_in AS i
ARRAY JOIN
    reinterpret(times, 'Array(Int64)') AS t,
    reinterpret(statuses, 'Array(UInt8)') AS s,
    arrayResize(reinterpret(packed_import_total, 'Array(Int64)'), if(empty(packed_import_total), length(statuses), intDiv(length(packed_import_total), 8)), toInt64(-9223372036854775808)) AS v1,
    arrayResize(reinterpret(packed_export_total, 'Array(Int64)'), if(empty(packed_export_total), length(statuses), intDiv(length(packed_export_total), 8)), toInt64(-9223372036854775808)) AS v2,
    arrayResize(reinterpret(packed_import_rate1, 'Array(Int64)'), if(empty(packed_import_rate1), length(statuses), intDiv(length(packed_import_rate1), 8)), toInt64(-9223372036854775808)) AS v3,
    arrayResize(reinterpret(packed_import_rate2, 'Array(Int64)'), if(empty(packed_import_rate2), length(statuses), intDiv(length(packed_import_rate2), 8)), toInt64(-9223372036854775808)) AS v4,
    arrayResize(reinterpret(packed_export_rate1, 'Array(Int64)'), if(empty(packed_export_rate1), length(statuses), intDiv(length(packed_export_rate1), 8)), toInt64(-9223372036854775808)) AS v5,
    arrayResize(reinterpret(packed_export_rate2, 'Array(Int64)'), if(empty(packed_export_rate2), length(statuses), intDiv(length(packed_export_rate2), 8)), toInt64(-9223372036854775808)) AS v6;

-- Rows of all profiles but the electricity meter's energy profiles: gas by hour, day and month, power quality, and whatever profile was
-- asked for by its logical name. Narrow: one row a meter, quantity and capture time, as every meter stores other quantities.
--
-- The quantity comes first in the sort key: who asks for gas reads no row of voltages, and the other way round; then the day, as in
-- energy_reads (docs/analytics.md).
CREATE TABLE profile_reads
(
    device_id LowCardinality(String) COMMENT 'of gas the gas meter''s own',
    profile LowCardinality(String) COMMENT 'MBUS_INTERVAL_PROFILE, POWER_QUALITY_PROFILE_1 ...; the logical name of one without a name',
    logical_name LowCardinality(String) COMMENT 'of the profile as the meter has it: 0-1:24.3.0.255',
    quantity LowCardinality(String) COMMENT 'consumption, average_voltage_l1 ...',
    captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the clock of the meter (of gas: its gateway) when it stored the row',
    value Nullable(Decimal64(6)) CODEC(GCD, Delta, ZSTD(1)) COMMENT 'in `unit`; NULL when the meter gave none',
    unit LowCardinality(String) COMMENT 'm3, V, A, W, var, kWh ...; empty for a count',
    value_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when an M-Bus meter took the value; NULL: not known, or the time of the row',
    status UInt8 CODEC(ZSTD(1)) COMMENT 'AMR profile status, one bit a flag: the views name them; 0 if the profile has none',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the row came in; of two reads of one row the later wins',
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it',
    INDEX captured captured_at TYPE minmax
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (quantity, profile, toDate(captured_at), device_id, captured_at)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a record: its columns side by side, each as the little-endian bytes the record carries.
CREATE TABLE profile_reads_in
(
    device_id String,
    profile String,
    logical_name String,
    received_at Int64,
    correlation FixedString(16),
    times String,
    statuses String,
    quantities Array(String),
    units Array(String),
    packed_values Array(String),
    packed_value_times Array(String)
)
ENGINE = Null;

-- First a row a column, then a row a value. The least int64 stands for a missing one. A time of which DateTime64 knows nothing (the clock of a
-- gas meter may say anything) is no time.
CREATE MATERIALIZED VIEW profile_reads_mv TO profile_reads AS
WITH w >= -2208988800000 AND w < 10413792000000 AS known
SELECT
    c.device_id AS device_id,
    c.profile AS profile,
    c.logical_name AS logical_name,
    q AS quantity,
    fromUnixTimestamp64Milli(t, 'UTC') AS captured_at,
    if(v = -9223372036854775808, NULL, reinterpret(if(v = -9223372036854775808, 0, v), 'Decimal64(6)')) AS value,
    u AS unit,
    if(known, fromUnixTimestamp64Milli(if(known, w, 0), 'UTC'), NULL) AS value_at,
    s AS status,
    fromUnixTimestamp64Milli(c.received_at, 'UTC') AS received_at,
    reinterpret(c.correlation, 'UUID') AS correlation_id
FROM
(
    SELECT device_id, profile, logical_name, received_at, correlation, times, statuses, q, u, packed, taken
    FROM profile_reads_in
    ARRAY JOIN quantities AS q, units AS u, packed_values AS packed, packed_value_times AS taken
) AS c
ARRAY JOIN
    reinterpret(times, 'Array(Int64)') AS t,
    reinterpret(statuses, 'Array(UInt8)') AS s,
    reinterpret(packed, 'Array(Int64)') AS v,
    arrayResize(reinterpret(taken, 'Array(Int64)'), if(empty(taken), length(statuses), intDiv(length(taken), 8)), toInt64(-9223372036854775808)) AS w;

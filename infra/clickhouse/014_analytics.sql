-- Devices and groups as dimensions with history; totals by month; what is missing and what is flagged.

-- Every registration a device ever had, where `device_registrations` keeps the last.
CREATE TABLE device_registration_history
(
    device_id String,
    version UInt64 COMMENT 'of the device with this registration',
    at DateTime64(3, 'UTC'),
    device_type LowCardinality(String),
    protocol LowCardinality(String),
    protocol_version LowCardinality(String),
    host String,
    port UInt16,
    time_zone LowCardinality(String) COMMENT 'empty when not known',
    gateway_id String,
    channel Nullable(UInt8),
    mbus_identification String,
    cell_id LowCardinality(String),
    labels Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree
ORDER BY (device_id, version)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW device_registration_history_mv TO device_registration_history AS
SELECT
    device_id, version,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    device_type, protocol, protocol_version, host, port, time_zone, gateway_id, channel, mbus_identification, cell_id,
    mapFromArrays(CAST(label_names, 'Array(LowCardinality(String))'), label_values) AS labels
FROM device_registrations_in AS i;

-- What was known of a device, from when to when. The first registration also holds for all time before: reads are older than it.
CREATE VIEW device_history AS
SELECT
    device_id, version,
    if(lagInFrame(version) OVER w = 0, toDateTime64(0, 3, 'UTC'), at) AS valid_from,
    leadInFrame(at, 1, toDateTime64('2200-01-01 00:00:00', 3, 'UTC')) OVER w AS valid_to,
    device_type, protocol, protocol_version, host, port, time_zone, gateway_id, channel, mbus_identification, cell_id, labels
FROM device_registration_history FINAL
WINDOW w AS (PARTITION BY device_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

-- Who belongs to what, from when to when: every label, and device_type, protocol, cell_id, gateway_id.
CREATE VIEW device_groups AS
SELECT device_id, g.1 AS name, g.2 AS value, valid_from, valid_to
FROM device_history
ARRAY JOIN arrayConcat(
    arrayZip(CAST(mapKeys(labels), 'Array(String)'), mapValues(labels)),
    [('device_type', toString(device_type)), ('protocol', concat(protocol, ' ', protocol_version)), ('cell_id', toString(cell_id)),
        ('gateway_id', gateway_id)]) AS g
WHERE value != '';

-- The load of a group in each quarter-hour of one local day, each meter while it belonged to it:
-- group_load_curve(day = '2026-03-28', zone = 'Europe/Amsterdam', name = 'street', value = 'Long Lane').
CREATE VIEW group_load_curve AS
SELECT
    toDateTime(interval_start, {zone:String}) AS interval_start,
    count() AS meters,
    sum(imported) AS imported_kwh,
    sum(exported) AS exported_kwh,
    4 * imported_kwh AS import_kw,
    4 * exported_kwh AS export_kw
FROM
(
    SELECT
        toString(energy_reads.device_id) AS device_id,
        captured_at - INTERVAL 15 MINUTE AS interval_start,
        import_total - lagInFrame(import_total) OVER w AS imported,
        ifNull(export_total - lagInFrame(export_total) OVER w, 0) AS exported,
        dateDiff('millisecond', lagInFrame(toNullable(captured_at)) OVER w, captured_at) AS since_ms
    FROM energy_reads FINAL
    WHERE period = 'INTERVAL'
        AND captured_at >= toDateTime({day:Date}, {zone:String})
        AND captured_at <= toDateTime({day:Date} + 1, {zone:String})
        AND energy_reads.device_id IN (SELECT device_id FROM device_groups WHERE name = {name:String} AND value = {value:String})
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
) AS reads
INNER JOIN
(
    SELECT device_id, valid_from, valid_to FROM device_groups WHERE name = {name:String} AND value = {value:String}
) AS members ON members.device_id = reads.device_id
WHERE since_ms = 900000 AND imported >= 0 AND exported >= 0 AND interval_start >= valid_from AND interval_start < valid_to
GROUP BY interval_start
ORDER BY interval_start;

-- Consumption between two readings of the daily or the monthly profile, by tariff. A local day has 23 to 25 hours, a month 28 to 31
-- days and an hour less or more; over a gap there is no figure.
CREATE VIEW period_totals AS
SELECT
    device_id, period,
    before_at AS period_start,
    captured_at AS period_end,
    if(quality = 'ok', import_total - import_before, NULL) AS imported_kwh,
    if(quality = 'ok', export_total - export_before, NULL) AS exported_kwh,
    if(quality = 'ok', import_rate1 - import_rate1_before, NULL) AS imported_rate1_kwh,
    if(quality = 'ok', import_rate2 - import_rate2_before, NULL) AS imported_rate2_kwh,
    if(quality = 'ok', export_rate1 - export_rate1_before, NULL) AS exported_rate1_kwh,
    if(quality = 'ok', export_rate2 - export_rate2_before, NULL) AS exported_rate2_kwh,
    multiIf(
        before_at IS NULL, 'first',
        dateDiff('hour', before_at, captured_at) > if(period = 'DAILY', 25, 31 * 24 + 1), 'gap',
        dateDiff('hour', before_at, captured_at) < if(period = 'DAILY', 23, 28 * 24 - 1), 'short',
        import_total IS NULL OR import_before IS NULL, 'missing',
        import_total < import_before, 'went down',
        'ok') AS quality,
    status,
    arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags
FROM
(
    SELECT
        device_id, period, captured_at, status, import_rate1, import_rate2, export_rate1, export_rate2,
        coalesce(energy_reads.import_total, import_rate1 + import_rate2) AS import_total,
        coalesce(energy_reads.export_total, export_rate1 + export_rate2) AS export_total,
        lagInFrame(import_total) OVER w AS import_before,
        lagInFrame(export_total) OVER w AS export_before,
        lagInFrame(import_rate1) OVER w AS import_rate1_before,
        lagInFrame(import_rate2) OVER w AS import_rate2_before,
        lagInFrame(export_rate1) OVER w AS export_rate1_before,
        lagInFrame(export_rate2) OVER w AS export_rate2_before,
        lagInFrame(toNullable(captured_at)) OVER w AS before_at
    FROM energy_reads FINAL
    WHERE period != 'INTERVAL'
    WINDOW w AS (PARTITION BY device_id, period ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

CREATE OR REPLACE VIEW daily_totals AS
SELECT period_start AS day_start, period_end AS day_end, * EXCEPT (period, period_start, period_end)
FROM period_totals WHERE period = 'DAILY';

CREATE VIEW monthly_totals AS
SELECT period_start AS month_start, period_end AS month_end, * EXCEPT (period, period_start, period_end)
FROM period_totals WHERE period = 'MONTHLY';

-- Stretches of quarter-hours that are not there, by device: missing_intervals(zone = 'Europe/Amsterdam', from_day = '2026-03-28',
-- to_day = '2026-03-30'). First and last missing capture time, and how many; for the devices and days of `completeness`.
CREATE VIEW missing_intervals AS
SELECT
    device_id,
    toDateTime(stretch[1], 'UTC') AS first_missing,
    toDateTime(stretch[-1], 'UTC') AS last_missing,
    length(stretch) AS intervals
FROM
(
    SELECT
        d.device_id AS device_id,
        arraySort(bitmapToArray(bitmapAndnot(
            bitmapBuild(range(
                toUInt32(toDateTime({from_day:Date}, {zone:String})),
                toUInt32(toDateTime({to_day:Date} + 1, {zone:String})),
                900)),
            bitmapBuild(p.present)))) AS missing
    FROM
    (
        SELECT device_id FROM devices
        WHERE device_type != 'SMART_METER_G' AND device_type != 'SMART_METER_W' AND (time_zone = {zone:String} OR time_zone = '')
    ) AS d
    LEFT JOIN
    (
        SELECT toString(device_id) AS device_id, groupUniqArray(toUInt32(toDateTime(captured_at, 'UTC'))) AS present
        FROM energy_reads
        WHERE period = 'INTERVAL'
            AND captured_at >= toDateTime({from_day:Date}, {zone:String})
            AND captured_at < toDateTime({to_day:Date} + 1, {zone:String})
            AND toUnixTimestamp64Milli(captured_at) % 900000 = 0
        GROUP BY device_id
    ) AS p ON p.device_id = d.device_id
)
ARRAY JOIN arraySplit((at, since) -> since != 900, missing, arrayDifference(missing)) AS stretch
WHERE notEmpty(missing)
ORDER BY device_id, first_missing;

-- Rows of profiles that the meter itself does not vouch for: any flag but that of daylight saving.
CREATE VIEW flagged_intervals AS
SELECT device_id, period, captured_at, import_total, export_total, status, status_flags
FROM energy_profile
WHERE bitAnd(status, 247) != 0;

-- The fleet's gas in each hour of one local day: gas_curve(day = '2026-11-01', zone = 'Europe/Amsterdam'). Of all hours of `gas_consumption`
-- it is the sum, but it reads the rows of that day's month alone. Gas meters take their values some minutes early or late: an hour is the
-- one in which most of it lies. Values are dated by the gas meter, usually an hour before the gateway stored them, so the last hour of a day
-- is there when the row of one o'clock of the next was read.
CREATE VIEW gas_curve AS
SELECT
    toStartOfHour(toDateTime(interval_start + INTERVAL 30 MINUTE, {zone:String})) AS hour,
    count() AS meters,
    sum(consumed) AS consumed_m3
FROM
(
    SELECT
        status, bitAnd(lagInFrame(status) OVER w, 4) AS before_not_valid,
        value - lagInFrame(value) OVER w AS consumed,
        lagInFrame(toNullable(value_at)) OVER w AS interval_start,
        dateDiff('second', interval_start, value_at) AS since
    FROM
    (
        SELECT device_id, captured_at, value, status, coalesce(r.value_at, r.captured_at) AS value_at
        FROM profile_reads AS r FINAL
        WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE'
            AND captured_at >= toDateTime({day:Date}, {zone:String}) - INTERVAL 30 MINUTE
            AND captured_at <= toDateTime({day:Date} + 1, {zone:String}) + INTERVAL 90 MINUTE
    )
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE since BETWEEN 1800 AND 5400 AND consumed >= 0 AND bitAnd(status, 4) = 0 AND before_not_valid = 0
    AND hour >= toDateTime({day:Date}, {zone:String}) AND hour < toDateTime({day:Date} + 1, {zone:String})
GROUP BY hour
ORDER BY hour;

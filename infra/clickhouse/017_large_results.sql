-- Large results by command and device: a correlation id is unique for one device, and two devices may have had the same. A sort key can be
-- made longer by a new column alone, so the device is there twice; rows that were stored before are kept as they are.
ALTER TABLE large_results
    ADD COLUMN of_device String COMMENT 'device_id once more, for the sort key; empty in rows from before there was this column',
    MODIFY ORDER BY (correlation_id, of_device);

ALTER TABLE large_results_mv MODIFY QUERY
SELECT
    reinterpret(correlation, 'UUID') AS correlation_id,
    device_id, operation,
    fromUnixTimestamp64Milli(i.stored_at, 'UTC') AS stored_at,
    result,
    i.device_id AS of_device
FROM large_results_in AS i;

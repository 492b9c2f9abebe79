-- What happened to a device, in one order: what its meter logged, the power failures it remembers, the alarms it held when somebody
-- looked, and what Meterlog did. Ask for one device: event_timeline WHERE device_id = '...'.
--
-- The meter's own entries are dated by its clock, which may be wrong; all others by ours.
CREATE VIEW event_timeline AS
SELECT device_id, at, source, what, detail, correlation_id
FROM
(
    SELECT device_id, captured_at AS at, 'meter' AS source, event AS what,
        concat(log, ' ', toString(code),
            if(counter IS NULL, '', concat(', session ', toString(assumeNotNull(counter)))),
            if(magnitude IS NULL, '', concat(', ', toString(assumeNotNull(magnitude)), ' ', magnitude_unit)),
            if(duration IS NULL, '', concat(', ', toString(assumeNotNull(duration)), ' s'))) AS detail,
        toNullable(correlation_id) AS correlation_id
    FROM meter_events FINAL
    UNION ALL
    SELECT device_id, started_at AS at, 'meter' AS source, 'LONG_POWER_FAILURE' AS what, concat(toString(duration), ' s') AS detail,
        toNullable(correlation_id) AS correlation_id
    FROM meter_outages FINAL
    UNION ALL
    SELECT device_id, settled_at AS at, 'alarm' AS source, alarm AS what, 'held by the meter when it was read' AS detail,
        toNullable(correlation_id) AS correlation_id
    FROM responses FINAL
    ARRAY JOIN JSONExtract(result, 'alarms', 'Array(String)') AS alarm
    WHERE operation = 'ReadAlarmRegister'
    UNION ALL
    SELECT device_id, settled_at AS at, 'alarm' AS source, arrayJoin(JSONExtract(entry, 'alarms', 'Array(String)')) AS what,
        'held by the meter when it was read' AS detail, toNullable(correlation_id) AS correlation_id
    FROM responses FINAL
    ARRAY JOIN JSONExtractArrayRaw(result, 'entries') AS entry
    WHERE operation = 'Bundle' AND JSONExtractString(entry, 'type') = 'read_alarm_register.Result'
    UNION ALL
    SELECT device_id, at, 'meterlog' AS source, kind AS what, detail, correlation_id
    FROM device_events FINAL
);

-- What GetAllAttributeValues found, one row an attribute; a snapshot is what one command (correlation_id) read. Results lie in
-- responses, large ones in large_results, those of a bundle's action among its entries.
CREATE VIEW attribute_values AS
SELECT
    device_id,
    read_at,
    correlation_id,
    object.class_id AS class_id,
    object.logical_name AS logical_name,
    object.tag AS tag,
    attribute.attribute_id AS attribute_id,
    attribute.name AS name,
    attribute.access AS access,
    attribute.value AS value,
    attribute.refused AS refused,
    attribute.note AS note
FROM
(
    SELECT
        device_id, read_at, correlation_id,
        arrayJoin(JSONExtract(told, 'objects', 'Array(Tuple(class_id UInt16, logical_name String, tag Nullable(String),
            attributes Array(Tuple(attribute_id Int16, name Nullable(String), access String, value Nullable(String),
                refused Nullable(String), note Nullable(String)))))')) AS object
    FROM
    (
        SELECT device_id, settled_at AS read_at, correlation_id, result AS told
        FROM responses FINAL WHERE operation = 'GetAllAttributeValues' AND result != ''
        UNION ALL
        SELECT device_id, stored_at AS read_at, correlation_id, result AS told
        FROM large_results FINAL WHERE operation = 'GetAllAttributeValues'
        UNION ALL
        SELECT device_id, settled_at AS read_at, correlation_id, arrayJoin(JSONExtractArrayRaw(result, 'entries')) AS told
        FROM responses FINAL
        WHERE operation = 'Bundle' AND JSONExtractString(told, 'type') = 'get_all_attribute_values.Result'
        UNION ALL
        SELECT device_id, stored_at AS read_at, correlation_id, arrayJoin(JSONExtractArrayRaw(result, 'entries')) AS told
        FROM large_results FINAL
        WHERE operation = 'Bundle' AND JSONExtractString(told, 'type') = 'get_all_attribute_values.Result'
    )
)
ARRAY JOIN object.attributes AS attribute;

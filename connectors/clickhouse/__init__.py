"""The way into ClickHouse, and what is read back from it.

`rows` turns records into packed rows (pure), `device_rows` does so for the devices' log, `batch` gathers them by table
and keeps account of every record (pure), `feed` consumes and commits, `sink` inserts, `queries` is what the faces read.
"""

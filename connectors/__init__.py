"""Where the system meets the world: meters, ClickHouse, callers. Never imports `streams`."""

"""The faces of the system: what people and upstream systems use.

No business rule lives here: they check against the catalogue, produce commands, await responses and read ClickHouse.
"""

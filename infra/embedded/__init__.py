"""A real Kafka and the real ClickHouse engine without a container, a compiler or root, and the supervisor that keeps
them.

`kafka.py` and `clickhouse.py` each start one server and stop it again; `supervisor.py` starts the whole declared list
of roles (`roles.py`). Every process here runs behind `leash.py`, so nothing outlives the process that started it.
"""

"""What the roles run on: the embedded stack, and what configures a real Kafka and ClickHouse. Nothing but the command
line and the tests imports this package.
"""

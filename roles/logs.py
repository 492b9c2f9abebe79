"""Structured logs: one JSON object a line on standard error, from structlog and from the standard library alike.

Keys and passwords are never logged by us; nothing here would recognise them.
"""

import logging
import sys
from typing import Any

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def start_logs(role: str, *, level: str = "info", form: str = "json") -> None:
    """Send every log record of the process to standard error, marked with the role. `form`: json or text.

    Whatever handlers the root logger had are replaced, so it may be called again.
    """
    lines: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    ending: tuple[Any, ...] = (lines,)
    if form == "json":
        ending = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _named(role), *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _named(role: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {"role": role, **event}

    return add

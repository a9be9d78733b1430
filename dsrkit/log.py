"""Structured logs: one JSON object a line, on standard error.

Redaction is by type: only numbers, booleans, enum names and strings that their caller wrapped in `Safe` or that stand
in the event's fixed vocabulary are written. A protobuf message, an exception text or a free string never is; an
exception is logged as its type and the place it was raised.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import structlog

_SAFE_KEYS = frozenset({"event", "level", "timestamp", "service", "logger"})
# What identifiers, resource names, codes and method paths are made of: no '@' and no space, so no e-mail and no name.
_SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:/#*,\-\[\]]{0,300}")


class Safe(str):
    """A string whose writer vouches that it holds no personal data."""

    __slots__ = ()


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: value if key in _SAFE_KEYS else _safe(value) for key, value in event.items()}


def _safe(value: object) -> object:
    match value:
        case bool() | int() | float() | None:
            return value
        case Safe():
            return str(value)
        case BaseException():
            return describe(value)
        case str() if _SAFE_TEXT.fullmatch(value):
            return value
        case list() | tuple():
            return [_safe(item) for item in value]
        case _:
            return f"<{type(value).__name__} redacted>"


def describe(error: BaseException) -> str:
    """Type and place of an exception, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


class _Bridge(logging.Handler):
    """Library logs: level and logger's name only, for their text may quote anything."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        get_logger().log(
            record.levelno, "library", library=record.name, line=record.lineno, error=describe(error) if error else None
        )


def configure(service: str, level: int = logging.INFO) -> None:
    """Sets up logging of this process. Called once, in `__main__`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(handlers=[_Bridge()], level=max(level, logging.WARNING), force=True)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger. Pass identifiers and numbers as keyword arguments, never personal data."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger())

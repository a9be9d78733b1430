"""Pages of a list: how many, and the token of where the next one begins. Callers may hand in any text as one."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import orjson

from dsrkit.errors import DsrError, invalid


def page_size(asked: int) -> int:
    """50 when absent, at most 500."""
    if asked < 0:
        raise invalid("page_size", "must not be negative")
    return min(asked or 50, 500)


def write_token(*parts: str) -> str:
    """A page token of these parts."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def read_token(token: str, count: int) -> list[str]:
    """The parts of a page token. FIELD_INVALID unless there are so many."""
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise _invalid() from None
    if not isinstance(parts, list) or len(parts) != count:
        raise _invalid()
    if not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise _invalid()
    return parts


def parse_position(when: str, identifier: str) -> tuple[datetime, UUID]:
    """Time and id after which a page begins. FIELD_INVALID."""
    try:
        return datetime.fromisoformat(when).astimezone(UTC), UUID(identifier)
    except (ValueError, OverflowError):
        raise _invalid() from None


def _invalid() -> DsrError:
    return invalid("page_token", "is not one of ours")

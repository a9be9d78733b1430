"""The time by which a service decides. For a sandbox it may be ahead of the real one; for everybody else it never is.

How far ahead belongs to the call or task at hand, as its caller does: whoever begins one says so, and nothing else.
Tokens, grants, retries and what is measured go by the real time.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

Ahead = Callable[[str], Awaitable[timedelta]]
"""How far ahead a partner's time is. Zero for a live one."""
ON_TIME = timedelta()
_ahead: ContextVar[timedelta] = ContextVar("ahead", default=ON_TIME)


async def on_time(_: str) -> timedelta:
    """Everybody's time is the real one."""
    return ON_TIME


def now() -> datetime:
    """The time for the partner of this call or task, in UTC."""
    return datetime.now(UTC) + _ahead.get()


def ahead() -> timedelta:
    """How far ahead this call or task is."""
    return _ahead.get()


def be_ahead(by: timedelta) -> None:
    """From here on, in this call or task."""
    _ahead.set(by)

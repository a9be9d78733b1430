"""Deadlines (Art. 12(3)) and other periods: in the partner's time zone, months clamped to the end of the month."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

MONTHS, EXTENDED_MONTHS = 1, 3


def due(received: datetime, time_zone: str, *, extended: bool = False) -> datetime:
    """When an answer is due, in UTC: one calendar month after receipt, three when extended.

    Both are computed from the receipt, so that 31 January leads to 28 February and, extended, to 30 April.
    Weekends never lengthen it: the platform gives its partners the earlier day.
    """
    local = received.astimezone(ZoneInfo(time_zone))
    months = EXTENDED_MONTHS if extended else MONTHS
    return (local + relativedelta(months=months)).astimezone(UTC)


def days_before(moment: datetime, time_zone: str, days: int, *, years: int = 0) -> datetime:
    """The same time of day so many calendar days (and years) earlier in `time_zone`, in UTC."""
    local = moment.astimezone(ZoneInfo(time_zone))
    return (local - relativedelta(days=days, years=years)).astimezone(UTC)


def after(moment: datetime, time_zone: str, *, months: int = 0, years: int = 0) -> datetime:
    """The same time of day so many calendar months and years later in `time_zone`, in UTC; clamped at month ends."""
    local = moment.astimezone(ZoneInfo(time_zone))
    return (local + relativedelta(months=months, years=years)).astimezone(UTC)

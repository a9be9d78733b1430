"""Which warning is due, who is told what. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dsrkit.calendar import days_before
from dsrkit.errors import invalid

WEBHOOK, PRIMARY, DPO = "webhook", "primary", "dpo"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}")


@dataclass(frozen=True)
class Contacts:
    """A partner's addresses."""

    primary_email: str
    dpo_email: str = ""

    def address(self, channel: str) -> str:
        """Where a channel leads; empty when nowhere."""
        return self.primary_email if channel == PRIMARY else self.dpo_email

    def channels(self) -> list[str]:
        """E-mail channels with an address; two contacts with one address are told once."""
        return [PRIMARY, DPO] if self.dpo_email and self.dpo_email != self.primary_email else [PRIMARY]


def check_address(address: str, field: str) -> str:
    """A plain e-mail address. FIELD_INVALID."""
    if len(address) > 254 or not _ADDRESS.fullmatch(address):
        raise invalid(field, "must be an e-mail address, such as privacy@company.example")
    return address


def warning(now: datetime, due: datetime, time_zone: str, days: Sequence[int]) -> int | None:
    """The nearest warning whose time has come, in days before `due`; 0 once it is past; None while there is time.

    Whoever missed an earlier one is told the nearer one only.
    """
    if now >= due:
        return 0
    reached = [number for number in days if now >= days_before(due, time_zone, number)]
    return min(reached, default=None)


def by_email(kind: Mapping[str, object], facts: Mapping[str, str]) -> bool:
    """Whether a notice also goes by e-mail."""
    states = kind.get("email_states")
    return not isinstance(states, list) or facts.get("state") in states

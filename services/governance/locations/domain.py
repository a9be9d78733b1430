"""What an agreement about a place means, and what may become of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dsr.v1 import governance_pb2

Place = tuple[str, str, str]
"""Provider, site, country."""

DATA_SOURCES, BUNDLES, BACKUPS = "DATA_SOURCES", "BUNDLES", "BACKUPS"
USES = (DATA_SOURCES, BUNDLES, BACKUPS)


@dataclass(frozen=True)
class Agreement:
    """What a partner was asked about a place, and what it answered."""

    use: str
    source: str
    """Empty: every data source."""
    place: Place
    state: str
    begins: datetime
    ends: datetime | None = None

    def covers(self, use: str, source: str, place: Place, now: datetime) -> bool:
        """Whether, by this agreement, something may be in a place now."""
        return (
            self.state == "ACCEPTED"
            and (self.use, self.place) == (use, place)
            and self.source in ("", source)
            and self.begins <= now
            and (self.ends is None or now < self.ends)
        )


def agreed(agreements: Sequence[Agreement], use: str, source: str, place: Place, now: datetime) -> bool:
    """Whether the partner agreed that something is kept in a place. Silence agrees to nothing."""
    return any(agreement.covers(use, source, place, now) for agreement in agreements)


def place_of(location: governance_pb2.Location) -> Place:
    """As it is compared."""
    return location.provider, location.site, location.country


_MOVES: Mapping[str, tuple[str, str]] = {
    "accept": ("PROPOSED", "ACCEPTED"),
    "reject": ("PROPOSED", "REJECTED"),
    "withdraw": ("PROPOSED", "WITHDRAWN"),
}


def move(verb: str, state: str) -> str | None:
    """The state after `accept`, `reject` or `withdraw`; None when it isn't possible from here."""
    before, after = _MOVES[verb]
    return after if state in (before, after) else None


def completable(state: str, begins: datetime, now: datetime) -> bool:
    """Whether a move may be said to be done: the partner agreed, and the time agreed has come."""
    return state == "ACCEPTED" and begins <= now

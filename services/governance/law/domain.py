"""May data be in a place, or go to a country? Pure: the answer follows from the dated data and the day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any

import yaml

Place = tuple[str, str, str]
"""Provider, site, country."""


@dataclass(frozen=True)
class Adequacy:
    """A decision of the Commission that a country protects personal data well enough (GDPR Art. 45)."""

    decision: str
    begins: date
    ends: date | None
    limited_to: str
    leaves_out: str = ""
    """What it doesn't cover, in words; the controller has to know."""

    def in_force(self, day: date) -> bool:
        """Whether it counts on a day."""
        return self.begins <= day and (self.ends is None or day < self.ends)


@dataclass(frozen=True)
class Law:
    """The lists, read once."""

    places: frozenset[Place]
    eea: frozenset[str]
    adequacy: Mapping[str, Sequence[Adequacy]]

    @classmethod
    def load(cls) -> "Law":
        """From the files beside this module."""
        countries = _read("countries.yaml")
        adequacy: dict[str, list[Adequacy]] = {}
        for entry in countries["adequacy"]:
            words = (entry.get("limited_to", ""), entry.get("leaves_out", ""))
            found = Adequacy(entry["decision"], entry["from"], entry.get("to"), *words)
            adequacy.setdefault(entry["country"], []).append(found)
        places = frozenset((p["provider"], p["site"], p["country"]) for p in _read("places.yaml")["places"])
        return cls(places, frozenset(countries["eea"]), adequacy)

    def bars(self, country: str, day: date) -> list[str]:
        """Why personal data may not go to a country on a day, one fact a line; nothing: it may."""
        if country in self.eea:
            return []
        decisions = self.adequacy.get(country, ())
        if any(a.in_force(day) and not a.limited_to for a in decisions):
            return []
        facts = [f"country outside the EEA: {country}", f"day: {day.isoformat()}"]
        for a in decisions:
            if not a.in_force(day):
                facts.append(f"not in force: {a.decision}")
            else:
                facts.append(f"{a.decision} covers only {a.limited_to}")
        return [*facts, *([] if decisions else ["adequacy decision: none"])]

    def limited(self, country: str, day: date) -> bool:
        """Whether a decision for some recipients of a country is in force on a day."""
        return any(a.in_force(day) and bool(a.limited_to) for a in self.adequacy.get(country, ()))


def _read(name: str) -> Any:
    return yaml.safe_load(resources.files(__package__).joinpath(name).read_text())

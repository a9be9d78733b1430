"""When somebody is unused, which rule can be meant, what an approval covers. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

import yaml
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1 import governance_pb2
from dsr.v1 import retention_pb2 as pb

from dsrkit.calendar import after
from services.governance.domain import Hold, instructions

_DATA: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("retention.yaml").read_text())
LEAST_MONTHS: int = _DATA["least_months"]
_MOST_MONTHS = 240
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FIELD = re.compile(r"[^\x00-\x1f]{1,200}")
_KEEPS = CollectionInstruction.ACTION_RETAIN


def cutoff(now: datetime, time_zone: str, months: int) -> datetime:
    """Whoever was last seen before this is unused: so many whole calendar months ago where the partner is."""
    return after(now, time_zone, months=-months)


def wrong_rule(
    rule: pb.RetentionRule, registered: Collection[str], mapped: Mapping[str, Collection[str]]
) -> tuple[str, str] | None:
    """What is wrong with a rule, as field and reason. `mapped`: collections of the data map by source."""
    if rule.source not in registered:
        return "source", "is not a data source of this partner"
    if rule.collection not in mapped.get(rule.source, ()):
        return "collection", "is not a collection of this source in the data map"
    if not _FIELD.fullmatch(rule.field):
        return "field", "must have 1 to 200 characters"
    if not _TYPE.fullmatch(rule.identity_type):
        return "identity_type", "must be lower-case letters, digits and underscores, at most 63"
    if rule.months and not LEAST_MONTHS <= rule.months <= _MOST_MONTHS:
        return "months", f"must be {LEAST_MONTHS} to {_MOST_MONTHS}: the policy promises to keep what is used within"
    return None


def wrong_instruction(
    instruction: pb.RetentionRule.StandingInstruction, mapped: Collection[str]
) -> tuple[str, str] | None:
    """What is wrong with a standing instruction."""
    for index, collection in enumerate(instruction.collections):
        if collection not in mapped:
            return f"collections[{index}]", "is not a collection of the rule's source in the data map"
    if not 1 <= len(instruction.purpose.strip()) <= 200:
        return "purpose", "must have 1 to 200 characters"
    return None


def effect(source: governance_pb2.SourceMap, holds: Sequence[Hold]) -> tuple[list[str], list[str]]:
    """Collections that a sweep would erase or anonymise, and those that stay."""
    told, _ = instructions(authority_pb2.RIGHT_ERASURE, source, holds)
    erased = [i.collection for i in told if i.action != _KEEPS]
    return erased, [i.collection for i in told if i.action == _KEEPS]


def covered(erased: Sequence[str], instruction: Mapping[str, Any] | None) -> bool:
    """Whether a standing instruction approves a sweep: it names every collection that would be erased."""
    return instruction is not None and set(erased) <= set(instruction["collections"])


def cap(people: int) -> int:
    """The most people an approval covers: a tenth more than were counted, and at least ten more."""
    return people + max(10, people // 10)


def suggestions(
    country: str, data_map: governance_pb2.DataMap, held: Collection[tuple[str, str]]
) -> list[pb.HoldSuggestion]:
    """Statutory periods that may apply. `held`: source and collection of holds on everybody."""
    found = []
    for period in _DATA["suggestions"]:
        if period["country"] != country:
            continue
        for source in data_map.sources:
            for collection in source.collections:
                text = " ".join((collection.collection, collection.title, collection.category)).lower()
                if not any(word in text for word in _DATA["words"]):
                    continue
                found.append(
                    pb.HoldSuggestion(
                        source=source.source,
                        collection=collection.collection,
                        country=country,
                        legal_reference=period["legal_reference"],
                        summary=period["summary"],
                        years=period["years"],
                        reason=_DATA["reason"],
                        as_of=period["as_of"].isoformat(),
                        adopted=(source.source, collection.collection) in held,
                    )
                )
    return found

"""What a connector is to set for a task, and what of it people get to see. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Amendment, CollectionInstruction, FieldValue
from dsr.v1 import correction_pb2 as pb

RESTRICTION = "restriction"
"""Name of the flag that a restriction sets; an objection sets those of its purposes."""
_KIND = pb.CorrectionRequest
_EFFECT = pb.CorrectionRequest.Effect
Flag = tuple[str, str]
"""Collection and name, as a connector declares it."""
_STOPS = frozenset({_EFFECT.CONSEQUENCE_STOPS, _EFFECT.CONSEQUENCE_STOPS_UNLESS_COMPELLING})
"""Who approves the flag of an objection says that no compelling ground outweighs it."""


def wanted(
    request: pb.CorrectionRequest,
    source: str,
    mapped: Collection[str],
    declared: Collection[Flag],
    *,
    clears: bool = False,
) -> list[Amendment]:
    """What is to be set at a source: the changes of a rectification, else those of its declared flags that are meant.

    `mapped`: the source's collections in the data map. `declared`: (collection, flag) as the connector says. `clears`:
    the flags are to be cleared, by the value that the source's declaration has for that.
    """
    found: dict[str, Amendment] = {}
    if request.kind == _KIND.KIND_RECTIFICATION:
        for change in request.changes:
            if change.source == source:
                value = FieldValue(field=change.field, value=change.value)
                if change.current_value:
                    value.current_value = change.current_value
                found.setdefault(change.collection, Amendment(collection=change.collection)).fields.append(value)
    for collection, flag in sorted(declared):
        if collection in mapped and (collection, flag) in _meant(request, source, mapped):
            amendment = found.setdefault(collection, Amendment(collection=collection))
            (amendment.clear_flags if clears else amendment.set_flags).append(flag)
    return list(found.values())


def _meant(request: pb.CorrectionRequest, source: str, mapped: Collection[str]) -> set[tuple[str, str]]:
    if request.kind == _KIND.KIND_RESTRICTION:
        return {(collection, RESTRICTION) for collection in mapped}
    stopped = (e for e in request.effects if e.source == source and e.consequence in _STOPS)
    return {(effect.collection, effect.purpose) for effect in stopped}


def shown(amendments: Sequence[Amendment], declared: Mapping[Flag, str]) -> list[dict[str, Any]]:
    """Names alone, as they are stored and shown: fields of flags, too. `declared`: the field of each flag."""
    return [
        {
            "collection": a.collection,
            "fields": [f.field for f in a.fields] + [declared[a.collection, flag] for flag in _flags(a)],
            "flags": _flags(a),
            "amended": 0,
            "unchanged": 0,
        }
        for a in amendments
    ]


def _flags(amendment: Amendment) -> list[str]:
    return [*amendment.set_flags, *amendment.clear_flags]


def counted(
    changes: Sequence[Mapping[str, Any]], collections: Sequence[connector_pb2.AmendedCollection]
) -> list[dict[str, Any]] | None:
    """The changes with the connector's counts; None where it counts other collections, or less than nothing."""
    counts = {c.collection: (c.amended, c.unchanged) for c in collections}
    if counts.keys() != {c["collection"] for c in changes} or any(n < 0 for pair in counts.values() for n in pair):
        return None
    return [
        {**change, "amended": counts[change["collection"]][0], "unchanged": counts[change["collection"]][1]}
        for change in changes
    ]


def digest(request: str, task: Mapping[str, Any], person: str, sealed: bytes) -> str:
    """What an approval covers. `person`: who was found. `sealed`: names given and values, as they are stored."""
    body = {name: task[name] for name in ("source", "clears", "changes", "holds")}
    body |= {"request": request, "person": person, "sealed": hashlib.sha256(sealed).hexdigest()}
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def same_names(changes: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether both set the same fields and flags."""
    names = ("collection", "fields", "flags")
    one, other = ([[change[name] for name in names] for change in each] for each in (changes, others))
    return one == other


def approved(amendments: Sequence[Amendment], changes: Sequence[Mapping[str, Any]]) -> list[Amendment]:
    """The amendments with as many records as the preview showed for a cap."""
    caps = {change["collection"]: change["amended"] for change in changes}
    for amendment in amendments:
        amendment.cap = caps[amendment.collection]
    return list(amendments)


def reading_back(changes: Sequence[Mapping[str, Any]]) -> list[CollectionInstruction]:
    """Instructions to export what was set, and nothing else."""
    return [CollectionInstruction(collection=c["collection"], include_fields=c["fields"]) for c in changes]


def knows(changes: Sequence[Mapping[str, Any]], field: str) -> bool:
    """Whether `collection.field` is one of those that were to be set: a connector's own words are not repeated."""
    return any(field == f"{c['collection']}.{name}" for c in changes for name in (*c["fields"], *c["flags"]))

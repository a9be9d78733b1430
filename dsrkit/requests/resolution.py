"""One person, many names: from what sources found to whom else to ask. Pure.

A request brings an e-mail; the orders know a customer number; the lake knows only that number. Identities are followed
only when their type is unique, and from the source that is authoritative for the type where one is; others report.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dsr.v1 import request_pb2

from dsrkit.errors import invalid
from dsrkit.requests.model import Candidate, Dossier, Found, Known

MAX_ROUNDS = 5


@dataclass(frozen=True)
class SourceResult:
    """The latest Locate of one source."""

    source: str
    types: tuple[str, ...]
    """Identity types the source may be asked by."""
    authoritative_for: tuple[str, ...]
    found: Found


@dataclass(frozen=True)
class Resolution:
    """What is known now, and what to do next."""

    dossier: Dossier
    ask: tuple[str, ...]
    """Sources to ask (again) in the next round; empty: done."""
    ambiguous: bool
    """The controller must decide about `dossier.candidates` first."""


def resolve(dossier: Dossier, results: Sequence[SourceResult], round_number: int) -> Resolution:
    """Merges one round's results. At most 5 rounds, and what is left open then is said; nothing is followed out of an
    ambiguous match."""
    candidates = _candidates(dossier, results)
    open_candidates = tuple(c for c in candidates if not c.decision)
    authorities = _authorities(results)
    known = {(i.type, i.value): i for i in dossier.identities}
    hops = {key: i.hops for key, i in known.items()}
    for result in results:
        if any(c.source == result.source for c in open_candidates):
            continue
        base = max((hops[a] for a in result.found.asked if a in hops), default=0)
        for found in result.found.located.identities:
            key = (found.identity.type, found.identity.value)
            allowed = authorities.get(found.identity.type)
            followed = found.unique and (allowed is None or result.source in allowed)
            if key not in known or (followed and not known[key].followed):
                known[key] = Known(*key, result.source, found.collection, base + 1, followed)
    merged = replace(dossier, identities=tuple(known.values()), candidates=candidates)
    if open_candidates:
        return Resolution(merged, (), True)
    behind = tuple(r.source for r in results if _unasked(merged, r))
    if round_number + 1 < MAX_ROUNDS:
        return Resolution(replace(merged, unasked=()), behind, False)
    return Resolution(replace(merged, unasked=behind), (), False)


def _unasked(dossier: Dossier, result: SourceResult) -> bool:
    asked = set(result.found.asked)
    return any(i.type in result.types and (i.type, i.value) not in asked for i in dossier.followed())


def _authorities(results: Sequence[SourceResult]) -> Mapping[str, set[str]]:
    authorities: dict[str, set[str]] = {}
    for result in results:
        for kind in result.authoritative_for:
            authorities.setdefault(kind, set()).add(result.source)
    return authorities


def _candidates(dossier: Dossier, results: Sequence[SourceResult]) -> tuple[Candidate, ...]:
    """Earlier candidates with their decisions, and new ones where a source found several people in one collection."""
    kept = {(c.source, c.collection, c.person): c for c in dossier.candidates}
    for result in results:
        people: dict[str, list[str]] = {}
        for person in result.found.located.people:
            people.setdefault(person.collection, []).append(person.person)
        for collection, persons in people.items():
            fresh = [p for p in persons if (result.source, collection, p) not in kept]
            if len(persons) > 1:
                for key in fresh:
                    kept[result.source, collection, key] = _candidate(result, collection, key)
    return tuple(kept.values())


def _candidate(result: SourceResult, collection: str, person: str) -> Candidate:
    named = [f for f in result.found.located.identities if f.collection == collection and f.person == person]
    names = [Known(f.identity.type, f.identity.value, result.source, collection, 1, False) for f in named]
    return newcomer(result.source, collection, person, names)


def newcomer(source: str, collection: str, person: str, names: Sequence[Known]) -> Candidate:
    """A candidate that nobody has decided on."""
    return Candidate(
        # Random, since a digest of a person's key could be undone by trying keys. It is remembered with the candidate.
        candidate=f"{source.split('/')[-1]}-{secrets.token_hex(8)}",
        source=source,
        collection=collection,
        person=person,
        identities=tuple(names),
    )


def decide(
    candidates: Sequence[Candidate], decisions: Sequence[request_pb2.CandidateDecision]
) -> tuple[Candidate, ...]:
    """The candidates with the controller's decisions. FIELD_INVALID unless there is one for each open candidate."""
    names = {request_pb2.Candidate.DECISION_ACCEPT: "ACCEPT", request_pb2.Candidate.DECISION_REJECT: "REJECT"}
    chosen: dict[str, str] = {}
    waiting = {c.candidate for c in candidates if not c.decision}
    for index, decision in enumerate(decisions):
        if decision.candidate not in waiting:
            raise invalid(f"decisions[{index}].candidate", "is not an open candidate of this request")
        if decision.candidate in chosen:
            raise invalid(f"decisions[{index}].candidate", "is decided twice")
        if decision.decision not in names:
            raise invalid(f"decisions[{index}].decision", "must be ACCEPT or REJECT")
        chosen[decision.candidate] = names[decision.decision]
    missing = waiting - chosen.keys()
    if missing:
        raise invalid("decisions", f"lacks a decision on {len(missing)} open candidate(s)")
    return tuple(replace(c, decision=chosen.get(c.candidate, c.decision)) for c in candidates)

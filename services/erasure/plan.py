"""What an erasure would do, and whether that is still what was approved. Pure."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from dsr.authority.v1.authority_pb2 import SourceInstructions
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from google.protobuf import json_format

from dsrkit.requests.model import Dossier, Found, Request
from dsrkit.tasks import Task
from services.erasure.domain import DESTROYS, change

_HEADROOM = 10
_ONLY_DELETE = frozenset({"CASCADE_OUTSIDE_PLAN", "REFERENCED_OUTSIDE_PLAN"})
"""Others' records refer to these: that stands in the way only of removing them."""
_ONLY_AFFECTED = frozenset({"TRIGGER", "RULE"})
"""What runs on a change matters where there is something to change."""


_NOT_FOLLOWED = (
    "Names of the person lie more than five hops from those of the request, and this source was not asked by them."
    " Cancel this request and make one that brings the farthest names of this one."
)


def cap(records: int) -> int:
    """The most records an approval covers: a tenth more than were found, and at least ten more."""
    return records + max(_HEADROOM, records // 10)


def make(
    request: Request,
    dossier: Dossier,
    revision: int,
    located: Mapping[str, Task],
    told: Sequence[SourceInstructions],
    grace_seconds: float,
    secret: bytes,
    now: str,
) -> dict[str, Any]:
    """The plan: collection by collection what is done, what blocks it, and the digest over all of it."""
    collections: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    instructions: dict[str, list[Any]] = {}
    for source in told:
        name = source.data_source.name
        counts: Mapping[str, int] = located[name].result["collections"]
        actions = {i.collection: i for i in source.instructions}
        retentions = {r.collection: r for r in source.retentions}
        for collection, records in sorted(counts.items()):
            instruction = actions.get(collection)
            if instruction is None:
                findings.append(_finding("COLLECTION_NOT_MAPPED", name, collection, "Add it to the data map."))
                continue
            entry = _collection(name, instruction, records)
            retention = retentions.get(collection)
            if retention is not None:
                entry["reason"], entry["legal_reference"] = retention.reason, retention.legal_reference
                entry["hold"] = retention.hold
                if retention.HasField("review_time"):
                    entry["review_time"] = retention.review_time.ToJsonString()
            collections.append(entry)
        findings += blocking(name, located[name], actions)
        findings += _unreadable(name, located[name], actions)
        if name in dossier.unasked:
            findings.append(_finding("NAMES_NOT_FOLLOWED", name, "", _NOT_FOLLOWED))
        capped = [_capped(i, counts.get(i.collection, 0)) for i in source.instructions]
        instructions[name] = [json_format.MessageToDict(i, preserving_proto_field_name=True) for i in capped]
    plan = {
        "revision": revision,
        "create_time": now,
        "collections": collections,
        "findings": findings,
        "grace_seconds": grace_seconds,
        "instructions": instructions,
    }
    return {**plan, "digest": digest(request, dossier, plan, secret)}


def _collection(source: str, instruction: CollectionInstruction, records: int) -> dict[str, Any]:
    action = CollectionInstruction.Action.Name(instruction.action).removeprefix("ACTION_")
    return {
        "source": source,
        "collection": instruction.collection,
        "records": records,
        "action": action,
        "cap": cap(records) if action in DESTROYS else 0,
        "reason": "",
        "legal_reference": "",
        "hold": "",
        "review_time": "",
        "fields": [a.field for a in instruction.anonymise],
    }


def _capped(instruction: CollectionInstruction, records: int) -> CollectionInstruction:
    copy = CollectionInstruction()
    copy.CopyFrom(instruction)
    copy.cap = cap(records)
    return copy


def _finding(code: str, source: str, collection: str, detail: str) -> dict[str, Any]:
    return {"code": code, "source": source, "collection": collection, "detail": detail}


def blocking(source: str, located: Task, actions: Mapping[str, CollectionInstruction]) -> list[dict[str, Any]]:
    """What a source reports that keeps this person from being erased."""
    return [
        _finding(f["code"], source, f["collection"], f["detail"])
        for f in located.result["findings"]
        if f["blocks"] and _concerns(f, located.result["collections"], actions)
    ]


def _unreadable(source: str, located: Task, actions: Mapping[str, CollectionInstruction]) -> list[dict[str, Any]]:
    """Anonymised fields are read back: what a source can't show afterwards isn't done there."""
    if located.result.get("exports", True):
        return []
    detail = "The connector can't export, so that nobody could see that the fields were emptied: delete or retain."
    return [
        _finding("ANONYMISE_NOT_READABLE", source, collection, detail)
        for collection, records in sorted(located.result["collections"].items())
        if records and collection in actions and actions[collection].action == CollectionInstruction.ACTION_ANONYMISE
    ]


def _concerns(
    finding: Mapping[str, Any], counts: Mapping[str, int], actions: Mapping[str, CollectionInstruction]
) -> bool:
    """Some findings matter only where records go, or only where there are any; all others always."""
    name = finding["collection"]
    action = actions[name].action if name in actions else CollectionInstruction.ACTION_UNSPECIFIED
    if finding["code"] in _ONLY_DELETE:
        return action == CollectionInstruction.ACTION_DELETE
    if finding["code"] in _ONLY_AFFECTED:
        return bool(counts.get(name)) and action != CollectionInstruction.ACTION_RETAIN
    return True


def digest(request: Request, dossier: Dossier, plan: Mapping[str, Any], secret: bytes) -> str:
    """SHA-256 over identities (as keyed HMACs), collections, actions and caps."""
    names = sorted(hmac.digest(secret, f"{i.type}\0{i.value}".encode(), "sha256").hex() for i in dossier.followed())
    people = sorted(f"{c.candidate}:{c.decision}" for c in dossier.candidates)
    covered = ("source", "collection", "action", "cap", "reason", "legal_reference", "hold", "fields")
    body = {
        "request": str(request.id),
        "data_map_revision": request.data_map_revision,
        "revision": plan["revision"],
        "identities": names,
        "people": people,
        "collections": [{key: c[key] for key in covered} for c in plan["collections"]],
        "instructions": plan["instructions"],
    }
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def touched(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """Collections in which records are destroyed, by source."""
    found: dict[str, list[str]] = {}
    for collection in plan["collections"]:
        if collection["action"] in DESTROYS and collection["records"]:
            found.setdefault(collection["source"], []).append(collection["collection"])
    return found


def approved_instructions(plan: Mapping[str, Any], source: str) -> list[CollectionInstruction]:
    """The instructions of a source, as they were approved."""
    return [json_format.ParseDict(i, CollectionInstruction()) for i in plan["instructions"].get(source, ())]


def changes(
    plan: Mapping[str, Any],
    relocated: Mapping[str, Task],
    told: Sequence[SourceInstructions],
    differ: Callable[[Sequence[CollectionInstruction], Sequence[CollectionInstruction]], Sequence[str]],
) -> list[dict[str, Any]]:
    """How what is there now goes beyond what was approved. Growth within the caps isn't a change."""
    found: list[dict[str, Any]] = []
    for source in told:
        name = source.data_source.name
        differing = differ(approved_instructions(plan, name), source.instructions)
        found += [change("ACTION_CHANGED", name, collection) for collection in differing]
        found += grown(plan, name, relocated[name].result["collections"])
        known = {(f["code"], f["collection"]) for f in plan["findings"]}
        actions = {i.collection: i for i in source.instructions}
        for finding in blocking(name, relocated[name], actions):
            if (finding["code"], finding["collection"]) not in known:
                found.append(change("NEW_FINDING", name, finding["collection"]))
    return found


def strangers(source: str, dossier: Dossier, before: Found, now: Found) -> list[dict[str, Any]]:
    """People and followed names that a source finds now and did not when the plan was last checked against it."""
    people = {(p.collection, p.person) for p in before.located.people}
    fresh = sorted({p.collection for p in now.located.people if (p.collection, p.person) not in people})
    names = {(i.type, i.value) for i in dossier.identities}
    names |= {(f.identity.type, f.identity.value) for f in before.located.identities}
    unknown = [
        f.collection for f in now.located.identities if f.unique and (f.identity.type, f.identity.value) not in names
    ]
    return [change("NEW_PERSON", source, collection) for collection in fresh] + [
        change("NEW_IDENTITY", source, collection) for collection in sorted(set(unknown))
    ]


def grown(plan: Mapping[str, Any], source: str, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Collections of a source that hold more of the person than was approved."""
    planned = {c["collection"]: c for c in plan["collections"] if c["source"] == source}
    found = []
    for collection, records in sorted(counts.items()):
        entry = planned.get(collection)
        if entry is None:
            if records:
                found.append(change("NEW_COLLECTION", source, collection, 0, records))
        elif entry["action"] in DESTROYS and records > entry["cap"]:
            found.append(change("CAP_EXCEEDED", source, collection, entry["cap"], records))
    return found

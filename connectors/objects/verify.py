"""What is left of a person: what a search still finds in any version, and versions that stand where they stood."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from connectors.filesystem.judge import RETAIN, Instructions
from connectors.objects.find import key_versions
from connectors.objects.found import Found
from connectors.objects.options import Options
from connectors.objects.store import Store
from connectors.objects.together import at_once
from dsrkit.errors import invalid

_PER_MESSAGE = 1_000
_REQUESTS = 16
_PLACE = ["path", "version"]

Places = dict[str, set[tuple[str, str]]]
"""By collection, (key, version id)."""


def anchors(reference: str, found: Found) -> Iterator[pb.Anchors]:
    """Places of a person's objects, and the names by which lake records know the person."""
    for name, objects in found.objects.items():
        yield from _messages(reference, name, _PLACE, [list(place) for place in objects])
    for name, rows_by_key in found.rows.items():
        told = {pair for rows in rows_by_key.values() for pair in rows.names}
        for identity in sorted({identity for identity, _ in told}):
            values = sorted(value for known, value in told if known == identity)
            yield from _messages(reference, name, [identity], [[value] for value in values])


def _messages(
    reference: str, collection: str, fields: Sequence[str], values: Sequence[Sequence[str]]
) -> Iterator[pb.Anchors]:
    for start in range(0, len(values), _PER_MESSAGE):
        texts = [json.dumps(value) for value in values[start : start + _PER_MESSAGE]]
        yield pb.Anchors(subject_ref=reference, collection=collection, fields=fields, values=texts)


def read_anchors(options: Options, index: int, subject: pb.VerifySubject) -> tuple[Places, pb.Subject]:
    """The places, and the person with the unique names that Locate found. FIELD_INVALID for what it can't have sent."""
    places: Places = {}
    person = pb.Subject()
    person.CopyFrom(subject.subject)
    known = {(identity.type, identity.value) for identity in person.identities}
    for position, anchor in enumerate(subject.anchors):
        where = f"subjects[{index}].anchors[{position}]"
        collection = options.collections.get(anchor.collection)
        fields = list(anchor.fields)
        if collection is None or (fields != _PLACE and (len(fields) != 1 or fields[0] not in collection.identity)):
            raise invalid(where, "it is not an anchor that this source's Locate sends")
        for text in anchor.values:
            values = _parse(text, len(fields), where)
            if fields == _PLACE:
                places.setdefault(anchor.collection, set()).add((values[0], values[1]))
                continue
            pair = (collection.type_of(fields[0]), values[0])
            if collection.identity[fields[0]].unique and pair not in known:
                known.add(pair)
                person.identities.append(Identity(type=pair[0], value=pair[1]))
    return places, person


def _parse(text: str, length: int, where: str) -> list[str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != length or not all(isinstance(value, str) for value in values):
        raise invalid(f"{where}.values", "a value is not a JSON array of as many texts as there are fields")
    return values


async def standing(store: Store, places: Places) -> Places:
    """Those of the places where a version still stands."""
    left: Places = {}
    ids: dict[str, set[str]] = {}

    async def look(key: str) -> None:
        ids[key] = {version.id for version in await key_versions(store, key)}

    wanted = {key for pairs in places.values() for key, _ in pairs}
    await at_once(_REQUESTS, [partial(look, key) for key in sorted(wanted)])
    for name, pairs in places.items():
        still = {(key, version) for key, version in pairs if version in ids[key]}
        if still:
            left[name] = still
    return left


def verified(
    reference: str, options: Options, found: Found, left: Mapping[str, set[tuple[str, str]]], instructions: Instructions
) -> pb.Verified:
    """One person's remnants. Explained are those of a collection that was to be retained."""
    remnants = []
    for name in sorted({*found.objects, *found.rows, *found.unsearched, *left}):
        number = len({*found.objects.get(name, {}), *left.get(name, ())})
        number += sum(sum(rows.counts.values()) for rows in found.rows.get(name, {}).values())
        # What couldn't be read may hold the person: it is not passed off as nothing.
        number += len(found.unsearched.get(name, ()))
        if not number:
            continue
        kept = name in instructions and instructions[name].action == RETAIN
        fields = list(options.collections[name].identity) if options.collections[name].lake else _PLACE[:1]
        remnants.append(
            pb.Remnant(
                collection=name,
                explained=number if kept else 0,
                unexplained=0 if kept else number,
                fields=[] if kept else fields,
            )
        )
    return pb.Verified(subject_ref=reference, remnants=remnants)

"""What is left of a person: what a search still finds in any version, and versions that stand where they stood."""

from collections.abc import Iterator, Mapping
from functools import partial

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from connectors import anchors as values_of
from connectors.filesystem.judge import RETAIN, Instructions
from connectors.objects.find import key_versions
from connectors.objects.found import Found
from connectors.objects.options import Options
from connectors.objects.store import Store
from connectors.objects.together import at_once
from dsrkit.errors import invalid

_REQUESTS = 16
_PLACE = ["path", "version"]

Places = dict[str, set[tuple[str, str]]]
"""By collection, (key, version id)."""


def anchors(reference: str, found: Found) -> Iterator[pb.Anchors]:
    """Places of a person's objects, and the names by which lake records know the person."""
    for name, objects in found.objects.items():
        yield from values_of.write(reference, name, _PLACE, [list(place) for place in objects])
    for name, rows_by_key in found.rows.items():
        told = {pair for rows in rows_by_key.values() for pair in rows.names}
        for identity in sorted({identity for identity, _ in told}):
            values = sorted(value for known, value in told if known == identity)
            yield from values_of.write(reference, name, [identity], [[value] for value in values])


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
            values = values_of.read(text, len(fields), where)
            if fields == _PLACE:
                places.setdefault(anchor.collection, set()).add((values[0], values[1]))
                continue
            pair = (collection.type_of(fields[0]), values[0])
            if collection.identity[fields[0]].unique and pair not in known:
                known.add(pair)
                person.identities.append(Identity(type=pair[0], value=pair[1]))
    return places, person


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

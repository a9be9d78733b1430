"""What is left of a person: what a search still finds, and whatever stands where it stood."""

from collections.abc import Iterator, Mapping

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from connectors import anchors as values_of
from connectors.filesystem.judge import RETAIN, Instructions
from connectors.redis import content, keys
from connectors.redis.connection import Server
from connectors.redis.found import Found, Place
from connectors.redis.options import Options
from dsrkit.errors import invalid

_KEY = ["key"]
_ENTRY = ["key", "entry"]

Places = dict[str, set[Place]]
"""By collection."""


def anchors(reference: str, found: Found) -> Iterator[pb.Anchors]:
    """Places of a person's records, and the names by which they know the person."""
    for name, records in found.records.items():
        whole = [(keys.text(key),) for key, entry in records if entry is None]
        entries = [(keys.text(key), keys.text(entry)) for key, entry in records if entry is not None]
        yield from values_of.write(reference, name, _KEY, whole)
        yield from values_of.write(reference, name, _ENTRY, entries)
        told = {pair for record in records.values() for pair in record.values}
        for identity in sorted({identity for identity, _ in told}):
            values = sorted(value for known, value in told if known == identity)
            yield from values_of.write(reference, name, [identity], [(value,) for value in values])


def read_anchors(options: Options, index: int, subject: pb.VerifySubject) -> tuple[Places, pb.Subject]:
    """The places, and the person with the unique names that Locate found. FIELD_INVALID for what it can't have sent."""
    places: Places = {}
    person = pb.Subject()
    person.CopyFrom(subject.subject)
    known = {(identity.type, identity.value) for identity in person.identities}
    for position, anchor in enumerate(subject.anchors):
        where = f"subjects[{index}].anchors[{position}]"
        collection, fields = options.collections.get(anchor.collection), list(anchor.fields)
        place = _KEY if collection is not None and collection.each == "key" else _ENTRY
        if collection is None or (fields != place and (len(fields) != 1 or fields[0] not in collection.identity)):
            raise invalid(where, "it is not an anchor that this source's Locate sends")
        for text in anchor.values:
            values = values_of.read(text, len(fields), where)
            if fields == place:
                entry = keys.data(values[1]) if len(values) > 1 else None
                places.setdefault(anchor.collection, set()).add((keys.data(values[0]), entry))
                continue
            pair = (collection.type_of(fields[0]), values[0])
            if collection.identity[fields[0]].unique and pair not in known:
                known.add(pair)
                person.identities.append(Identity(type=pair[0], value=pair[1]))
    return places, person


async def standing(server: Server, places: Places) -> Places:
    """Those of the places where something stands."""
    left: Places = {}
    for name, wanted in places.items():
        for key, entry in wanted:
            kind = await content.kind_of(server.command, key)
            there = kind != "none" if entry is None else None
            if entry is not None and kind in content.KINDS["member"] + (content.HASH, content.STREAM):
                there = await content.entry(server.command, key, kind, entry) is not None
            if there:
                left.setdefault(name, set()).add((key, entry))
    return left


def verified(reference: str, found: Found, left: Mapping[str, set[Place]], instructions: Instructions) -> pb.Verified:
    """One person's remnants. Explained are those of a collection that was to be retained."""
    remnants = []
    for name in sorted({*found.records, *left}):
        records = found.records.get(name, {})
        places = {*records, *left.get(name, ())}
        number = sum(records[place].times if place in records else 1 for place in places)
        kept = name in instructions and instructions[name].action == RETAIN
        remnants.append(
            pb.Remnant(
                collection=name,
                explained=number if kept else 0,
                unexplained=0 if kept else number,
                fields=[] if kept else sorted({"key" if entry is None else "entry" for _, entry in places}),
            )
        )
    return pb.Verified(subject_ref=reference, remnants=remnants)

"""What is left of a person: files that bear an identity, and whatever stands where files stood."""

import json
import stat
from collections.abc import Iterator, Mapping, Sequence

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem import tree
from connectors.filesystem.found import Found
from connectors.filesystem.judge import RETAIN, Instructions
from connectors.filesystem.options import Options
from connectors.objects import verify as lake
from dsrkit.errors import invalid

_ANCHORS_PER_MESSAGE = 1_000
_FIELD = "path"


def anchors(reference: str, found: Found) -> Iterator[pb.Anchors]:
    """The places of a person's files, and the names by which records in lake files know the person."""
    for name, records in found.records.items():
        # json, not orjson: names that are not UTF-8 survive as escaped surrogates.
        values = [json.dumps([path]) for path in records]
        for start in range(0, len(values), _ANCHORS_PER_MESSAGE):
            yield pb.Anchors(
                subject_ref=reference,
                collection=name,
                fields=[_FIELD],
                values=values[start : start + _ANCHORS_PER_MESSAGE],
            )
    yield from lake.anchors(reference, found.lake)


def named(options: Options, index: int, subject: pb.VerifySubject) -> pb.Subject:
    """The person with the unique names that Locate found in lake files. FIELD_INVALID for what it can't have sent."""
    lakes = options.lakes
    if lakes is None:
        return subject.subject
    anchors = [anchor for anchor in subject.anchors if anchor.collection in lakes.collections]
    _, person = lake.read_anchors(lakes, index, pb.VerifySubject(subject=subject.subject, anchors=anchors))
    return person


def anchored_paths(options: Options, index: int, subject: pb.VerifySubject) -> Mapping[str, set[str]]:
    """The paths that Locate sent, by collection. FIELD_INVALID for what it can't have sent."""
    paths: dict[str, set[str]] = {}
    for position, anchor in enumerate(subject.anchors):
        where = f"subjects[{index}].anchors[{position}]"
        if options.lakes is not None and anchor.collection in options.lakes.collections:
            continue
        if anchor.collection not in options.collections or list(anchor.fields) != [_FIELD]:
            raise invalid(where, "it is not an anchor that this source's Locate sends")
        for value in anchor.values:
            try:
                (path,) = json.loads(value)
            except ValueError:
                raise invalid(f"{where}.values", "a value is not a JSON array of one path") from None
            if not isinstance(path, str):
                raise invalid(f"{where}.values", "a value is not a JSON array of one path")
            paths.setdefault(anchor.collection, set()).add(path)
    return paths


def standing(options: Options, anchored: Sequence[Mapping[str, set[str]]]) -> list[dict[str, set[str]]]:
    """Those of the paths at which something other than a folder stands."""
    result: list[dict[str, set[str]]] = []
    with tree.root(options.root) as base:
        for paths_by_collection in anchored:
            left: dict[str, set[str]] = {}
            for collection, paths in paths_by_collection.items():
                for path in paths:
                    status = tree.status_at(base, path)
                    if status is not None and not stat.S_ISDIR(status.st_mode):
                        left.setdefault(collection, set()).add(path)
            result.append(left)
    return result


def verified(
    reference: str, options: Options, found: Found, left: Mapping[str, set[str]], instructions: Instructions
) -> pb.VerifyResponse:
    """One person's remnants. Explained are those of a collection that was to be retained."""
    remnants = []
    for name in sorted({*found.records, *found.others, *left}):
        number = len({*found.records.get(name, {}), *found.others.get(name, ()), *left.get(name, ())})
        kept = name in instructions and instructions[name].action == RETAIN
        remnants.append(
            pb.Remnant(
                collection=name,
                explained=number if kept else 0,
                unexplained=0 if kept else number,
                fields=[] if kept else [_FIELD],
            )
        )
    if options.lakes is not None:
        remnants += lake.verified(reference, options.lakes, found.lake, {}, instructions).remnants
    return pb.VerifyResponse(verified=pb.Verified(subject_ref=reference, remnants=remnants))

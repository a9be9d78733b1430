"""What the source holds and whether it can be worked with. Synchronous: runs in a thread of the backend's own."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb

from connectors.filesystem import mounts, tree
from connectors.filesystem.export import fields
from connectors.filesystem.options import AnyCollection, Collection, Options
from connectors.filesystem.pattern import Pattern
from connectors.objects.describe import collection as describe_lake
from connectors.objects.describe import counting

VERSION = "1"
_MATCHES = {"exact": pb.IdentityField.MATCH_EXACT, "case_fold": pb.IdentityField.MATCH_CASE_FOLD}


def describe(options: Options) -> pb.DescribeResponse:
    """The whole description. Needs the root for findings only: without it, it says so."""
    return pb.DescribeResponse(
        connector="filesystem",
        version=VERSION,
        capabilities=[
            pb.CAPABILITY_EXPORT,
            pb.CAPABILITY_ERASE,
            pb.CAPABILITY_RETURN,
            pb.CAPABILITY_DESTROY,
            *counting(options.all),
        ],
        collections=[
            _collection(name, c) if isinstance(c, Collection) else describe_lake(name, c)
            for name, c in options.collections.items()
        ],
        findings=list(_findings(options)),
        max_records_per_subject=options.max_records_per_subject,
    )


def _collection(name: str, collection: Collection) -> pb.Collection:
    return pb.Collection(
        name=name,
        fields=fields(collection),
        primary_key=["path"],
        identity_fields=[
            pb.IdentityField(
                field=variable,
                type=collection.type_of(variable),
                match=_MATCHES[collection.identity[variable].match],
                unique=collection.identity[variable].unique,
            )
            for variable in collection.compiled.variables
        ],
        no_personal_data=collection.no_personal_data,
        record_estimate=-1,
    )


def _findings(options: Options) -> Iterator[pb.Finding]:
    for name, collection in options.collections.items():
        if isinstance(collection, Collection) and collection.compiled.scans:
            detail = "Every search lists the whole tree. Put the identity before `**`."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)
        elif not isinstance(collection, Collection) and not collection.no_personal_data:
            detail = "Every search reads every file. Keep the folder narrow."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)
        if _status(options.root, collection) is None:
            detail = "Its folder is not there, or is a link: calls fail. Mount it, or correct the pattern."
            yield pb.Finding(code="NO_FOLDER", collection=name, detail=detail, blocks_erasure=True)
    yield from undeclared(options)


def undeclared(options: Options) -> Iterator[pb.Finding]:
    """What lies at the top of the root and is no collection's."""
    firsts = [base_of(collection).segments[0] for collection in options.collections.values()]
    if any(segment.deep for segment in firsts) or not options.root.is_dir():
        return
    unknown = [name for name in os.listdir(options.root) if all(s.read(name) is None for s in firsts)]
    if unknown:
        # Names may identify people, and so are not told.
        detail = f"{len(unknown)} entries at the top of the root match no pattern. Declare them."
        yield pb.Finding(code="UNDECLARED_COLLECTION", detail=detail)


def base_of(collection: AnyCollection) -> Pattern:
    """The pattern of a collection of either form."""
    return collection.compiled if isinstance(collection, Collection) else collection.pattern


def _status(root: Path, collection: AnyCollection) -> os.stat_result | None:
    base = "/".join(base_of(collection).base)
    try:
        with tree.root(root) as handle:
            status = tree.status_at(handle, base) if base else os.fstat(handle)
    except FileNotFoundError:
        return None
    return status if status is not None and stat.S_ISDIR(status.st_mode) else None


def probe(options: Options, state_dir: Path) -> pb.ProbeResponse:
    """Reachability, encryption and permissions. An unreachable root is an answer, not an error."""
    if not options.root.is_dir():
        return pb.ProbeResponse(reachable=False)
    response = pb.ProbeResponse(
        reachable=True, encrypted_in_transit=is_private(options), encryption_at_rest=_at_rest(options)
    )
    for name, collection in options.collections.items():
        folder = options.root.joinpath(*base_of(collection).base)
        there = _status(options.root, collection) is not None
        for operation, mode in (("read", os.R_OK | os.X_OK), ("delete", os.W_OK | os.X_OK)):
            if operation == "delete" and collection.no_personal_data:
                continue
            allowed = there and os.access(folder, mode, effective_ids=True)
            response.permissions.append(pb.ProbeResponse.Permission(operation=f"{name}: {operation}", allowed=allowed))
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    allowed = os.access(state_dir, os.W_OK | os.X_OK, effective_ids=True)
    response.permissions.append(pb.ProbeResponse.Permission(operation="journal: write", allowed=allowed))
    response.backend_time.GetCurrentTime()
    return response


def is_private(options: Options) -> bool:
    """Whether nobody between this process and the disk can read along."""
    mount = mounts.of(options.root)
    return mount is None or mount.encrypted_in_transit


def _at_rest(options: Options) -> "pb.ProbeResponse.EncryptionAtRest.ValueType":
    return mounts.at_rest(options.root, options.encrypted_at_rest)

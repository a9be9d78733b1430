"""A source in an object store, called as the host calls it, and what tests say of people."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from dsr.v1.subject_pb2 import Identity

from connectors import registry
from connectors.backend import SourceConfig

SOURCE = "partners/acme/dataSources/objects"
DELETE = CollectionInstruction.ACTION_DELETE
RETAIN = CollectionInstruction.ACTION_RETAIN

NEAR = (
    "ann@example.com",
    "joann@example.com",
    "ann@example.com.au",
    "ANN@example.com",
    "ann@example.co",
    "a.nn@example.com",
)
"""People whose addresses are nearly alike."""


def person(reference: str = "one", **identities: str) -> pb.Subject:
    names = [Identity(type=kind, value=value) for kind, value in identities.items()]
    return pb.Subject(subject_ref=reference, identities=names)


def instruct(collection: str, action: "CollectionInstruction.Action.ValueType" = DELETE) -> CollectionInstruction:
    return CollectionInstruction(collection=collection, action=action, cap=1_000_000)


@dataclass
class Objects:
    """One open source."""

    kind: str
    options: Mapping[str, Any]
    state: Path

    def __post_init__(self) -> None:
        config = SourceConfig(SOURCE, self.kind, self.options, b"k" * 32, self.state)
        # The host asks by protocol; these tests call what is there.
        self.backend: Any = registry.factory(self.kind)(config)

    def saved(self) -> str:
        """A file by which another process opens the same source."""
        file = self.state.with_name("source.json")
        file.write_text(json.dumps({"kind": self.kind, "options": self.options, "state": str(self.state)}))
        return str(file)

    @property
    def personal(self) -> list[str]:
        return [name for name, c in self.options["collections"].items() if not c.get("no_personal_data")]

    async def locate(self, *subjects: pb.Subject) -> list[pb.Located]:
        request = pb.LocateRequest(source=SOURCE, subjects=subjects)
        return [m.located async for m in self.backend.locate(request) if m.HasField("located")]

    async def anchors(self, subject: pb.Subject) -> list[pb.Anchors]:
        request = pb.LocateRequest(source=SOURCE, subjects=[subject], with_anchors=True)
        return [m.anchors async for m in self.backend.locate(request) if m.HasField("anchors")]

    async def counts(self, **identities: str) -> dict[str, int]:
        (located,) = await self.locate(person(**identities))
        return {count.collection: count.records for count in located.collections}

    async def findings(self, **identities: str) -> dict[str, bool]:
        """Code to whether it blocks."""
        (located,) = await self.locate(person(**identities))
        return {finding.code: finding.blocks_erasure for finding in located.findings}

    async def export(self, subject: pb.Subject) -> dict[str, list[dict[str, Any]]]:
        chosen = [instruct(name) for name in self.personal]
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_EXPORT, task="export", attempt=1, instructions=chosen)
        copied: dict[str, list[dict[str, Any]]] = {}
        name, data = "", b""
        async for message in self.backend.export(pb.ExportRequest(subject=subject), grant):
            match message.WhichOneof("part"):
                case "header":
                    name, data = message.header.collection, b""
                case "trailer":
                    copied[name] = [json.loads(line) for line in data.splitlines()]
                    assert message.trailer.sha256 == hashlib.sha256(data).digest()
                    assert message.trailer.records == len(copied[name])
                case "data":
                    assert len(message.data) <= 1 << 20
                    data += message.data
        return copied

    async def erase_all(
        self,
        subjects: Sequence[pb.Subject],
        *,
        instructions: Sequence[CollectionInstruction] = (),
        located: Sequence[pb.Located] = (),
        task: str = "task",
        attempt: int = 1,
    ) -> list[pb.Erased]:
        found = {item.subject_ref: item for item in located or await self.locate(*subjects)}
        chosen = instructions or [instruct(name) for name in self.personal]
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_ERASE, task=task, attempt=attempt, instructions=chosen)
        wanted = [pb.EraseSubject(subject=s, expected=found[s.subject_ref].collections) for s in subjects]
        request = pb.EraseRequest(subjects=wanted)
        return [m.erased async for m in self.backend.erase(request, grant) if m.HasField("erased")]

    async def erase(self, subject: pb.Subject, **options: Any) -> pb.Erased:
        (erased,) = await self.erase_all([subject], **options)
        return erased

    async def verify(self, subject: pb.Subject, anchors: Sequence[pb.Anchors] = ()) -> dict[str, tuple[int, int]]:
        wanted = [pb.VerifySubject(subject=subject, anchors=anchors)]
        chosen = [instruct(name) for name in self.personal]
        request = pb.VerifyRequest(source=SOURCE, subjects=wanted, instructions=chosen)
        (verified,) = [m.verified async for m in self.backend.verify(request) if m.HasField("verified")]
        return {r.collection: (r.explained, r.unexplained) for r in verified.remnants}

    async def returned(self, task: str = "return") -> dict[str, list[dict[str, Any]]]:
        """Everything, checked as it comes: a header and a trailer for each collection, then the totals."""
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_RETURN, task=task, attempt=1)
        copied: dict[str, list[dict[str, Any]]] = {}
        name, data, ended = "", b"", False
        async for message in self.backend.give_back(pb.ReturnRequest(), grant):
            match message.WhichOneof("part"):
                case "header":
                    name, data = message.header.collection, b""
                case "data":
                    assert len(message.data) <= 1 << 20
                    data += message.data
                case "trailer":
                    copied[name] = [json.loads(line) for line in data.splitlines()]
                    assert message.trailer.sha256 == hashlib.sha256(data).digest()
                    assert message.trailer.records == len(copied[name])
                case "totals":
                    assert message.totals.records == sum(map(len, copied.values()))
                    ended = True
        assert ended
        for record in (record for records in copied.values() for record in records if record["content"] is not None):
            assert hashlib.sha256(content(record)).hexdigest() == record["sha256"]
            assert len(content(record)) == record["size"]
        return copied

    async def destroy(
        self, caps: Mapping[str, int], *, task: str = "end", attempt: int = 1, count_only: bool = False
    ) -> pb.Destroyed:
        chosen = [CollectionInstruction(collection=name, action=DELETE, cap=cap) for name, cap in caps.items()]
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_DESTROY, task=task, attempt=attempt, instructions=chosen)
        messages = self.backend.destroy(pb.DestroyRequest(count_only=count_only), grant)
        results: list[pb.Destroyed] = [m.destroyed async for m in messages if m.HasField("destroyed")]
        assert len(results) == 1
        return results[0]


def caps_of(returned: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    return {name: len(records) for name, records in returned.items()}


def ended(result: pb.Destroyed) -> tuple[str, dict[str, tuple[int, int]], list[str]]:
    """How it ended, (destroyed, left) by collection, and the codes of what was found."""
    name = pb.Destroyed.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
    counts = {c.collection: (c.destroyed, c.left) for c in result.collections}
    return name, counts, [finding.code for finding in result.findings]


def deleted(erased: pb.Erased) -> dict[str, int]:
    return {outcome.collection: outcome.deleted for outcome in erased.collections if outcome.deleted}


def outcome(erased: pb.Erased) -> str:
    return pb.Erased.Outcome.Name(erased.outcome).removeprefix("OUTCOME_")


def content(record: Mapping[str, Any]) -> bytes:
    return base64.b64decode(record["content"], validate=True)

"""A folder of files and the backend on it, without a server between."""

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

from connectors.backend import SourceConfig
from connectors.filesystem.backend import FilesystemBackend

SOURCE = "partners/acme/dataSources/files"
NUMBER = {"customer_number": {"unique": True}}
LETTERS = {"letters": {"pattern": "letters/{customer_number}/**/*", "identity": NUMBER}}
BOTH = {"avatars": {"pattern": "avatars/{customer_number}.png", "identity": NUMBER}, **LETTERS}


def person(reference: str = "one", **identities: str) -> pb.Subject:
    return pb.Subject(
        subject_ref=reference, identities=[Identity(type=kind, value=value) for kind, value in identities.items()]
    )


def instruct(
    collection: str, action: "CollectionInstruction.Action.ValueType" = CollectionInstruction.ACTION_DELETE
) -> CollectionInstruction:
    return CollectionInstruction(collection=collection, action=action, cap=1_000_000)


@dataclass
class Folder:
    """A root to put files into, a state folder beside it, and the backend."""

    base: Path
    collections: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.backend = FilesystemBackend(self.config())

    def config(self, **options: Any) -> SourceConfig:
        return SourceConfig(
            source=SOURCE,
            kind="filesystem",
            options={"root": str(self.root), "collections": dict(self.collections), **options},
            fingerprint_key=b"k" * 32,
            state_dir=self.state,
        )

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def state(self) -> Path:
        return self.base / "state"

    def put(self, path: str, content: bytes = b"content") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def tree(self) -> list[str]:
        """Everything below the root."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))

    async def anchors(self, subject: pb.Subject) -> list[pb.Anchors]:
        request = pb.LocateRequest(source=SOURCE, subjects=[subject], with_anchors=True)
        return [m.anchors async for m in self.backend.locate(request) if m.HasField("anchors")]

    async def locate(self, *subjects: pb.Subject) -> list[pb.Located]:
        request = pb.LocateRequest(source=SOURCE, subjects=subjects)
        return [m.located async for m in self.backend.locate(request) if m.HasField("located")]

    async def counts(self, **identities: str) -> dict[str, int]:
        (located,) = await self.locate(person(**identities))
        return {count.collection: count.records for count in located.collections}

    async def findings(self, **identities: str) -> set[tuple[str, str]]:
        (located,) = await self.locate(person(**identities))
        assert all(finding.blocks_erasure for finding in located.findings)
        return {(finding.collection, finding.code) for finding in located.findings}

    async def export(
        self, subject: pb.Subject, instructions: Sequence[CollectionInstruction] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Collection to records; sizes and checksums compared."""
        chosen = instructions or [instruct(name) for name in self.collections]
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_EXPORT, task="export", attempt=1, instructions=chosen)
        copied: dict[str, list[dict[str, Any]]] = {}
        name, data = "", b""
        async for message in self.backend.export(pb.ExportRequest(subject=subject), grant):
            if message.HasField("header"):
                name, data = message.header.collection, b""
            elif message.HasField("trailer"):
                assert message.trailer.sha256 == hashlib.sha256(data).digest()
                assert message.trailer.bytes == len(data)
                copied[name] = [json.loads(line) for line in data.splitlines()]
                assert message.trailer.records == len(copied[name])
            elif message.HasField("totals"):
                assert message.totals.records == sum(map(len, copied.values()))
            else:
                assert len(message.data) <= 1 << 20
                data += message.data
        return copied

    async def erase(
        self,
        subject: pb.Subject,
        *instructions: CollectionInstruction,
        expected: Sequence[pb.CollectionCount] | None = None,
        task: str = "task",
        attempt: int = 1,
    ) -> pb.Erased:
        if expected is None:
            (located,) = await self.locate(subject)
            expected = list(located.collections)
        chosen = instructions or [instruct(name) for name in self.collections]
        grant = Grant(source=SOURCE, operation=Grant.OPERATION_ERASE, task=task, attempt=attempt, instructions=chosen)
        request = pb.EraseRequest(subjects=[pb.EraseSubject(subject=subject, expected=expected)])
        (erased,) = [m.erased async for m in self.backend.erase(request, grant) if m.HasField("erased")]
        return erased

    async def verify(
        self, subject: pb.Subject, *instructions: CollectionInstruction, anchors: Sequence[pb.Anchors] = ()
    ) -> dict[str, tuple[int, int]]:
        chosen = instructions or [instruct(name) for name in self.collections]
        request = pb.VerifyRequest(
            source=SOURCE, subjects=[pb.VerifySubject(subject=subject, anchors=anchors)], instructions=chosen
        )
        (verified,) = [m.verified async for m in self.backend.verify(request) if m.HasField("verified")]
        return {r.collection: (r.explained, r.unexplained) for r in verified.remnants}


def content(record: Mapping[str, Any]) -> bytes:
    return base64.b64decode(record["content"], validate=True)


def deleted(erased: pb.Erased) -> dict[str, int]:
    return {outcome.collection: outcome.deleted for outcome in erased.collections}

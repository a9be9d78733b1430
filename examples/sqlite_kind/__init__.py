"""A new kind of backend, complete: a guest book in an SQLite file. CONTRIBUTING.md says how it is registered.

The host has checked tokens, grants and limits before a method is called; docs/connector-spec.md says what each must do.
"""

import asyncio
import hmac
import json
import sqlite3
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from pydantic import BaseModel

from connectors.attempts import superseded
from connectors.backend import Backend, SourceConfig
from connectors.copying import Shape, check_instructions, stream
from connectors.filesystem.judge import RETAIN, judge
from dsrkit.errors import DsrError

NAME = "posts"
SHAPES = {NAME: Shape([pb.Field(name=name, type="string") for name in ("id", "email", "text")])}
EMAIL = pb.IdentityField(field="email", type="email", match=pb.IdentityField.MATCH_EXACT, unique=True)
POSTS = pb.Collection(name=NAME, fields=SHAPES[NAME].fields, identity_fields=[EMAIL], record_estimate=-1)
ABLE = (pb.CAPABILITY_EXPORT, pb.CAPABILITY_ERASE, pb.CAPABILITY_ATOMIC)
FIND = "SELECT id, email, text FROM posts WHERE email = ? COLLATE BINARY ORDER BY id"
JOURNAL = "CREATE TABLE IF NOT EXISTS dsr_journal (task, person, attempt, answer, PRIMARY KEY (task, person))"
DELETE = "DELETE FROM posts WHERE id = ?"
KEEP = "INSERT OR REPLACE INTO dsr_journal VALUES (?, ?, ?, ?)"
PAST = "SELECT person, attempt, answer FROM dsr_journal WHERE task = ?"


class Options(BaseModel, extra="forbid", frozen=True):
    file: Path


def open_backend(config: SourceConfig) -> Backend:
    """Checks the options; opens nothing."""
    return GuestBook(config, Options.model_validate(config.options))


class GuestBook:
    def __init__(self, config: SourceConfig, options: Options) -> None:
        self._source, self._key, self._file = config.source, config.fingerprint_key, options.file.absolute()

    async def describe(self) -> pb.DescribeResponse:
        return pb.DescribeResponse(connector="sqlite", version="1", capabilities=ABLE, collections=[POSTS])

    async def probe(self) -> pb.ProbeResponse:
        try:
            await asyncio.to_thread(self._find, pb.Subject())
        except DsrError:
            return pb.ProbeResponse(reachable=False)
        response = pb.ProbeResponse(reachable=True, encrypted_in_transit=True)
        response.permissions.add(operation=f"{NAME}: delete", allowed=True)
        response.backend_time.GetCurrentTime()
        return response

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        for subject in request.subjects:
            rows, person = await asyncio.to_thread(self._find, subject), subject.subject_ref
            if request.with_anchors and rows:
                values = sorted({json.dumps([email]) for _, email, _ in rows})
                anchors = pb.Anchors(subject_ref=person, collection=NAME, fields=["email"], values=values)
                yield pb.LocateResponse(anchors=anchors)
            yield pb.LocateResponse(located=pb.Located(subject_ref=person, collections=self._counts(rows)))

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        check_instructions(SHAPES, grant)
        start, rows = datetime.now(UTC), await asyncio.to_thread(self._find, request.subject)

        async def lines(_: str, included: Sequence[str]) -> AsyncGenerator[bytes, None]:
            for row in rows:
                record = dict(zip(SHAPES[NAME].names, row, strict=True))
                yield json.dumps({name: record[name] for name in included}).encode() + b"\n"

        async for message in stream(SHAPES, grant, start, lines):
            yield message

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        check_instructions(SHAPES, grant)
        for subject in request.subjects:
            yield pb.EraseResponse(erased=await asyncio.to_thread(self._erase, subject, grant))

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        kept = any(instruction.action == RETAIN for instruction in request.instructions)
        for subject in request.subjects:
            anchored = [json.loads(value)[0] for anchors in subject.anchors for value in anchors.values]
            number = len(await asyncio.to_thread(self._find, subject.subject, *anchored))
            left = {"explained": number} if kept else {"unexplained": number, "fields": ["email"]}
            verified = pb.Verified(subject_ref=subject.subject.subject_ref)
            verified.remnants.extend([pb.Remnant(collection=NAME, **left)] if number else [])
            yield pb.VerifyResponse(verified=verified)

    async def close(self) -> None: ...

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. The driver's own texts may quote rows, and go no further."""
        try:
            opened = sqlite3.connect(f"{self._file.as_uri()}?mode=rw", uri=True, isolation_level=None)
            with closing(opened) as database, database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(JOURNAL)
                yield database
        except sqlite3.Error:
            raise DsrError("SOURCE_UNAVAILABLE", "The file is not there, or locked.", source=self._source) from None

    def _find(self, subject: pb.Subject, *more: str) -> list[tuple[str, ...]]:
        with self._transaction() as database:
            return _rows(database, subject, *more)

    def _counts(self, rows: Sequence[tuple[str, ...]]) -> list[pb.CollectionCount]:
        """Number and fingerprint, which is keyed: it says nothing of the rows to anybody else."""
        digest = hmac.digest(self._key, json.dumps(rows).encode(), "sha256")
        return [pb.CollectionCount(collection=NAME, records=len(rows), fingerprint=digest)] if rows else []

    def _erase(self, subject: pb.EraseSubject, grant: Grant) -> pb.Erased:
        """The rows and the journal that says so, in one transaction: a retry is answered from the journal."""
        person, instructions = subject.subject.subject_ref, {i.collection: i for i in grant.instructions}
        with self._transaction() as database:
            past = {row[0]: row for row in database.execute(PAST, [grant.task])}
            if any(attempt > grant.attempt for _, attempt, _ in past.values()):
                raise superseded()
            erased, rows = pb.Erased(outcome=pb.Erased.OUTCOME_ERASED), _rows(database, subject.subject)
            if person in past:
                erased = pb.Erased.FromString(past[person][2])
                erased.outcome = pb.Erased.OUTCOME_REPLAYED
            elif refusal := judge(instructions, subject.expected, self._counts(rows), (), sys.maxsize):
                erased = refusal
            elif rows and NAME in instructions:
                kept = len(rows) if instructions[NAME].action == RETAIN else 0
                deleted = 0 if kept else database.executemany(DELETE, [row[:1] for row in rows]).rowcount
                erased.collections.add(collection=NAME, deleted=deleted, retained=kept)
            erased.subject_ref = person
            if erased.outcome in (pb.Erased.OUTCOME_ERASED, pb.Erased.OUTCOME_REPLAYED):
                database.execute(KEEP, [grant.task, person, grant.attempt, erased.SerializeToString()])
            return erased


def _rows(database: sqlite3.Connection, subject: pb.Subject, *more: str) -> list[tuple[str, ...]]:
    emails = {identity.value for identity in subject.identities if identity.type == "email"}
    return [row for email in sorted({*emails, *more}) for row in database.execute(FIND, [email])]

"""What the tests of the postgres connector share: a source in one line, answers as plain values."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import asyncpg
import yaml
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction, Grant
from dsr.v1.subject_pb2 import Identity

from connectors.backend import Backend, SourceConfig
from connectors.postgres import PostgresBackend, open_backend

HERE = Path(__file__).parent
SCHEMA = (HERE / "schema.sql").read_text()
SOURCE = "partners/acme/dataSources/shop"

Action = CollectionInstruction.Action
DELETE, ANONYMISE, RETAIN = Action.ACTION_DELETE, Action.ACTION_ANONYMISE, Action.ACTION_RETAIN


def declaration() -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load((HERE / "declaration.yaml").read_text())
    return options


def backend(dsn: str, options: Mapping[str, Any]) -> PostgresBackend:
    return open_backend(
        SourceConfig(
            source=SOURCE,
            kind="postgres",
            options={"dsn": dsn, **options},
            fingerprint_key=b"k" * 32,
            state_dir=Path("unused"),
        )
    )


def subject(ref: str = "s0", **identities: str | Sequence[str]) -> pb.Subject:
    names = []
    for kind, values in identities.items():
        listed = [values] if isinstance(values, str) else values
        names += [Identity(type=kind, value=value) for value in listed]
    return pb.Subject(subject_ref=ref, identities=names)


async def locate(source: Backend, *subjects: pb.Subject, anchors: bool = False) -> dict[str, pb.Located]:
    request = pb.LocateRequest(source=SOURCE, subjects=subjects, with_anchors=anchors)
    return {m.located.subject_ref: m.located async for m in source.locate(request) if m.HasField("located")}


async def anchors(source: Backend, who: pb.Subject) -> list[pb.Anchors]:
    request = pb.LocateRequest(source=SOURCE, subjects=[who], with_anchors=True)
    return [m.anchors async for m in source.locate(request) if m.HasField("anchors")]


def counts(located: pb.Located) -> dict[str, int]:
    return {c.collection.removeprefix("public."): c.records for c in located.collections}


def instruct(actions: Mapping[str, Any], cap: int = 1_000_000) -> list[CollectionInstruction]:
    """`{"orders": DELETE, "invoices": {"bill_to": None}}`; a mapping of fields is ANONYMISE."""
    found = []
    for name, action in actions.items():
        collection = name if "." in name else f"public.{name}"
        if isinstance(action, Mapping):
            fields = [
                Anonymisation(field=f, constant=json.dumps(v)) if v is not None else Anonymisation(field=f)
                for f, v in action.items()
            ]
            instruction = CollectionInstruction(collection=collection, action=ANONYMISE, anonymise=fields, cap=cap)
        else:
            instruction = CollectionInstruction(collection=collection, action=action, cap=cap)
        found.append(instruction)
    return found


def grant(
    actions: Mapping[str, Any],
    task: str = "task-1",
    attempt: int = 1,
    operation: "Grant.Operation.ValueType" = Grant.OPERATION_ERASE,
    cap: int = 1_000_000,
) -> Grant:
    return Grant(source=SOURCE, operation=operation, task=task, attempt=attempt, instructions=instruct(actions, cap))


async def erase(
    source: Backend, subjects: Iterable[tuple[pb.Subject, pb.Located]], permission: Grant
) -> dict[str, pb.Erased]:
    request = pb.EraseRequest(
        subjects=[pb.EraseSubject(subject=who, expected=located.collections) for who, located in subjects]
    )
    return {m.erased.subject_ref: m.erased async for m in source.erase(request, permission) if m.HasField("erased")}


async def erase_one(source: Backend, who: pb.Subject, permission: Grant) -> pb.Erased:
    """Locates and erases."""
    located = (await locate(source, who))[who.subject_ref]
    return (await erase(source, [(who, located)], permission))[who.subject_ref]


async def verify(
    source: Backend, who: pb.Subject, left: Sequence[pb.Anchors], actions: Mapping[str, Any]
) -> dict[str, tuple[int, int, list[str]]]:
    """(explained, unexplained, fields) by collection."""
    request = pb.VerifyRequest(
        source=SOURCE, subjects=[pb.VerifySubject(subject=who, anchors=left)], instructions=instruct(actions)
    )
    found = [m.verified async for m in source.verify(request) if m.HasField("verified")]
    return {
        r.collection.removeprefix("public."): (r.explained, r.unexplained, list(r.fields)) for r in found[0].remnants
    }


async def export(
    source: Backend, who: pb.Subject, permission: Grant, parse: Callable[[bytes], Any] = json.loads
) -> dict[str, list[dict[str, Any]]]:
    """Records by collection, after a check of everything the stream says of itself."""
    messages = source.export(pb.ExportRequest(subject=who), permission)
    found: dict[str, list[dict[str, Any]]] = {}
    data, name, total = b"", "", 0
    async with aclosing(cast(AsyncGenerator[pb.ExportResponse, None], messages)):
        async for message in messages:
            match message.WhichOneof("part"):
                case "header":
                    data, name = b"", message.header.collection
                    fields = [field.name for field in message.header.fields]
                case "data":
                    assert 0 < len(message.data) <= 1 << 20
                    data += message.data
                case "trailer":
                    assert message.trailer.bytes == len(data)
                    assert message.trailer.sha256 == hashlib.sha256(data).digest()
                    records = [parse(line) for line in data.split(b"\n")[:-1]]
                    assert message.trailer.records == len(records)
                    assert all(list(record) == fields for record in records)
                    total += len(records)
                    found[name.removeprefix("public.")] = records
                case "totals":
                    assert message.totals.records == total
                    assert message.totals.collections == len(found)
    return found


async def rows(connection: asyncpg.Connection, ignore: Iterable[str] = ()) -> dict[str, list[str]]:
    """Every row of every table as text, sorted: what may not change where nothing was to change."""
    tables = await connection.fetch(
        "SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND nspname NOT IN ('pg_catalog', 'information_schema', 'dsr_journal') AND nspname !~ '^pg_'"
    )
    found = {}
    for table in tables:
        name = table["name"]
        if name not in ignore:
            listed = await connection.fetch(f"SELECT t::text AS row FROM {name} t ORDER BY 1")  # noqa: S608 - quoted by the server
            found[name] = [row["row"] for row in listed]
    return found


async def blocked(connection: asyncpg.Connection) -> None:
    """Returns when another backend waits for a lock of this connection."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(  # noqa: ASYNC110 - another process; there is no event
            "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        ):
            await asyncio.sleep(0.01)

"""Applies a schema's numbered migrations, each once, under an advisory lock, as the owner.

Expand, then contract: release N runs on the schema of release N+1. `{schema}` in a migration stands for the schema's
name. The queue's own tables are a migration too, named by the version of PgQueuer that declares them.
"""

import re
from collections.abc import Sequence
from importlib import metadata, resources

import asyncpg
from pgqueuer.adapters.persistence.schema_ddl import render_install

from dsrkit.tasks.worker import queue_settings

_LOCK = 0x445352  # "DSR"
_NAME = re.compile(r"[a-z_]{1,40}")


async def migrate(dsn: str, schema: str, packages: Sequence[str], password: str | None = None) -> list[str]:
    """Brings `schema` up to date and returns the migrations applied. `password`: of its login role."""
    if not _NAME.fullmatch(schema):
        raise ValueError(f"schema must match {_NAME.pattern}")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        async with connection.transaction():
            await _ensure_roles(connection, schema, password)
            applied: set[str] = {
                row["name"]
                for row in await connection.fetch("SELECT name FROM dsr.migration WHERE schema_name = $1", schema)
            }
            new = []
            for name, sql in _migrations(schema, packages):
                if name not in applied:
                    await connection.execute(sql)
                    await connection.execute("INSERT INTO dsr.migration VALUES ($1, $2)", schema, name)
                    new.append(name)
        return new
    finally:
        await connection.close()


async def _ensure_roles(connection: asyncpg.Connection, schema: str, password: str | None) -> None:
    fresh = await connection.fetchval("SELECT to_regnamespace('dsr') IS NULL")
    if fresh:
        await connection.execute(
            "CREATE SCHEMA dsr; CREATE TABLE dsr.migration (schema_name text, name text,"
            " apply_time timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (schema_name, name))"
        )
        await connection.execute(resources.files("dsrkit").joinpath("sql", "0001_foundation.sql").read_text())
    role, sweeper = f"dsr_{schema}", f"dsr_{schema}_sweeper"
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} LOGIN NOINHERIT")
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", sweeper):
        await connection.execute(f"CREATE ROLE {sweeper} NOLOGIN")
    await connection.execute(f"GRANT {sweeper} TO {role}")
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    # PUBLIC may make temporary tables, which would come before ours in every search path.
    await connection.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    if password is not None:
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f"ALTER ROLE {role} PASSWORD {quoted}")
    await connection.execute(
        f"CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO {role}, {sweeper};"
        f"SET LOCAL search_path = {schema}, dsr"
    )


def _migrations(schema: str, packages: Sequence[str]) -> list[tuple[str, str]]:
    found = [(f"queue/{metadata.version('pgqueuer')}", _queue(schema))]
    for package in packages:
        folder = resources.files(package).joinpath("sql")
        files = sorted(f.name for f in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", f.name))
        found += [(f"{package}/{f}", folder.joinpath(f).read_text().replace("{schema}", schema)) for f in files]
    return found


def _queue(schema: str) -> str:
    tables = "pgqueuer, pgqueuer_log, pgqueuer_statistics, pgqueuer_schedules"
    return (
        render_install(queue_settings(schema), create_schema=False)
        + f"\nGRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO dsr_{schema};"
        + f"\nGRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO dsr_{schema};"
    )

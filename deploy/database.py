"""Creates and upgrades the platform's schemas and roles.

    python -m deploy.database --owner-dsn-file FILE --passwords FILE

Safe to run twice, and by two at once. The passwords file is JSON: schema to password of its role. Secrets are read from
files: arguments are seen by everybody on the machine.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

from dsrkit.migrate import migrate
from services.governance.store import FAMILIES

_RIGHTS = ("dsrkit.tasks", "dsrkit.requests")
SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "governance": ("dsrkit.tasks", "services.governance", *(f"services.governance.{name}" for name in FAMILIES)),
    "access": _RIGHTS,
    "portability": _RIGHTS,
    "erasure": _RIGHTS,
}
"""Every schema, and the packages whose migrations make it."""


async def migrate_all(owner_dsn: str, passwords: Mapping[str, str]) -> list[str]:
    """Migrates every schema; returns what was applied, as `schema: migration`."""
    applied = []
    for schema, packages in SCHEMAS.items():
        applied += [f"{schema}: {name}" for name in await migrate(owner_dsn, schema, packages, passwords.get(schema))]
    return applied


async def command(arguments: Sequence[str]) -> list[str]:
    """The command: what it says. SystemExit says what is wrong and what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.database", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--owner-dsn-file",
        type=Path,
        required=True,
        help="file with the postgresql://… of the role that owns the schemas",
    )
    parser.add_argument("--passwords", type=Path, help="JSON file: schema to password of its role dsr_<schema>")
    given = parser.parse_args(arguments)
    try:
        dsn = given.owner_dsn_file.read_text().strip()
        passwords = read_passwords(given.passwords) if given.passwords else {}
        return await migrate_all(dsn, passwords) or ["nothing to do"]
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"deploy.database: {_explain(error)}")


def read_passwords(path: Path) -> Mapping[str, str]:
    """The passwords file. ValueError says what is wrong with it, never what it holds."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        raise ValueError(f"{path} is not JSON") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) and value for value in found.values()):
        raise ValueError(f"{path} must be an object: schema to password, a string")
    unknown = sorted(set(found) - set(SCHEMAS))
    if unknown:
        raise ValueError(f"{path} names {unknown[0]}; there are {', '.join(SCHEMAS)}")
    return found


def _explain(error: Exception) -> str:
    """What to do about it. A driver's text may quote the DSN, so only PostgreSQL's own is passed on."""
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return "the owner's role or password is not accepted; look at the DSN"
        case asyncpg.InsufficientPrivilegeError():
            return f"{error}; the owner needs CREATEROLE, and CREATE on the database"
        case asyncpg.PostgresError():
            return str(error)
        case FileNotFoundError() | PermissionError() if error.filename:
            return f"{error.filename}: {error.strerror}"
        case OSError():
            return "the database can't be reached; look at host and port of the DSN"
        case asyncpg.InterfaceError():
            return "the DSN can't be used; it looks like postgresql://user:password@host:5432/database"
        case _:
            return str(error)


if __name__ == "__main__":
    for line in asyncio.run(command(sys.argv[1:])):
        print(line)  # noqa: T201 - a command's output

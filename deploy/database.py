"""Creates and upgrades the platform's schemas and roles: `python -m deploy.database --owner-dsn … --passwords FILE`.

Safe to run twice, and by two at once. The passwords file is JSON: schema to password of its role.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--owner-dsn", required=True, help="postgresql://… of the role that owns the schemas")
    parser.add_argument("--passwords", type=Path, help="JSON file: schema to password of its role dsr_<schema>")
    arguments = parser.parse_args()
    passwords = json.loads(arguments.passwords.read_text()) if arguments.passwords else {}
    for line in asyncio.run(migrate_all(arguments.owner_dsn, passwords)) or ["nothing to do"]:
        print(line)  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()

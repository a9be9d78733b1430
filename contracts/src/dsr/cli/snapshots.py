"""`dsr snapshot scan`."""

import json
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from dsr.cli.commands import COMMANDS
from dsr.cli.terminal import CommandError, Terminal, pages
from dsr.client import Platform
from dsr.v1 import backups_pb2, governance_pb2

_PAGE = 500
_COLUMNS = COMMANDS["ListSnapshots"].columns


def scan(
    context: typer.Context,
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder with one file or folder per snapshot; or `-` for the listing of a bucket on standard input, "
            "as `aws s3api list-objects-v2` or `swift list --json` writes it."
        ),
    ],
    source: Annotated[str, typer.Option(help="The data source they are of.")],
    provider: Annotated[str, typer.Option(help="Who runs the place where they are kept.")],
    site: Annotated[str, typer.Option(help="The place.")],
    country: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2.")],
    taken_within: Annotated[
        float, typer.Option(min=0, help="Hours before it was written whose state a snapshot may show.")
    ] = 24.0,
    gone: Annotated[
        str, typer.Option(help="Record those that are no longer there as destroyed, with this evidence.")
    ] = "",
) -> None:
    """Registers the snapshots that are there. Run it after each snapshot; what is registered stays as it is."""
    terminal: Terminal = context.obj
    written = listing(json.load(sys.stdin)) if folder == "-" else of_folder(Path(folder))
    if not written:
        raise CommandError("There are no snapshots there.", "Nothing was registered, and nothing recorded as gone.")
    name, parent = terminal.name("dataSources", source), terminal.partner()
    place = governance_pb2.Location(provider=provider, site=site, country=country)
    found = []
    for label, when in sorted(written.items()):
        one = backups_pb2.Snapshot(source=name, label=label, location=place)
        one.snapshot_time.FromDatetime(when - timedelta(hours=taken_within))
        found.append(one)

    async def work(platform: Platform) -> list[Any]:
        known = {one.label: one for one in await _every(platform, parent, name, 1_000_000)}
        fresh = [one for one in found if one.label not in known]
        for start in range(0, len(fresh), _PAGE):
            request = backups_pb2.RegisterSnapshotsRequest(
                parent=parent, snapshots=fresh[start : start + _PAGE], request_id=str(uuid.uuid4())
            )
            await platform.backups.RegisterSnapshots(request)
        missing = [one for label, one in known.items() if label not in written and not one.HasField("destroy_time")]
        for one in missing if gone else []:
            mark = backups_pb2.MarkSnapshotDestroyedRequest(name=one.name, evidence=gone, request_id=str(uuid.uuid4()))
            await platform.backups.MarkSnapshotDestroyed(mark)
        terminal.note(f"{len(written)} there, {len(fresh)} of them new; {len(missing)} registered and not there.")
        if missing and not gone:
            terminal.note("If those were destroyed, say so: --gone EVIDENCE.")
        return await _every(platform, parent, name, len(known) + len(fresh))

    terminal.show_all(terminal.run(work), _COLUMNS)


async def _every(platform: Platform, parent: str, source: str, limit: int) -> list[Any]:
    async def page(size: int, token: str) -> tuple[list[Any], str]:
        request = backups_pb2.ListSnapshotsRequest(parent=parent, source=source, page_size=size, page_token=token)
        answer = await platform.backups.ListSnapshots(request)
        return list(answer.snapshots), answer.next_page_token

    return await pages(limit, page)


def of_folder(folder: Path) -> dict[str, datetime]:
    """When each snapshot in a folder was written, by its name. Hidden ones are none."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return {entry.name: datetime.fromtimestamp(entry.stat().st_mtime, UTC) for entry in entries}


def listing(document: Any) -> dict[str, datetime]:
    """The same of a bucket's listing. CommandError for what is none."""
    objects = document.get("Contents", []) if isinstance(document, dict) else document
    try:
        return dict(_object(one) for one in objects)
    except (KeyError, TypeError, ValueError):
        raise CommandError(
            "Standard input is no listing of a bucket.", "Give the JSON of `aws s3api list-objects-v2` or `swift list`."
        ) from None


def _object(one: Mapping[str, str]) -> tuple[str, datetime]:
    name, when = (one["Key"], one["LastModified"]) if "Key" in one else (one["name"], one["last_modified"])
    parsed = datetime.fromisoformat(when)
    return name, parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

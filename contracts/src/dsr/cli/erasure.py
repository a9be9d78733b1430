"""`dsr erasure plan`, `dsr erasure approve` and `dsr erasure certificate`."""

import asyncio
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from dsr.cli import output
from dsr.cli.rights import ERASURE
from dsr.cli.terminal import CommandError, Terminal
from dsr.client import TERMINAL, UNDECIDED, Platform
from dsr.downloads import Progress
from dsr.errors import DsrRpcError
from dsr.v1 import erasure_pb2

_SECONDS, _PAUSE = 60.0, 0.5
"""How long a report that is there is waited for to be certified, and how often that is looked at."""
Name = Annotated[str, typer.Argument(help="The request's name, or its last part.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands that only erasure has."""
    app.command("plan")(plan)
    app.command("approve")(approve)
    app.command("certificate")(certificate)


def plan(context: typer.Context, name: Name) -> None:
    """Shows what an erasure would do, waiting until the plan is made: collection by collection, and the digest."""
    terminal: Terminal = context.obj
    request: Any = terminal.run(lambda p: _planned(p, terminal.name(ERASURE.collection, name)))
    if terminal.as_json:
        terminal.print_json(json_format.MessageToDict(request.plan))
        return
    terminal.out.print(output.render(request.plan))
    if request.plan.findings:
        terminal.note("The findings must be mended before anybody may approve.")
    elif request.state in UNDECIDED and not request.validate_only:
        terminal.note(f"Approve it with: dsr erasure approve {request.name} --digest {request.plan.digest}")


def approve(
    context: typer.Context,
    name: Name,
    digest: Annotated[str, typer.Option(help="Digest of the plan that was read. Asked for when absent.")] = "",
    request_id: Annotated[str, typer.Option(help="UUID of this call.")] = "",
) -> None:
    """Approves the destruction of data, as another person than the one who created the request.

    Without --digest the plan is shown first, and nothing is approved before you agree to it.
    """
    terminal: Terminal = context.obj
    full = terminal.name(ERASURE.collection, name)
    chosen = request_id or str(uuid.uuid4())
    if not digest:
        request: Any = terminal.run(lambda p: _planned(p, full))
        if terminal.as_json or not terminal.err.is_terminal:
            raise CommandError(
                "An approval needs the digest of the plan that was read.", "Give --digest; `plan` shows it."
            )
        terminal.err.print(output.render(request.plan))
        typer.confirm("Erase this? It can't be undone.", abort=True, err=True)
        digest = request.plan.digest
    call = erasure_pb2.ApproveErasureRequestRequest(name=full, plan_digest=digest, request_id=chosen)
    terminal.show(terminal.run(lambda p: p.erasure.ApproveErasureRequest(call)))


def certificate(
    context: typer.Context,
    name: Name,
    to: Annotated[Path, typer.Option(help="A file, or a folder.")] = Path(),
) -> None:
    """Downloads the certificate, waiting until the erasure is over and certified. `dsr ledger verify` checks it."""
    terminal: Terminal = context.obj
    full = terminal.name(ERASURE.collection, name)
    terminal.receive(lambda p, tell: _certificate(p, full, to, tell))


async def _certificate(platform: Platform, name: str, to: Path, tell: Progress) -> Path:
    await platform.wait(name, TERMINAL)
    for _ in range(int(_SECONDS / _PAUSE)):
        try:
            return await platform.certificate(name, to, on_progress=tell)
        except DsrRpcError as error:
            if error.metadata.get("allowed") != "certified":
                raise
        await asyncio.sleep(_PAUSE)
    return await platform.certificate(name, to, on_progress=tell)


async def _planned(platform: Platform, name: str) -> Any:
    request: Any = await platform.wait(name, TERMINAL | UNDECIDED)
    if not request.HasField("plan"):
        state = erasure_pb2.ErasureRequest.DESCRIPTOR.fields_by_name["state"]
        raise CommandError(f"There is no plan: the request is {output.cell(state, request.state)}.")
    return request

"""`dsr connector`: where a data source's connector is, decided by two people."""

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from dsr.cli.governance import Limit, RequestId
from dsr.cli.terminal import CommandError, Terminal, pages
from dsr.client import Platform
from dsr.v1 import connectors_pb2 as pb

connector = typer.Typer(
    no_args_is_help=True, help="Where a data source's connector is: one person proposes, another confirms."
)

Name = Annotated[str, typer.Argument(help="The change's name, or its last part.")]


@connector.command("propose")
def propose(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The data source.")],
    address: Annotated[str, typer.Option(help="host:port of the connector.")],
    server_name: Annotated[str, typer.Option(help="DNS name that the connector's certificate carries.")] = "",
    authority: Annotated[
        Path | None, typer.Option(help="PEM file: the authority that signs the connector's certificate. Never a key.")
    ] = None,
    request_id: RequestId = "",
) -> None:
    """Proposes a connector for a data source. Nothing is dialled before another person confirms it.

    Without --server-name and --authority it is one of the operator's own connector hosts.
    """
    terminal: Terminal = context.obj
    if bool(server_name) != (authority is not None):
        raise CommandError("--server-name and --authority belong together.", "Give both for a connector that you run.")
    change = pb.ConnectorChange(source=terminal.name("dataSources", source), connector_address=address)
    if authority is not None:
        change.connector_identity.server_name = server_name
        change.connector_identity.authority = _pem(authority)
    request = pb.CreateConnectorChangeRequest(
        parent=terminal.partner(), connector_change=change, request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.connectors.CreateConnectorChange(request)))
    terminal.note("Another person compares address and fingerprints, then: dsr connector confirm NAME")


def _pem(path: Path) -> str:
    text = path.read_bytes().decode("ascii", "replace")
    if "PRIVATE KEY" in text:  # it must not even leave this machine
        raise CommandError(f"{path} holds a private key.", "Give the file with the authority's certificate alone.")
    return text


@connector.command("confirm")
def confirm(context: typer.Context, name: Name, request_id: RequestId = "") -> None:
    """Confirms what somebody else proposed; from then on the new connector is used."""
    terminal: Terminal = context.obj
    request = pb.ConfirmConnectorChangeRequest(
        name=terminal.name("connectorChanges", name), request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.connectors.ConfirmConnectorChange(request)))


@connector.command("withdraw")
def withdraw(context: typer.Context, name: Name, request_id: RequestId = "") -> None:
    """Withdraws a proposal."""
    terminal: Terminal = context.obj
    request = pb.WithdrawConnectorChangeRequest(
        name=terminal.name("connectorChanges", name), request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.connectors.WithdrawConnectorChange(request)))


@connector.command("show")
def show(context: typer.Context, name: Name) -> None:
    """Shows a change, with the fingerprints to compare."""
    terminal: Terminal = context.obj
    request = pb.GetConnectorChangeRequest(name=terminal.name("connectorChanges", name))
    terminal.show(terminal.run(lambda p: p.connectors.GetConnectorChange(request)))


@connector.command("list")
def list_changes(context: typer.Context, limit: Limit = 500) -> None:
    """Lists the changes, newest first."""
    terminal: Terminal = context.obj

    async def every(platform: Platform) -> list[Any]:
        async def page(size: int, token: str) -> tuple[list[Any], str]:
            request = pb.ListConnectorChangesRequest(parent=terminal.partner(), page_size=size, page_token=token)
            answer = await platform.connectors.ListConnectorChanges(request)
            return list(answer.connector_changes), answer.next_page_token

        return await pages(limit, page)

    columns = ("name", "source", "state", "connector_address", "proposer", "confirmer", "create_time")
    terminal.show_all(terminal.run(every), columns)

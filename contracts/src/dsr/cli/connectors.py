"""`dsr connector propose`."""

import uuid
from pathlib import Path
from typing import Annotated

import typer

from dsr.cli.governance import RequestId
from dsr.cli.terminal import CommandError, Terminal
from dsr.v1 import connectors_pb2 as pb


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

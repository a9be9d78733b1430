"""`dsr datamap` and `dsr hold place`."""

import uuid
from typing import Annotated

import typer
from google.protobuf import json_format

from dsr.cli import documents, output
from dsr.cli.terminal import CommandError, Terminal
from dsr.v1 import governance_pb2

RequestId = Annotated[str, typer.Option(help="UUID of this call; repeat a call under the same one.")]


def put_data_map(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="JSON or YAML of a DataMap; `-` reads standard input.")],
    request_id: RequestId = "",
) -> None:
    """Stores a new revision of the data map. Running requests keep theirs."""
    terminal: Terminal = context.obj
    request = governance_pb2.CreateDataMapRequest(
        parent=terminal.partner(),
        data_map=documents.read(file, governance_pb2.DataMap),
        request_id=request_id or str(uuid.uuid4()),
    )
    stored = terminal.run(lambda p: p.governance.CreateDataMap(request))
    if terminal.as_json:
        terminal.show(stored)
    else:
        terminal.out.print(output.clean(f"{stored.name} (revision {stored.revision})"), markup=False, highlight=False)


def get_data_map(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="A revision, or `current`.")] = "current",
) -> None:
    """Shows the data map, as JSON that `put` accepts."""
    terminal: Terminal = context.obj
    request = governance_pb2.GetDataMapRequest(name=terminal.name("dataMaps", revision))
    terminal.print_json(json_format.MessageToDict(terminal.run(lambda p: p.governance.GetDataMap(request))))


def place_hold(
    context: typer.Context,
    data_source: Annotated[str, typer.Option("--source", help="The data source.")],
    collection: Annotated[str, typer.Option(help="The collection.")],
    reason: Annotated[str, typer.Option(help="A term of the W3C Data Privacy Vocabulary.")],
    legal_reference: Annotated[str, typer.Option(help="The law.")],
    review_at: Annotated[str, typer.Option(help="When it is looked at again; ISO 8601.")],
    identity: Annotated[
        str, typer.Option(help="Only this person: type=value, or `-` to read it from standard input.")
    ] = "",
    request_id: RequestId = "",
) -> None:
    """Places a legal hold; nothing it covers is erased from its next grant on."""
    terminal: Terminal = context.obj
    placed = governance_pb2.Hold(
        source=terminal.name("dataSources", data_source),
        collection=collection,
        reason=reason,
        legal_reference=legal_reference,
        review_time=documents.time(review_at, "--review-at"),
    )
    if identity:
        text = typer.get_text_stream("stdin").readline().strip() if identity == "-" else identity
        kind, equals, value = text.partition("=")
        if not equals or not kind or not value:
            raise CommandError("--identity must be type=value, such as email=….")
        placed.subject.type, placed.subject.value = kind, value
    request = governance_pb2.PlaceHoldRequest(
        parent=terminal.partner(), hold=placed, request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.governance.PlaceHold(request)))

"""`dsr datamap`, `dsr source`, `dsr hold`."""

import uuid
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from dsr.cli import documents, output
from dsr.cli.terminal import CommandError, Terminal, pages
from dsr.client import Platform
from dsr.v1 import governance_pb2

data_map = typer.Typer(no_args_is_help=True, help="What each field of a partner's data is for.")
source = typer.Typer(no_args_is_help=True, help="The places where a partner's data lives.")
hold = typer.Typer(no_args_is_help=True, help="Legal holds: what may not be erased for now, and why.")

RequestId = Annotated[str, typer.Option(help="UUID of this call; repeat a call under the same one.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]


@data_map.command("put")
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


@data_map.command("get")
def get_data_map(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="A revision, or `current`.")] = "current",
) -> None:
    """Shows the data map, as JSON that `put` accepts."""
    terminal: Terminal = context.obj
    request = governance_pb2.GetDataMapRequest(name=terminal.name("dataMaps", revision))
    terminal.print_json(json_format.MessageToDict(terminal.run(lambda p: p.governance.GetDataMap(request))))


@source.command("create")
def create_source(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="JSON or YAML of a DataSource; `-` reads standard input.")] = "",
    id_: Annotated[str, typer.Option("--id", help="Id: 3 to 40 lower-case letters, digits and hyphens.")] = "",
    title: Annotated[str, typer.Option(help="The partner's name for it.")] = "",
    address: Annotated[str, typer.Option(help="host:port of its connector, if the operator runs it.")] = "",
    custody: Annotated[str, typer.Option(help="operator, partner or sub-processor.")] = "",
    provider: Annotated[str, typer.Option(help="Who runs the place.")] = "",
    site: Annotated[str, typer.Option(help="The place.")] = "",
    country: Annotated[str, typer.Option(help="ISO 3166-1 alpha-2.")] = "",
    request_id: RequestId = "",
) -> None:
    """Declares a place where data lives, from a file, by options, or both: options win."""
    terminal: Terminal = context.obj
    declared: Any = documents.read(file, governance_pb2.DataSource) if file else governance_pb2.DataSource()
    if id_:
        declared.name = terminal.name("dataSources", id_)
    if title:
        declared.display_name = title
    if address:
        declared.connector_address = address
    if custody:
        declared.custody = documents.choice(governance_pb2.DataSource.Custody, custody, "--custody")
    for field, value in (("provider", provider), ("site", site), ("country", country)):
        if value:
            setattr(declared.location, field, value)
    request = governance_pb2.CreateDataSourceRequest(
        parent=terminal.partner(), data_source=declared, request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.governance.CreateDataSource(request)))


@source.command("list")
def list_sources(context: typer.Context, limit: Limit = 500) -> None:
    """Lists the data sources."""
    terminal: Terminal = context.obj

    async def every(platform: Platform) -> list[Any]:
        async def page(size: int, token: str) -> tuple[list[Any], str]:
            request = governance_pb2.ListDataSourcesRequest(parent=terminal.partner(), page_size=size, page_token=token)
            answer = await platform.governance.ListDataSources(request)
            return list(answer.data_sources), answer.next_page_token

        return await pages(limit, page)

    terminal.show_all(terminal.run(every), ("name", "display_name", "custody", "location", "connector_address"))


@hold.command("place")
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


@hold.command("release")
def release_hold(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The hold's name, or its last part.")],
    request_id: RequestId = "",
) -> None:
    """Releases a hold."""
    terminal: Terminal = context.obj
    request = governance_pb2.ReleaseHoldRequest(
        name=terminal.name("holds", name), request_id=request_id or str(uuid.uuid4())
    )
    terminal.show(terminal.run(lambda p: p.governance.ReleaseHold(request)))


@hold.command("list")
def list_holds(context: typer.Context, limit: Limit = 500) -> None:
    """Lists the holds, newest first."""
    terminal: Terminal = context.obj

    async def every(platform: Platform) -> list[Any]:
        async def page(size: int, token: str) -> tuple[list[Any], str]:
            request = governance_pb2.ListHoldsRequest(parent=terminal.partner(), page_size=size, page_token=token)
            answer = await platform.governance.ListHolds(request)
            return list(answer.holds), answer.next_page_token

        return await pages(limit, page)

    columns = ("name", "source", "collection", "reason", "legal_reference", "review_time", "release_time")
    terminal.show_all(terminal.run(every), columns)

"""`dsr access`, `dsr portability`, `dsr erasure`: the commands that the three rights share."""

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from dsr.cli import documents, erasure, output, subjects
from dsr.cli.rights import ERASURE, PORTABILITY, RIGHTS, Resolve, Right
from dsr.cli.terminal import CommandError, Terminal
from dsr.client import TERMINAL, UNDECIDED
from dsr.v1 import portability_pb2, request_pb2

__all__ = ["RIGHTS", "group"]

Name = Annotated[str, typer.Argument(help="The request's name, or its last part.")]
RequestId = Annotated[
    str, typer.Option(help="UUID of this call; repeat a call that may have failed under the same one.")
]
_COLUMNS = ("name", "state", "clock.due_time")
UNFINISHED = 3
"""Status with which `watch` ends when the request is over but not completed, or waits for a decision."""


def group(right: Right, *, empty: bool = False) -> typer.Typer:
    """The commands of one right; `empty`: only what the list of groups shows of it."""
    app = typer.Typer(no_args_is_help=True, help=right.about)
    if empty:
        return app
    app.command("create")(_create(right))
    app.command("get")(_get(right))
    app.command("list")(_list(right))
    app.command("watch")(_watch(right))
    app.command("cancel")(_cancel(right))
    app.command("extend")(_extend(right))
    app.command("resolve")(resolving(right.collection, right.resolve))
    app.command("download")(_download(right))
    if right is ERASURE:
        erasure.add_to(app)
    return app


def _create(right: Right) -> Any:
    def create(
        context: typer.Context,
        file: Annotated[
            str, typer.Argument(help="JSON or YAML with the request's fields; `-` reads standard input.")
        ] = "",
        identity: subjects.Identities = None,
        capacity: subjects.Capacity = "",
        verified_by: subjects.Verifier = "",
        verification: subjects.Method = "",
        verified_at: subjects.VerifiedAt = "",
        received_at: Annotated[
            str, typer.Option(help="When the controller received the request. Starts the clock.")
        ] = "",
        data_source: Annotated[list[str] | None, typer.Option(help="Only this data source; may be repeated.")] = None,
        ground: Annotated[str, typer.Option(hidden=right is not ERASURE, help="Erasure: why, such as objection.")] = "",
        preview: Annotated[
            bool, typer.Option(hidden=right is not ERASURE, help="Erasure: only a plan, that nobody can approve.")
        ] = False,
        format_: Annotated[
            list[str] | None,
            typer.Option(
                "--format", hidden=right is not PORTABILITY, help="Portability: csv or parquet; may be repeated."
            ),
        ] = None,
        request_id: RequestId = "",
    ) -> None:
        terminal: Terminal = context.obj
        request: Any = documents.read(file, right.message) if file else right.message()
        subjects.fill(request.subject, identity, capacity, verified_by, verification, verified_at)
        if received_at:
            request.clock.received_time.CopyFrom(documents.time(received_at, "--received-at"))
        request.data_sources.extend(terminal.name("dataSources", source) for source in data_source or [])
        if ground:
            request.ground = documents.choice(right.message.Ground, ground, "--ground")
        if preview:
            request.validate_only = True
        for word in format_ or []:
            request.formats.append(documents.choice(portability_pb2.PortabilityRequest.Format, word, "--format"))
        chosen = request_id or str(uuid.uuid4())
        terminal.note(f"request id {chosen}")
        terminal.show(terminal.run(lambda p: right.create(p, terminal.partner(), request, chosen)))

    create.__doc__ = f"""Creates a request for {right.name} and shows it; work goes on by itself.

    Give the request's fields in a file, by options, or both: options win. Keep identities off the command line where
    others use the machine: a file, or `-` for standard input, shows them to nobody.
    """
    return create


def _get(right: Right) -> Any:
    def get(context: typer.Context, name: Name) -> None:
        """Shows a request."""
        terminal: Terminal = context.obj
        terminal.show(terminal.run(lambda p: p.get(terminal.name(right.collection, name))))

    return get


def _list(right: Right) -> Any:
    def list_(
        context: typer.Context,
        state: Annotated[list[str] | None, typer.Option(help="Only in this state; may be repeated.")] = None,
        due_before: Annotated[str, typer.Option(help="Only those due before; ISO 8601.")] = "",
        limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    ) -> None:
        """Lists requests, newest first."""
        terminal: Terminal = context.obj
        fields: dict[str, Any] = {"parent": terminal.partner()}
        fields["states"] = [documents.choice(request_pb2.RequestState, word, "--state") for word in state or []]
        if due_before:
            fields["due_before"] = documents.time(due_before, "--due-before")

        terminal.show_pages(
            limit,
            lambda platform, size, token: right.page(platform, {**fields, "page_size": size, "page_token": token}),
            _COLUMNS,
        )

    return list_


def _watch(right: Right) -> Any:
    def watch(
        context: typer.Context,
        name: Name,
        follow: Annotated[bool, typer.Option(help="Go on where the controller must decide.")] = False,
    ) -> None:
        """Shows what happens to a request until it is over, or the controller must decide.

        Ends with 0 when it is completed, with 3 when it is not.
        """
        terminal: Terminal = context.obj
        until = TERMINAL if follow else TERMINAL | UNDECIDED

        def tell(event: request_pb2.RequestEvent) -> None:
            if terminal.as_json:
                terminal.print_line(json_format.MessageToDict(event))
            else:
                terminal.out.print(_line(event))

        request = terminal.run(lambda p: p.wait(terminal.name(right.collection, name), until, on_event=tell))
        terminal.note(f"state {output.short(request_pb2.RequestState, request.state)}")
        if request.state != request_pb2.REQUEST_STATE_COMPLETED:
            raise typer.Exit(UNFINISHED)

    return watch


def _line(event: request_pb2.RequestEvent) -> str:
    time = event.create_time.ToJsonString()[:19].replace("T", " ")
    state = output.short(request_pb2.RequestState, event.state)
    progress = event.progress
    parts = [time, f"{event.event:>4}", f"{state:<20}", event.type]
    if progress.source:
        parts += [progress.source.rsplit("/", 1)[-1], f"{progress.records} records" if progress.records else ""]
    return output.clean("  ".join(part for part in parts if part))


def _cancel(right: Right) -> Any:
    def cancel(context: typer.Context, name: Name, request_id: RequestId = "") -> None:
        """Cancels a request that is not done."""
        terminal: Terminal = context.obj
        chosen = request_id or str(uuid.uuid4())
        terminal.show(terminal.run(lambda p: right.cancel(p, terminal.name(right.collection, name), chosen)))

    return cancel


def _extend(right: Right) -> Any:
    def extend(
        context: typer.Context,
        name: Name,
        reason: Annotated[str, typer.Option(help="complexity or high-volume.")],
        subject_told_at: Annotated[str, typer.Option(help="When the subject was told of it; ISO 8601, or `now`.")],
        request_id: RequestId = "",
    ) -> None:
        """Extends the deadline to three months after receipt (Art. 12(3)), once, before it is due."""
        terminal: Terminal = context.obj
        word = f"JUSTIFICATION_A12_{reason.upper().replace('-', '_')}"
        extension = request_pb2.Extension(reason=documents.choice(request_pb2.Extension.Reason, word, "--reason"))
        extension.subject_told_time.CopyFrom(documents.time(subject_told_at, "--subject-told-at"))
        chosen = request_id or str(uuid.uuid4())
        terminal.show(terminal.run(lambda p: right.extend(p, terminal.name(right.collection, name), extension, chosen)))

    return extend


def resolving(collection: str, call: Resolve) -> Any:
    """The command by which the controller chooses among people of the same names."""

    def resolve(
        context: typer.Context,
        name: Name,
        accept: Annotated[list[str] | None, typer.Option(help="This candidate is the person; may be repeated.")] = None,
        reject: Annotated[list[str] | None, typer.Option(help="This candidate isn't; may be repeated.")] = None,
        request_id: RequestId = "",
    ) -> None:
        """Decides which candidates are the person, where an identity matched several."""
        terminal: Terminal = context.obj
        words = {request_pb2.Candidate.DECISION_ACCEPT: accept, request_pb2.Candidate.DECISION_REJECT: reject}
        decisions = [
            request_pb2.CandidateDecision(candidate=candidate, decision=decision)
            for decision, candidates in words.items()
            for candidate in candidates or []
        ]
        if not decisions:
            raise CommandError("No candidate was decided on.", "Use --accept and --reject; `get` shows the candidates.")
        chosen = request_id or str(uuid.uuid4())
        terminal.show(terminal.run(lambda p: call(p, terminal.name(collection, name), decisions, chosen)))

    return resolve


def _download(right: Right) -> Any:
    def download(
        context: typer.Context,
        name: Name,
        to: Annotated[Path, typer.Option(help="A file, or a folder.")] = Path(),
    ) -> None:
        """Downloads the bundle (of an erasure, its report), resuming what broke off, and checks it."""
        terminal: Terminal = context.obj
        full = terminal.name(right.collection, name)
        terminal.receive(lambda p, tell: p.download(full, to, on_progress=tell))

    return download

"""Access and portability: locate, export, package. What differs is what is instructed and what is built."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from dsr.authority.v1.authority_pb2 import GetInstructionsResponse
from dsr.v1.governance_pb2 import Partner
from dsr.v1.subject_pb2 import RequesterCapacity

from dsrkit.parts import Field, Part, Report, SourceReport
from dsrkit.requests import view
from dsrkit.requests.bundle import expire_time
from dsrkit.requests.export import Spool
from dsrkit.requests.flow import Founds, latest
from dsrkit.requests.locate import begin, next_round
from dsrkit.requests.model import Dossier, Move, Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks import Done, NewTask, Task
from dsrkit.vault import RequestKey

Build = Callable[[Request, Report, Sequence[Part]], Iterator[bytes]]
BuildParts = Callable[[Sequence[Part]], Iterator[bytes]]


def advance(request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds) -> Move | None:
    """What follows when no task is open: pure."""
    match request.state:
        case "PENDING":
            return begin(request)
        case "LOCATING":
            then = next_round(request, dossier, tasks, founds)
            if isinstance(then, Move):
                return then
            exports = [NewTask("export", s) for s, t in sorted(latest(tasks, "locate").items()) if t.records]
            return Move("EXPORTING", [NewTask("register"), *exports], dossier=then)
        case "EXPORTING":
            return Move("PACKAGING", [NewTask("package")])
        case "PACKAGING":
            done = [task for task in tasks if task.step == "package"][-1]
            expires = datetime.fromisoformat(done.result["expire_time"])
            return Move("COMPLETED", facts={"bundle": done.result["bundle"]}, bundle_expire_time=expires)
        case _:
            return None


class Package:
    """Step `package`: builds the bundle out of the spool."""

    def __init__(self, tools: Toolbox, build: Build) -> None:
        self._tools = tools
        self._build = build

    async def package(self, task: Task) -> Done:
        """Writes the bundle, encrypted, and says how long it lasts."""
        flow = self._tools.parts.flow
        request, dossier, tasks = await flow.load_all(task)
        told = await self._tools.parts.authority.instructions(request, request.data_sources, dossier)
        report = self._report(task, request, dossier, tasks, told)
        name, expires = f"{self._tools.parts.right.noun}-{request.id}.zip", expire_time(told.partner)

        def build(parts: Sequence[Part]) -> Iterator[bytes]:
            return self._build(request, report, parts)

        return await write_bundle(self._tools, task, told.partner, name, expires, build)

    def _report(
        self, task: Task, request: Request, dossier: Dossier, tasks: Sequence[Task], told: GetInstructionsResponse
    ) -> Report:
        located, exported = latest(tasks, "locate"), latest(tasks, "export")
        sources = []
        for instructions in told.sources:
            name = instructions.data_source.name
            asked = located[name].result["types"] if name in located else None
            types = {i.type for i in dossier.followed()}
            snapshot = exported[name].result["snapshot_time"] if name in exported else ""
            sources.append(
                SourceReport(
                    instructions,
                    searched_by=[t for t in asked if t in types] if asked is not None else None,
                    snapshot_time=datetime.fromisoformat(snapshot) if snapshot else None,
                    names_unasked=name in dossier.unasked,
                )
            )
        return Report(
            request=self._tools.parts.right.name(request.partner, request.id),
            received_time=request.received_time,
            create_time=request.create_time,
            # Of the task, so that a build that is tried again gives the same bytes.
            package_time=task.create_time.replace(microsecond=0),
            partner=told.partner,
            capacity=RequesterCapacity.Value(request.capacity),
            data_map_revision=request.data_map_revision,
            sources=sources,
            identities=[view.identity(known) for known in dossier.identities],
            operator=told.operator,
            operator_contact=told.dpo_contact,
            partner_dpo=told.partner_dpo,
        )


async def write_bundle(
    tools: Toolbox, task: Task, partner: Partner, filename: str, expires: datetime, build: BuildParts
) -> Done:
    """Builds a bundle out of the spool, encrypted; the result of step `package`."""
    request, _, tasks = await tools.parts.flow.load_all(task)
    key = await tools.parts.flow.key(request)
    parts = [
        _part(tools.spool, source, collection, key)
        for source, done in sorted(latest(tasks, "export").items())
        for collection in done.result["collections"]
    ]
    bundle = await tools.bundles.write(task, key, partner, filename, lambda: build(parts))
    bundle["sandbox"] = partner.sandbox
    where = tools.parts.authority.bundle_location
    if where is not None:
        bundle["location"] = {"provider": where.provider, "site": where.site, "country": where.country}
    return Done(result={"bundle": bundle, "expire_time": expires.isoformat()})


def _part(spool: Spool, source: str, collection: dict[str, Any], key: RequestKey) -> Part:
    return Part(
        source=source,
        collection=collection["collection"],
        fields=[Field(f["name"], f["type"], f["native_type"]) for f in collection["fields"]],
        primary_key=collection["primary_key"],
        withheld_fields=collection["withheld"],
        records=collection["records"],
        size=collection["bytes"],
        sha256=bytes.fromhex(collection["sha256"]),
        open=partial(spool.read, collection["path"], key),
    )

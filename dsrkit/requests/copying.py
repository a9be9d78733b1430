"""Access and portability: locate, export, package. What differs is what is instructed and what is built."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from dsr.authority.v1.authority_pb2 import GetInstructionsResponse
from dsr.v1.subject_pb2 import RequesterCapacity

from dsrkit.parts import Field, Part, Report, SourceReport
from dsrkit.requests import view
from dsrkit.requests.bundle import expire_time
from dsrkit.requests.flow import Founds, latest
from dsrkit.requests.locate import begin, next_round
from dsrkit.requests.model import Dossier, Move, Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks import Done, NewTask, Task
from dsrkit.vault import RequestKey

Build = Callable[[Request, Report, Sequence[Part]], Iterator[bytes]]


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
        key = await flow.key(request)
        report = self._report(task, request, dossier, tasks, told)
        parts = self._parts(tasks, key)
        noun = self._tools.parts.right.noun
        bundle = await self._tools.bundles.write(
            task, key, told.partner, f"{noun}-{request.id}.zip", lambda: self._build(request, report, parts)
        )
        where = self._tools.parts.authority.bundle_location
        if where is not None:
            bundle["location"] = {"provider": where.provider, "site": where.site, "country": where.country}
        return Done(result={"bundle": bundle, "expire_time": expire_time(told.partner).isoformat()})

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
        )

    def _parts(self, tasks: Sequence[Task], key: RequestKey) -> list[Part]:
        return [
            self._part(source, collection, key)
            for source, task in sorted(latest(tasks, "export").items())
            for collection in task.result["collections"]
        ]

    def _part(self, source: str, collection: dict[str, Any], key: RequestKey) -> Part:
        return Part(
            source=source,
            collection=collection["collection"],
            fields=[Field(f["name"], f["type"], f["native_type"]) for f in collection["fields"]],
            primary_key=collection["primary_key"],
            withheld_fields=collection["withheld"],
            records=collection["records"],
            size=collection["bytes"],
            sha256=bytes.fromhex(collection["sha256"]),
            open=partial(self._tools.spool.read, collection["path"], key),
        )

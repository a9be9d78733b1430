"""The step that asks one source for the person, and the decision what to ask next."""

from collections.abc import Sequence
from dataclasses import replace

from dsr.connector.v1 import connector_pb2

from dsrkit.requests.authority import Authority
from dsrkit.requests.connector import Connector, Connectors
from dsrkit.requests.flow import Flow, Founds, latest
from dsrkit.requests.model import Dossier, Found, Move, Request
from dsrkit.requests.resolution import SourceResult, resolve
from dsrkit.tasks import Done, NewTask, Task

ROUND_BASE = 100
"""Rounds of different purposes begin at different hundreds."""


class Locate:
    """Steps `register` and `locate` (and `relocate`, the same with what is known by then)."""

    def __init__(self, flow: Flow, authority: Authority, connectors: Connectors, *, with_anchors: bool) -> None:
        self._flow = flow
        self._authority = authority
        self._connectors = connectors
        self._with_anchors = with_anchors

    async def register(self, task: Task) -> Done:
        """Registers the request as open work on the person."""
        request, dossier = await self._flow.load(task)
        await self._authority.register(request, dossier)
        return Done()

    async def locate(self, task: Task) -> Done:
        """Asks one source, by the identity types it declares and the data map lets it be asked by."""
        request, dossier = await self._flow.load(task)
        source = task.source or ""
        instructions = (await self._authority.instructions(request, [source], dossier)).sources[0]
        connector = Connector.of(source, instructions.data_source)
        description = await self._connectors.describe(connector)
        types = _types(description, instructions.map.asked_by)
        subject = dossier.subject(str(request.id), source, types)
        if subject.identities:
            found = await self._connectors.locate(connector, subject, with_anchors=self._with_anchors)
        else:
            found = Found((), connector_pb2.Located(subject_ref=subject.subject_ref))
        findings = [*description.findings, *found.located.findings]
        return Done(
            records=sum(c.records for c in found.located.collections),
            result={
                "types": types,
                "exports": connector_pb2.CAPABILITY_EXPORT in description.capabilities,
                "authoritative_for": list(instructions.map.authoritative_for),
                "collections": {c.collection: c.records for c in found.located.collections},
                "findings": [
                    {"code": f.code, "collection": f.collection, "detail": f.detail, "blocks": f.blocks_erasure}
                    for f in findings
                ],
            },
            sealed=await self._flow.seal_found(request, task, found),
        )


def _types(description: connector_pb2.DescribeResponse, asked_by: Sequence[str]) -> list[str]:
    declared = {i.type for c in description.collections for i in c.identity_fields}
    return sorted(declared.intersection(asked_by) if asked_by else declared)


def begin(request: Request) -> Move:
    """The first task of any request: nothing is looked for before others can know that it is."""
    return Move("LOCATING", [NewTask("register")])


def next_round(
    request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds, step: str = "locate"
) -> Move | Dossier:
    """Another round, or a question to the controller, or, when nothing new appears, the dossier to go on with."""
    rounds = latest(tasks, step)
    if not rounds:
        return Move(request.state, [NewTask(step, source) for source in request.data_sources])
    results = [
        SourceResult(
            source,
            tuple(task.result["types"]),
            tuple(task.result["authoritative_for"]),
            founds[source],
        )
        for source, task in sorted(rounds.items())
    ]
    number = max((task.round for task in rounds.values()), default=0)
    resolution = resolve(dossier, results, number % ROUND_BASE)
    if resolution.ambiguous:
        return Move("AWAITING_CONTROLLER", dossier=resolution.dossier)
    if resolution.ask:
        again = [NewTask(step, source, number + 1) for source in resolution.ask]
        return Move(request.state, again, dossier=resolution.dossier)
    return replace(resolution.dossier)


def after_decision(request: Request, dossier: Dossier, tasks: Sequence[Task]) -> Move:
    """What follows the controller's decision: the sources concerned are asked again."""
    rounds = latest(tasks, "locate")
    number = max((task.round for task in rounds.values()), default=0) + 1
    sources = sorted({c.source for c in dossier.candidates})
    return Move("LOCATING", [NewTask("locate", source, number) for source in sources], dossier=dossier)

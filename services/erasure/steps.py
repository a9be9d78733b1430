"""The durable steps of an erasure, beside those that all rights share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dsr.authority.v1.authority_pb2 import RIGHT_ERASURE
from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1.recipient_pb2 import RecipientTask
from google.protobuf import json_format

from dsrkit import clock
from dsrkit.errors import DsrError
from dsrkit.instructions import differences
from dsrkit.requests.connector import Connector
from dsrkit.requests.flow import latest
from dsrkit.requests.model import Dossier, Found, Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks import Done, Task
from dsrkit.tasks.worker import Step
from services.erasure import officer
from services.erasure import plan as plans
from services.erasure.certify import Certify
from services.erasure.domain import DEFAULT_GRACE, DESTROYS, change, effective
from services.erasure.readback import ReadBack, emptied
from services.erasure.sweeps import Sweeps

_OUTCOME = connector_pb2.Erased
_DONE = {
    _OUTCOME.OUTCOME_ERASED: "ERASED",
    _OUTCOME.OUTCOME_REPLAYED: "REPLAYED",
    _OUTCOME.OUTCOME_RECONSTRUCTED: "RECONSTRUCTED",
}


class ErasureSteps:
    """Steps `register`, `plan`, `approve`, `grace`, `check`, `erase`, `verify`, `finish`, `certify`."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self._flow = tools.parts.flow
        self._authority = tools.parts.authority
        self._connectors = tools.connectors
        self._sweeps = Sweeps(tools)

    def by_name(self) -> Mapping[str, Step]:
        """Step name to function."""
        return {
            "register": self.register,
            "plan": self.plan,
            "approve": self.approve,
            "grace": self.grace,
            "relocate": self._tools.locate.locate,
            "check": self.check,
            "erase": self.erase,
            "verify": self.verify,
            "finish": self.finish,
            "certify": Certify(self._tools).certify,
        }

    async def register(self, task: Task) -> Done:
        """Registers open work; waits while an older erasure of the same person is open. A preview holds nobody up."""
        request, dossier = await self._flow.load(task)
        await self._meet(request, dossier)
        return Done()

    async def _meet(self, request: Request, dossier: Dossier, *, copies: bool = False) -> None:
        if request.facts["validate_only"]:
            return
        others = await self._authority.register(request, dossier)
        if any(other.right == RIGHT_ERASURE and other.older for other in others):
            raise DsrError("ERASURE_IN_PROGRESS", "An older erasure of the same person is open.")
        if copies and any(other.right != RIGHT_ERASURE for other in others):
            raise DsrError("COPY_IN_PROGRESS", "A copy is being made for the same person; nothing is deleted first.")

    async def plan(self, task: Task) -> Done:
        """Makes the plan out of what was located, and today's instructions."""
        request, dossier, tasks = await self._flow.load_all(task)
        await self._meet(request, dossier)
        if task.waiting_reason == "ERASURE_IN_PROGRESS":
            # Another erasure of the person ended meanwhile: what was located is no longer there.
            return Done(result={"plan": None})
        told = await self._authority.instructions(request, request.data_sources, dossier)
        partner = told.partner
        grace = (
            partner.erasure_grace_period.ToTimedelta() if partner.HasField("erasure_grace_period") else DEFAULT_GRACE
        )
        made = plans.make(
            request,
            dossier,
            task.input["revision"],
            latest(tasks, "locate"),
            told.sources,
            grace.total_seconds(),
            (await self._flow.key(request)).secret,
            clock.now().isoformat(),
        )
        made["sandbox"] = partner.sandbox
        made["recipient_tasks"] = _stored(await self._authority.foresee_recipients(request, plans.touched(made)))
        return Done(records=sum(c["records"] for c in made["collections"]), result={"plan": made})

    async def approve(self, task: Task) -> Done:
        """Asks governance whether the approval of the sweep that created the request covers its plan."""
        request, _ = await self._flow.load(task)
        plan, now = request.facts["plan"], clock.now()
        try:
            approver = await self._authority.sweep_approval(request, plan["digest"], plans.touched(plan))
        except DsrError as error:
            if error.reason != "FOUR_EYES":
                raise
            return Done(result={"approval": None, "why": error.metadata.get("why", "")})
        approval = {
            "approver": approver,
            "plan_digest": plan["digest"],
            "approve_time": now.isoformat(),
            "effective_time": effective(now, plan["grace_seconds"]).isoformat(),
        }
        return Done(result={"approval": approval})

    async def grace(self, task: Task) -> Done:
        """The grace period is over; waits until no copy is being made for the person."""
        request, dossier = await self._flow.load(task)
        await self._meet(request, dossier, copies=True)
        return Done()

    async def check(self, task: Task) -> Done:
        """Compares what is there now, everywhere, with what was approved, before the first row is touched."""
        request, dossier, tasks = await self._flow.load_all(task)
        await self._meet(request, dossier, copies=True)
        sweep = request.facts.get("sweep")
        if sweep and not await self._sweeps.still_inactive(sweep, dossier):
            return Done(result={"changes": [], "in_use": True})
        told = await self._authority.instructions(request, request.data_sources, dossier)
        relocated = latest(tasks, "relocate")
        return Done(result={"changes": plans.changes(request.facts["plan"], relocated, told.sources, differences)})

    async def erase(self, task: Task) -> Done:
        """Erases one source under a grant: located just before, within the caps, or not at all."""
        request, dossier, tasks = await self._flow.load_all(task)
        source, plan = task.source or "", request.facts["plan"]
        instructions = plans.approved_instructions(plan, source)
        try:
            issued = await self._authority.grant(
                request,
                task,
                dossier,
                plan_digest=plan["digest"],
                approver=request.facts["approval"]["approver"],
                approved=instructions,
            )
        except DsrError as error:
            if error.reason != "PLAN_CHANGED":
                raise
            names = error.metadata.get("changes", "").split(",")
            return _stopped([change("ACTION_CHANGED", source, name) for name in names])
        relocated = latest(tasks, "relocate")[source]
        subject = dossier.subject(str(request.id), source, relocated.result["types"])
        connector = Connector.of(source, issued)
        found = await self._connectors.locate(connector, subject, with_anchors=False)
        counts = {c.collection: c.records for c in found.located.collections}
        before = (await self._flow.founds(request, tasks, "relocate"))[source]
        beyond = [*plans.grown(plan, source, counts), *plans.strangers(source, dossier, before, found)]
        if beyond:
            return _stopped(beyond)
        message = connector_pb2.EraseRequest(
            grant=issued.grant,
            subjects=[connector_pb2.EraseSubject(subject=subject, expected=found.located.collections)],
        )
        erased = await self._connectors.erase(connector, message)
        return _erased(source, erased, counts, plan)

    async def verify(self, task: Task) -> Done:
        """Reads a source back, from the anchors taken before the erasure; and looks for the person once more."""
        request, dossier, tasks = await self._flow.load_all(task)
        source, plan = task.source or "", request.facts["plan"]
        told = (await self._authority.instructions(request, [source], dossier)).sources[0]
        connector = Connector.of(source, told.data_source)
        relocated = latest(tasks, "relocate")[source]
        founds = await self._flow.founds(request, tasks, "relocate")
        subject = dossier.subject(str(request.id), source, relocated.result["types"])
        if not subject.identities:
            return Done(result={"remnants": {}})
        message = connector_pb2.VerifyRequest(
            source=source,
            subjects=[connector_pb2.VerifySubject(subject=subject, anchors=founds[source].anchors)],
            instructions=plans.approved_instructions(plan, source),
        )
        verified = await self._connectors.verify(connector, message)
        again = await self._connectors.locate(connector, subject, with_anchors=False)
        remnants = _remnants(verified, again, plan, source)
        await self._read_back(task, request, dossier, subject, again, remnants)
        return Done(records=sum(r["unexplained"] for r in remnants.values()), result={"remnants": remnants})

    async def _read_back(
        self,
        task: Task,
        request: Request,
        dossier: Dossier,
        subject: connector_pb2.Subject,
        again: Found,
        remnants: dict[str, dict[str, Any]],
    ) -> None:
        """The third opinion, for what was anonymised: its fields are copied and compared, and no value is kept."""
        source, plan = task.source or "", request.facts["plan"]
        approved = plans.approved_instructions(plan, source)
        reader = ReadBack(source, emptied(approved))
        counts = {c.collection: c.records for c in again.located.collections}
        if not any(counts.get(i.collection) for i in approved if i.action == CollectionInstruction.ACTION_ANONYMISE):
            return  # none is found any more by any of the person's names
        issued = await self._authority.grant(
            request,
            task,
            dossier,
            plan_digest=plan["digest"],
            approver=request.facts["approval"]["approver"],
            approved=approved,
            read_back=True,
        )
        message = connector_pb2.ExportRequest(grant=issued.grant, subject=subject)
        async for part in self._connectors.export(Connector.of(source, issued), message):
            reader.take(part)
        reader.finish(counts)
        for name, left in reader.left.items():
            entry = remnants.setdefault(name, {"explained": 0, "unexplained": 0, "fields": []})
            entry["unexplained"] = max(entry["unexplained"], left)
            entry["fields"] = sorted(reader.fields[name].union(entry["fields"]))

    async def finish(self, task: Task) -> Done:
        """Waits until the other rights have ended bundles of the person, then asks which snapshots may hold it.

        Recipients that have to hear of the erasure get their tasks.

        A copy that began in the meantime may hold what has been erased since: it is waited for, then ended too.
        """
        request, dossier = await self._flow.load(task)
        await self._meet(request, dossier, copies=True)
        answer = await self._authority.oblige(request)
        if answer.open:
            raise DsrError("BUNDLES_ENDING", "Older bundles of the person are being ended.")
        touched = plans.touched(request.facts["plan"])
        snapshots = await self._authority.holding_snapshots(request, touched) if touched else ()
        stored = [json_format.MessageToDict(s, preserving_proto_field_name=True) for s in snapshots]
        owed = _stored(await self._authority.owe_recipients(request, touched))
        who = {"operator": answer.operator, "dpo_contact": answer.dpo_contact}
        who["partner_dpo"] = await officer.seal(self._tools.parts.vault, request, answer.partner_dpo)
        return Done(result={"bundles_ended": answer.total, "snapshots": stored, "recipient_tasks": owed, **who})


def _stored(tasks: Iterable[RecipientTask]) -> list[dict[str, Any]]:
    return [json_format.MessageToDict(task, preserving_proto_field_name=True) for task in tasks]


def _stopped(changes: Sequence[Mapping[str, Any]]) -> Done:
    return Done(result={"outcome": "STOPPED", "changes": list(changes), "collections": {}})


def _erased(source: str, erased: connector_pb2.Erased, counts: Mapping[str, int], plan: Mapping[str, Any]) -> Done:
    if erased.outcome == _OUTCOME.OUTCOME_CHANGED:
        raise DsrError("FINGERPRINT_CHANGED", "The records changed just before; located again.", source=source)
    if erased.outcome == _OUTCOME.OUTCOME_CAP_EXCEEDED:
        return _stopped([change("CAP_EXCEEDED", source, "", found=sum(counts.values()))])
    if erased.outcome == _OUTCOME.OUTCOME_BLOCKED:
        return _stopped([change("NEW_FINDING", source, f.collection) for f in erased.findings])
    outcome = _DONE.get(erased.outcome)
    if outcome is None:
        raise DsrError("SOURCE_INCONSISTENT", "The connector's outcome is unknown.", source=source, why="OUTCOME")
    did = {
        c.collection: {
            "deleted": c.deleted,
            "anonymised": c.anonymised,
            "retained": c.retained,
            "pseudonymised": c.pseudonymised,
        }
        for c in erased.collections
    }
    if outcome == "ERASED":
        _check_counts(source, did, counts, plan)
    # Whatever was changed: by this governance knows that older copies of the source still hold the person.
    records = sum(c["deleted"] + c["anonymised"] + c["pseudonymised"] for c in did.values())
    return Done(records=records, result={"outcome": outcome, "replayed": outcome != "ERASED", "collections": did})


def _check_counts(
    source: str, did: Mapping[str, Mapping[str, int]], counts: Mapping[str, int], plan: Mapping[str, Any]
) -> None:
    """Preview equals effect: what was done must be what was located an instant before."""
    actions = {c["collection"]: c["action"] for c in plan["collections"] if c["source"] == source}
    for collection, records in counts.items():
        if actions.get(collection) in DESTROYS and sum(did.get(collection, {}).values()) != records:
            raise DsrError(
                "SOURCE_INCONSISTENT",
                "The connector's counts differ from what was located.",
                source=source,
                why="ERASE_COUNTS",
            )


def _remnants(
    verified: connector_pb2.Verified, again: Found, plan: Mapping[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    remnants: dict[str, dict[str, Any]] = {
        r.collection: {"explained": r.explained, "unexplained": r.unexplained, "fields": list(r.fields)}
        for r in verified.remnants
    }
    kept = {c["collection"] for c in plan["collections"] if c["source"] == source and c["action"] != "DELETE"}
    for count in again.located.collections:
        # The second opinion: a connector that says "nothing left" must also find nothing.
        if count.records and count.collection not in kept:
            entry = remnants.setdefault(count.collection, {"explained": 0, "unexplained": 0, "fields": []})
            entry["unexplained"] = max(entry["unexplained"], count.records)
    return remnants

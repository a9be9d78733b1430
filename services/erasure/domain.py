"""The right to erasure: its names, its plan, and what follows what. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dsr.authority.v1.authority_pb2 import RIGHT_ERASURE

from dsrkit.requests.flow import Founds, latest
from dsrkit.requests.locate import ROUND_BASE, begin, next_round
from dsrkit.requests.model import Dossier, Move, Request, Right
from dsrkit.tasks import NewTask, Task
from services.erasure.report import outcomes, remains

RIGHT = Right("erasure", "erasureRequests", RIGHT_ERASURE)
DEFAULT_GRACE = timedelta(hours=24)
DESTROYS = frozenset({"DELETE", "ANONYMISE"})


def advance(request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds) -> Move | None:
    """What follows when no task is open."""
    match request.state:
        case "PENDING":
            return begin(request)
        case "LOCATING":
            return _after_locate(request, dossier, tasks, founds)
        case "APPROVED":
            return _before_erasing(request, dossier, tasks, founds)
        case "ERASING":
            return _after_erase(request, dossier, tasks)
        case "VERIFYING":
            return _after_verify(request, tasks)
        case _:
            return None


def _after_locate(request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds) -> Move | None:
    revision = _revision(request) + 1
    current = max((t.round for t in tasks if t.step == "locate"), default=0)
    planned = [t for t in tasks if t.step == "plan" and t.input["round"] == current]
    if not planned:
        then = next_round(request, dossier, tasks, founds)
        if isinstance(then, Move):
            return then
        return Move("LOCATING", [NewTask("plan", input={"revision": revision, "round": current})], dossier=then)
    plan = planned[-1].result["plan"]
    if plan is None:
        return Move("LOCATING", [NewTask("locate", source, current + 1) for source in request.data_sources])
    changed = request.facts.get("plan_changes")
    if not _destroys(plan) and not plan["findings"] and not request.facts["validate_only"]:
        # Nothing to destroy at the sources; older bundles of the person are ended all the same.
        return Move("VERIFYING", [NewTask("finish")], facts={"plan": plan})
    if request.facts.get("sweep") and not changed and not plan["findings"]:
        return _by_sweep(plan, tasks)
    return Move("PLAN_CHANGED" if changed else "PLANNED", facts={"plan": plan, "approval": None})


def _by_sweep(plan: Mapping[str, Any], tasks: Sequence[Task]) -> Move:
    """A sweep's approval counts for the first plan; where it doesn't cover that, a person decides."""
    asked = [t for t in tasks if t.step == "approve"]
    if not asked:
        return Move("LOCATING", [NewTask("approve")], facts={"plan": plan, "approval": None})
    approval = asked[-1].result["approval"]
    if approval is None or approval["plan_digest"] != plan["digest"]:
        return Move("PLANNED", facts={"plan": plan, "approval": None})
    starts = datetime.fromisoformat(approval["effective_time"])
    return Move("APPROVED", [NewTask("grace", due_time=starts)], facts={"plan": plan, "approval": approval})


def _before_erasing(request: Request, dossier: Dossier, tasks: Sequence[Task], founds: Founds) -> Move | None:
    base = _relocate_base(request)
    relocated = [t for t in tasks if t.step == "relocate" and t.round >= base]
    if not relocated:
        return Move("APPROVED", [NewTask("relocate", source, base) for source in request.data_sources])
    then = next_round(request, dossier, tasks, founds, "relocate")
    found = then.dossier if isinstance(then, Move) else then
    changes = _new_names(dossier, found) if found is not None else []
    checks = [t for t in tasks if t.step == "check" and t.input["revision"] == _revision(request)]
    if not changes:
        if not checks:
            return Move("APPROVED", [NewTask("check", input={"revision": _revision(request)})])
        if checks[-1].result.get("in_use"):
            return Move("CANCELLED")
        changes = list(checks[-1].result["changes"])
    if changes:
        return _replan(request, changes, found)
    return Move("ERASING", _erase_tasks(request, dossier, phase=1) or _erase_tasks(request, dossier, phase=2))


def _new_names(before: Dossier, after: Dossier) -> list[dict[str, Any]]:
    known = {(i.type, i.value) for i in before.followed()}
    changes = [
        change("NEW_IDENTITY", i.source, i.collection) for i in after.followed() if (i.type, i.value) not in known
    ]
    people = {c.candidate for c in before.candidates}
    fresh = {(c.source, c.collection) for c in after.candidates if c.candidate not in people}
    return changes + [change("NEW_PERSON", source, collection) for source, collection in sorted(fresh)]


def change(kind: str, source: str, collection: str, approved: int = 0, found: int = 0) -> dict[str, Any]:
    """A way in which the data moved on, as it is stored."""
    return {"kind": kind, "source": source, "collection": collection, "approved": approved, "found": found}


def _replan(request: Request, changes: Sequence[Mapping[str, Any]], dossier: Dossier | None) -> Move:
    """Stops before the first row: the person is located anew, and a new plan waits for its own approval."""
    base = _relocate_base(request) + ROUND_BASE
    again = [NewTask("locate", source, base) for source in request.data_sources]
    return Move("LOCATING", again, facts={"plan_changes": list(changes), "approval": None}, dossier=dossier)


def _erase_tasks(request: Request, dossier: Dossier, phase: int) -> list[NewTask]:
    """Sources that supplied identities go last: while others are being erased they still say who it is about."""
    suppliers = {i.source for i in dossier.followed() if i.source}
    sources = sorted({c["source"] for c in request.facts["plan"]["collections"] if c["action"] in DESTROYS})
    chosen = [s for s in sources if (s in suppliers) == (phase == 2)]
    return [NewTask("erase", s, _relocate_base(request), {"phase": phase}) for s in chosen]


def _after_erase(request: Request, dossier: Dossier, tasks: Sequence[Task]) -> Move:
    base = _relocate_base(request)
    done = {s: t for s, t in latest(tasks, "erase").items() if t.round == base}
    stopped = [c for t in done.values() for c in t.result.get("changes", ())]
    acted = any(t.result["outcome"] != "STOPPED" for t in done.values())
    if stopped and not acted:
        return _replan(request, stopped, None)
    second = _erase_tasks(request, dossier, phase=2)
    if not stopped and any(t.source not in done for t in second):
        return Move("ERASING", [t for t in second if t.source not in done])
    return Move("VERIFYING", [NewTask("verify", s, base) for s in request.data_sources])


def _after_verify(request: Request, tasks: Sequence[Task]) -> Move | None:
    finished = [t for t in tasks if t.step == "finish"]
    if not finished:
        return Move("VERIFYING", [NewTask("finish")])
    erased = {s: t.result for s, t in latest(tasks, "erase").items()}
    verified = {s: t.result for s, t in latest(tasks, "verify").items()}
    report = {
        "outcomes": outcomes(request.facts["plan"], erased, verified),
        "sandbox": request.facts["plan"].get("sandbox", False),
        "verify_time": max(t.update_time for t in tasks if t.step in ("verify", "finish")).astimezone(UTC).isoformat(),
        "bundles_ended": finished[-1].result["bundles_ended"],
        "snapshots": finished[-1].result.get("snapshots", []),
        "recipient_tasks": finished[-1].result.get("recipient_tasks", []),
        "operator": finished[-1].result.get("operator", ""),
        "dpo_contact": finished[-1].result.get("dpo_contact", ""),
        "partner_dpo": finished[-1].result.get("partner_dpo", ""),
    }
    left = remains(report["outcomes"]) or any(r["outcome"] == "STOPPED" for r in erased.values())
    stopped = [c for r in erased.values() for c in r.get("changes", ())]
    state = "PARTIALLY_ERASED" if left else "COMPLETED"
    return Move(state, [NewTask("certify")], facts={"report": report, "plan_changes": stopped})


def _destroys(plan: Mapping[str, Any]) -> bool:
    return any(c["action"] in DESTROYS and c["records"] for c in plan["collections"])


def _revision(request: Request) -> int:
    plan = request.facts.get("plan")
    return int(plan["revision"]) if plan else 0


def _relocate_base(request: Request) -> int:
    """Rounds of a plan's locations and relocations: 0 and 100 for the first, 200 and 300 for the second, and so on."""
    return (2 * _revision(request) - 1) * ROUND_BASE


def effective(approve_time: datetime, grace_seconds: float) -> datetime:
    """When the grace period ends."""
    return approve_time + timedelta(seconds=grace_seconds)

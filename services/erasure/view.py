"""An erasure request as a message, and as the document that is certified."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from dsr.v1 import erasure_pb2 as pb
from google.protobuf import json_format

from dsrkit.requests import view
from dsrkit.requests.model import Request
from dsrkit.watermark import watermark
from services.erasure.domain import RIGHT


def fill(message: pb.ErasureRequest, request: Request) -> None:
    """What only an erasure has."""
    facts = request.facts
    message.validate_only = facts["validate_only"]
    message.ground = facts["ground"]
    message.sweep = facts.get("sweep", "")
    if facts.get("plan"):
        _fill_plan(message.plan, facts["plan"])
    if facts.get("approval"):
        approval = facts["approval"]
        message.approval.approver = approval["approver"]
        message.approval.plan_digest = approval["plan_digest"]
        message.approval.approve_time.FromDatetime(datetime.fromisoformat(approval["approve_time"]))
        message.approval.effective_time.FromDatetime(datetime.fromisoformat(approval["effective_time"]))
    if facts.get("report"):
        _fill_report(message.report, facts["report"])
    if "proof" in facts.get("certificate", {}):
        certified = facts["certificate"]
        message.certificate.number, message.certificate.ledger = certified["number"], certified["ledger"]
        message.certificate.certify_time.FromDatetime(datetime.fromisoformat(certified["certify_time"]))
    for change in facts.get("plan_changes") or ():
        kind = pb.ErasureRequest.PlanChange.Kind.Value(f"KIND_{change['kind']}")
        message.plan_changes.add(**{**change, "kind": kind})


def _fill_plan(message: pb.ErasureRequest.Plan, plan: Mapping[str, Any]) -> None:
    message.digest = plan["digest"]
    message.revision = plan["revision"]
    message.create_time.FromDatetime(datetime.fromisoformat(plan["create_time"]))
    message.grace_period.FromSeconds(int(plan["grace_seconds"]))
    for collection in plan["collections"]:
        entry = message.collections.add(
            source=collection["source"],
            collection=collection["collection"],
            records=collection["records"],
            action=pb.ErasureRequest.Action.Value(f"ACTION_{collection['action']}"),
            cap=collection["cap"],
            reason=collection["reason"],
            legal_reference=collection["legal_reference"],
            hold=collection["hold"],
            fields=collection["fields"],
        )
        if collection["review_time"]:
            entry.review_time.FromJsonString(collection["review_time"])
    for finding in plan["findings"]:
        message.findings.add(**finding)
    for owed in plan.get("recipient_tasks", ()):
        json_format.ParseDict(owed, message.recipient_tasks.add())


def _fill_report(message: pb.ErasureRequest.Report, report: Mapping[str, Any]) -> None:
    message.verify_time.FromDatetime(datetime.fromisoformat(report["verify_time"]))
    message.bundles_ended = report["bundles_ended"]
    message.sandbox = watermark(report.get("sandbox", False))
    message.operator = report.get("operator", "")
    message.dpo_contact = report.get("dpo_contact", "")
    for snapshot in report.get("snapshots", ()):
        json_format.ParseDict(snapshot, message.snapshots.add())
    for owed in report.get("recipient_tasks", ()):
        json_format.ParseDict(owed, message.recipient_tasks.add())
    if message.snapshots:
        # The one that expires last stands first.
        message.last_snapshot_expire_time.CopyFrom(message.snapshots[0].expire_time)
    for outcome in report["outcomes"]:
        result = pb.ErasureRequest.Outcome.Result.Value(f"RESULT_{outcome['result']}")
        message.outcomes.add(**{**outcome, "result": result})


def document(request: Request) -> bytes:
    """The report as it is certified: without the name of the partner's officer, which isn't stored in the clear."""
    resource = pb.ErasureRequest()
    view.fill(resource, RIGHT, request, None, None)
    fill(resource, request)
    return dump(resource)


def dump(resource: pb.ErasureRequest) -> bytes:
    """A document in JSON, for people to read."""
    return orjson.dumps(json_format.MessageToDict(resource), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

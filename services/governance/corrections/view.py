"""Between rows and messages."""

from collections.abc import Sequence

import asyncpg
from dsr.v1 import correction_pb2 as pb
from dsr.v1 import subject_pb2
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit.errors import reason_value

KEY = "correction-{}"
"""Name of a request's key."""


def sealable(request: pb.CorrectionRequest) -> bytes:
    """What of a request is personal."""
    return pb.CorrectionRequest(identities=request.subject.identities, changes=request.changes).SerializeToString()


def context(partner: str, identifier: object) -> str:
    """What the ciphertext is bound to."""
    return f"{partner}|{identifier}|correction"


def message(
    row: asyncpg.Record, tasks: Sequence[asyncpg.Record], opened: bytes | None, dpo: str
) -> pb.CorrectionRequest:
    """A request. `opened`: its personal part, for those who may see it."""
    found = pb.CorrectionRequest.FromString(opened) if opened else pb.CorrectionRequest()
    found.name = f"{row['partner']}/correctionRequests/{row['id']}"
    found.kind = pb.CorrectionRequest.Kind.Value(f"KIND_{row['kind']}")
    found.state = pb.CorrectionRequest.State.Value(f"STATE_{row['state']}")
    found.capacity = subject_pb2.RequesterCapacity.Value(row["capacity"])
    found.creator, found.contact = row["creator"], dpo
    found.data_sources.extend(row["data_sources"])
    found.data_map_revision = row["data_map_revision"]
    json_format.ParseDict(row["facts"], found)
    for field, target in (
        ("received_time", found.clock.received_time),
        ("due_time", found.clock.due_time),
        ("create_time", found.create_time),
        ("update_time", found.update_time),
    ):
        target.FromDatetime(row[field])
    if row["extension"]:
        json_format.ParseDict(row["extension"], found.clock.extension)
    if row["complete_time"]:
        found.complete_time.FromDatetime(row["complete_time"])
    if row["kind"] == "RESTRICTION":
        found.restriction.lifter = row["lifter"]
        for field in ("effective_time", "lift_time", "subject_told_time"):
            if row[field]:
                getattr(found.restriction, field).FromDatetime(row[field])
    for task in tasks:
        found.tasks.append(_task(task, found.clock.due_time))
    return found


def _task(row: asyncpg.Record, due: Timestamp) -> pb.CorrectionRequest.Task:
    task = pb.CorrectionRequest.Task(
        source=row["source"],
        custody=row["custody"],
        owner=row["owner"],
        due_time=due,
        done=row["complete_time"] is not None,
        evidence=row["evidence"],
        completer=row["completer"],
        clears=row["clears"],
    )
    if row["complete_time"]:
        task.complete_time.FromDatetime(row["complete_time"])
    if row["state"]:
        _fill_amendment(task.amendment, row)
    return task


def _fill_amendment(message: pb.CorrectionRequest.Amendment, row: asyncpg.Record) -> None:
    message.state = pb.CorrectionRequest.Amendment.State.Value(f"STATE_{row['state']}")
    if row["state"] != "PREVIEWING":
        for change in row["changes"]:
            message.changes.add(**change)
    message.plan_digest, message.approver = row["plan_digest"], row["approver"]
    message.obstacle, message.field = row["obstacle"], row["field"]
    message.holds.extend(row["holds"])
    if row["next_time"] and row["complete_time"] is None:
        message.next_attempt_time.FromDatetime(row["next_time"])
        if row["waiting"]:
            message.waiting_reason, message.waiting_source = reason_value(row["waiting"]), row["waiting_source"]
    if row["approve_time"]:
        message.approve_time.FromDatetime(row["approve_time"])

"""Between rows and messages."""

from datetime import datetime
from typing import Any

import asyncpg
from dsr.v1 import policy_pb2 as pb

from dsrkit.errors import not_found
from services.governance.policies.chores import name
from services.governance.policies.domain import deadline


def version(row: asyncpg.Record) -> pb.PolicyVersion:
    """A version."""
    message = pb.PolicyVersion(
        name=f"policyVersions/{row['version']}",
        version=row["version"],
        state=pb.PolicyVersion.State.Value(f"STATE_{row['state']}"),
        text_url=row["text_url"],
        text_sha256=row["text_sha256"],
        changes=row["changes"],
        proposer=row["proposer"],
        publisher=row["publisher"] or "",
    )
    for field in ("effective_time", "answer_deadline", "create_time", "publish_time"):
        _set(message, field, row[field])
    return message


def agreement(row: asyncpg.Record, partner: str, in_force: int) -> pb.PolicyAgreement:
    """A version with the partner's answer. Who works for the operator is not the partner's to know."""
    message = pb.PolicyAgreement(
        name=name(partner, row["version"]),
        policy_version=version(row),
        state=pb.PolicyAgreement.State.Value(f"STATE_{row['answer'] or 'OPEN'}"),
        in_force=row["version"] == in_force,
        answerer=row["answerer"] or "",
    )
    message.policy_version.ClearField("proposer")
    message.policy_version.ClearField("publisher")
    until = row["partner_deadline"] or deadline(row["answer_deadline"], row["publish_time"])
    _set(message, "answer_deadline", until)
    _set(message, "notice_time", row["notice_time"])
    _set(message, "answer_time", row["answer_time"])
    return message


def number(resource: str, *collection: str) -> int:
    """The version of `…/{collection}/{version}`. NOT_FOUND for what can't be one."""
    parts = resource.split("/")
    last = parts[-1]
    if parts[:-1] != list(collection) or not (last.isascii() and last.isdecimal()) or len(last) > 15 or last[0] == "0":
        raise not_found("resource")
    return int(last)


def _set(message: Any, field: str, time: datetime | None) -> None:
    if time is not None:
        getattr(message, field).FromDatetime(time)

"""Between rows and messages."""

from datetime import datetime
from uuid import UUID

import asyncpg
from dsr.v1 import governance_pb2, options_pb2
from google.protobuf import json_format

from dsrkit.errors import DsrError, invalid
from dsrkit.issuer import PARTNER_ID
from dsrkit.pages import parse_position, read_token, write_token

ID = PARTNER_ID


def to_json(message: object) -> dict[str, object]:
    """A message as it is stored."""
    stored: dict[str, object] = json_format.MessageToDict(message, preserving_proto_field_name=True)  # type: ignore[arg-type]
    return stored


def partner(row: asyncpg.Record) -> governance_pb2.Partner:
    """A partner."""
    message = governance_pb2.Partner()
    json_format.ParseDict(row["body"], message, ignore_unknown_fields=True)
    message.standing = governance_pb2.Partner.Standing.Value(f"STANDING_{row['standing']}")
    message.create_time.FromDatetime(row["create_time"])
    return message


def data_source(row: asyncpg.Record) -> governance_pb2.DataSource:
    """A data source."""
    message = governance_pb2.DataSource()
    json_format.ParseDict(row["body"], message, ignore_unknown_fields=True)
    message.create_time.FromDatetime(row["create_time"])
    if row.get("resets"):
        message.sandbox_resets = row["resets"]
        message.sandbox_reset_time.FromDatetime(row["reset_time"])
    return message


def data_map(row: asyncpg.Record) -> governance_pb2.DataMap:
    """A revision of a data map."""
    message = governance_pb2.DataMap()
    json_format.ParseDict(row["body"], message, ignore_unknown_fields=True)
    message.name = f"{row['partner']}/dataMaps/{row['revision']}"
    message.revision = row["revision"]
    message.create_time.FromDatetime(row["create_time"])
    return message


def hold(row: asyncpg.Record) -> governance_pb2.Hold:
    """A hold; whom it is for stays a digest."""
    message = governance_pb2.Hold(
        name=f"{row['partner']}/holds/{row['id']}",
        source=row["source"],
        collection=row["collection"],
        reason=row["reason"],
        legal_reference=row["legal_reference"],
        for_one_subject=row["subject"] is not None,
    )
    message.review_time.FromDatetime(row["review_time"])
    message.create_time.FromDatetime(row["create_time"])
    message.effective_time.FromDatetime(row["effective_time"])
    if row["release_time"]:
        message.release_time.FromDatetime(row["release_time"])
    return message


def role_grant(row: asyncpg.Record) -> governance_pb2.RoleGrant:
    """A role grant."""
    message = governance_pb2.RoleGrant(
        name=f"{row['partner']}/roleGrants/{row['id']}",
        grantee=row["grantee"],
        role=options_pb2.Role.Value(row["role"]),
        state=governance_pb2.RoleGrant.State.Value(f"STATE_{row['state']}"),
        proposer=row["proposer"],
        confirmer=row["confirmer"] or "",
    )
    message.create_time.FromDatetime(row["create_time"])
    return message


def webhook(row: asyncpg.Record, secret: str = "") -> governance_pb2.Webhook:
    """A webhook, with its secret only when it has just been made."""
    message = governance_pb2.Webhook(
        name=f"{row['partner']}/webhooks/{row['id']}", url=row["url"], secret=secret, enabled=row["enabled"]
    )
    message.create_time.FromDatetime(row["create_time"])
    return message


def record(row: asyncpg.Record) -> governance_pb2.ProcessingRecord:
    """A processing record."""
    message = governance_pb2.ProcessingRecord(
        actor=row["actor"],
        operation=row["operation"],
        request=row["request"],
        source=row["source"],
        outcome=row["outcome"],
        records=row["records"],
        originating_ip=str(row["originating_ip"] or ""),
    )
    message.record_time.FromDatetime(row["record_time"])
    return message


def child_id(name: str, collection: str, field: str) -> str:
    """The last part of `partners/{partner}/{collection}/{id}`. FIELD_INVALID."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "partners" or parts[2] != collection or not ID.fullmatch(parts[3]):
        raise invalid(field, f"must be partners/{{partner}}/{collection}/{{id}}; ids: 3 to 40 of a-z, 0-9 and hyphen")
    return parts[3]


def child_uuid(name: str, collection: str, resource: str) -> UUID:
    """The id of a resource that we named ourselves. NOT_FOUND for what can't be one."""
    parts = name.split("/")
    try:
        if len(parts) != 4 or parts[2] != collection:
            raise ValueError
        return UUID(parts[3])
    except ValueError:
        raise DsrError("NOT_FOUND", f"There is no such {resource}.", resource_type=resource) from None


def token(when: datetime, identifier: UUID) -> str:
    """A page token."""
    return write_token(when.isoformat(), str(identifier))


def position(text: str) -> tuple[datetime | None, UUID | None]:
    """Where a page begins. FIELD_INVALID."""
    return parse_position(*read_token(text, 2)) if text else (None, None)

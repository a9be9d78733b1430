"""Example requests for the documentation: what is REQUIRED, with values that mean something."""

import json
import re
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor

from gateway.routes import Kind, Route
from gateway.schemas import behavior

_TEXTS = {
    "type": "email",
    "value": "jane@example.org",
    "verifier": "clerk-7",
    "request_id": "5f0c9d3e-7a55-4b6e-9d0f-2f1f0d6c2a11",
    "parent": "partners/acme",
    "display_name": "Acme",
    "country": "IE",
    "site": "Dublin",
    "provider": "Amazon Web Services",
    "time_zone": "Europe/Dublin",
    "privacy_contact": "The data protection officer",
    "connector_address": "connector.acme.example:7443",
    "server_name": "connector.acme.example",
    "authority": "-----BEGIN CERTIFICATE-----…",
    "source": "partners/acme/dataSources/shop",
    "collection": "orders",
    "candidate": "c-1",
    "plan_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "title": "Orders",
    "purposes": "Delivery",
    "category": "contact data",
    "retention": "Seven years after the order",
    "field": "email",
    "reason": "eu-gdpr:JustificationA17LegalClaims",
    "legal_reference": "§ 147 AO",
    "grantee": "urn:dsr:partner:acme#person-2",
    "primary_email": "privacy@acme.example",
    "evidence": "ticket-4711",
    "label": "shop-2026-01-31.dump",
    "description": "A backup was readable from outside.",
    "note": "Access was closed; no download was seen.",
    "reference": "case-4711",
    "rule": "partners/acme/retentionRules/0b6d9a52-6a3c-4f43-9c8e-6f4f7f0a9b10",
    "identity_type": "email",
    "collections": "orders",
    "purpose": "Delivery",
    "manifest_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "snapshot": "partners/acme/snapshots/0b6d9a52-6a3c-4f43-9c8e-6f4f7f0a9b10",
    "erasure": "partners/acme/erasureRequests/0b6d9a52-6a3c-4f43-9c8e-6f4f7f0a9b10",
    "text_url": "https://agency.example/policy/2",
    "text_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "changes": "Log files are kept for a year.",
    "url": "https://hooks.acme.example/dsr",
    "right": "A17",
    "recipient": "partners/acme",
    "document_reference": "contract-2026-3",
    "document_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "notice_reference": "privacy-notice-4",
    "notice_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
_FUTURE = {"review_time", "effective_time"}
_IDS = {
    "accessRequests",
    "portabilityRequests",
    "erasureRequests",
    "correctionRequests",
    "snapshots",
    "restores",
    "connectorChanges",
    "breaches",
    "retentionRules",
    "retentionSweeps",
    "locationAgreements",
    "refusals",
    "transferSafeguards",
    "transferAttestations",
    "recipientTasks",
    "terminations",
}


def body_of(route: Route) -> Any:
    """A body that the contract accepts, or None when the method takes none."""
    if not route.body:
        return None
    bound = {variable.field for variable in route.template.variables}
    if route.body == "*":
        return _message(route.rpc.input_type, bound)
    return _message(route.rpc.input_type.fields_by_name[route.body].message_type, set())


def url_of(route: Route) -> str:
    """Path and query of an example."""
    text = re.sub(r"\{[a-z_]+(?:=([^}]+))?\}", lambda match: match[1] or "*", route.template.text)
    pieces = text.split("/")
    for index, piece in enumerate(pieces):
        if piece.startswith("*"):
            pieces[index] = _id(pieces[index - 1]) + piece[1:]
    required = [field for field in route.query_fields if field_behavior_pb2.REQUIRED in behavior(field)]
    query = "&".join(f"{field.json_name}={_TEXTS[field.name]}" for field in required)
    return "/".join(pieces) + (f"?{query}" if query else "")


def curl(route: Route) -> str:
    """A command to copy."""
    lines = [f'curl "$DSR{url_of(route)}"', '  -H "Authorization: Bearer $TOKEN"']
    body = body_of(route)
    if body is not None:
        lines += ["  -H 'Content-Type: application/json'", f"  -d '{json.dumps(body, indent=2, ensure_ascii=False)}'"]
    if route.kind is not Kind.RESOURCE:
        lines.append("  -N" if route.kind is Kind.EVENTS else "  -OJ")
    if route.http_method not in ("GET", "POST") or (route.http_method == "POST" and body is None):
        lines.append(f"  -X {route.http_method}")
    return " \\\n".join(lines)


def _id(collection: str) -> str:
    if collection in _IDS:
        return "0b6d9a52-6a3c-4f43-9c8e-6f4f7f0a9b10"
    return {"partners": "acme", "dataSources": "shop", "dataMaps": "current", "subProcessors": "mailchimp"}.get(
        collection, "1"
    )


def _message(message: Any, without: set[str]) -> dict[str, Any]:
    found = {}
    for field in message.fields:
        if field_behavior_pb2.REQUIRED in behavior(field) and field.name not in without:
            value = _value(field)
            found[field.json_name] = [value] if field.is_repeated else value
    return found


def _value(field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        match field.message_type.full_name:
            case timestamp_pb2.Timestamp.DESCRIPTOR.full_name:
                return "2027-01-31T12:00:00Z" if field.name in _FUTURE else "2026-01-31T12:00:00Z"
            case duration_pb2.Duration.DESCRIPTOR.full_name:
                return "86400s"
        return _message(field.message_type, set())
    if field.enum_type is not None:
        last = field.enum_type.full_name == "dsr.v1.Role"
        return "ROLE_APPROVER" if last else field.enum_type.values[1].name
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.name == "name":
        holder = field.containing_type.name if field.containing_type is not None else ""
        return "partners/acme/dataSources/shop" if holder == "DataSource" else "partners/acme"
    return _TEXTS[field.name]

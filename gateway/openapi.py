"""The OpenAPI 3.1 description, from the descriptors, their annotations and their comments."""

import re
from collections.abc import Iterable, Mapping, Sequence

from dsr.v1 import error_reason_pb2, options_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import ServiceDescriptor

from dsrkit.errors import CODES
from gateway import examples
from gateway.comments import errors_in, without_errors
from gateway.problems import MEDIA_TYPE, STATUS_OF
from gateway.routes import Kind, Route
from gateway.schemas import Schema, Schemas, behavior

_ABOUT = (
    "The rights of access, portability and erasure over HTTP and JSON. Every path is an RPC of the contract `dsr.v1`; "
    "names of resources stand in paths, names of people never do. 64-bit numbers are strings. Unknown fields are "
    "refused. Every error is a problem document (RFC 9457) with a stable `reason`."
)
# What any method may answer, whatever its own comment says.
_ALWAYS = ("CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "ROLE_REQUIRED", "RATE_LIMITED", "INTERNAL", "STORE_UNAVAILABLE")
_PROBLEM: Schema = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "reason", "domain", "metadata", "errors"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "Names the kind of problem; `about:blank` with domain `http`.",
        },
        "title": {"type": "string", "description": "The kind of problem in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened and what to do."},
        "reason": {
            "type": "string",
            "description": "A value of ErrorReason without its prefix; with domain `http` the status' name.",
        },
        "domain": {
            "type": "string",
            "description": "`dsr.v1`, or `http` when HTTP itself or the way to a service failed.",
        },
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "As ErrorReason documents it. Never personal data.",
        },
        "errors": {
            "type": "array",
            "description": "The fields concerned, by their path in the body or their name in the query.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_BINARY: Schema = {"application/octet-stream": {}}
_HEADER = {"type": "string"}


def document(routes: Sequence[Route], services: Iterable[ServiceDescriptor], comments: Mapping[str, str]) -> Schema:
    """The whole description."""
    schemas = Schemas(comments)
    schemas.enum(error_reason_pb2.ErrorReason.DESCRIPTOR)
    paths: dict[str, Schema] = {}
    for route in routes:
        path, parameters = path_of(route, schemas)
        paths.setdefault(path, {})[route.http_method.lower()] = schemas.resolve(_operation(route, parameters, schemas))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Data subject rights",
            "version": "v1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": service.name, "description": comments.get(service.full_name, "")} for service in services],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "EdDSA, audience `dsr`, at most five minutes. `dsr token` makes one.",
                }
            },
            "schemas": {**schemas.components(), "Problem": _PROBLEM},
        },
    }


def path_of(route: Route, schemas: Schemas) -> tuple[str, list[Schema]]:
    """The path as OpenAPI writes it, and its parameters: `/v1/partners/{partner}/accessRequests/{access_request}`."""
    segments, parameters = [], []
    for index, segment in enumerate(route.template.segments):
        if segment != "*":
            segments.append(segment)
            continue
        collection = route.template.segments[index - 1]
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", collection.removesuffix("s")).lower()
        segments.append(f"{{{name}}}")
        schema = {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$"}
        about = f"The last part of `{'/'.join(route.template.segments[1 : index + 1])}`."
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema, "description": about})
    verb = f":{route.template.verb}" if route.template.verb else ""
    return "/" + "/".join(segments) + verb, parameters


def _operation(route: Route, parameters: list[Schema], schemas: Schemas) -> Schema:
    comment = schemas.comment(route.rpc)
    policy = route.rpc.GetOptions().Extensions[options_pb2.authorization]
    roles = [options_pb2.Role.Name(role) for role in policy.any_of]
    operation: Schema = {
        "operationId": route.rpc.name,
        "tags": [route.rpc.containing_service.name],
        "summary": re.split(r"(?<!Art)[.;:](?:\s|$)", comment)[0],
        "description": without_errors(comment),
        "x-roles": roles,
        "x-person-only": policy.person_only,
        "parameters": parameters + _query(route, schemas) + _headers(route),
        "responses": _responses(route, comment, schemas),
        "x-codeSamples": [{"lang": "Shell", "label": "curl", "source": examples.curl(route)}],
    }
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _body(route, schemas), "example": examples.body_of(route)}},
        }
    return operation


def _query(route: Route, schemas: Schemas) -> list[Schema]:
    return [
        {
            "name": field.json_name,
            "in": "query",
            "required": field_behavior_pb2.REQUIRED in behavior(field),
            "description": schemas.comment(field),
            "schema": {key: value for key, value in schemas.field(field, sent=True).items() if key != "description"},
        }
        for field in route.query_fields
    ]


def _headers(route: Route) -> list[Schema]:
    about = {
        Kind.EVENTS: {"Last-Event-ID": "Number of the last event received; stronger than `afterEvent`."},
        Kind.BYTES: {
            "Range": "One range of bytes: `bytes=0-1023`, `bytes=1024-`, `bytes=-100`.",
            "If-Range": "The `ETag` of the part already there; otherwise the whole is sent.",
            "If-None-Match": "Answers 304 when it is the `ETag`.",
        },
    }
    found = about.get(route.kind, {})
    return [
        {"name": name, "in": "header", "required": False, "schema": _HEADER, "description": text}
        for name, text in found.items()
    ]


def _body(route: Route, schemas: Schemas) -> Schema:
    if route.body == "*":
        bound = {variable.field for variable in route.template.variables}
        return schemas.object(route.rpc.input_type, sent=True, without=bound)
    return schemas.message(route.rpc.input_type.fields_by_name[route.body].message_type, sent=True)


def _responses(route: Route, comment: str, schemas: Schemas) -> Schema:
    reasons: dict[int, list[str]] = {}
    for reason in (*errors_in(comment), *_ALWAYS):
        names = reasons.setdefault(STATUS_OF[CODES[reason]], [])
        if reason not in names:
            names.append(reason)
    if route.kind is Kind.BYTES:
        reasons.setdefault(400, []).remove("OUT_OF_RANGE")
        reasons[416] = ["OUT_OF_RANGE"]
    problems = {
        str(status): {
            "description": ", ".join(names),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, names in sorted(reasons.items())
        if names
    }
    answer = schemas.message(route.rpc.output_type, sent=False) if route.kind is not Kind.BYTES else {}
    match route.kind:
        case Kind.RESOURCE:
            good: Schema = {"200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}}}
        case Kind.EVENTS:
            about = (
                "Server-sent events: `id` is the event's number, `event` its type, `data` the JSON of the schema. "
                "A stream that breaks off ends with an event `problem`."
            )
            good = {
                "200": {"description": about, "content": {"text/event-stream": {"schema": answer}}},
                "204": {"description": "The request is terminal and there is nothing after this event."},
            }
        case Kind.BYTES:
            named = ("ETag", "Repr-Digest", "Content-Disposition", "Accept-Ranges")
            headers = {name: {"schema": _HEADER} for name in named}
            good = {
                "200": {"description": "The whole. HEAD answers its headers.", "headers": headers, "content": _BINARY},
                "206": {
                    "description": "The range asked for.",
                    "headers": {**headers, "Content-Range": {"schema": _HEADER}},
                    "content": _BINARY,
                },
                "304": {"description": "It is what `If-None-Match` says."},
            }
    return {**good, **problems}

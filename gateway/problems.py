"""Errors over HTTP: RFC 9457 problem documents, one shape for every one of them.

`reason` and `metadata` are those of the contract's `ErrorReason` and `domain` is `dsr.v1`. Where the contract has no
reason, because HTTP itself or the way to a service failed, `domain` is `http` and `reason` the status' own name.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor
from google.rpc import error_details_pb2, status_pb2
from starlette.responses import Response

from dsrkit.errors import DOMAIN, DsrError

HTTP_DOMAIN = "http"
MEDIA_TYPE = "application/problem+json"
_TYPES = "https://dsr.invalid/errors/"
_SURPRISE = "Something failed between here and the service. Retry; if it stays, tell support the time."

# google/rpc/code.proto says which HTTP status belongs to each code; Envoy uses the same table.
_C = grpc.StatusCode
STATUS_OF: Mapping[grpc.StatusCode, int] = {
    _C.CANCELLED: 499,
    _C.UNKNOWN: 500,
    _C.INVALID_ARGUMENT: 400,
    _C.DEADLINE_EXCEEDED: 504,
    _C.NOT_FOUND: 404,
    _C.ALREADY_EXISTS: 409,
    _C.PERMISSION_DENIED: 403,
    _C.UNAUTHENTICATED: 401,
    _C.RESOURCE_EXHAUSTED: 429,
    _C.FAILED_PRECONDITION: 400,
    _C.ABORTED: 409,
    _C.OUT_OF_RANGE: 400,
    _C.UNIMPLEMENTED: 501,
    _C.INTERNAL: 500,
    _C.UNAVAILABLE: 503,
    _C.DATA_LOSS: 500,
}
_BEARER = 'Bearer realm="dsr"'


@dataclass
class Problem(Exception):
    """An error as HTTP tells it."""

    status: int
    reason: str
    detail: str
    domain: str = DOMAIN
    metadata: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> bytes:
        """The problem document."""
        own = self.domain == DOMAIN
        content: dict[str, Any] = {
            "type": _TYPES + self.reason if own else "about:blank",
            "title": self.reason.replace("_", " ").capitalize() if own else phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "domain": self.domain,
            "metadata": dict(self.metadata),
            "errors": [dict(error) for error in self.errors],
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

    def response(self) -> Response:
        """The answer."""
        return Response(self.document(), self.status, dict(self.headers), MEDIA_TYPE)


def phrase(status: int) -> str:
    """The standard name of a status."""
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def from_http(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """A problem for which the contract has no reason."""
    reason = phrase(status).upper().replace(" ", "_").replace("-", "_")
    return Problem(status, reason, detail, HTTP_DOMAIN, headers=headers or {})


def from_dsr(error: DsrError, status: int | None = None, headers: Mapping[str, str] | None = None) -> Problem:
    """What this gateway itself found; `status` where HTTP knows a better one than the code's own."""
    problem = _from_status(error.status(), error.code, None, "")
    problem.status = status or problem.status
    problem.headers = {**problem.headers, **(headers or {})}
    return problem


def from_rpc(error: grpc.aio.AioRpcError, request: Descriptor, body: str) -> Problem:
    """What a service answered. Field paths are given back as the caller's JSON has them: relative to the body."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return _from_status(status_pb2.Status.FromString(value), error.code(), request, body)
    # Without details it is not the service that speaks but the way to it, whose text may name addresses.
    return _retryable(from_http(STATUS_OF.get(error.code(), 500), _SURPRISE), None)


def defect() -> Problem:
    """INTERNAL, for an exception nobody foresaw."""
    incident = str(uuid.uuid4())
    return from_dsr(DsrError("INTERNAL", "A defect of ours, in the log by its `incident`.", incident=incident))


def _from_status(status: status_pb2.Status, code: grpc.StatusCode, request: Descriptor | None, body: str) -> Problem:
    info: error_details_pb2.ErrorInfo | None = None
    retry: error_details_pb2.RetryInfo | None = None
    violations: list[error_details_pb2.BadRequest.FieldViolation] = []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo.FromString(detail.value)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            violations += error_details_pb2.BadRequest.FromString(detail.value).field_violations
    number = STATUS_OF.get(code, 500)
    if info is None:
        return _retryable(from_http(number, status.message or _SURPRISE), retry)
    detail_text, metadata, errors = status.message, dict(info.metadata), []
    for violation in violations:
        path = json_path(violation.field, request, body)
        detail_text = detail_text.replace(violation.field, path)
        errors.append({"field": path, "detail": (violation.description or detail_text).replace(violation.field, path)})
        if metadata.get("field") == violation.field:
            metadata["field"] = path
    return _retryable(Problem(number, info.reason, detail_text, info.domain, metadata, errors), retry)


def _retryable(problem: Problem, retry: error_details_pb2.RetryInfo | None) -> Problem:
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = _BEARER
    if retry is not None:
        delay = retry.retry_delay.ToTimedelta().total_seconds()
        headers["Retry-After"] = str(max(1, -int(-delay // 1)))
    elif problem.status == 503:
        headers["Retry-After"] = "1"
    problem.headers = headers
    return problem


def json_path(path: str, request: Descriptor | None, body: str) -> str:
    """`access_request.subject.identities[0].type` as the caller of HTTP knows it: `subject.identities[0].type`."""
    if request is None:
        return path
    if path == body:
        return "body"
    message: Descriptor | None = request
    result = []
    for piece in path.split("."):
        name, bracket, index = piece.partition("[")
        found = message.fields_by_name.get(name) if message is not None else None
        result.append((found.json_name if found is not None else name) + bracket + index)
        message = found.message_type if found is not None else None
    if body not in ("", "*") and path.startswith(f"{body}."):
        result = result[1:]
    return ".".join(result)

"""Contracts that this gateway could not serve faithfully keep it from starting."""

from typing import Any

import pytest
from dsr.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway.routes import routes_of

_F = descriptor_pb2.FieldDescriptorProto


def service(http: dict[str, Any] | None, *, fields: Any = (), streaming: str = "", answer: Any = ()) -> Any:
    """A service with one RPC, in a pool of its own on top of the contract's files."""
    pool = descriptor_pool.DescriptorPool()
    for module in (annotations_pb2, options_pb2):
        _add(pool, module.DESCRIPTOR)
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.dependency.extend(["google/api/annotations.proto", "dsr/v1/options.proto"])
    request = file.message_type.add(name="Request")
    request.field.add(name="name", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    for field in fields:
        request.field.add().CopyFrom(field)
    response = file.message_type.add(name="Response")
    for field in answer:
        response.field.add().CopyFrom(field)
    rpc = file.service.add(name="S").method.add(name="M", input_type=".t.Request", output_type=".t.Response")
    rpc.server_streaming, rpc.client_streaming = streaming == "server", streaming == "client"
    if http is not None:
        for key, value in http.items():
            setattr(rpc.options.Extensions[annotations_pb2.http], key, value)
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return {"t": [pool.FindServiceByName("t.S")]}


def _add(pool: Any, file: Any) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)


def personal(name: str) -> Any:
    field = _F(name=name, number=9, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    field.options.Extensions[options_pb2.personal] = True
    return field


GET = {"get": "/v1/{name=partners/*}"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"http": None}, "no google.api.http"),
        ({"http": {"get": "/v1/{name=partners/**}"}}, "path template"),
        ({"http": {"get": "/v1/{other=partners/*}"}}, "path field other"),
        ({"http": {"post": "/v1/x", "body": "nothing"}}, "body field nothing"),
        ({"http": {"post": "/v1/x", "body": "name"}}, "body field name"),
        ({"http": {**GET, "response_body": "x"}}, "does not serve"),
        ({"http": GET, "streaming": "client"}, "does not serve"),
        ({"http": GET, "streaming": "server"}, "no form over HTTP"),
        ({"http": GET, "fields": [personal("email")]}, "personal data"),
    ],
)
def test_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=reason):
        routes_of(service(**arguments))


def test_accepted() -> None:
    (route,) = routes_of(service(GET))
    assert route.path == "/t.S/M"
    (route,) = routes_of(service({"post": "/v1/x", "body": "*"}, fields=[personal("email")]))
    assert route.query_fields == ()


def test_two_rpcs_at_one_path() -> None:
    with pytest.raises(RuntimeError, match="path of another"):
        routes_of({**service(GET), **{"u": service(GET)["t"]}})

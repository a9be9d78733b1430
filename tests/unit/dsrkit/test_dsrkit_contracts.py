"""Promises the protos make about themselves, held against the descriptors and the code."""

import re
from pathlib import Path

import pytest
from dsr.authority.v1 import authority_pb2
from dsr.connector.v1 import connector_pb2, grant_pb2
from dsr.services import FILES as PUBLIC
from dsr.v1 import error_reason_pb2, options_pb2, request_pb2, subject_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

FILES = [
    *(file for files in PUBLIC.values() for file in files),
    *(module.DESCRIPTOR for module in (authority_pb2, connector_pb2, grant_pb2, request_pb2, subject_pb2)),
]
ROOT = Path(__file__).parents[3]


def messages() -> list[Descriptor]:
    found: list[Descriptor] = []
    waiting = [m for file in FILES for m in file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        found.append(message)
        waiting += message.nested_types
    return found


@pytest.mark.parametrize("message", messages(), ids=lambda m: m.full_name)
@pytest.mark.policy("P5", "every text of the contract decides whether it can be personal")
def test_every_text_decides_whether_it_is_personal(message: Descriptor) -> None:
    for field in message.fields:
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            assert field.GetOptions().HasExtension(options_pb2.personal), field.full_name


def test_identities_never_stand_in_a_url() -> None:
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[annotations_pb2.http]
                if rule.get or rule.delete:
                    personal = [
                        f.name for f in method.input_type.fields if f.GetOptions().Extensions[options_pb2.personal]
                    ]
                    assert not personal, method.full_name
                    assert not any(
                        f.message_type and f.message_type.name == "Subject" for f in method.input_type.fields
                    )


def test_every_public_rpc_is_offered_over_http_and_internal_ones_are_not() -> None:
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                offered = bool(method.GetOptions().HasExtension(annotations_pb2.http))
                assert offered == (file.package == "dsr.v1"), method.full_name


def test_every_field_of_a_request_says_how_it_behaves() -> None:
    for message in messages():
        if message.name.endswith("Request") and message.file.package in ("dsr.v1", "dsr.authority.v1"):
            for field in message.fields:
                assert field.GetOptions().Extensions[field_behavior_pb2.field_behavior], field.full_name


def test_every_mutation_takes_a_request_id() -> None:
    for file in FILES:
        if file.package != "dsr.v1":
            continue
        for service in file.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[annotations_pb2.http]
                if rule.post and method.name != "SetPartnerStanding":  # setting it twice is setting it once
                    assert "request_id" in method.input_type.fields_by_name, method.full_name


@pytest.mark.parametrize("reason", [n.removeprefix("ERROR_REASON_") for n in error_reason_pb2.ErrorReason.keys()[1:]])
def test_every_reason_is_used(reason: str) -> None:
    """A reason that nothing raises is a promise that nothing keeps."""
    folders = ("dsrkit", "services", "connectors", "gateway", "deploy")
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "errors.py" and re.search(rf'["\']{reason}["\']', path.read_text()):
                return
    texts = (ROOT / "dsrkit" / "errors.py").read_text().count(f'"{reason}"')
    assert texts > 1, f"{reason} is in the contract and nothing raises it"

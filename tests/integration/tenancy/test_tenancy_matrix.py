"""Every public RPC × every kind of caller who must not get through, over gRPC and over HTTP.

Generated from the descriptors: a new RPC is in the matrix the moment it is in a proto.
"""

import json
import re
import secrets
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr.credentials import Credential
from dsr.services import descriptors
from dsr.v1 import (
    backups_pb2,
    breach_pb2,
    connectors_pb2,
    correction_pb2,
    governance_pb2,
    location_pb2,
    options_pb2,
    recipient_pb2,
    refusal_pb2,
    request_pb2,
    retention_pb2,
    termination_pb2,
    transfer_pb2,
)
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from deploy.local.postgres import Cluster
from dsrkit import interceptors
from dsrkit.errors import from_rpc_error
from dsrkit.interceptors import policy_of
from dsrkit.issuer import TrustFile
from gateway.config import Config as GatewayConfig
from gateway.server import open_gateway
from tests.support.http import PLAINTEXT
from tests.support.policies import appoint, appoint_officers, propose, publish
from tests.support.services import CRM, PARTNER, World, data_map, open_world, subject, timestamp

PROCESSES = {service.full_name: process for process, found in descriptors().items() for service in found}
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}/{method.name}": method
    for found in descriptors().values()
    for service in found
    for method in service.methods
}
ALL_ROLES = ("ROLE_READER", "ROLE_REQUESTER", "ROLE_APPROVER", "ROLE_ADMIN")
ABSENT = str(uuid.UUID(int=1))
OF_EVERYBODY = {"LedgerService/GetLedger", "LedgerService/ProveLedgerConsistency"}
"""RPCs about nobody's data: whoever calls gets the same answer. A new one is a decision."""


@dataclass
class Setting:
    """The services, the gateway, and one existing resource of every kind of the partner acme."""

    world: World
    http: httpx.AsyncClient
    names: dict[str, str]


@pytest.fixture(scope="module")
async def setting(postgres: Cluster, template: str) -> AsyncIterator[Setting]:
    name = f"tenancy_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-tenancy-") as folder:
        async with open_world(Path(folder), postgres, name) as world:
            ports: dict[str, Any] = {f"{n}_address": f"127.0.0.1:{p}" for n, p in world.ports.items()}
            config = GatewayConfig(listen="127.0.0.1:0", trust=str(world.folder / "trust.json"), **ports)
            async with open_gateway(config) as gateway:
                url = f"http://127.0.0.1:{gateway.port}"
                async with httpx.AsyncClient(base_url=url, timeout=20, verify=PLAINTEXT) as client:
                    yield Setting(world, client, await _resources(world))
    postgres.drop_database(name)


async def _resources(world: World) -> dict[str, str]:
    admin = world.metadata("adam", "ROLE_ADMIN")
    hold = governance_pb2.Hold(source=CRM, collection="people", reason="r", legal_reference="l")
    hold.review_time.FromDatetime(datetime.now(UTC) + timedelta(days=9))
    placed = await world.governance.PlaceHold(
        governance_pb2.PlaceHoldRequest(parent=PARTNER, hold=hold, request_id=str(uuid.uuid4())), metadata=admin
    )
    webhook = await world.governance.CreateWebhook(
        governance_pb2.CreateWebhookRequest(
            parent=PARTNER,
            webhook=governance_pb2.Webhook(url="http://127.0.0.1:9/"),
            request_id=str(uuid.uuid4()),
        ),
        metadata=admin,
    )
    role = governance_pb2.RoleGrant(grantee="urn:dsr:partner:acme#zoe", role=options_pb2.ROLE_APPROVER)
    granted = await world.governance.GrantRole(
        governance_pb2.GrantRoleRequest(parent=PARTNER, role_grant=role, request_id=str(uuid.uuid4())), metadata=admin
    )
    names = {
        "partners": PARTNER,
        "dataSources": CRM,
        "dataMaps": f"{PARTNER}/dataMaps/1",
        "holds": placed.name,
        "webhooks": webhook.name,
        "roleGrants": granted.name,
    }
    correction = correction_pb2.CorrectionRequest(
        kind=correction_pb2.CorrectionRequest.KIND_OBJECTION,
        subject=subject([("email", "ann@example.com")]),
        clock=request_pb2.Clock(received_time=timestamp()),
        purposes=["fulfilling orders"],
        direct_marketing=True,
    )
    corrected = await world.corrections.CreateCorrectionRequest(
        correction_pb2.CreateCorrectionRequestRequest(
            parent=PARTNER, correction_request=correction, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata(),
    )
    names["correctionRequests"] = corrected.name
    place = governance_pb2.Location(provider="Amazon Web Services", site="Dublin", country="IE")
    kept = backups_pb2.Snapshot(source=CRM, label="crm-1", location=place, snapshot_time=timestamp())
    registered = await world.backups.RegisterSnapshots(
        backups_pb2.RegisterSnapshotsRequest(parent=PARTNER, snapshots=[kept], request_id=str(uuid.uuid4())),
        metadata=admin,
    )
    names["snapshots"] = registered.snapshots[0].name
    restored = await world.backups.AnnounceRestore(
        backups_pb2.AnnounceRestoreRequest(
            parent=PARTNER, restore=backups_pb2.Restore(snapshot=names["snapshots"]), request_id=str(uuid.uuid4())
        ),
        metadata=admin,
    )
    await world.backups.FinishRestore(
        backups_pb2.FinishRestoreRequest(name=restored.name, request_id=str(uuid.uuid4())), metadata=admin
    )
    names["restores"] = restored.name
    await appoint_officers(world)
    version = await publish(world, await propose(world, effective=datetime.now(UTC) + timedelta(days=60)))
    names["staffGrants"] = await appoint(world, "susan", "ROLE_SUPPORT")
    names["policyVersions"], names["policyAgreements"] = version.name, f"{PARTNER}/policyAgreements/{version.version}"
    agreements = await world.locations.ListLocationAgreements(
        location_pb2.ListLocationAgreementsRequest(parent=PARTNER), metadata=admin
    )
    names["locationAgreements"] = agreements.location_agreements[0].name
    moved = connectors_pb2.ConnectorChange(source=CRM, connector_address="127.0.0.1:9")
    proposed = await world.connectors.CreateConnectorChange(
        connectors_pb2.CreateConnectorChangeRequest(
            parent=PARTNER, connector_change=moved, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )
    names["connectorChanges"] = proposed.name
    breach = breach_pb2.Breach(natures=[breach_pb2.Breach.NATURE_INTEGRITY], description="acme was told so")
    reported = await world.breaches.ReportBreach(
        breach_pb2.ReportBreachRequest(parent=PARTNER, breach=breach, request_id=str(uuid.uuid4())), metadata=admin
    )
    names["breaches"] = reported.name
    rule = retention_pb2.RetentionRule(source=CRM, collection="people", field="seen", identity_type="email")
    ruled = await world.retention.CreateRetentionRule(
        retention_pb2.CreateRetentionRuleRequest(parent=PARTNER, retention_rule=rule, request_id=str(uuid.uuid4())),
        metadata=admin,
    )
    swept = await world.retention.CreateRetentionSweep(
        retention_pb2.CreateRetentionSweepRequest(
            parent=PARTNER, retention_sweep=retention_pb2.RetentionSweep(rule=ruled.name), request_id=str(uuid.uuid4())
        ),
        metadata=admin,
    )
    names["retentionRules"], names["retentionSweeps"] = ruled.name, swept.name
    names["transferAttestations"] = (await world.attest("GB")).name
    clauses = transfer_pb2.TransferSafeguard(
        recipient=PARTNER,
        country="US",
        instrument=transfer_pb2.TRANSFER_INSTRUMENT_STANDARD_CLAUSES,
        document_reference="contract-1",
        document_sha256="0" * 64,
        begin_time=timestamp(),
    )
    safeguard = await world.transfers.CreateTransferSafeguard(
        transfer_pb2.CreateTransferSafeguardRequest(
            parent=PARTNER, transfer_safeguard=clauses, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )
    names["transferSafeguards"] = safeguard.name
    told = refusal_pb2.SubjectRefusal(
        right="A15",
        reason="eu-gdpr:JustificationA12ManifestlyUnfounded",
        received_time=timestamp(),
        subject_told_time=timestamp(),
        remedies=[refusal_pb2.SubjectRefusal.REMEDY_COMPLAINT, refusal_pb2.SubjectRefusal.REMEDY_JUDICIAL],
    )
    told.received_time.seconds -= 60
    refused = await world.refusals.CreateSubjectRefusal(
        refusal_pb2.CreateSubjectRefusalRequest(parent=PARTNER, subject_refusal=told, request_id=str(uuid.uuid4())),
        metadata=world.metadata(),
    )
    names["refusals"] = refused.name
    names["subProcessors"] = f"{PARTNER}/subProcessors/slack"
    names["recipientTasks"] = await _recipient_task(world)
    leaving = await world.terminations.CreateTermination(
        termination_pb2.CreateTerminationRequest(parent=PARTNER, request_id=str(uuid.uuid4())), metadata=admin
    )
    names["terminations"] = leaving.name
    for right in ("access", "portability", "erasure"):
        created = await world.create(right)
        await world.until(right, created.name, "PLANNED")
        names[f"{right}Requests"] = created.name
    return names


async def _recipient_task(world: World) -> str:
    """A rectification is carried out in a collection that has a recipient."""
    told = data_map()
    orders = told.sources[1].collections[0]
    orders.recipients.append("DHL")
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(parent=PARTNER, data_map=told, request_id=str(uuid.uuid4())),
        metadata=world.metadata("adam", "ROLE_ADMIN"),
    )
    kinds = correction_pb2.CorrectionRequest
    change = kinds.FieldChange(source=told.sources[1].source, collection="orders", field="item", value="coffee")
    wanted = kinds(
        kind=kinds.KIND_RECTIFICATION,
        subject=subject([("email", "ann@example.com")]),
        clock=request_pb2.Clock(received_time=timestamp()),
        changes=[change],
    )
    made = await world.corrections.CreateCorrectionRequest(
        correction_pb2.CreateCorrectionRequestRequest(
            parent=PARTNER, correction_request=wanted, request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata(),
    )
    await world.corrections.CompleteCorrectionTask(
        correction_pb2.CompleteCorrectionTaskRequest(
            name=made.name, source=change.source, evidence="e", request_id=str(uuid.uuid4())
        ),
        metadata=world.metadata(),
    )
    page = await world.recipients.ListRecipientTasks(
        recipient_pb2.ListRecipientTasksRequest(parent=PARTNER), metadata=world.metadata()
    )
    return str(page.recipient_tasks[0].name)


def collection_of(method: MethodDescriptor) -> str:
    """The kind of resource a method's `name` names; empty when it takes a parent or nothing."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    found = re.search(r"\{name=(?:partners/\*(?:/(\w+)/\*)?|(\w+)/\*)\}", rule.get or rule.post or rule.delete)
    return (found.group(1) or found.group(2) or "partners") if found else ""


def for_staff_alone(method: MethodDescriptor) -> bool:
    """Whether no role of a partner may call it."""
    return not {options_pb2.Role.Name(role) for role in policy_of(method).any_of} & set(ALL_ROLES)


def build(method: MethodDescriptor, resource: str, parent: str) -> Any:
    """A message that is complete, so that nothing but the caller is wrong with it."""
    message: Any = message_factory.GetMessageClass(method.input_type)()
    _complete(message, parent)
    if "name" in method.input_type.fields_by_name:
        message.name = resource
    if "parent" in method.input_type.fields_by_name:
        message.parent = parent
    return message


def _complete(message: Any, parent: str) -> None:
    for field in message.DESCRIPTOR.fields:
        if field_behavior_pb2.REQUIRED not in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None:
            target = value.add() if field.is_repeated else value
            target.SetInParent()
            if field.message_type.full_name == "google.protobuf.Timestamp":
                target.GetCurrentTime()
            _complete(target, parent)
        elif field.is_repeated:
            value.append(1 if field.type == FieldDescriptor.TYPE_ENUM else "x")
        elif field.type == FieldDescriptor.TYPE_ENUM:
            setattr(message, field.name, 1)
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, _text(field, parent))


def _text(field: FieldDescriptor, parent: str) -> str:
    known = {
        "request_id": str(uuid.uuid4()),
        "type": "email",
        "grantee": "urn:x#y",
        "role": "x",
        "country": "IE",
        "time_zone": "Europe/Dublin",
        "connector_address": "127.0.0.1:9",
        "url": "http://127.0.0.1:9/",
        "source": f"{parent}/dataSources/none",
        "name": f"{parent}/dataSources/none",
        "plan_digest": "0" * 64,
    }
    return known.get(field.name, "x")


def tokens(world: World) -> dict[str, tuple[str | None, str]]:
    """Kinds of callers, and the reason each must get."""
    acme, now = world.credential(), int(time.time())
    claims = {"iss": acme.issuer, "sub": "eve", "iat": now, "exp": now + 60, "jti": "j", "roles": list(ALL_ROLES)}

    def sign(header: dict[str, str], key: Any = None, algorithm: str = "EdDSA", **changed: Any) -> str:
        body = {"aud": "dsr", "actor_type": "person", "auth_time": now, **claims, **changed}
        return jwt.encode(body, acme.private_key if key is None else key, algorithm=algorithm, headers=header)

    kid = {"kid": acme.key_id}
    stranger = Ed25519PrivateKey.generate()
    return {
        "none": (None, "CREDENTIAL_MISSING"),
        "garbage": ("x.y.z", "CREDENTIAL_INVALID"),
        "expired": (sign(kid, exp=now - 60, iat=now - 300), "CREDENTIAL_INVALID"),
        "too long-lived": (sign(kid, exp=now + 86400), "CREDENTIAL_INVALID"),
        "wrong audience": (sign(kid, aud="somebody-else"), "CREDENTIAL_INVALID"),
        "several audiences": (sign(kid, aud=["dsr", "other"]), "CREDENTIAL_INVALID"),
        "wrong issuer": (sign(kid, iss="urn:dsr:partner:nobody"), "CREDENTIAL_INVALID"),
        "another partner's key": (sign(kid, key=world.credential("globex").private_key), "CREDENTIAL_INVALID"),
        "unknown key": (sign({"kid": "nope"}, key=stranger), "CREDENTIAL_INVALID"),
        "key in the header": (sign({**kid, "jku": "https://evil.example/jwks"}), "CREDENTIAL_INVALID"),
        "alg none": (sign(kid, key="", algorithm="none"), "CREDENTIAL_INVALID"),
        "symmetric": (sign(kid, key="k" * 64, algorithm="HS256"), "CREDENTIAL_INVALID"),
        "a role the issuer may not give": (sign(kid, roles=["ROLE_SERVICE"]), "CREDENTIAL_INVALID"),
        "no role": (sign(kid, roles=[]), "ROLE_REQUIRED"),
    }


async def call(setting: Setting, method: MethodDescriptor, message: Any, token: str | None) -> tuple[str, ...]:
    """Reason, code, message and metadata of the refusal; `OK` and what came otherwise."""
    channel = setting.world.channel(PROCESSES[method.containing_service.full_name])
    output = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    rpc: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    stub = rpc(path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=output.FromString)
    metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
    try:
        if method.server_streaming:
            received = [item async for item in stub(message, metadata=metadata, timeout=10)]
            return ("OK", str(received))
        return ("OK", str(await stub(message, metadata=metadata, timeout=10)))
    except grpc.aio.AioRpcError as error:
        info = from_rpc_error(error)
        reason, metadata_ = (info.reason, dict(info.metadata)) if info else ("NO ERROR INFO", {})
        return (reason, error.code().name, error.details() or "", json.dumps(metadata_))


async def call_http(setting: Setting, method: MethodDescriptor, message: Any, token: str | None) -> tuple[Any, ...]:
    """The same over the gateway: status and problem document."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = next(v for v in ("get", "post", "delete") if getattr(rule, v))
    template = getattr(rule, verb)
    path = re.sub(r"\{(\w+)=[^}]*\}", lambda m: str(getattr(message, m.group(1))), template)
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    body = None
    if rule.body:
        body = json_format.MessageToDict(message if rule.body == "*" else getattr(message, rule.body))
        for name in ("name", "parent") if rule.body == "*" else ():
            body.pop(name, None)
    params = {"request_id": message.request_id} if rule.body not in ("", "*") else {}
    response = await setting.http.request(verb.upper(), path, headers=headers, json=body, params=params)
    document = response.json() if response.headers.get("content-type", "").endswith("json") else {}
    document.pop("instance", None)
    return response.status_code, document.get("reason", "OK"), document.get("detail", ""), str(document)


STATUS = {"CREDENTIAL_MISSING": 401, "CREDENTIAL_INVALID": 401, "ROLE_REQUIRED": 403}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.policy("P1", "every RPC refuses a caller without the partner's own credential, over gRPC and HTTP")
async def test_nobody_gets_through(setting: Setting, name: str) -> None:
    method = METHODS[name]
    message = build(method, setting.names.get(collection_of(method), PARTNER), PARTNER)
    for kind, (token, reason) in tokens(setting.world).items():
        answer = await call(setting, method, message, token)
        assert answer[0] == reason, f"gRPC, {kind}: {answer}"
        over_http = await call_http(setting, method, message, token)
        assert over_http[:2] == (STATUS[reason], reason), f"HTTP, {kind}: {over_http}"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.policy("P1", "another partner's resource and an absent one get the same answer")
async def test_a_foreign_id_and_an_absent_id_are_answered_alike(setting: Setting, name: str) -> None:
    method = METHODS[name]
    if for_staff_alone(method):
        answer = await call(setting, method, build(method, PARTNER, PARTNER), _globex(setting))
        assert answer[0] == "ROLE_REQUIRED"
        return
    if name in OF_EVERYBODY:
        theirs = await call(setting, method, build(method, PARTNER, PARTNER), _globex(setting))
        assert theirs == await call(setting, method, build(method, PARTNER, PARTNER), _ours(setting))
        return
    kind = collection_of(method)
    foreign = await call(setting, method, build(method, setting.names.get(kind, ""), PARTNER), _globex(setting))
    assert foreign[0] == "NOT_FOUND", foreign
    over_http = await call_http(setting, method, build(method, setting.names.get(kind, ""), PARTNER), _globex(setting))
    assert over_http[:2] == (404, "NOT_FOUND")
    if kind and kind != "partners":
        own = "partners/globex"
        absent = f"{own}/{kind}/{'999' if kind == 'dataMaps' else 'none' if kind == 'dataSources' else ABSENT}"
        assert await call(setting, method, build(method, absent, own), _globex(setting)) == foreign
        assert await call_http(setting, method, build(method, absent, own), _globex(setting)) == over_http


def _ours(setting: Setting) -> str:
    return setting.world.credential("acme").token("dsr", subject="eve", roles=ALL_ROLES, actor_type="person")


def _globex(setting: Setting) -> str:
    return setting.world.credential("globex").token("dsr", subject="eve", roles=ALL_ROLES, actor_type="person")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.policy("P1", "row-level security shows no other partner's row, even without the first wall")
async def test_without_the_policy_check_the_database_still_shows_nothing(
    setting: Setting, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: with the first one gone, another partner's rows are still not to be had."""
    monkeypatch.setattr(interceptors, "check_policy", lambda *_: None)
    method = METHODS[name]
    if for_staff_alone(method):
        return
    message = build(method, setting.names.get(collection_of(method), PARTNER), PARTNER)
    answer = await call(setting, method, message, _globex(setting))
    shown = answer[1] if answer[0] == "OK" else ""
    for resource in setting.names.values():
        assert f'"{resource}"' not in shown
    assert "acme" not in shown.replace("urn:dsr:partner:acme", "")


async def test_nothing_of_the_partner_was_changed(setting: Setting) -> None:
    admin = setting.world.metadata("adam", "ROLE_ADMIN", "ROLE_REQUESTER")
    hold = await setting.world.governance.ListHolds(governance_pb2.ListHoldsRequest(parent=PARTNER), metadata=admin)
    assert not any(h.HasField("release_time") for h in hold.holds)
    hooks = await setting.world.governance.ListWebhooks(
        governance_pb2.ListWebhooksRequest(parent=PARTNER), metadata=admin
    )
    assert len(hooks.webhooks) == 1
    for right in ("access", "portability", "erasure"):
        request = await setting.world.get(right, setting.names[f"{right}Requests"])
        assert request.state not in (14,)


async def test_a_rotated_and_a_revoked_key(setting: Setting) -> None:
    world = setting.world
    trust, issuer = TrustFile(world.folder / "trust.json"), world.credential().issuer
    method = METHODS["AccessService/ListAccessRequests"]
    message = build(method, "", PARTNER)
    old = world.credential()
    trust.rotate(issuer, world.folder / "acme-new.json")
    new = Credential.load(world.folder / "acme-new.json")

    def token(credential: Credential) -> str:
        return credential.token("dsr", subject="alice", roles=["ROLE_READER"])

    assert (await call(setting, method, message, token(old)))[0] == "OK"
    assert (await call(setting, method, message, token(new)))[0] == "OK"
    trust.revoke(issuer, old.key_id)
    assert (await call(setting, method, message, token(old)))[0] == "CREDENTIAL_INVALID"
    assert (await call(setting, method, message, token(new)))[0] == "OK"


@pytest.mark.policy("P16", "every RPC declares which roles may call it; a service with one that doesn't is not started")
def test_every_rpc_of_every_service_declares_a_policy() -> None:
    for service in (*PROCESSES, "dsr.authority.v1.AuthorityService"):
        for method in descriptor_pool.Default().FindServiceByName(service).methods:
            assert policy_of(method).any_of

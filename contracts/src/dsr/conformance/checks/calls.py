"""Rules that hold for every RPC: credentials, the source's name, errors."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Failed, Unprepared, require
from dsr.conformance.checks import requests
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant, SignedGrant
from dsr.v1.error_reason_pb2 import ErrorReason

_ELSEWHERE = ("partners/nobody/dataSources/nothing", "dataSources/nothing")


def _of_source(bench: Bench, source: str) -> dict[str, Message]:
    """Requests that name a source."""
    person = bench.material.present
    verify = requests.verify(bench, person, [requests.instruct("any")])
    verify.source = source
    return {
        "Describe": pb.DescribeRequest(source=source),
        "Probe": pb.ProbeRequest(source=source),
        "Locate": pb.LocateRequest(source=source, subjects=[person.subject("one")]),
        "Verify": verify,
    }


async def _of_all(bench: Bench) -> dict[str, Message]:
    """A request of each RPC, for calls that must fail before it is looked at. RPCs that came later: if declared."""
    later: dict[str, Message] = {}
    grant = bench.grant(Grant.OPERATION_EXPORT, [])
    signed = SignedGrant(grant=grant.SerializeToString(), key_id="nobody", signature=b"\0" * 64)
    person = bench.material.present
    subjects = requests.harmless(bench, person, [requests.instruct("any")])
    if await bench.declares(pb.CAPABILITY_INACTIVE):
        later["ListInactive"] = pb.ListInactiveRequest(grant=signed)
    if await bench.declares(pb.CAPABILITY_COUNT):
        later["CountPeople"] = pb.CountPeopleRequest(grant=signed)
    return {
        **_of_source(bench, bench.source),
        "Export": requests.export(signed, person),
        "Erase": pb.EraseRequest(grant=signed, subjects=subjects),
        **later,
    }


class _TokenCheck(Check):
    code = "UNAUTHENTICATED / CREDENTIAL_INVALID"
    meaning = "The credential isn't good here. The answer doesn't say why."
    caller = "gets a new token for this source, then retries once"
    remedy = (
        "Verify signature (EdDSA only), issuer, expiry and audience of every bearer token before reading the request."
    )

    def token(self, bench: Bench) -> str:
        """The spoilt token; empty: none."""
        raise NotImplementedError

    async def run(self, bench: Bench) -> None:
        """Every RPC must refuse it."""
        for rpc, request in (await _of_all(bench)).items():
            requests.refused(await bench.call(rpc, request, token=self.token(bench)), self, rpc)


class NoToken(_TokenCheck):
    rule = "call.no-token"
    condition = "no bearer token"
    code = "UNAUTHENTICATED / CREDENTIAL_MISSING"
    meaning = "Nobody is told anything."
    caller = "presents a token, then retries"

    def token(self, bench: Bench) -> str:
        return ""


class MalformedToken(_TokenCheck):
    rule = "call.malformed-token"
    condition = "a bearer token that is no JWT"

    def token(self, bench: Bench) -> str:
        return "not.a.token"


class UnsignedToken(_TokenCheck):
    rule = "call.unsigned-token"
    condition = "a token with `alg: none`"

    def token(self, bench: Bench) -> str:
        header, claims, _ = bench.credential.token(bench.source).split(".")
        fields = json.loads(base64.urlsafe_b64decode(header + "=="))
        spoilt = base64.urlsafe_b64encode(json.dumps({**fields, "alg": "none"}).encode()).decode().rstrip("=")
        return f"{spoilt}.{claims}."


class ForgedToken(_TokenCheck):
    rule = "call.forged-token"
    condition = "a token signed by another key under a known key id"

    def token(self, bench: Bench) -> str:
        return replace(bench.credential, private_key=Ed25519PrivateKey.generate()).token(bench.source)


class ExpiredToken(_TokenCheck):
    rule = "call.expired-token"
    condition = "an expired token"

    def token(self, bench: Bench) -> str:
        return bench.credential.token(bench.source, lifetime=-60)


class OtherAudience(_TokenCheck):
    rule = "call.other-audience"
    condition = "a good token for another audience"
    meaning = "A token speaks to one source only, so that one that leaks is worth nothing elsewhere."

    def token(self, bench: Bench) -> str:
        return bench.credential.token(f"{bench.source}-other")


class NoRole(Check):
    rule = "call.no-role"
    condition = "a good token without the role ROLE_SERVICE"
    code = "PERMISSION_DENIED / ROLE_REQUIRED"
    meaning = "Only the platform's services call connectors."
    caller = "doesn't retry; an engineer looks"
    remedy = "Require ROLE_SERVICE in the token's `roles`."

    async def run(self, bench: Bench) -> None:
        """Every RPC must refuse it."""
        token = bench.credential.token(bench.source, roles=[])
        for rpc, request in (await _of_all(bench)).items():
            requests.refused(await bench.call(rpc, request, token=token), self, rpc)


class NoSource(Check):
    rule = "call.no-source"
    condition = "`source` is empty (Describe, Probe, Locate, Verify)"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Metadata `field` names it."
    caller = "doesn't retry; an engineer looks"
    remedy = "Check fields marked REQUIRED before anything else, and name the first that is missing."

    async def run(self, bench: Bench) -> None:
        """And the error must name the field."""
        for rpc, request in _of_source(bench, "").items():
            answer = await bench.call(rpc, request)
            requests.refused(answer, self, rpc)
            info = answer.refusal.info if answer.refusal else None
            require(info and info.metadata.get("field") == "source", f"{rpc}: metadata `field` must be `source`")


class UnknownSource(Check):
    rule = "call.unknown-source"
    condition = "`source` is not the token's audience, whether it exists or not (Describe, Probe, Locate, Verify)"
    code = "NOT_FOUND / NOT_FOUND"
    meaning = "There is no such source, for this caller. Foreign and absent are answered alike."
    caller = "doesn't retry; the data map names a wrong connector"
    remedy = "Compare the request's `source` with the token's audience; answer every difference with the same text."

    async def run(self, bench: Bench) -> None:
        """And all answers must be alike."""
        partner = bench.source.split("/dataSources/")[0]
        answers = set()
        for source in (f"{partner}/dataSources/nothing", *_ELSEWHERE, f"{bench.source}/", f"{bench.source}x"):
            for rpc, request in _of_source(bench, source).items():
                answer = await bench.call(rpc, request)
                requests.refused(answer, self, rpc)
                answers.add(answer.refusal.message if answer.refusal else "")
        require(len(answers) == 1, "absent and foreign sources are answered with different texts")


class OtherSandbox(Check):
    rule = "call.other-sandbox"
    condition = "a sandbox's mark for a live source, or none for a sandbox (Locate, Verify)"
    code = "FAILED_PRECONDITION / SANDBOX_MISMATCH"
    meaning = "Made-up people and real ones are never mixed."
    caller = "waits; the operator mends which source belongs to whom"
    remedy = "Compare whether the request has `sandbox` with what your Describe says."

    async def run(self, bench: Bench) -> None:
        """Both calls must be refused."""
        person, sandbox = bench.material.present, await bench.sandbox()
        requested: dict[str, Any] = {"Locate": requests.locate(bench, [person.subject("one")])}
        if await bench.declares(pb.CAPABILITY_ERASE):
            requested["Verify"] = requests.verify(bench, person, [requests.instruct(n) for n in await bench.personal()])
        for rpc, request in requested.items():
            if not sandbox:
                request.sandbox.SetInParent()
            requests.refused(await bench.call(rpc, request, marked=False), self, rpc)


class Unreachable(Check):
    rule = "call.unreachable"
    condition = "the backend can't be reached (Locate)"
    code = "UNAVAILABLE / SOURCE_UNAVAILABLE"
    meaning = "Nothing is known. Never an empty answer."
    caller = "retries after RetryInfo"
    remedy = "Let a lost connection, a missing mount or a refused login end the call, never look like no records."

    async def run(self, bench: Bench) -> None:
        """On the source that the material names for it."""
        source = bench.material.unreachable
        if not source:
            raise Unprepared("the material names no unreachable source")
        request = pb.LocateRequest(source=source, subjects=[bench.material.present.subject("one")])
        requests.refused(await bench.call("Locate", request, source=source), self)


class ErrorDetails(Check):
    rule = "error.details"
    condition = "any error"
    code = "any"
    meaning = "Has ErrorInfo with domain `dsr.v1` and a known reason; RetryInfo with UNAVAILABLE, RESOURCE_EXHAUSTED."
    caller = "acts on the reason, shows the message to an engineer"
    remedy = "Attach google.rpc.ErrorInfo in the trailing metadata `grpc-status-details-bin` of every error."

    async def run(self, bench: Bench) -> None:
        """Looks at every error of the run so far."""
        known = {name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()}
        for refusal in bench.refusals:
            if refusal.info is None:
                raise Failed(f"an error of {refusal.rpc} ({refusal.code}) has no ErrorInfo")
            require(refusal.info.domain == "dsr.v1", f"an error of {refusal.rpc} has another domain than dsr.v1")
            require(refusal.info.reason in known, f"{refusal.rpc} gave the unknown reason {refusal.info.reason[:60]}")
            waits = refusal.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
            require(refusal.retry or not waits, f"an error {refusal.code} of {refusal.rpc} has no RetryInfo")


class ErrorPrivacy(Check):
    rule = "error.privacy"
    condition = "any error"
    code = "any"
    meaning = "Neither message nor metadata repeats an identity."
    caller = "may log it"
    remedy = "Name the field, never its value; map every driver error to a text of your own."

    async def run(self, bench: Bench) -> None:
        """Looks at every error of the run so far."""
        people = [bench.material.present, bench.material.absent, bench.material.disposable]
        values = {value for person in people if person for _, value in person.identities}
        for refusal in bench.refusals:
            text = f"{refusal.message} {refusal.info}"
            require(not any(value in text for value in values), f"an error of {refusal.rpc} repeats an identity")


CHECKS: Sequence[Check] = (
    NoToken(),
    MalformedToken(),
    UnsignedToken(),
    ForgedToken(),
    ExpiredToken(),
    OtherAudience(),
    NoRole(),
    NoSource(),
    UnknownSource(),
    OtherSandbox(),
    Unreachable(),
)
ERROR_CHECKS: Sequence[Check] = (ErrorDetails(), ErrorPrivacy())

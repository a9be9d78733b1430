"""Puts a fresh token on every call, with no more than the call needs, and turns failures into `DsrRpcError`."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from dsr.credentials import PLATFORM_AUDIENCE, Credential
from dsr.errors import DsrRpcError
from dsr.v1 import options_pb2

PARTNER_ISSUER = "urn:dsr:partner:"
"""What a partner's own issuer begins with; any other speaks for the operator's people."""
STAFF_ROLES = frozenset({"ROLE_OPERATOR", "ROLE_SUPPORT", "ROLE_PRIVACY_OFFICER", "ROLE_ENGINEER", "ROLE_DPO"})
_OPAQUE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True)
class Speaker:
    """For whom tokens are made.

    A credential that names its subject and roles speaks for them. One that doesn't, as a partner's and the operator's,
    speaks for whom `actor` names, with the one role that the call asks for, and as a person where the call asks for
    one: by giving `actor` the holder of the credential vouches that this person signed in just now. `role` says which,
    where a call asks for one of several.
    """

    credential: Credential
    actor: str = ""
    audience: str = PLATFORM_AUDIENCE
    role: str = ""

    def token(self, path: str) -> str:
        """A token for the RPC at `path` (`/dsr.v1.AccessService/GetAccessRequest`)."""
        method = descriptor_pool.Default().FindMethodByName(path.strip("/").replace("/", "."))
        policy = method.GetOptions().Extensions[options_pb2.authorization]
        roles = self.credential.roles or self._role([options_pb2.Role.Name(role) for role in policy.any_of])
        subject = self.credential.subject or self.actor
        if not subject:
            raise ValueError("the credential names no subject: say who acts (an opaque id, not a name)")
        if not _OPAQUE.fullmatch(subject):
            raise ValueError("who acts is said by an opaque id: 1 to 128 letters, digits and . _ : -")
        person = policy.person_only and not self.credential.subject
        return self.credential.token(
            self.audience, subject=subject, roles=roles, actor_type="person" if person else None
        )

    def _role(self, any_of: Sequence[str]) -> tuple[str, ...]:
        if self.role:
            return (self.role,)
        staff = not self.credential.issuer.startswith(PARTNER_ISSUER)
        # Who may not make the call is told so by the service, with the roles that may: not that the token is bad.
        fitting = [role for role in any_of if (role in STAFF_ROLES) == staff]
        return tuple(fitting[:1]) or ("ROLE_OPERATOR" if staff else "ROLE_READER",)


TokenSource = Callable[[str], str]
"""Gives the token for an RPC's path; called for every call."""


class UnaryInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """For calls with one answer."""

    def __init__(self, token: TokenSource) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        """Adds the token; raises DsrRpcError."""
        call = await continuation(_with_token(details, self._token), request)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            raise DsrRpcError(error) from None
        return call


class StreamInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """For calls with a stream of answers."""

    def __init__(self, token: TokenSource) -> None:
        self._token = token

    async def intercept_unary_stream(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        """Adds the token; the stream raises DsrRpcError."""
        return _mapped(await continuation(_with_token(details, self._token), request))


async def _mapped(call: Any) -> AsyncIterator[Any]:
    try:
        async for item in call:
            yield item
    except grpc.aio.AioRpcError as error:
        raise DsrRpcError(error) from None
    finally:
        call.cancel()  # a reader that stops early must not leave the server sending


def _with_token(details: grpc.aio.ClientCallDetails, token: TokenSource) -> grpc.aio.ClientCallDetails:
    path = details.method.decode() if isinstance(details.method, bytes) else details.method
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    if metadata.get("authorization") is None:
        metadata.add("authorization", f"Bearer {token(path)}")
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )

"""The options that say who a request is about, and how that was verified."""

from typing import Annotated, Any

import typer

from dsr.cli import documents
from dsr.cli.terminal import CommandError
from dsr.v1 import subject_pb2

Identities = Annotated[
    list[str] | None,
    typer.Option(
        "--identity", help="type=value, such as email=…; may be repeated. Other users of this machine may see it."
    ),
]
Capacity = Annotated[str, typer.Option("--capacity", help="Who asks: self, guardian, agent or heir.")]
Verifier = Annotated[str, typer.Option("--verified-by", help="Opaque id of who verified the requester.")]
Method = Annotated[
    str,
    typer.Option("--verification", help="account-login, contact-confirmed, in-person, electronic-id or document."),
]
VerifiedAt = Annotated[str, typer.Option("--verified-at", help="When that was; ISO 8601, or `now`.")]

OPTIONS: dict[str, tuple[Any, Any]] = {
    "identity": (Identities, None),
    "capacity": (Capacity, ""),
    "verified_by": (Verifier, ""),
    "verification": (Method, ""),
    "verified_at": (VerifiedAt, ""),
}
"""The same, by parameter, with what they are when they aren't given."""


def fill(
    subject: subject_pb2.Subject,
    identity: list[str] | None,
    capacity: str,
    verified_by: str,
    verification: str,
    verified_at: str,
) -> None:
    """Puts the options into a subject. CommandError for what can't be read."""
    for text in identity or []:
        kind, equals, value = text.partition("=")
        if not equals or not kind or not value:
            raise CommandError("--identity must be type=value, such as email=….")
        subject.identities.add(type=kind, value=value)
    if capacity:
        subject.capacity = documents.choice(subject_pb2.RequesterCapacity, capacity, "--capacity")
    if verified_by:
        subject.verification.verifier = verified_by
    if verification:
        methods = subject_pb2.IdentityVerification.Method
        subject.verification.method = documents.choice(methods, verification, "--verification")
    if verified_at:
        subject.verification.verify_time.CopyFrom(documents.time(verified_at, "--verified-at"))

"""What the source holds and whether it can be worked with."""

from collections.abc import AsyncIterator, Iterator

from dsr.connector.v1 import connector_pb2 as pb

from connectors.redis import keys
from connectors.redis.connection import Server
from connectors.redis.export import fields
from connectors.redis.options import Collection, Options
from connectors.redis.people import telling, tells_last_use
from dsrkit.errors import DsrError

VERSION = "1"
_MATCHES = {"exact": pb.IdentityField.MATCH_EXACT, "case_fold": pb.IdentityField.MATCH_CASE_FOLD}
_SAMPLE = 10
"""Pages of keys that Describe looks through for such as nobody declared."""


async def describe(options: Options, server: Server) -> pb.DescribeResponse:
    """The whole description. Without the server it says what the options declare."""
    return pb.DescribeResponse(
        connector="redis",
        version=VERSION,
        capabilities=list(_capabilities(options)),
        collections=[_collection(name, collection) for name, collection in options.collections.items()],
        findings=[*_scans(options), *await _sampled(options, server)],
        max_records_per_subject=options.max_records_per_subject,
    )


def _capabilities(options: Options) -> Iterator["pb.Capability.ValueType"]:
    yield from (pb.CAPABILITY_EXPORT, pb.CAPABILITY_ERASE, pb.CAPABILITY_RETURN, pb.CAPABILITY_DESTROY)
    if tells_last_use(options):
        yield pb.CAPABILITY_INACTIVE
    if telling(options):
        yield pb.CAPABILITY_COUNT


def _collection(name: str, collection: Collection) -> pb.Collection:
    return pb.Collection(
        name=name,
        fields=fields(collection),
        primary_key=collection.primary_key,
        identity_fields=[
            pb.IdentityField(
                field=identity,
                type=collection.type_of(identity),
                match=_MATCHES[collection.identity[identity].match],
                unique=collection.identity[identity].unique,
            )
            for identity in collection.names
        ],
        no_personal_data=collection.no_personal_data,
        record_estimate=-1,
    )


def _scans(options: Options) -> Iterator[pb.Finding]:
    for name, collection in options.collections.items():
        if collection.scans and not collection.no_personal_data:
            detail = "Every search goes through all keys, or all of a shared key. Let an exact identity be the name."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)


async def undeclared(options: Options, server: Server, pages: int | None = None) -> AsyncIterator[pb.Finding]:
    """Whether a key matches no pattern, among those of so many pages. Its name may identify somebody."""
    number = 0
    async for page in server.keys("*"):
        if any(options.owner(keys.text(key)) is None for key in page):
            detail = "There are keys that match no pattern. Declare them, with no_personal_data if so."
            yield pb.Finding(code="UNDECLARED_COLLECTION", detail=detail)
            return
        number += 1
        if number == pages:
            return


async def _sampled(options: Options, server: Server) -> list[pb.Finding]:
    try:
        return [finding async for finding in undeclared(options, server, _SAMPLE)]
    except DsrError:
        return []  # Probe and Locate say why

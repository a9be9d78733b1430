"""Asks a bucket what may be done with it. Changes nothing; what can't be asked without changing is not promised."""

from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects import keys
from connectors.objects.store import Gone
from connectors.s3.errors import code, translated
from dsrkit.errors import DsrError

if TYPE_CHECKING:
    from connectors.s3.store import S3Store

_NOT_ENCRYPTED = "ServerSideEncryptionConfigurationNotFoundError"


async def probe(store: "S3Store") -> pb.ProbeResponse:
    """An endpoint that can't be reached is an answer, not an error."""
    response = pb.ProbeResponse(reachable=False)
    try:
        client = await store.client()
        with translated(store.source):
            answer = await client.list_objects_v2(Bucket=store.options.bucket, MaxKeys=1)
    except DsrError as error:
        if error.reason in ("SOURCE_UNAVAILABLE", "SOURCE_TIMEOUT"):
            return response
        raise
    response.reachable = True
    response.encrypted_in_transit = store.options.encrypted
    response.encryption_at_rest = await _at_rest(store)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date:
        response.backend_time.FromDatetime(parsedate_to_datetime(date).astimezone(UTC))
    bucket = store.options.bucket
    asks: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("bucket: read versioning", partial(client.get_bucket_versioning, Bucket=bucket)),
        ("bucket: read object lock", store.has_obstacles),
    ]
    for name, collection in store.options.collections.items():
        prefix = keys.prefix(collection.pattern)

        listing = {"Bucket": bucket, "Prefix": prefix}
        asks.append((f"{name}: list versions", partial(client.list_object_versions, **listing, MaxKeys=1)))
        asks.append((f"{name}: list uploads", partial(client.list_multipart_uploads, **listing, MaxUploads=1)))
    for operation, ask in asks:
        allowed = await _allowed(store, ask)
        response.permissions.append(pb.ProbeResponse.Permission(operation=operation, allowed=allowed))
    return response


async def _allowed(store: "S3Store", ask: Callable[[], Awaitable[Any]]) -> bool:
    try:
        with translated(store.source):
            await ask()
    except Gone:
        return True
    except DsrError as error:
        if error.metadata.get("why") == "PERMISSION":
            return False
        raise
    return True


async def _at_rest(store: "S3Store") -> "pb.ProbeResponse.EncryptionAtRest.ValueType":
    """What the bucket says; where it says nothing, what the operator declared."""
    client = await store.client()
    try:
        answer = await client.get_bucket_encryption(Bucket=store.options.bucket)
        if answer.get("ServerSideEncryptionConfiguration", {}).get("Rules"):
            return pb.ProbeResponse.ENCRYPTION_AT_REST_YES
        known = False
    except ClientError as error:
        known = code(error) == _NOT_ENCRYPTED
    declared = store.options.encrypted_at_rest
    if declared is not None:
        return pb.ProbeResponse.ENCRYPTION_AT_REST_YES if declared else pb.ProbeResponse.ENCRYPTION_AT_REST_NO
    return pb.ProbeResponse.ENCRYPTION_AT_REST_NO if known else pb.ProbeResponse.ENCRYPTION_AT_REST_UNSPECIFIED

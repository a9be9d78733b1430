"""Writes an object anew with everything but its content kept, unless somebody else was faster."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from connectors.objects.store import Gone, Overtaken, Version
from connectors.s3.errors import status, translated
from connectors.s3.options import S3Options
from dsrkit.errors import DsrError

if TYPE_CHECKING:
    from connectors.s3.store import S3Store

REWRITES = "dsr-rewrites"
"""Metadata of a version that an erasure wrote: the id of the version whose place it takes."""

_PART = 8 << 20
_WHOLE = 64 << 20
"""Up to this size an object is sent in one request, which every store can make conditional."""

_KEPT = (
    "ContentType",
    "ContentEncoding",
    "ContentLanguage",
    "ContentDisposition",
    "CacheControl",
    "Expires",
    "WebsiteRedirectLocation",
    "StorageClass",
    "ServerSideEncryption",
    "SSEKMSKeyId",
    "BucketKeyEnabled",
)


def kept(head: Mapping[str, Any], tags: Mapping[str, str], options: S3Options) -> dict[str, Any]:
    """What PutObject is told so that the new object is like the old one."""
    settings: dict[str, Any] = {name: head[name] for name in _KEPT if head.get(name) not in (None, "")}
    settings["Metadata"] = dict(head.get("Metadata", {}))
    settings["Metadata"].pop(REWRITES, None)
    settings |= {"Bucket": options.bucket}
    if tags:
        settings["Tagging"] = urlencode(dict(tags))
    return settings


class Rewriting:
    """New content on its way. Small content is one request; large content a multipart upload in parts of 8 MiB."""

    def __init__(
        self, store: "S3Store", client: Any, version: Version, settings: dict[str, Any], *, versioned: bool
    ) -> None:
        self._store = store
        self._client = client
        self._version = version
        self._settings = settings | {"Key": version.key}
        self._versioned = versioned
        self._pending = bytearray()
        self._upload = ""
        self._parts: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        """Sends parts as soon as it is clear that one request won't do."""
        self._pending += data
        if not self._upload and len(self._pending) > _WHOLE:
            with translated(self._store.source):
                self._upload = (await self._client.create_multipart_upload(**self._settings))["UploadId"]
        while self._upload and len(self._pending) >= _PART:
            await self._send(bytes(self._pending[:_PART]))
            del self._pending[:_PART]

    async def _send(self, data: bytes) -> None:
        number = len(self._parts) + 1
        with translated(self._store.source):
            answer = await self._client.upload_part(**self._target, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    async def commit(self) -> None:
        """Puts the content in place, if the version that was read is the current one."""
        await self._check()
        if not self._upload:
            await self._put(bytes(self._pending))
            return
        if self._pending:
            await self._send(bytes(self._pending))
        condition = {}
        if not self._versioned:
            self._require_condition()
            condition = {"IfMatch": self._version.etag}
        try:
            with translated_condition(self._store.source):
                await self._client.complete_multipart_upload(
                    **self._target, MultipartUpload={"Parts": self._parts}, **condition
                )
        finally:
            self._parts = []
        self._upload = ""

    def _require_condition(self) -> None:
        """Others than Amazon ignore or misread conditions on multipart uploads: a writer could be overwritten."""
        options = self._store.options
        if not options.amazon and options.unguarded_rewrites == "block":
            raise DsrError(
                "SOURCE_REJECTED",
                "An object of this size can't be replaced safely in a bucket without versions. Turn versioning on.",
                source=self._store.source,
                why="UNGUARDED",
            )

    async def _check(self) -> None:
        """Cheap, and close to the end: spares a version that would only have to be removed again."""
        with translated(self._store.source):
            try:
                head = await self._client.head_object(Bucket=self._settings["Bucket"], Key=self._version.key)
            except ClientError as error:
                if status(error) == 404:
                    raise Overtaken from None
                raise
        if head["ETag"] != self._version.etag or head.get("VersionId", "null") != self._version.id:
            raise Overtaken

    async def _put(self, body: bytes) -> None:
        if self._versioned:
            # Whoever writes at the same moment gets a version too: the order of versions tells.
            with translated(self._store.source):
                await self._client.put_object(**self._settings, Body=body)
            return
        etag = self._version.etag
        try:
            with translated_condition(self._store.source):
                await self._client.put_object(**self._settings, Body=body, IfMatch=etag)
        except Overtaken:
            # Some stores compare the tag without its quotes. If it did change, this refuses as well.
            with translated_condition(self._store.source):
                await self._client.put_object(**self._settings, Body=body, IfMatch=etag.strip('"'))

    async def abort(self) -> None:
        """Leaves no parts behind."""
        if self._upload:
            upload, self._upload = self._upload, ""
            try:
                with translated(self._store.source):
                    await self._client.abort_multipart_upload(
                        Bucket=self._settings["Bucket"], Key=self._version.key, UploadId=upload
                    )
            except Gone:
                return

    @property
    def _target(self) -> dict[str, Any]:
        return {"Bucket": self._settings["Bucket"], "Key": self._version.key, "UploadId": self._upload}


class translated_condition:
    """Overtaken where a condition failed; otherwise as `translated`."""

    def __init__(self, source: str) -> None:
        self._inner = translated(source)

    def __enter__(self) -> None:
        self._inner.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        if isinstance(error, ClientError) and status(error) in (409, 412):
            self._inner.__exit__(None, None, None)
            raise Overtaken from None
        return self._inner.__exit__(kind, error, trace)

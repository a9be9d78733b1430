"""Writes an object anew with everything but its content kept, unless somebody else was faster."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from connectors.objects.store import Gone, Overtaken, Version
from connectors.s3.errors import status, translated
from dsrkit.errors import DsrError

if TYPE_CHECKING:
    from connectors.s3.store import S3Store

_PART = 8 << 20
_WHOLE = 64 << 20
"""Up to this size an object is sent in one request, which most stores can make conditional."""


@dataclass
class Rewriting:
    """New content on its way. Small content is one request; large content a multipart upload in parts of 8 MiB."""

    store: "S3Store"
    client: Any
    over: Version
    """What must still be current when the new content is put in place."""
    settings: Mapping[str, Any]
    """What PutObject is told beside the content."""
    versioned: bool
    local: None = None
    _pending: bytearray = field(default_factory=bytearray)
    _upload: str = ""
    _parts: list[dict[str, Any]] = field(default_factory=list)

    async def write(self, data: bytes) -> None:
        """Sends parts as soon as it is clear that one request won't do."""
        self._pending += data
        if not self._upload and len(self._pending) > _WHOLE:
            self._require_condition()
            with translated(self.store.source):
                self._upload = (await self.client.create_multipart_upload(**self.settings))["UploadId"]
        while self._upload and len(self._pending) >= _PART:
            await self._send(bytes(self._pending[:_PART]))
            del self._pending[:_PART]

    async def _send(self, data: bytes) -> None:
        number = len(self._parts) + 1
        with translated(self.store.source):
            answer = await self.client.upload_part(
                **self._target, PartNumber=number, Body=data, ContentMD5=content_md5(data)
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    async def commit(self) -> None:
        """Puts the content in place, if the version that was read is the current one."""
        await self._check()
        if not self._upload:
            await self._put(bytes(self._pending))
            return
        if self._pending:
            await self._send(bytes(self._pending))
        condition = {"IfMatch": self.over.etag} if self._compared else {}
        with translated_condition(self.store.source):
            await self.client.complete_multipart_upload(
                **self._target, MultipartUpload={"Parts": self._parts}, **condition
            )
        self._upload = ""

    @property
    def _compared(self) -> bool:
        """Whether a condition is sent, and heeded, along with what is sent in parts or into history."""
        return self.store.options.compares and self.over.state == "CURRENT"

    def _require_condition(self) -> None:
        """Without history, others than Amazon ignore or misread conditions on uploads in parts."""
        options = self.store.options
        if not self.versioned and not options.compares and options.unguarded_rewrites == "block":
            raise unguarded(
                self.store.source,
                "An object of this size can't be replaced safely in a bucket without versions. Turn versioning on.",
            )

    async def _check(self) -> None:
        """Cheap, and close to the end: spares a version that would only have to be removed again."""
        try:
            with translated(self.store.source):
                head = await self.client.head_object(Bucket=self.settings["Bucket"], Key=self.over.key)
        except Gone:
            # What is on top may be a delete marker: it is for the history of versions to tell.
            if self.over.state == "DELETE_MARKER":
                return
            raise Overtaken from None
        if head["ETag"] != self.over.etag or head.get("VersionId", "null") != self.over.id:
            raise Overtaken

    async def _put(self, body: bytes) -> None:
        content = {"Body": body, "ContentMD5": content_md5(body)}
        if self.versioned:
            # Whoever writes at the same moment gets a version too: the order of versions tells.
            condition = {"IfMatch": self.over.etag} if self._compared else {}
            with translated_condition(self.store.source):
                await self.client.put_object(**self.settings, **content, **condition)
            return
        if self.over.id != "null" and not self.store.options.compares:
            if self.store.options.unguarded_rewrites == "block":
                raise unguarded(
                    self.store.source,
                    "Versions were suspended, and the current one is from before. Turn versioning on.",
                )
            with translated(self.store.source):
                await self.client.put_object(**self.settings, **content)
            return
        etag = self.over.etag
        try:
            with translated_condition(self.store.source):
                await self.client.put_object(**self.settings, **content, IfMatch=etag)
        except Overtaken:
            # Some stores compare the tag without its quotes. If it did change, this refuses as well.
            with translated_condition(self.store.source):
                await self.client.put_object(**self.settings, **content, IfMatch=etag.strip('"'))

    async def abort(self) -> None:
        """Leaves no parts behind."""
        if self._upload:
            target, self._upload = self._target, ""
            try:
                with translated(self.store.source):
                    await self.client.abort_multipart_upload(**target)
            except Gone:
                return

    @property
    def _target(self) -> dict[str, Any]:
        return {"Bucket": self.settings["Bucket"], "Key": self.over.key, "UploadId": self._upload}


def content_md5(data: bytes) -> str:
    """The digest that Object Lock asks for, and by which the service notices what was damaged on the way."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def unguarded(source: str, message: str) -> DsrError:
    """The answer where a writer could be overwritten unnoticed."""
    return DsrError("SOURCE_REJECTED", message, source=source, why="UNGUARDED")


class translated_condition:
    """Overtaken where a condition failed; otherwise as `translated`."""

    def __init__(self, source: str) -> None:
        self._inner = translated(source)

    def __enter__(self) -> None:
        self._inner.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        # 404: what the condition names isn't there any more.
        if isinstance(error, ClientError) and status(error) in (404, 409, 412):
            self._inner.__exit__(None, None, None)
            raise Overtaken from None
        return self._inner.__exit__(kind, error, trace)

"""One bucket of Amazon S3, or of anything that speaks its protocol."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects.store import Changed, Facts, Gone, Held, Overtaken, Version
from connectors.objects.together import at_once
from connectors.s3 import kept, probe
from connectors.s3.errors import code, translated
from connectors.s3.kept import REWRITES
from connectors.s3.options import S3Options
from connectors.s3.replace import Rewriting, content_md5, translated_condition, unguarded
from dsrkit.errors import DsrError

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_CHUNK = 1 << 20
_EXPIRY = re.compile(r'expiry-date="([^"]+)"')
_REQUESTS = 8
_SOME, _MANY = 64, 1_000
"""Versions that one DeleteObjects names: a few, since some stores remove them one after the other; at most as many as
it may, for those of one key stay in order."""
_HELD = frozenset({"AccessDenied", "403", "ObjectLocked", "InvalidRequest"})


class S3Store:
    """Connects at its first call; one client for all calls."""

    kind = "s3"

    def __init__(self, source: str, options: S3Options) -> None:
        self.source = source
        self.options = options
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any | None = None
        self._lockable: bool | None = None
        self._versioned: bool | None = None
        self._compares: bool | None = None

    async def client(self) -> Any:
        """The client. BACKEND_UNENCRYPTED for plain HTTP to another machine."""
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def _connect(self) -> Any:
        if not self.options.encrypted and not self.options.loopback:
            raise DsrError(
                "BACKEND_UNENCRYPTED",
                "The endpoint is plain HTTP on another machine. Give an https:// address.",
                source=self.source,
            )
        credentials = self.options.credentials(self.source)
        config = AioConfig(
            s3={"addressing_style": "path" if self.options.path_style else "virtual"},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
            retries={"mode": "standard", "max_attempts": 3},
            # Newer checksums are Amazon's alone.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client: Any = await self._stack.enter_async_context(
            get_session().create_client(
                "s3",
                region_name=self.options.region,
                endpoint_url=self.options.endpoint or None,
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token,
                verify=str(self.options.ca_file) if self.options.ca_file else None,
                config=config,
            )
        )
        return client

    async def versions(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        """Key by key. A page may end within a key's versions: a key is told when the next one begins."""
        client = await self.client()
        held: dict[str, list[tuple[datetime, bool, Version]]] = {}
        with translated(self.source):
            pages = client.get_paginator("list_object_versions").paginate(Bucket=self.options.bucket, Prefix=prefix)
            async for page in pages:
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    version = _version(entry)
                    order = (version.modified, bool(entry.get("IsLatest")), version)
                    held.setdefault(version.key, []).append(order)
                last = max(held, key=lambda key: key.encode(errors="surrogatepass"), default="")
                for key in [key for key in held if key != last]:
                    yield _newest_first(held.pop(key))
        for entries in held.values():
            yield _newest_first(entries)

    async def uploads(self, prefix: str) -> AsyncGenerator[Version, None]:
        """Multipart uploads that were begun and not finished, if they are old enough."""
        oldest = datetime.now(UTC) - timedelta(hours=self.options.abandoned_after_hours)
        async with aclosing(self.unfinished(prefix)) as begun:
            async for upload in begun:
                if upload.modified <= oldest:
                    yield upload

    async def unfinished(self, prefix: str) -> AsyncGenerator[Version, None]:
        """By ListMultipartUploads."""
        client = await self.client()
        with translated(self.source):
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self.options.bucket, Prefix=prefix)
            async for page in pages:
                for entry in page.get("Uploads", ()):
                    begun = entry["Initiated"].astimezone(UTC)
                    yield Version(entry["Key"], entry["UploadId"], "INCOMPLETE_UPLOAD", "", 0, begun)

    async def has_obstacles(self) -> bool:
        """Whether the bucket has Object Lock."""
        if self._lockable is None:
            client = await self.client()
            try:
                with translated(self.source):
                    answer = await client.get_object_lock_configuration(Bucket=self.options.bucket)
                    configuration = answer.get("ObjectLockConfiguration", {})
                    self._lockable = configuration.get("ObjectLockEnabled") == "Enabled"
            except Gone:
                self._lockable = False
            except DsrError as error:
                if error.metadata.get("why") not in ("REQUEST", "PERMISSION"):
                    raise
                # A missing configuration has many codes; without permission each object is asked.
                self._lockable = error.metadata["why"] == "PERMISSION"
        return self._lockable

    async def versioned(self) -> bool:
        """Whether new content becomes a version of its own."""
        if self._versioned is None:
            client = await self.client()
            with translated(self.source):
                answer = await client.get_bucket_versioning(Bucket=self.options.bucket)
            self._versioned = answer.get("Status") == "Enabled"
        return self._versioned

    async def guarded(self, version: Version) -> bool:
        """By history, or by conditions of the request; see `Rewriting.commit` for what neither guards."""
        if version.state != "CURRENT" or version.id == "null" or self.options.compares:
            return True
        # Where versions were suspended, what is written takes the place of a version that isn't the current one.
        return await self.versioned()

    async def facts(self, version: Version) -> Facts:
        """By HeadObject."""
        found = facts_of(await self.head(version))
        # In a bucket with versions a rule that removes an object only hides it.
        if version.archived and version.state == "CURRENT" and version.id == "null" and not await self.versioned():
            return replace(found, expires=await self._expiry(version))
        return found

    async def _expiry(self, version: Version) -> datetime | None:
        """When a lifecycle rule of the bucket removes the object. Told only where no version is asked for."""
        client = await self.client()
        with translated(self.source):
            head = await client.head_object(Bucket=self.options.bucket, Key=version.key)
        found = _EXPIRY.search(head.get("Expiration", ""))
        return parsedate_to_datetime(found[1]).astimezone(UTC) if found and head["ETag"] == version.etag else None

    async def head(self, version: Version) -> Mapping[str, Any]:
        """HeadObject's answer. Gone if it is another object by now."""
        client = await self.client()
        with translated(self.source):
            answer: Mapping[str, Any] = await client.head_object(
                Bucket=self.options.bucket, Key=version.key, **_id(version)
            )
        if answer["ETag"] != version.etag:
            raise Changed
        return answer

    async def tags(self, version: Version) -> Mapping[str, str]:
        """By GetObjectTagging."""
        client = await self.client()
        with translated(self.source):
            answer = await client.get_object_tagging(Bucket=self.options.bucket, Key=version.key, **_id(version))
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    async def read(self, version: Version, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """By GetObject. Gone if it is another object by now."""
        client = await self.client()
        wanted = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        with translated(self.source):
            answer = await client.get_object(Bucket=self.options.bucket, Key=version.key, **_id(version), **wanted)
            async with answer["Body"] as body:
                if answer["ETag"] != version.etag:
                    raise Changed
                async for chunk in body.iter_chunks(_CHUNK):
                    yield chunk

    def open(self, version: Version) -> None:
        """Its objects are elsewhere."""

    async def remove(self, version: Version) -> None:
        """By DeleteObject of the version; uploads are aborted."""
        client = await self.client()
        if version.state == "INCOMPLETE_UPLOAD":
            with suppress(Gone), translated(self.source):
                await client.abort_multipart_upload(Bucket=self.options.bucket, Key=version.key, UploadId=version.id)
            return
        if _shares_its_id(version) and not await self._is_still(version):
            return
        try:
            await client.delete_object(Bucket=self.options.bucket, Key=version.key, VersionId=version.id)
        except ClientError as error:
            if code(error) in _HELD and await self._is_held(version):
                raise Held from None
            with suppress(Gone), translated(self.source):
                raise

    async def clear(self, versions: Sequence[Version]) -> None:
        """By DeleteObjects, several at once; what that doesn't take, one by one."""
        # A request in XML has no place for control characters.
        many = [v for v in versions if v.state != "INCOMPLETE_UPLOAD" and v.key.isprintable()]
        rest = [v for v in versions if v.state == "INCOMPLETE_UPLOAD" or not v.key.isprintable()]
        await at_once(_REQUESTS, [partial(self._clear, chunk, rest) for chunk in _chunks(many)])
        for version in rest:
            with suppress(Gone, Held):
                await self.remove(version)

    async def _clear(self, versions: Sequence[Version], rest: list[Version]) -> None:
        """One request. What it doesn't take joins the rest; what is another object by now stays."""
        client = await self.client()
        stays = set[Version]()

        async def look(version: Version) -> None:
            try:
                if not await self._is_still(version):
                    stays.add(version)
            except Gone:
                stays.add(version)

        await at_once(_REQUESTS, [partial(look, version) for version in versions if _shares_its_id(version)])
        versions = [version for version in versions if version not in stays]
        if not versions:
            return
        objects = [{"Key": version.key, "VersionId": version.id} for version in versions]
        with translated(self.source):
            answer = await client.delete_objects(Bucket=self.options.bucket, Delete={"Objects": objects, "Quiet": True})
        failed = {(error.get("Key"), error.get("VersionId") or "null") for error in answer.get("Errors", ())}
        rest += [version for version in versions if (version.key, version.id) in failed]

    async def _is_still(self, version: Version) -> bool:
        """False if nothing is there any more; Gone if something else is. Only unversioned objects need to be asked."""
        client = await self.client()
        try:
            with translated(self.source):
                answer = await client.head_object(Bucket=self.options.bucket, Key=version.key, **_id(version))
        except Gone:
            return False
        seconds = version.modified.replace(microsecond=0)
        if answer["ETag"] != version.etag or answer["LastModified"].astimezone(UTC).replace(microsecond=0) != seconds:
            raise Gone
        return True

    async def _is_held(self, version: Version) -> bool:
        try:
            return (await self.facts(version)).held
        except Gone:
            return False

    @asynccontextmanager
    async def replace(self, version: Version, over: Version) -> AsyncGenerator[Rewriting, None]:
        """By PutObject, or a multipart upload for what is large."""
        client = await self.client()
        versioned = await self.versioned()
        if not versioned:
            await self._require_comparing(version.key)
        settings = kept.settings(await self.head(version), await self.tags(version), await self._acl(version))
        settings |= {"Bucket": self.options.bucket, "Key": version.key}
        if versioned:
            settings["Metadata"] = {**settings["Metadata"], REWRITES: version.id}
        rewriting = Rewriting(self, client, over, settings, versioned)
        try:
            yield rewriting
        finally:
            await rewriting.abort()

    async def _acl(self, version: Version) -> Mapping[str, Any]:
        """GetObjectAcl's answer; empty from services without such lists."""
        client = await self.client()
        try:
            with translated(self.source):
                answer: Mapping[str, Any] = await client.get_object_acl(
                    Bucket=self.options.bucket, Key=version.key, **_id(version)
                )
        except DsrError as error:
            if error.metadata.get("why") != "REQUEST":
                raise
            return {}
        return answer

    async def _require_comparing(self, key: str) -> None:
        """SOURCE_REJECTED if the service ignores conditions, so that in a bucket without versions a writer could be
        overwritten unnoticed. Asked once, by an empty object that a service which does compare refuses."""
        if self.options.compares or self.options.unguarded_rewrites == "allow":
            return
        if self._compares is None:
            client = await self.client()
            spare = {"Bucket": self.options.bucket, "Key": f"{key}.dsr-{secrets.token_hex(8)}"}
            try:
                with translated_condition(self.source):
                    await client.put_object(**spare, Body=b"", ContentMD5=content_md5(b""), IfMatch='"dsr"')
                self._compares = False
                with translated(self.source):
                    await client.delete_object(**spare)
            except Overtaken:
                self._compares = True
        if not self._compares:
            raise unguarded(
                self.source,
                "The store ignores conditions and the bucket keeps no versions. Turn versioning on; or stop the "
                "writers and say unguarded_rewrites: allow.",
            )

    async def probe(self) -> pb.ProbeResponse:
        """Asks for each thing that is declared without changing anything."""
        return await probe.probe(self)

    async def close(self) -> None:
        """Ends the connections."""
        await self._stack.aclose()


def _shares_its_id(version: Version) -> bool:
    """Whether what a writer puts in its place has the same id. A marker can't be asked for."""
    return version.id == "null" and version.state != "DELETE_MARKER"


def _id(version: Version) -> dict[str, Any]:
    return {"VersionId": version.id}


def _version(entry: Any) -> Version:
    marker = "ETag" not in entry
    state: Any = "DELETE_MARKER" if marker else ("CURRENT" if entry.get("IsLatest") else "NONCURRENT")
    return Version(
        key=entry["Key"],
        id=entry.get("VersionId") or "null",
        state=state,
        etag=entry.get("ETag", ""),
        size=entry.get("Size", 0),
        modified=entry["LastModified"].astimezone(UTC),
        archived=entry.get("StorageClass") in _ARCHIVES,
    )


def _chunks(versions: Sequence[Version]) -> Iterator[Sequence[Version]]:
    """Pieces of `_SOME` or more, cut where a key ends."""
    start = 0
    for stop in range(1, len(versions) + 1):
        whole = stop == len(versions) or versions[stop].key != versions[stop - 1].key
        if stop == len(versions) or stop - start == _MANY or (whole and stop - start >= _SOME):
            yield versions[start:stop]
            start = stop


def _newest_first(entries: Sequence[tuple[datetime, bool, Version]]) -> list[Version]:
    """The latest first, then as the listing has them: it knows their order better than their times do."""
    latest = [version for _, is_latest, version in entries if is_latest]
    rest = sorted((e for e in entries if not e[1]), key=lambda entry: entry[0], reverse=True)
    return [*latest, *(version for _, _, version in rest)]


def facts_of(head: Mapping[str, Any]) -> Facts:
    """HeadObject's answer as facts."""
    until = head.get("ObjectLockRetainUntilDate")
    metadata = {name.lower(): value for name, value in head.get("Metadata", {}).items()}
    return Facts(
        media_type=head.get("ContentType", ""),
        metadata=metadata,
        held_until=until.astimezone(UTC) if until is not None and until > datetime.now(UTC) else None,
        legal_hold=head.get("ObjectLockLegalHoldStatus") == "ON",
        restored='ongoing-request="false"' in head.get("Restore", ""),
        rewrites=metadata.get(REWRITES, ""),
    )

"""One container of OpenStack Swift: its objects, both kinds of versions that Swift has, and large objects."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import quote

from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects.store import Changed, Facts, Gone, Version
from connectors.objects.together import at_once
from connectors.swift import listing, segments
from connectors.swift.http import Http
from connectors.swift.listing import archive_key, archive_prefix
from connectors.swift.options import SwiftOptions, private
from connectors.swift.replace import META, REWRITES, Rewriting
from dsrkit.errors import DsrError

_REMOVALS = 16
_NO_BULK = (400, 403, 404, 405, 411, 501)
"""How stores answer that can't, or mayn't, delete many at once."""


@dataclass(frozen=True)
class History:
    """How the container keeps what was overwritten."""

    enabled: bool = False
    """As versions of the object itself."""
    archive: str = ""
    """The container they are moved to, in older Swifts."""
    keeps_deleted: bool = False
    """Older Swifts: a deletion moves the object there too, and leaves a mark."""


class SwiftStore:
    """Connects at its first call."""

    kind = "swift"

    def __init__(self, source: str, options: SwiftOptions) -> None:
        self.source = source
        self.options = options
        self.http = Http(source, options)
        self._history: History | None = None
        self._asking = asyncio.Lock()

    async def history(self) -> History:
        """What the container says of itself. SOURCE_REJECTED if there is no such container."""
        async with self._asking:
            if self._history is None:
                headers = await self._container()
                archive = headers.get("x-history-location") or headers.get("x-versions-location") or ""
                self._history = History(
                    enabled=headers.get("x-versions-enabled", "").lower() == "true",
                    archive=archive.strip("/"),
                    keeps_deleted="x-history-location" in headers,
                )
        return self._history

    async def _container(self) -> Mapping[str, str]:
        try:
            return (await self.http.request("HEAD", self.options.container)).headers
        except Gone:
            raise DsrError(
                "SOURCE_REJECTED",
                "There is no such container. Correct `container`, or create it.",
                source=self.source,
                why="NO_CONTAINER",
            ) from None

    async def guarded(self, version: Version) -> bool:
        """Swift replaces without comparing: only history tells afterwards what was replaced."""
        history = await self.history()
        return history.enabled or bool(history.archive)

    async def versions(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        """Key by key."""
        history = await self.history()
        if history.enabled:
            found = self._versioned(prefix)
        elif history.archive:
            found = self._archived(prefix, history.archive)
        else:
            found = self._plain(prefix)
        async with aclosing(found) as keys:
            async for versions in keys:
                yield [await self._sized(version) for version in versions]

    async def _plain(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        async for page in listing.listing(self.http, self.options.container, prefix=prefix):
            for entry in page:
                yield [listing.current(entry)]

    async def _versioned(self, prefix: str) -> AsyncGenerator[Sequence[Version], None]:
        held: list[Version] = []
        async for page in listing.listing(self.http, self.options.container, prefix=prefix, versions=True):
            for entry in page:
                version = listing.version(entry)
                if held and held[0].key != version.key:
                    yield held
                    held = []
                held.append(version)
        if held:
            yield held

    async def _archived(self, prefix: str, archive: str) -> AsyncGenerator[Sequence[Version], None]:
        """Objects with their history; then those of which only history is left."""
        seen: set[str] = set()
        async with aclosing(self._plain(prefix)) as objects:
            async for versions in objects:
                seen.add(versions[0].key)
                yield [*versions, *await self._history_of(archive, versions[0].key)]
        # Names there begin with the length of the object's: any length may have the prefix.
        gone: dict[str, list[Version]] = {}
        async for page in listing.listing(self.http, archive, prefix=""):
            for entry in page:
                key = archive_key(entry["name"])
                if key.startswith(prefix) and key not in seen:
                    gone.setdefault(key, []).append(listing.archived(key, entry))
        for versions in gone.values():
            yield versions[::-1]

    async def _history_of(self, archive: str, key: str) -> list[Version]:
        found = []
        async for page in listing.listing(self.http, archive, prefix=archive_prefix(key)):
            found += [listing.archived(key, entry) for entry in page]
        return found[::-1]

    async def _sized(self, version: Version) -> Version:
        """A dynamic large object is listed as empty, whatever it holds."""
        if version.size or version.state == "DELETE_MARKER" or version.obstacle:
            return version
        try:
            headers = await self.head(version)
        except Gone:
            return version
        size = int(headers.get("content-length", 0))
        return replace(version, size=size) if segments.dynamic(headers) else version

    async def uploads(self, prefix: str) -> AsyncGenerator[Version, None]:
        """None: parts of an upload that was given up are objects like others, in a container of segments."""
        none: Sequence[Version] = ()
        for upload in none:
            yield upload

    def unfinished(self, prefix: str) -> AsyncGenerator[Version, None]:
        """None, as `uploads` says."""
        return self.uploads(prefix)

    async def has_obstacles(self) -> bool:
        """Large objects may consist of segments that aren't theirs."""
        return True

    async def head(self, version: Version) -> Mapping[str, str]:
        """HEAD's headers. Gone if it is another object by now."""
        container, name, params = await self.place(version)
        headers = (await self.http.request("HEAD", container, name, params=params)).headers
        self._compare(version, headers)
        return headers

    def _compare(self, version: Version, headers: Mapping[str, str]) -> None:
        # What has an id of its own doesn't change; neither does history.
        if version.state == "CURRENT" and not version.id.startswith("v:"):
            whole, _, rest = headers.get("x-timestamp", "").partition(".")
            if f"{whole}.{rest[:5]}" != version.id:
                raise Changed

    async def place(self, version: Version) -> tuple[str, str, dict[str, str]]:
        """Container, name and query under which a version is found."""
        if version.id.startswith("v:"):
            return self.options.container, version.key, {"version-id": version.id[2:]}
        if version.state == "CURRENT":
            return self.options.container, version.key, {}
        return (await self.history()).archive, f"{archive_prefix(version.key)}{version.id}", {}

    async def facts(self, version: Version) -> Facts:
        """By HEAD, and for a large object by its manifest."""
        headers = await self.head(version)
        foreign = False
        if segments.static(headers) or segments.dynamic(headers):
            parts = await self._segments(version, headers)
            foreign = not segments.safe(version.key, headers, parts)
        metadata = {name[len(META) :]: value for name, value in headers.items() if name.startswith(META)}
        return Facts(
            media_type=headers.get("content-type", ""),
            metadata=metadata,
            foreign_parts=foreign,
            size=int(headers["content-length"]),
            rewrites=metadata.get(REWRITES, ""),
        )

    async def _segments(self, version: Version, headers: Mapping[str, str]) -> set[segments.Segment]:
        container, name, params = await self.place(version)
        return await segments.of(self.http, container, name, headers, params)

    async def tags(self, version: Version) -> Mapping[str, str]:
        """Swift has none."""
        return {}

    async def read(self, version: Version, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """By GET, large objects with all their segments."""
        container, name, params = await self.place(version)
        headers = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        async with self.http.stream(container, name, params, headers) as response:
            self._compare(version, response.headers)
            async for chunk in response.aiter_raw(1 << 20):
                yield chunk
            if segments.dynamic(response.headers):
                # Its segments may change while they are read, and nobody says so.
                now = await self.head(version)
                if now.get("etag") != response.headers.get("etag"):
                    raise Changed

    def open(self, version: Version) -> None:
        """Its objects are elsewhere."""

    async def remove(self, version: Version) -> None:
        """By DELETE; then the segments, unless another version of the object still has them."""
        container, name, params = await self.place(version)
        headers: Mapping[str, str] = {}
        if version.state != "DELETE_MARKER":
            try:
                headers = (await self.http.request("HEAD", container, name, params=params)).headers
            except Gone:
                return
            self._compare(version, headers)
        parts = await self.parts(version, headers)
        if parts:
            parts -= await self._parts_of_others(version)
        with suppress(Gone):
            await self._delete(version)
        await segments.remove(self.http, parts)

    async def clear(self, versions: Sequence[Version]) -> None:
        """Several at once; without history, and where that is all there is to them, in one request."""
        history, left = await self.history(), versions
        if not history.enabled and not history.archive:
            small, left = await self._told_apart(versions)
            left += await self._delete_many(small)
        by_key: dict[str, list[Version]] = {}
        for version in left:
            by_key.setdefault(version.key, []).append(version)
        await at_once(_REMOVALS, [partial(self._clear, of_one) for of_one in by_key.values()])

    async def _told_apart(self, versions: Sequence[Version]) -> tuple[list[Version], list[Version]]:
        """Objects of one piece, and large ones. What is another one by now is in neither."""
        small: list[Version] = []
        large: list[Version] = []

        async def look(version: Version) -> None:
            headers: Mapping[str, str] = {}
            try:
                headers = await self.head(version)
            except Changed:
                return
            except Gone:
                pass  # one that has expired stays in listings until it is deleted
            (large if segments.static(headers) or segments.dynamic(headers) else small).append(version)

        await at_once(_REMOVALS, [partial(look, version) for version in versions])
        return small, large

    async def _delete_many(self, versions: Sequence[Version]) -> list[Version]:
        """By the account's bulk delete. Those are left that it doesn't take, or all, where the store has none."""
        if not versions:
            return []
        names = "\n".join(quote(f"{self.options.container}/{v.key}".encode(errors="surrogatepass")) for v in versions)
        told = {"Content-Type": "text/plain", "Accept": "application/json"}
        answer = await self.http.request(
            "POST", "", params={"bulk-delete": ""}, headers=told, content=names.encode(), allow=_NO_BULK
        )
        try:
            result = answer.json()
        except ValueError:
            return list(versions)
        gone = isinstance(result, dict) and "Number Deleted" in result and not result.get("Errors")
        return [] if gone else list(versions)

    async def _clear(self, versions: Sequence[Version]) -> None:
        for version in versions:
            with suppress(Gone):
                await self.remove(version)

    async def parts(self, version: Version, headers: Mapping[str, str]) -> set[segments.Segment]:
        """The segments that go with a version. SOURCE_REJECTED if they aren't its own."""
        found = await self._segments(version, headers)
        if not segments.safe(version.key, headers, found):
            raise DsrError(
                "SOURCE_REJECTED",
                "A large object consists of segments that don't bear its name. Remove it by hand.",
                source=self.source,
                why="FOREIGN_SEGMENTS",
            )
        return found

    async def _delete(self, version: Version) -> None:
        container, name, params = await self.place(version)
        history = await self.history()
        before = (
            {v.id for v in await self._history_of(history.archive, version.key)} if history.keeps_deleted else set()
        )
        await self.http.request("DELETE", container, name, params=params)
        if history.keeps_deleted and version.state == "CURRENT":
            # The deletion has just moved the object into history, and left a mark.
            for moved in await self._history_of(history.archive, version.key):
                if moved.id not in before and (moved.id == version.id or moved.state == "DELETE_MARKER"):
                    archive, old, _ = await self.place(moved)
                    await self.http.request("DELETE", archive, old)

    async def _parts_of_others(self, version: Version) -> set[segments.Segment]:
        found: set[segments.Segment] = set()
        async with aclosing(self.versions(version.key)) as keys:
            async for versions in keys:
                for other in versions if versions[0].key == version.key else ():
                    if other.id != version.id and other.state != "DELETE_MARKER":
                        found |= await self._segments(other, await self.head(other))
        return found

    @asynccontextmanager
    async def replace(self, version: Version, over: Version) -> AsyncGenerator[Rewriting, None]:
        """By one PUT that is sent while it is being written."""
        headers = {**await self.head(version), **await self._expiry(version.key)}
        rewriting = Rewriting(self, version, over, headers, guarded=await self.guarded(over))
        try:
            yield rewriting
        finally:
            await rewriting.abort()

    async def _expiry(self, key: str) -> Mapping[str, str]:
        """When an object with versions expires. Not its versions do, but the link that its name is."""
        if not (await self.history()).enabled:
            return {}
        params = {"symlink": "get"}
        try:
            headers = (await self.http.request("HEAD", self.options.container, key, params=params)).headers
        except Gone:
            return {}
        return {name: headers[name] for name in ("x-delete-at",) if name in headers}

    async def check_current(self, version: Version) -> None:
        """Gone unless the version is what the object's name leads to now."""
        headers = (await self.http.request("HEAD", self.options.container, version.key)).headers
        if not version.id.startswith("v:"):
            self._compare(version, headers)
        elif headers.get("x-object-version-id", "null") != version.id[2:]:
            raise Gone

    async def put(self, key: str, headers: Mapping[str, str], content: AsyncIterator[bytes]) -> None:
        """One object, streamed. Broken off, it leaves the object as it was."""
        await self.http.request("PUT", self.options.container, key, headers=headers, content=content)

    async def probe(self) -> pb.ProbeResponse:
        """What a HEAD of the container says."""
        try:
            response = await self.http.request("HEAD", self.options.container)
        except Gone:
            await self._container()
            raise
        except DsrError as error:
            if error.reason in ("SOURCE_UNAVAILABLE", "SOURCE_TIMEOUT"):
                return pb.ProbeResponse(reachable=False)
            raise
        declared = self.options.encrypted_at_rest
        at_rest = pb.ProbeResponse.ENCRYPTION_AT_REST_UNSPECIFIED
        if declared is not None:
            at_rest = pb.ProbeResponse.ENCRYPTION_AT_REST_YES if declared else pb.ProbeResponse.ENCRYPTION_AT_REST_NO
        probed = pb.ProbeResponse(
            reachable=True,
            encrypted_in_transit=self.http.address.startswith("https:") and private(self.options.auth_url),
            encryption_at_rest=at_rest,
        )
        if "date" in response.headers:
            probed.backend_time.FromDatetime(parsedate_to_datetime(response.headers["date"]))
        for name in self.options.collections:
            probed.permissions.append(
                pb.ProbeResponse.Permission(operation=f"{name}: list", allowed=await self._lists())
            )
        return probed

    async def _lists(self) -> bool:
        try:
            await self.http.request("GET", self.options.container, params={"format": "json", "limit": "1"})
        except DsrError as error:
            if error.metadata.get("why") == "PERMISSION":
                return False
            raise
        return True

    async def close(self) -> None:
        """Ends the connections."""
        await self.http.close()

"""Reads listings page by page, and what they say of versions."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.objects.store import Version
from connectors.swift.http import Http

MARKER_TYPE = "application/x-deleted"
"""Content type of what stands for a deletion in history."""
_LIMIT = 1_000


async def listing(
    http: Http, container: str, *, prefix: str, versions: bool = False
) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
    """The entries whose names begin so, in the order of names."""
    params = {"format": "json", "prefix": prefix, "limit": str(_LIMIT)}
    if versions:
        params["versions"] = "true"
    while True:
        response = await http.request("GET", container, params=params)
        page: Sequence[Mapping[str, Any]] = json.loads(response.content) if response.content else []
        if page:
            yield page
        if len(page) < _LIMIT:
            return
        params["marker"] = page[-1]["name"]
        if versions:
            params["version_marker"] = page[-1]["version_id"]


def instant(text: str) -> datetime:
    """`last_modified` of a listing."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def stamp(time: datetime) -> str:
    """A time as Swift's own timestamps have it: seconds and five digits, without going through a float."""
    whole = int(time.replace(microsecond=0).timestamp())
    return f"{whole:010d}.{time.microsecond // 10:05d}"


def current(entry: Mapping[str, Any]) -> Version:
    """An entry of a plain listing. Its id is its time: history keeps it under that."""
    time = instant(entry["last_modified"])
    return Version(entry["name"], stamp(time), "CURRENT", entry["hash"], entry["bytes"], time, obstacle=obstacle(entry))


def obstacle(entry: Mapping[str, Any]) -> str:
    """A link leads to an object of another name, which may be anybody's."""
    return "SYMBOLIC_LINK" if "symlink_path" in entry else ""


def version(entry: Mapping[str, Any]) -> Version:
    """An entry of a listing with versions."""
    marker = entry["content_type"].startswith(MARKER_TYPE)
    state: Any = "DELETE_MARKER" if marker else ("CURRENT" if entry["is_latest"] else "NONCURRENT")
    return Version(
        key=entry["name"],
        id=f"v:{entry['version_id']}",
        state=state,
        etag=entry["hash"],
        size=entry["bytes"],
        modified=instant(entry["last_modified"]),
        obstacle=obstacle(entry),
    )


def archived(key: str, entry: Mapping[str, Any]) -> Version:
    """An entry of a history container: its name is that of the object, and a time."""
    marker = entry["content_type"].startswith(MARKER_TYPE)
    name, time = entry["name"], instant(entry["last_modified"])
    state: Any = "DELETE_MARKER" if marker else "NONCURRENT"
    return Version(key, name.rpartition("/")[2], state, entry["hash"], entry["bytes"], time, obstacle=obstacle(entry))


def archive_prefix(key: str) -> str:
    """What the names of an object's history begin with."""
    return f"{len(key.encode(errors='surrogatepass')):03x}{key}/"


def archive_key(name: str) -> str:
    """The object's name, from a name in its history."""
    raw = name.encode(errors="surrogatepass")
    return raw[3 : 3 + int(raw[:3], 16)].decode(errors="surrogatepass")

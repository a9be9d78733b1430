"""Large objects: what they consist of, and what of that goes when they go.

A manifest may name any object whatsoever. Only segments that bear the large object's own name are taken for its own,
as every client names them; otherwise a manifest could be used to have other people's data removed.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from connectors.objects.store import Gone
from connectors.swift.http import Http
from connectors.swift.listing import listing

_HIDDEN = ".file-segments/"
"""Where some clients keep them, in the object's own container."""
Segment = tuple[str, str]
"""(container, name)."""


def dynamic(headers: Mapping[str, str]) -> Segment | None:
    """Container and prefix of a dynamic large object's segments."""
    manifest = unquote(headers.get("x-object-manifest", ""))
    container, _, prefix = manifest.partition("/")
    return (container, prefix) if container else None


def static(headers: Mapping[str, str]) -> bool:
    """Whether it is a static large object."""
    return headers.get("x-static-large-object", "").lower() == "true"


async def of(
    http: Http, container: str, name: str, headers: Mapping[str, str], params: Mapping[str, str]
) -> set[Segment]:
    """The segments of a version; none if it isn't large."""
    place = dynamic(headers)
    if place is not None:
        return {(place[0], entry["name"]) async for entry in _names(http, place)}
    if not static(headers):
        return set()
    query = {**params, "multipart-manifest": "get"}
    response = await http.request("GET", container, name, params=query)
    found: set[Segment] = set()
    for entry in json.loads(response.content):
        place, _, part = entry["name"].lstrip("/").partition("/")
        found.add((place, part))
        if entry.get("sub_slo"):
            found |= await of(http, place, part, {"x-static-large-object": "true"}, {})
    return found


def own(key: str, segments: set[Segment]) -> bool:
    """Whether all of them bear the large object's name."""
    return all(_bears(key, name) for _, name in segments)


def _bears(key: str, name: str) -> bool:
    """As every client names segments. Not anywhere within: another's `beta/acme/x/1` would be one of `acme/x`."""
    return name.removeprefix(_HIDDEN).startswith(f"{key}/")


def safe(key: str, headers: Mapping[str, str], segments: set[Segment]) -> bool:
    """Whether the segments may go with the object."""
    place = dynamic(headers)
    return own(key, segments) and (place is None or _bears(key, place[1]))


async def remove(http: Http, segments: set[Segment]) -> None:
    """Removes segments. Those that are gone are no error."""
    for container, name in sorted(segments):
        with suppress(Gone):
            await http.request("DELETE", container, name)


async def _names(http: Http, place: Segment) -> AsyncIterator[Mapping[str, Any]]:
    with suppress(Gone):
        async for page in listing(http, place[0], prefix=place[1]):
            for entry in page:
                yield entry

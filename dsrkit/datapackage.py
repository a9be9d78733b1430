"""Frictionless Data Package v2 descriptors (datapackage.org, profile 2.0), written as a stream."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from dsrkit.bag import File
from dsrkit.parts import Field

PATH = "data/datapackage.json"
PROFILE = "https://datapackage.org/profiles/2.0/"
_TYPES = (
    "string number integer boolean object array list datetime date time year yearmonth duration geopoint geojson any"
)
TYPES = frozenset(_TYPES.split())
"""Field types of Table Schema v2. A connector's type that is none of them becomes `any`."""

Resource = dict[str, Any]


def resource(file: File, media_type: str, format: str, **more: Any) -> Resource:
    """A resource of a file that has been written. Its name is its path, in characters that names may have."""
    path = file.path.removeprefix("data/")
    return {
        "name": re.sub(r"[^a-z0-9._/-]", "-", path.lower()),
        "path": path,
        "format": format,
        "mediatype": media_type,
        "bytes": file.size,
        "hash": f"sha256:{file.sha256.hex()}",
        **more,
    }


def table(file: File, media_type: str, format: str, schema: Mapping[str, Any], **more: Any) -> Resource:
    """A resource of a table."""
    return resource(file, media_type, format, type="table", encoding="utf-8", schema=schema, **more)


def schema(fields: Sequence[Field], primary_key: Sequence[str]) -> dict[str, Any]:
    """Table Schema of a collection. A key that isn't wholly among the fields, since some are withheld, is left out."""
    described: list[dict[str, str]] = []
    for field in fields:
        known = field.type in TYPES
        described.append(
            {"name": field.name, "type": field.type if known else "any"}
            | ({"description": f"In the source: {field.native_type}"} if field.native_type else {})
        )
    found: dict[str, Any] = {"$schema": f"{PROFILE}tableschema.json", "fields": described}
    if primary_key and {*primary_key} <= {field.name for field in fields}:
        found["primaryKey"] = list(primary_key)
    return found


def descriptor(
    name: str, title: str, description: str, created: datetime, controller: str, resources: Iterable[Resource]
) -> File:
    """`datapackage.json`. `resources` must not be empty and is read while the file is written."""
    head = {
        "$schema": f"{PROFILE}datapackage.json",
        "name": name,
        "title": title,
        "description": description,
        "created": created.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "contributors": [{"title": controller, "roles": ["controller"]}],
    }
    return File(PATH, _stream(head, resources))


def _stream(head: Mapping[str, Any], resources: Iterable[Resource]) -> Iterator[bytes]:
    yield orjson.dumps(head, option=orjson.OPT_INDENT_2)[:-2] + b',\n  "resources": [\n'
    separator = b""
    for entry in _unique(resources):
        yield separator + orjson.dumps(entry)
        separator = b",\n"
    yield b"\n  ]\n}\n"


def _unique(resources: Iterable[Resource]) -> Iterator[Resource]:
    used: set[str] = set()
    for entry in resources:
        name, number = entry["name"], 2
        while name in used:
            name = f"{entry['name']}-{number}"
            number += 1
        used.add(name)
        yield {**entry, "name": name}

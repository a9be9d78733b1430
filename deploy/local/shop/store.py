"""The shop's object store: documents and photographs by customer number, and a lake with everybody's events.

What is in it is the same on every machine. `Store` is also its witness: it reads every version of every object itself.
"""

import asyncio
import gzip
import hashlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiobotocore.session import get_session  # type: ignore[import-untyped]

from deploy.local.seaweed import Seaweed
from deploy.local.shop.files import CROWD, KNOWN, pdf, png

BUCKET, REGION = "acme", "eu-central-1"
LAKE = ("events", "purchases")
_PEOPLE = (*KNOWN, *CROWD)
_EVENTS = 2_000
"""In each object of the lake."""
_AT_ONCE = 16


@dataclass(frozen=True)
class Store:
    """The bucket, seen past the platform."""

    client: Any

    @classmethod
    @asynccontextmanager
    async def open(cls, server: Seaweed) -> AsyncIterator["Store"]:
        """Signs in."""
        async with get_session().create_client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=REGION,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
        ) as client:
            yield cls(client)

    async def fill(self) -> int:
        """Makes the bucket, with versions, and everything in it; returns the number of objects."""
        await self.client.create_bucket(Bucket=BUCKET)
        await self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        objects = list(_lake()) + [item for number in (*KNOWN, *CROWD[::10]) for item in _of(number)]
        free = asyncio.Semaphore(_AT_ONCE)

        async def put(key: str, contents: tuple[bytes, ...]) -> None:
            async with free:
                for content in contents:  # one after the other: the earlier become history
                    await self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

        await asyncio.gather(*(put(key, contents) for key, contents in objects))
        return len(objects)

    async def versions(self) -> dict[tuple[str, str], bytes]:
        """The bytes of every version of every object, by key and version; delete markers are empty."""
        listed: list[tuple[str, str]] = []
        found: dict[tuple[str, str], bytes] = {}
        async for page in self.client.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
            listed += [(item["Key"], item["VersionId"]) for item in page.get("Versions", ())]
            found |= {(item["Key"], item["VersionId"]): b"" for item in page.get("DeleteMarkers", ())}
        free = asyncio.Semaphore(_AT_ONCE)

        async def read(key: str, version: str) -> None:
            async with free:
                answer = await self.client.get_object(Bucket=BUCKET, Key=key, VersionId=version)
                found[key, version] = await answer["Body"].read()

        await asyncio.gather(*(read(*place) for place in listed))
        return found

    async def look(self, number: str) -> "View":
        """What there is of one customer, and of everybody else."""
        view = View([], {name: [] for name in LAKE}, {})
        for (key, version), content in sorted((await self.versions()).items()):
            folder, who = key.split("/")[0], key.split("/")[1].removesuffix(".png")
            if folder not in LAKE:
                digest = hashlib.sha256(content).hexdigest()
                if who == number:
                    view.documents.append(digest)
                else:
                    view.others[f"{key} {version}"] = digest
                continue
            records = _records(key, content)
            view.lake[folder] += [record for record in records if _customer(record) == number]
            rest = [json.dumps(record) for record in records if _customer(record) != number]
            # A rewritten object is a new version: what it holds of the others must be the same, in the same order.
            view.others[key] = hashlib.sha256("\n".join(rest).encode()).hexdigest()
        return view


@dataclass(frozen=True)
class View:
    """The bucket with one customer in mind."""

    documents: list[str]
    """SHA-256 of every version of their documents and photographs."""
    lake: Mapping[str, list[dict[str, Any]]]
    """Their records, by collection."""
    others: dict[str, str]
    """A checksum of everything else."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of the customer."""
        return not self.documents and not any(self.lake.values())


def _of(number: str) -> list[tuple[str, tuple[bytes, ...]]]:
    """A customer's own objects: key, and the contents that it had, the latest last."""
    seed = hashlib.sha256(number.encode()).digest()
    return [
        (f"documents/{number}/2024/contract.pdf", (pdf(f"Contract with {number}"),)),
        (f"documents/{number}/returns/photo-1.png", (png(seed[:8]),)),
        (f"photos/{number}.png", (png(seed[8:16]), png(seed[16:24]))),
    ]


def _lake() -> list[tuple[str, tuple[bytes, ...]]]:
    """Objects that hold records of everybody."""
    result: list[tuple[str, tuple[bytes, ...]]] = []
    for year in (2024, 2025):
        lines = b"".join(json.dumps(_event(year, n)).encode() + b"\n" for n in range(_EVENTS))
        result.append((f"events/{year}/part-0.jsonl.gz", (gzip.compress(lines, mtime=0),)))
        rows = [_purchase(year, n) for n in range(_EVENTS)]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd", row_group_size=_EVENTS // 4)
        result.append((f"purchases/{year}.parquet", (sink.getvalue(),)))
    return result


def _event(year: int, n: int) -> dict[str, Any]:
    who = _PEOPLE[n * 7 % len(_PEOPLE)]
    what = ("view", "view", "search", "basket")[n % 4]
    return {"id": year * _EVENTS + n, "day": f"{year}-{n % 12 + 1:02}", "user": {"id": who}, "what": what}


def _purchase(year: int, n: int) -> dict[str, Any]:
    return {"purchase": year * _EVENTS + n, "customer_number": _PEOPLE[n * 11 % len(_PEOPLE)], "cents": n % 977 * 100}


def _records(key: str, content: bytes) -> list[dict[str, Any]]:
    if key.endswith(".parquet"):
        return list(pq.read_table(io.BytesIO(content)).to_pylist())
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def _customer(record: Mapping[str, Any]) -> str:
    return str(record["user"]["id"] if "user" in record else record["customer_number"])

"""What takes long or is large goes through the edge piece by piece."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from dsr.client import connect
from dsr.credentials import Credential
from dsr.v1 import access_pb2, request_pb2

from tests.gateway_fake import CONTENT, DONE, PARTNER, SHA256
from tests.integration.edge.conftest import Edge

NAME = f"{PARTNER}/accessRequests/1"


def gated(gate: asyncio.Event) -> Any:
    """One event at once, the last one when the gate opens."""

    async def events(_: Any) -> AsyncIterator[Any]:
        kind = access_pb2.WatchAccessRequestResponse
        yield kind(event=request_pb2.RequestEvent(event=1, state=request_pb2.REQUEST_STATE_PENDING, type="first"))
        await gate.wait()
        yield kind(event=request_pb2.RequestEvent(event=2, state=DONE[0], type="last"))

    return events


async def test_server_sent_events_arrive_one_by_one(edge: Edge) -> None:
    gate = asyncio.Event()
    edge.platform.answers["WatchAccessRequest"] = gated(gate)
    async with asyncio.timeout(20), edge.http(edge.certificate(), edge.token()) as http:
        async with http.stream("GET", f"/v1/{NAME}:watch") as answer:
            lines = answer.aiter_lines()
            assert "first" in [line async for line in _until_blank(lines)][-1]
            gate.set()
            assert "last" in [line async for line in _until_blank(lines)][-1]


async def _until_blank(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith("data:"):
            yield line
            return


async def test_grpc_events_arrive_one_by_one(edge: Edge) -> None:
    gate = asyncio.Event()
    edge.platform.answers["WatchAccessRequest"] = gated(gate)
    seen = []
    async with asyncio.timeout(20), _client(edge) as platform:
        async for event in platform.events(NAME):
            seen.append(event.type)
            gate.set()
    assert seen == ["first", "last"]


async def test_downloads_arrive_whole_over_both_ways(edge: Edge, tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        async with edge.http(edge.certificate(), edge.token()) as http:
            answer = await http.get(f"/v1/{NAME}:download")
            part = await http.get(f"/v1/{NAME}:download", headers={"range": "bytes=1000-1999"})
        assert hashlib.sha256(answer.content).hexdigest() == SHA256
        assert (part.status_code, part.content) == (206, CONTENT[1000:2000])
        async with _client(edge) as platform:
            path = await platform.download(NAME, tmp_path)
        assert path.read_bytes() == CONTENT


def _client(edge: Edge) -> Any:
    who = edge.certificate()
    return connect(
        f"localhost:{edge.port}",
        credential=Credential.load(edge.folder / "acme.json"),
        actor="person-1",
        root_certificates=(edge.pki / "platform" / "ca.crt").read_bytes(),
        certificate=(who.certificate.read_bytes(), who.key.read_bytes()),
    )

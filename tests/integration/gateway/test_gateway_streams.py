"""Server-sent events and downloads: resumable, cancelled with their client, never whole by mistake."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from dsr.v1 import request_pb2

from dsrkit.errors import DsrError
from gateway.config import Config
from gateway.server import RunningGateway, open_gateway
from tests.gateway_fake import ABSENT, CONTENT, PARTNER, SHA256, Platform, events, pieces
from tests.integration.gateway.conftest import LIMITS
from tests.integration.gateway.test_gateway_errors import problem_of
from tests.support.http import PLAINTEXT

WATCH = f"/v1/{PARTNER}/accessRequests/1:watch"
DOWNLOAD = f"/v1/{PARTNER}/accessRequests/1:download"


def blocks(text: str) -> list[dict[str, str]]:
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            found.append(dict(line.split(": ", 1) for line in lines))
    return found


async def test_events(http: httpx.AsyncClient) -> None:
    response = await http.get(WATCH)
    assert response.headers["content-type"].startswith("text/event-stream")
    got = blocks(response.text)
    assert [(b["id"], b["event"]) for b in got] == [("1", "state.changed"), ("2", "located"), ("3", "state.changed")]
    assert '"state":"REQUEST_STATE_COMPLETED"' in got[2]["data"]


async def test_events_resume(http: httpx.AsyncClient, platform: Platform) -> None:
    response = await http.get(f"{WATCH}?afterEvent=1", headers={"last-event-id": "2"})
    assert [b["id"] for b in blocks(response.text)] == ["3"]
    assert [b["id"] for b in blocks((await http.get(f"{WATCH}?afterEvent=1")).text)] == ["2", "3"]
    assert (await http.get(WATCH, headers={"last-event-id": "3"})).status_code == 204
    for value in ("x", "-1", "1e3", "9" * 19):
        problem_of(await http.get(WATCH, headers={"last-event-id": value}), 400, "FIELD_INVALID")


async def test_refused_watch_is_an_error_and_not_a_stream(http: httpx.AsyncClient) -> None:
    problem_of(await http.get(WATCH.replace("/1:", f"/{ABSENT}:")), 404, "NOT_FOUND")


async def test_a_stream_that_breaks_off_says_so(http: httpx.AsyncClient, platform: Platform) -> None:
    async def breaking(message: Any) -> AsyncIterator[Any]:
        async for item in events(watch_response(), message):
            yield item
            break
        raise DsrError("STREAM_ENDED", "The server is draining. Resume.")

    platform.answers["WatchAccessRequest"] = breaking
    got = blocks((await http.get(WATCH)).text)
    assert [b.get("id") for b in got] == ["1", None]
    assert got[1]["event"] == "problem"
    assert got[1]["retry"] == "1000"
    assert '"reason":"STREAM_ENDED"' in got[1]["data"]


def watch_response() -> Any:
    from dsr.v1 import access_pb2

    return access_pb2.WatchAccessRequestResponse


async def never(_: Any) -> AsyncIterator[Any]:
    yield watch_response()(event=request_pb2.RequestEvent(event=1, type="x\ny"))
    await asyncio.Event().wait()


async def test_heartbeat_and_disconnect(http: httpx.AsyncClient, platform: Platform) -> None:
    platform.answers["WatchAccessRequest"] = never
    async with http.stream("GET", WATCH) as response:
        text = ""
        async for chunk in response.aiter_text():
            text += chunk
            if ": alive\n\n" in text:
                break
    assert "event: message\n" in text  # a type with a line break in it can't forge a field
    await eventually(lambda: platform.cancelled == ["WatchAccessRequest"])


async def test_drain_ends_streams_and_readiness(config: Config, platform: Platform) -> None:
    platform.answers["WatchAccessRequest"] = never
    headers = {"authorization": f"Bearer {platform.token()}"}
    gateway = open_gateway(config, LIMITS)
    running: RunningGateway = await gateway.__aenter__()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{running.port}", headers=headers, verify=PLAINTEXT
    ) as http:
        async with http.stream("GET", WATCH) as response:
            reading = asyncio.create_task(response.aread())
            await eventually(lambda: bool(platform.calls))
            closing = asyncio.create_task(gateway.__aexit__(None, None, None))
            async with asyncio.timeout(5):
                got = blocks((await reading).decode())
                await closing
    assert [b["event"] for b in got] == ["message", "problem"]
    assert "STREAM_ENDED" in got[1]["data"]


async def test_whole_download(http: httpx.AsyncClient) -> None:
    response = await http.get(DOWNLOAD)
    assert response.content == CONTENT
    headers = response.headers
    assert headers["content-type"] == "application/zip"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["etag"] == f'"{SHA256[:16]}"'
    assert headers["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"
    assert headers["content-disposition"] == 'attachment; filename="access-1.zip"'
    assert headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-1048575", 0, 1_048_575),
        ("bytes=1000000-", 1_000_000, len(CONTENT) - 1),
        ("bytes=-1", len(CONTENT) - 1, len(CONTENT) - 1),
        ("bytes=-99999999", 0, len(CONTENT) - 1),
        ("bytes=5-99999999", 5, len(CONTENT) - 1),
    ],
)
async def test_ranges(http: httpx.AsyncClient, value: str, first: int, last: int) -> None:
    response = await http.get(DOWNLOAD, headers={"range": value})
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert response.content == CONTENT[first : last + 1]


@pytest.mark.parametrize("value", [f"bytes={len(CONTENT)}-", "bytes=99999999-", "bytes=-0"])
async def test_ranges_beyond_the_end(http: httpx.AsyncClient, value: str) -> None:
    response = await http.get(DOWNLOAD, headers={"range": value})
    assert problem_of(response, 416, "OUT_OF_RANGE")["metadata"] == {"size": str(len(CONTENT))}
    assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("value", ["bytes=1-0", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes 0-1"])
async def test_ranges_not_understood_are_ignored(http: httpx.AsyncClient, value: str) -> None:
    response = await http.get(DOWNLOAD, headers={"range": value})
    assert (response.status_code, len(response.content)) == (200, len(CONTENT))


async def test_conditions(http: httpx.AsyncClient) -> None:
    tag = f'"{SHA256[:16]}"'
    for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = await http.get(DOWNLOAD, headers={"if-none-match": value})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    assert (await http.get(DOWNLOAD, headers={"if-none-match": '"x"'})).status_code == 200
    assert (await http.get(DOWNLOAD, headers={"range": "bytes=0-9", "if-range": tag})).status_code == 206
    for other in ('"x"', f"W/{tag}", "Sat, 31 Jan 2026 12:00:00 GMT"):
        response = await http.get(DOWNLOAD, headers={"range": "bytes=0-9", "if-range": other})
        assert (response.status_code, len(response.content)) == (200, len(CONTENT))


async def test_head_of_a_download(http: httpx.AsyncClient, platform: Platform) -> None:
    response = await http.head(DOWNLOAD, headers={"range": "bytes=0-1"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(CONTENT))
    assert platform.calls[0].message.length == 1  # no more than the headers need
    problem = await http.head(DOWNLOAD.replace("/1:", f"/{ABSENT}:"))
    assert (problem.status_code, problem.content) == (404, b"")


async def test_refused_download(http: httpx.AsyncClient, platform: Platform) -> None:
    def gone(_: Any) -> Any:
        raise DsrError("BUNDLE_GONE", "The bundle has expired.", bundle_state="STATE_EXPIRED")

    platform.answers["DownloadAccessBundle"] = gone
    problem_of(await http.get(DOWNLOAD), 400, "BUNDLE_GONE")


@pytest.mark.parametrize("kind", ["fails", "short", "long", "not what was asked", "no info"])
async def test_a_broken_download_never_looks_whole(http: httpx.AsyncClient, platform: Platform, kind: str) -> None:
    async def broken(message: Any) -> AsyncIterator[Any]:
        from dsr.v1 import access_pb2

        response = access_pb2.DownloadAccessBundleResponse
        async for item in pieces(response, message):
            if kind == "no info":
                yield response(data=b"x")
            elif kind == "not what was asked" and item.HasField("info"):
                item.info.length -= 1
                yield item
            elif item.HasField("info"):
                yield item
            elif kind == "fails":
                yield response(data=item.data[:1000])
                raise DsrError("STREAM_ENDED", "Draining.")
            elif kind == "short":
                yield response(data=item.data[:-1])
            else:
                yield response(data=item.data + b"x")

    platform.answers["DownloadAccessBundle"] = broken
    if kind in ("not what was asked", "no info"):
        problem_of(await http.get(DOWNLOAD), 502, "BAD_GATEWAY")
    else:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.get(DOWNLOAD)


async def test_a_reader_too_slow_is_cut_off(gateway: RunningGateway, platform: Platform) -> None:
    """Two seconds for 64 KiB, in these tests; a service must not be held for ever by who doesn't read."""

    async def endless(message: Any) -> AsyncIterator[Any]:
        from dsr.v1 import access_pb2

        response, size = access_pb2.DownloadAccessBundleResponse, 10**12
        info = request_pb2.DownloadInfo(size_bytes=size, sha256=SHA256, etag="x", length=size)
        yield response(info=info)
        while True:
            yield response(data=bytes(1_000_000))

    platform.answers["DownloadAccessBundle"] = endless
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    head = f"GET {DOWNLOAD} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {platform.token()}\r\n\r\n"
    writer.write(head.encode())
    await reader.readline()
    await eventually(lambda: platform.cancelled == ["DownloadAccessBundle"], seconds=10)
    writer.close()


async def eventually(condition: Any, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in a server
            await asyncio.sleep(0.02)

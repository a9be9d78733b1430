"""A Download as a file: size, tag and digest in headers, one byte range, conditions (RFC 9110, 13 and 14; RFC 9530)."""

import base64
import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

import grpc
from dsr.v1.request_pb2 import DownloadInfo
from google.protobuf.message import Message
from starlette.requests import Request

from dsrkit.errors import DsrError
from gateway import problems
from gateway.routes import Route
from gateway.sending import Sender, Truncated
from gateway.upstreams import Metadata, Upstreams

_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?", re.IGNORECASE)
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_OPAQUE = re.compile(r"[\x21\x23-\x7e]+")


@dataclass(frozen=True)
class ByteRange:
    """What a `Range` header asks for. `first` None: the last `length` bytes. `length` 0: up to the end."""

    first: int | None
    length: int


def byte_range(request: Request) -> ByteRange | None:
    """The one range asked for; None for the whole. What this server doesn't understand it ignores (RFC 9110, 14.2)."""
    values = request.headers.getlist("range")
    match = _RANGE.fullmatch(values[0].replace(" ", "")) if len(values) == 1 else None
    if match is None or request.method != "GET":
        return None
    first, last = match.groups()
    if first is None:
        return ByteRange(None, int(last)) if last is not None else None
    if last is None:
        return ByteRange(int(first), 0)
    return ByteRange(int(first), int(last) - int(first) + 1) if int(last) >= int(first) else None


class Download:
    """One download: asks the service, sends the answer."""

    def __init__(
        self, route: Route, message: Message, upstreams: Upstreams, metadata: Metadata, request: Request, sender: Sender
    ) -> None:
        self._route = route
        self._message: Any = message
        self._upstreams = upstreams
        self._metadata = metadata
        self._request = request
        self._sender = sender

    async def send(self) -> int:
        """Streams the file and returns the status sent. AioRpcError or Problem as long as nothing was sent."""
        wanted = byte_range(self._request)
        if wanted is not None and wanted.first is None:
            wanted = await self._last_bytes(wanted.length)
        if self._request.method == "HEAD":
            return await self._head(await self._info())
        call: Any = None
        try:
            info, call = await self._open_range(wanted)
            if self._not_modified(info):
                await self._sender.start(304, {"ETag": _etag(info)})
                await self._sender.end()
                return 304
            if wanted is not None and not self._unchanged(info):
                call.cancel()
                wanted = None
                info, call = await self._open(0, 0)
            return await self._body(info, call, partial=wanted is not None)
        finally:
            if call is not None:
                call.cancel()

    async def _last_bytes(self, length: int) -> ByteRange:
        """A range from the end, which needs the size first."""
        size = (await self._info()).size_bytes
        if length == 0 or size == 0:
            raise _unsatisfiable(size)
        return ByteRange(max(0, size - length), 0)

    async def _info(self) -> DownloadInfo:
        """About the whole, for the price of its first byte."""
        info, call = await self._open(0, 1)
        call.cancel()
        return info

    async def _open_range(self, wanted: ByteRange | None) -> tuple[DownloadInfo, Any]:
        if wanted is None:
            return await self._open(0, 0)
        try:
            info, call = await self._open(wanted.first or 0, wanted.length)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.OUT_OF_RANGE:
                raise
            raise _unsatisfiable((await self._info()).size_bytes) from None
        if info.length == 0:
            call.cancel()
            raise _unsatisfiable(info.size_bytes)
        return info, call

    async def _open(self, offset: int, length: int) -> tuple[DownloadInfo, Any]:
        self._message.offset, self._message.length = offset, length
        call = self._upstreams.stream(self._route, self._message, self._metadata)
        first = await call.read()
        if first is grpc.aio.EOF or first.WhichOneof("part") != "info":
            call.cancel()
            raise problems.from_http(502, "The service answered without saying what follows. Retry.")
        return first.info, call

    async def _head(self, info: DownloadInfo) -> int:
        status = 304 if self._not_modified(info) else 200
        headers = _headers(info, info.size_bytes) if status == 200 else {"ETag": _etag(info)}
        await self._sender.start(status, headers)
        await self._sender.end()
        return status

    async def _body(self, info: DownloadInfo, call: Any, *, partial: bool) -> int:
        headers = _headers(info, info.length)
        if partial:
            headers["Content-Range"] = f"bytes {info.offset}-{info.offset + info.length - 1}/{info.size_bytes}"
        elif info.offset or info.length != info.size_bytes:
            raise problems.from_http(502, "The service answered with another part than was asked for. Retry.")
        status = 206 if partial else 200
        await self._sender.start(status, headers)
        left = info.length
        try:
            while (item := await call.read()) is not grpc.aio.EOF:
                left -= len(item.data)
                if left < 0:
                    raise Truncated
                await self._sender.write(item.data)
        except grpc.aio.AioRpcError:
            raise Truncated from None
        if left:
            raise Truncated
        await self._sender.end()
        return status

    def _not_modified(self, info: DownloadInfo) -> bool:
        header = ",".join(self._request.headers.getlist("if-none-match"))
        return header.strip() == "*" or _etag(info) in [f'"{opaque}"' for _, opaque in _TAG.findall(header)]

    def _unchanged(self, info: DownloadInfo) -> bool:
        """Whether `If-Range` (a strong tag; bundles have no date) lets the range stand."""
        values = self._request.headers.getlist("if-range")
        return not values or (len(values) == 1 and values[0].strip() == _etag(info))


def _unsatisfiable(size: int) -> problems.Problem:
    error = DsrError("OUT_OF_RANGE", "The range lies beyond the end.", size=str(size))
    return problems.from_dsr(error, 416, {"Content-Range": f"bytes */{size}"})


def _etag(info: DownloadInfo) -> str:
    opaque = info.etag.removeprefix("W/").strip('"')
    return f'"{opaque if _OPAQUE.fullmatch(opaque) else info.sha256}"'


def _headers(info: DownloadInfo, length: int) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", info.filename) or "download"
    disposition = f'attachment; filename="{name}"'
    if name != info.filename and info.filename:
        disposition += f"; filename*=UTF-8''{urllib.parse.quote(info.filename, safe='')}"
    digest = base64.b64encode(bytes.fromhex(info.sha256)).decode()
    return {
        "Content-Type": info.media_type if _MEDIA_TYPE.fullmatch(info.media_type) else "application/octet-stream",
        "Content-Length": str(length),
        "Content-Disposition": disposition,
        "Accept-Ranges": "bytes",
        "ETag": _etag(info),
        "Repr-Digest": f"sha-256=:{digest}:",
    }

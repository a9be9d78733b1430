"""RecordService: messages in and out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC
from hashlib import sha256
from typing import Any

from dsr.v1 import governance_pb2, request_pb2
from dsr.v1 import records_pb2 as pb
from dsr.v1.records_pb2_grpc import RecordServiceServicer

from dsrkit.db import partner_snapshot
from dsrkit.errors import invalid
from dsrkit.requests.downloads import serve_bytes
from services.governance import messages
from services.governance.notifications import contacts
from services.governance.records.document import as_html, as_json
from services.governance.records.domain import Facts, register
from services.governance.records.words import DATA
from services.governance.tools import Tools, scope

_FORMATS = pb.DownloadProcessingRegisterRequest


class RecordServicer(RecordServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def DownloadProcessingRegister(
        self, request: pb.DownloadProcessingRegisterRequest, context: Any
    ) -> AsyncIterator[pb.DownloadProcessingRegisterResponse]:
        if request.format not in _FORMATS.Format.values():
            raise invalid("format", "must be FORMAT_HTML or FORMAT_JSON")
        document = register(await self._facts(request), self._tools.law)
        in_json = request.format == _FORMATS.FORMAT_JSON
        data = as_json(document) if in_json else as_html(document)
        digest = sha256(data).hexdigest()
        info = request_pb2.DownloadInfo(
            size_bytes=len(data),
            etag=f'"{digest}"',
            sha256=digest,
            filename="processing-register.json" if in_json else "processing-register.html",
            media_type="application/json" if in_json else "text/html",
        )

        def read(offset: int, length: int) -> Iterator[bytes]:
            yield data[offset : offset + length]

        async for part in serve_bytes(info, request, pb.DownloadProcessingRegisterResponse, read, asyncio.Event()):
            yield part

    async def _facts(self, request: pb.DownloadProcessingRegisterRequest) -> Facts:
        tools, store, partner = self._tools, self._tools.store, scope(request.parent)
        after = request.after_time.ToDatetime(UTC) if request.HasField("after_time") else None
        # Up to the last midnight: who reads the document in ranges reads one document.
        before = tools.clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if request.HasField("before_time"):
            before = request.before_time.ToDatetime(UTC)
        async with partner_snapshot(store.pool, partner) as connection:
            row = await store.need(connection, "partner", "resource")
            data_map = await store.row(connection, "data_map", 0)
            sources = await store.rows(connection, "data_sources", "", 10_000)
            lines = await store.rows(connection, "records.summary", after, before)
            objections = {row["sub_processor"] for row in await store.rows(connection, "recipients.objections")}
            officer = await contacts.partner_dpo(tools, connection, partner)
        return Facts(
            operator=tools.operator,
            dpo_contact=tools.dpo_contact,
            partner=messages.partner(row),
            partner_dpo=officer,
            objections=objections,
            data_map=messages.data_map(data_map) if data_map else governance_pb2.DataMap(),
            sources=[messages.data_source(source) for source in sources],
            measures=DATA["measures"],
            carried_out=[{**line, "month": line["month"].strftime("%Y-%m")} for line in lines],
            after=after,
            before=before,
        )

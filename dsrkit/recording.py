"""Processing records of calls (policy P5): one per RPC of the public API, refused ones included.

A call with an effect is recorded in the effect's own transaction, by whoever makes it. Any other is recorded here: kept
for a moment and written with many others, so that a read costs little. A crash may lose what was read in the last half
second, never an effect; while records can't be written and too many wait, nothing more is served.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import grpc
from dsr.v1.governance_pb2 import ProcessingRecord

from dsrkit import log
from dsrkit.auth import known_caller
from dsrkit.errors import DsrError
from dsrkit.interceptors import PUBLIC, Continuation, Handler, map_error, wrap

Write = Callable[[str, Sequence[ProcessingRecord]], Awaitable[None]]
"""Stores records of one partner for good."""
INTERVAL = 0.5
MOST_WAITING = 20_000
BATCH = 1000
CANCELLED = "CANCELLED"
"""Outcome of a call that the caller went away from."""
_PARTNER = re.compile(r"partners/[a-z0-9][a-z0-9-]{1,38}[a-z0-9](?=/|$)")
REQUEST = re.compile(
    r"partners/[a-z0-9][a-z0-9-]{1,38}[a-z0-9]/(access|portability|erasure|correction)Requests/"
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Names that a record may hold as its request: nothing in them is anybody's choice."""


@dataclass
class _Call:
    operation: str
    recorded: bool = False
    result: str = ""
    """Name of the resource that was answered with."""


_call: ContextVar[_Call] = ContextVar("call")


def record_effect() -> str:
    """Says that the current RPC is recorded in the caller's transaction; returns the RPC's name for that."""
    call = _call.get()
    call.recorded = True
    return call.operation


class Recorder:
    """Keeps records for a moment and writes them in batches."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[tuple[str, ProcessingRecord]] = []
        self._unfinished = 0
        self._some = asyncio.Event()
        self._stopping = asyncio.Event()

    def need_room(self) -> None:
        """STORE_UNAVAILABLE when too many wait: what can't be recorded isn't done."""
        if len(self._waiting) >= MOST_WAITING:
            raise DsrError("STORE_UNAVAILABLE", "The service's database can't be reached. Retry.")

    @property
    def in_hand(self) -> int:
        """How many calls are being answered, and records not yet written."""
        return self._unfinished + len(self._waiting)

    @contextmanager
    def unfinished(self) -> Iterator[None]:
        """While a call is being answered, or records are being written."""
        self._unfinished += 1
        try:
            yield
        finally:
            self._unfinished -= 1

    def add(self, partner: str, record: ProcessingRecord) -> None:
        """Takes a record."""
        self._waiting.append((partner, record))
        self._some.set()

    async def run(self) -> None:
        """Writes every half second until `stop`."""
        while not self._stopping.is_set():
            await self._some.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), INTERVAL)
            with self.unfinished():
                await self._flush()

    async def stop(self, running: "asyncio.Task[None]") -> None:
        """Writes what is left."""
        self._stopping.set()
        self._some.set()
        await running
        if self._waiting:
            log.get_logger().error("records.lost", records=len(self._waiting))

    async def _flush(self) -> None:
        taken, self._waiting = self._waiting, []
        self._some.clear()
        by_partner: dict[str, list[ProcessingRecord]] = {}
        for partner, record in taken:
            by_partner.setdefault(partner, []).append(record)
        for partner, records in by_partner.items():
            for start in range(0, len(records), BATCH):
                batch = records[start : start + BATCH]
                try:
                    await self._write(partner, batch)
                except Exception as error:
                    log.get_logger().warning("records.waiting", error=error, records=len(batch))
                    for record in batch:
                        self.add(partner, record)


class RecordInterceptor(grpc.aio.ServerInterceptor):
    """Stands between the mapping of errors, which become outcomes, and the check of callers, who may be refused."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler | None:
        handler = await continuation(details)
        method = str(details.method)
        if handler is None or not method.startswith(PUBLIC):
            return handler
        operation = method.rpartition("/")[2]

        async def around(request: Any, _: Any, call: Callable[[], Awaitable[Any]]) -> Any:
            with self._recorder.unfinished(), self._recording(operation, request) as recorded:
                result = await call()
                recorded.result = getattr(result, "name", "")
                return result

        async def around_stream(request: Any, _: Any, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
            with self._recorder.unfinished(), self._recording(operation, request):
                async with aclosing(cast(Any, items)):
                    async for item in items:
                        yield item

        return wrap(handler, around=around, around_stream=around_stream)

    @contextmanager
    def _recording(self, operation: str, request: Any) -> Iterator[_Call]:
        self._recorder.need_room()
        call, outcome = _Call(operation), "OK"
        _call.set(call)
        try:
            yield call
        except (asyncio.CancelledError, GeneratorExit):
            outcome = CANCELLED
            raise
        except Exception as error:
            outcome = map_error(error).reason
            raise
        finally:
            # An effect was recorded with its success; what failed, perhaps after all, is recorded as that.
            if not call.recorded or outcome not in ("OK", CANCELLED):
                self._add(call, request, outcome)

    def _add(self, call: _Call, request: Any, outcome: str) -> None:
        caller = known_caller()
        if caller is None:
            return  # nobody's: whoever has no valid credential acts for no partner; the access log counts such calls
        name = getattr(request, "name", "") or getattr(request, "parent", "")
        named = _PARTNER.match(name)
        partner = caller.partner or (named.group() if named else None)
        if partner is None:
            return
        about = call.result or name
        about = about if REQUEST.fullmatch(about) and about.startswith(f"{partner}/") else ""
        record = ProcessingRecord(
            actor=caller.principal,
            operation=call.operation,
            request=about,
            outcome=outcome,
            originating_ip=caller.originating_ip,
        )
        record.record_time.GetCurrentTime()
        self._recorder.add(partner, record)

"""What the store says of itself, as metrics: requests by state and due time, the queue, what waits and for what.

Every process of a service reads, those that only serve RPCs too: whoever watches must learn of a queue that no worker
takes from. Processes of one service say the same, so take the maximum over them, never the sum.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from opentelemetry import metrics

from dsrkit import log
from dsrkit.metrics import (
    OUTBOX_AGE,
    REQUEST_OPEN,
    REQUEST_STALLED,
    REQUEST_TIME_TO_DUE,
    TASK_AGE,
    TASK_OPEN,
    TASK_RETRIED,
    TASK_STUCK,
    Metric,
)

Values = Mapping[tuple[str, ...], float]
"""A gauge's values by those of its attributes, in their order."""
Read = Callable[[], Awaitable[Mapping[Metric, Values]]]
Row = Any  # asyncpg.Record, or a mapping

TASK_STATES = ("queued", "running", "waiting", "scheduled")
DUE = ("overdue", "1d", "3d", "7d", "later")


def of_tasks(rows: Iterable[Row], steps: Sequence[str]) -> Mapping[Metric, Values]:
    """From the rows of `watch` on tasks. `steps` are there even when they have no task."""
    counts: dict[tuple[str, ...], float] = {(step, state): 0.0 for step in steps for state in TASK_STATES}
    ages = dict(counts)
    stuck: dict[tuple[str, ...], float] = {(step,): 0.0 for step in steps}
    retried: dict[tuple[str, ...], float] = {}
    for row in rows:
        step, state, reason = row["step"], row["state"], row["reason"]
        counts[step, state] = counts.get((step, state), 0.0) + row["tasks"]
        ages[step, state] = max(ages.get((step, state), 0.0), row["age"])
        stuck[(step,)] = stuck.get((step,), 0.0) + row["stuck"]
        if reason is not None:
            retried[(reason,)] = retried.get((reason,), 0.0) + row["tasks"]
    return {TASK_OPEN: counts, TASK_AGE: ages, TASK_STUCK: stuck, TASK_RETRIED: retried}


def of_requests(rows: Iterable[Row], states: Sequence[str]) -> Mapping[Metric, Values]:
    """From the rows of `watch` on requests. `states` are there even when no request is in them."""
    counts: dict[tuple[str, ...], float] = {(state, due): 0.0 for state in states for due in DUE}
    stalled, next_due = 0.0, None
    for row in rows:
        counts[row["state"], row["due"]] = counts.get((row["state"], row["due"]), 0.0) + row["requests"]
        stalled += row["stalled"]
        next_due = row["seconds"] if next_due is None else min(next_due, row["seconds"])
    times: Values = {} if next_due is None else {(): next_due}
    return {REQUEST_OPEN: counts, REQUEST_STALLED: {(): stalled}, REQUEST_TIME_TO_DUE: times}


def of_outbox(seconds: float | None) -> Mapping[Metric, Values]:
    """From the age of the oldest entry."""
    return {OUTBOX_AGE: {(): seconds or 0.0}}


@dataclass
class _Snapshot:
    """What was read last. The exporter's thread asks for it; it is replaced as a whole."""

    values: Mapping[Metric, Values] = field(default_factory=dict)
    fresh_until: float = 0.0

    def observe(self, metric: Metric) -> list[metrics.Observation]:
        """Nothing, rather than what was true long ago."""
        if time.monotonic() > self.fresh_until:
            return []
        found = self.values.get(metric, {})
        names = metric.attributes
        return [metrics.Observation(value, dict(zip(names, key, strict=True))) for key, value in found.items()]


@asynccontextmanager
async def observing(schema: str, reads: Sequence[Read], endpoint: str, seconds: float) -> AsyncIterator[None]:
    """Reads the store every so many seconds and offers what it says as gauges, as long as the block lasts.

    Without an `endpoint` to export to, nothing is read.
    """
    if not endpoint:
        yield
        return
    reading = asyncio.create_task(_read_forever(_offered(schema), reads, seconds))
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@cache
def _offered(schema: str) -> _Snapshot:
    """The gauges of a service: registered once, for a second registration would be ignored."""
    snapshot, meter = _Snapshot(), metrics.get_meter(f"dsr.{schema}")
    for metric in (*of_tasks((), ()), *of_requests((), ()), *of_outbox(None)):
        meter.create_observable_gauge(metric.name, [_callback(snapshot, metric)], metric.unit, metric.description)
    return snapshot


def _callback(snapshot: _Snapshot, metric: Metric) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
    return lambda _: snapshot.observe(metric)


async def _read_forever(snapshot: _Snapshot, reads: Sequence[Read], seconds: float) -> None:
    while True:
        try:
            values: dict[Metric, Values] = {}
            for read in reads:
                values |= await read()
            snapshot.values, snapshot.fresh_until = values, time.monotonic() + 4 * seconds
        except Exception as error:
            log.get_logger().warning("gauges.unread", error=error)
        await asyncio.sleep(seconds)

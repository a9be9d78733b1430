"""Every metric there is: names, units, and which attributes it may have.

No attribute is a person, a partner, a request, a task or a source (decision 0030): each has a small set of values that
is fixed in the code. Whoever wants to know whose request is late asks the API, which knows who may know it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from opentelemetry import metrics

_CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # as semantic conventions advise
_STEPS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_DAY = 86_400.0
_LIVES = (60.0, 600.0, 3600.0, _DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 21 * _DAY, 28 * _DAY, 60 * _DAY, 90 * _DAY)


@dataclass(frozen=True)
class Metric:
    """One metric, in OpenTelemetry's words."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    """UCUM: `s`, `By`, or what is counted, in braces."""
    description: str
    attributes: Sequence[str] = ()
    boundaries: Sequence[float] = field(default=(), compare=False)
    """Of a histogram's buckets."""


REQUEST_OPEN = Metric(
    "dsr.request.open",
    "gauge",
    "{request}",
    "Requests that are not done, by state and by how near their due time is",
    ("dsr.request.state", "dsr.request.due"),
)
REQUEST_TIME_TO_DUE = Metric(
    "dsr.request.time_to_due", "gauge", "s", "Time until the next due time of an open request; negative when overdue"
)
REQUEST_STALLED = Metric(
    "dsr.request.stalled", "gauge", "{request}", "Open requests due within three days whose state is a day old"
)
REQUEST_DURATION = Metric(
    "dsr.request.duration",
    "histogram",
    "s",
    "From the controller's receipt of a request to its last state",
    ("dsr.request.state",),
    _LIVES,
)
TASK_OPEN = Metric(
    "dsr.task.open",
    "gauge",
    "{task}",
    "Tasks that are not done; those in state queued are the queue's depth",
    ("dsr.task.step", "dsr.task.state"),
)
TASK_AGE = Metric(
    "dsr.task.age",
    "gauge",
    "s",
    "Of the oldest task: since it fell due (queued), was begun (running), was made (waiting)",
    ("dsr.task.step", "dsr.task.state"),
)
TASK_RETRIED = Metric(
    "dsr.task.retried", "gauge", "{task}", "Open tasks whose last attempt had no result, by its reason", ("error.type",)
)
TASK_STUCK = Metric("dsr.task.stuck", "gauge", "{task}", "Open tasks after thirty attempts", ("dsr.task.step",))
TASK_DURATION = Metric(
    "dsr.task.duration",
    "histogram",
    "s",
    "Attempts at tasks; those without a result have its reason",
    ("dsr.task.step", "error.type"),
    _STEPS,
)
TASK_RECORDS = Metric(
    "dsr.task.records", "counter", "{record}", "Records that tasks found, copied or erased", ("dsr.task.step",)
)
OUTBOX_AGE = Metric("dsr.outbox.age", "gauge", "s", "Of the oldest processing record that governance doesn't have yet")
GRANT_DECISIONS = Metric(
    "dsr.grant.decisions",
    "counter",
    "{grant}",
    "Grants that governance was asked for; refused ones have a reason, and the rule if it was the law",
    ("dsr.right", "error.type", "dsr.refusal.rule"),
)
CONNECTOR_RECORDS = Metric(
    "dsr.connector.records",
    "counter",
    "{record}",
    "Records that a connector host exported or erased",
    ("dsr.connector.kind", "dsr.connector.operation"),
)
CONNECTOR_IO = Metric(
    "dsr.connector.io", "counter", "By", "Bytes that a connector host exported", ("dsr.connector.kind",)
)
CERTIFICATE_TIME_TO_EXPIRY = Metric(
    "dsr.tls.certificate.time_to_expiry",
    "gauge",
    "s",
    "Until the first certificate in a file of this process expires; negative when it has",
    ("dsr.tls.file",),
)
CALL_DURATION = Metric(
    "rpc.server.call.duration",
    "histogram",
    "s",
    "Calls answered over gRPC; failed ones have their reason",
    ("rpc.system.name", "rpc.method", "error.type"),
    _CALLS,
)
HTTP_DURATION = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "Requests answered over HTTP",
    ("http.request.method", "http.route", "http.response.status_code"),
    _CALLS,
)
METRICS: Sequence[Metric] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


@cache
def counter(metric: Metric) -> metrics.Counter:
    """The instrument of a counter, the same for everybody in the process."""
    return _meter().create_counter(metric.name, metric.unit, metric.description)


@cache
def histogram(metric: Metric) -> metrics.Histogram:
    """The instrument of a histogram."""
    return _meter().create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.boundaries
    )


def _meter() -> metrics.Meter:
    return metrics.get_meter("dsr")

"""An OpenTelemetry collector for tests: takes traces and metrics over gRPC, and keeps them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

Point = tuple[str, Mapping[str, str], float]
"""Scope, attributes, and the value; of a histogram, how many values."""


@dataclass
class Collector:
    """What came in."""

    port: int = 0
    received: list[Any] = field(default_factory=list)
    callers: set[str] = field(default_factory=set)
    """Names in the certificates of those who sent it."""

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def metrics(self) -> dict[tuple[str, str], Metric]:
        """The newest of every metric, by scope and name."""
        found = {}
        for request in self.received:
            for resource in getattr(request, "resource_metrics", ()):
                service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                for scope in resource.scope_metrics:
                    found.update({(f"{service}/{scope.scope.name}", metric.name): metric for metric in scope.metrics})
        return found

    def points(self, name: str, scope: str = "", **attributes: str) -> dict[tuple[str, ...], float]:
        """The newest values of a metric, by the values of its attributes; of those with these attributes only."""
        found = {}
        for (place, metric), message in self.metrics().items():
            if metric != name or not place.endswith(scope):
                continue
            for point in points(message):
                known = {a.key: a.value.string_value or str(a.value.int_value) for a in point.attributes}
                if attributes.items() <= {key.replace(".", "_"): value for key, value in known.items()}.items():
                    found[tuple(known[key] for key in sorted(known))] = value(point)
        return found


def points(metric: Metric) -> Any:
    """A metric's data points, of whichever kind it is."""
    return getattr(metric, metric.WhichOneof("data") or "gauge").data_points


def value(point: Any) -> float:
    """A number's value, or how many a histogram has."""
    return float(point.count) if hasattr(point, "bucket_counts") else point.as_double or point.as_int


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        _take(self._collector, request, context)
        return metrics.ExportMetricsServiceResponse()


class _Traces(traces_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        _take(self._collector, request, context)
        return traces.ExportTraceServiceResponse()


def _take(collector: Collector, request: Any, context: Any) -> None:
    collector.received.append(request)
    names = context.auth_context().get("x509_common_name", ())
    collector.callers.update(name.decode() for name in names)


@asynccontextmanager
async def open_collector(tls: grpc.ServerCredentials | None = None) -> AsyncIterator[Collector]:
    """Listens on loopback until the block ends."""
    collector = Collector()
    server = grpc.aio.server()
    registrations: Any = (
        metrics_grpc.add_MetricsServiceServicer_to_server,
        traces_grpc.add_TraceServiceServicer_to_server,
    )
    for add, servicer in zip(registrations, (_Metrics(collector), _Traces(collector)), strict=True):
        add(servicer, server)  # untyped in the library
    port = server.add_insecure_port("127.0.0.1:0") if tls is None else server.add_secure_port("127.0.0.1:0", tls)
    collector.port = port
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)

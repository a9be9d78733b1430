"""OpenTelemetry traces and metrics. Spans carry method names and resource names, never payloads."""

from collections.abc import Sequence
from typing import Any

import grpc
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def configure(service: str, endpoint: str) -> None:
    """Exports to an OTLP collector at `endpoint` (`host:port`); without one, spans are made and dropped."""
    resource = Resource.create({"service.name": f"dsr-{service}"})
    provider = TracerProvider(resource=resource)
    if endpoint:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=True))
        metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
    trace.set_tracer_provider(provider)


def server_interceptors() -> Sequence[grpc.aio.ServerInterceptor]:
    """Goes first in a server's chain."""
    make: Any = aio_server_interceptor  # untyped in the library
    return [make()]


def client_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """Goes into every channel."""
    make: Any = aio_client_interceptors  # untyped in the library
    interceptors: Sequence[grpc.aio.ClientInterceptor] = make()
    return interceptors

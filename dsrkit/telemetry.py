"""OpenTelemetry traces and metrics. Spans carry method names and resource names, never payloads."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from dsrkit import log
from dsrkit.config import ConfigError
from dsrkit.metrics import CERTIFICATE_TIME_TO_EXPIRY
from dsrkit.server import is_loopback
from dsrkit.tls import TlsFiles


@dataclass(frozen=True)
class Collector:
    """Where telemetry goes."""

    endpoint: str
    """`host:port`; empty: nowhere."""
    interval_seconds: float
    """Between two exports of metrics."""
    tls: TlsFiles | None
    """The process's own; None for plaintext."""


def configure(service: str, collector: Collector, certificates: Mapping[str, str]) -> None:
    """Exports traces and metrics over OTLP; without a collector, spans are made and dropped.

    The collector is asked for its certificate and shown the process's own; plaintext goes to loopback only (policy P9):
    ConfigError. `certificates`: PEM files whose expiry is told, by what to call them; empty paths are left out.
    """
    resource = Resource.create({"service.name": f"dsr-{service}", "service.instance.id": str(uuid.uuid4())})
    spans = TracerProvider(resource=resource)
    if collector.endpoint:
        measures = meter_provider(resource, collector)
        tell_expiry(measures, {name: Path(path) for name, path in certificates.items() if path})
        metrics.set_meter_provider(measures)
        # Read by those only who have a collector: it takes a tenth of a process's start.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        spans.add_span_processor(BatchSpanProcessor(_Spans(_Exporters(OTLPSpanExporter, collector))))
    trace.set_tracer_provider(spans)


def meter_provider(resource: Resource, collector: Collector) -> MeterProvider:
    """Collects metrics and exports them every so often. ConfigError for plaintext outside loopback."""
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = _Measures(_Exporters(OTLPMetricExporter, collector))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=collector.interval_seconds * 1000)
    return MeterProvider(resource=resource, metric_readers=[reader])


class _Exporters:
    """The library's exporter, made anew when the certificate was replaced: it reads its own once."""

    def __init__(self, kind: Callable[..., Any], collector: Collector) -> None:
        self._endpoint, self._tls = collector.endpoint, collector.tls
        if self._tls is None and not is_loopback(self._endpoint):
            raise ConfigError(
                "DSR_OTLP_ENDPOINT is not loopback: plaintext is refused, give this process its certificate, its key"
                " and the authority that the collector's certificate is checked against"
            )
        self._kind = kind
        self._stamps: tuple[int, ...] = ()
        self._current: Any = self._make()

    def current(self) -> Any:
        """The exporter to use now."""
        try:
            if self._tls is not None and self._tls.stamps() != self._stamps:
                old, self._current = self._current, self._make()
                old.shutdown()
        except OSError as error:
            # Half-way through a rotation the old certificate serves on.
            log.get_logger().warning("tls.unreadable", error=error)
        return self._current

    def _make(self) -> Any:
        if self._tls is None:
            return self._kind(endpoint=self._endpoint, insecure=True)
        self._stamps = self._tls.stamps()
        return self._kind(endpoint=self._endpoint, insecure=False, credentials=self._tls.channel())


class _Measures(MetricExporter):
    """Metrics through whichever exporter is current."""

    def __init__(self, exporters: _Exporters) -> None:
        super().__init__()
        self._exporters = exporters

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        result: MetricExportResult = self._exporters.current().export(metrics_data, timeout_millis)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._exporters.current().shutdown(timeout_millis)


class _Spans(SpanExporter):
    """Spans likewise."""

    def __init__(self, exporters: _Exporters) -> None:
        self._exporters = exporters

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result: SpanExportResult = self._exporters.current().export(spans)
        return result

    def shutdown(self) -> None:
        self._exporters.current().shutdown()


def tell_expiry(provider: MeterProvider, files: Mapping[str, Path]) -> None:
    """Adds the expiry of these PEM files to what is collected."""

    def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [metrics.Observation(left, {"dsr.tls.file": name}) for name, left in time_to_expiry(files).items()]

    metric = CERTIFICATE_TIME_TO_EXPIRY
    provider.get_meter("dsr").create_observable_gauge(metric.name, [read], metric.unit, metric.description)


def time_to_expiry(files: Mapping[str, Path]) -> Mapping[str, float]:
    """Seconds until the first certificate of each file expires. A file that can't be read is left out."""
    found = {}
    for name, path in files.items():
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
            ends = min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
        except (OSError, ValueError) as error:
            log.get_logger().warning("tls.unreadable", error=error)
            continue
        found[name] = ends - time.time()
    return found


def server_interceptors() -> Sequence[grpc.aio.ServerInterceptor]:
    """Goes first in a server's chain."""
    make: Any = aio_server_interceptor  # untyped in the library
    return [make()]


def client_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """Goes into every channel."""
    make: Any = aio_client_interceptors  # untyped in the library
    interceptors: Sequence[grpc.aio.ClientInterceptor] = make()
    return interceptors

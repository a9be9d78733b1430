"""One trace from the gateway through the service and its durable work to the connector, without personal data."""

from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from google.protobuf import json_format
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.config import Config
from gateway.server import open_gateway
from tests.support.http import PLAINTEXT
from tests.support.services import World, eventually

PARTS = ("CreateAccessRequest", "Authorize", "task locate", "Locate", "task export", "IssueGrant", "Export")


@pytest.fixture(scope="module")
def spans() -> Iterator[InMemorySpanExporter]:
    """All spans of this process. A provider can be set once; a second test module would have to share it."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


async def test_one_trace_from_the_gateway_to_the_connector(spans: InMemorySpanExporter, world: World) -> None:
    ports = {f"{name}_address": f"127.0.0.1:{port}" for name, port in world.ports.items()}
    config = Config(listen="127.0.0.1:0", **ports)  # type: ignore[arg-type]
    message = world.create_message("access")
    body = json_format.MessageToDict(message.access_request)
    async with open_gateway(config) as gateway, httpx.AsyncClient(verify=PLAINTEXT) as client:
        url = f"http://127.0.0.1:{gateway.port}/v1/partners/acme/accessRequests"
        answer = await client.post(
            url, params={"request_id": message.request_id}, json=body, headers=dict(world.metadata())
        )
        assert answer.status_code == 200, answer.text
    await world.until("access", answer.json()["name"])

    def of_request() -> list[ReadableSpan]:
        finished = spans.get_finished_spans()
        root = next((s for s in finished if s.name.startswith("POST /v1/")), None)
        if root is None or root.context is None:
            return []
        return [s for s in finished if s.context is not None and s.context.trace_id == root.context.trace_id]

    def missing() -> set[str]:
        names = {s.name for s in of_request()}
        return {part for part in PARTS if not any(part in name for name in names)}

    # A task's span ends after its last call's, and after the request is told to be over.
    with suppress(AssertionError):
        await eventually(lambda: not missing())
    assert missing() == set()
    said = " ".join(f"{s.name} {dict(s.attributes or {})} {[e.attributes for e in s.events]}" for s in of_request())
    assert "ann@" not in said

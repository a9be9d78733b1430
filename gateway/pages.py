"""The few fixed paths: health, readiness, the description of the API and the page that shows it."""

import asyncio
import json
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from gateway import docs, problems
from gateway.app import Page
from gateway.upstreams import Upstreams

_HEALTH_SECONDS = 1.0
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HTML = "text/html; charset=utf-8"


def pages(upstreams: Upstreams, draining: asyncio.Event) -> Mapping[str, Page]:
    """The pages by path. Files are read, and the documentation is rendered, once."""

    async def healthz(_: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if draining.is_set():
            return problems.from_http(503, "Draining: send new requests elsewhere.").response()
        serving = await upstreams.serving(_HEALTH_SECONDS)
        # Each right works while the others are down, so one service that serves is enough to be sent requests.
        if not any(serving.values()):
            return problems.from_http(503, "No service can be reached.").response()
        return _json({"status": "ready", "services": serving})

    files = resources.files("gateway")
    description = files.joinpath("openapi.json").read_bytes()
    page = _file(docs.render(json.loads(description), files.joinpath("docs.html.j2").read_text()).encode(), _HTML)
    return {
        "/healthz": healthz,
        "/readyz": readyz,
        "/openapi.json": _file(description, "application/json"),
        "/docs.css": _file(files.joinpath("docs.css").read_bytes(), "text/css; charset=utf-8"),
        "/docs": page,
        "/": page,
    }


def _file(content: bytes, media_type: str) -> Page:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}

    async def page(_: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return page


def _json(content: object) -> Response:
    return Response(json.dumps(content), media_type="application/json")

"""The OpenAPI description is what the descriptors say, is valid, and its examples are accepted."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dsr.v1.error_reason_pb2 import ErrorReason
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import binding, docs, examples, strict_json
from gateway.routes import PUBLIC_SERVICES, Kind, Route, routes_of

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTION: dict[str, Any] = json.loads((ROOT / "gateway" / "openapi.json").read_text())
ROUTES = routes_of(PUBLIC_SERVICES)
OPERATIONS = {one["operationId"]: one for methods in DESCRIPTION["paths"].values() for one in methods.values()}


def test_it_is_what_the_contract_says_now(tmp_path: Path) -> None:
    target = tmp_path / "openapi.json"
    subprocess.run([sys.executable, ROOT / "scripts" / "openapi.py", target], check=True)
    assert json.loads(target.read_text()) == DESCRIPTION, "run scripts/openapi.py"


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(DESCRIPTION).validate()


def test_every_rpc_is_described() -> None:
    assert set(OPERATIONS) == {route.rpc.name for route in ROUTES}
    for operation in OPERATIONS.values():
        assert operation["summary"]
        assert operation["x-roles"]
        assert {"200", "401", "403"} <= set(operation["responses"])


def test_paths_are_legal() -> None:
    assert "/v1/partners/{partner}/accessRequests/{access_request}:cancel" in DESCRIPTION["paths"]
    for path, methods in DESCRIPTION["paths"].items():
        assert re.fullmatch(r"(/(v1|[a-zA-Z]+|\{[a-z_]+\}))+(:[a-zA-Z]+)?", path)
        for operation in methods.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == set(re.findall(r"\{([a-z_]+)\}", path))


def test_everything_has_words() -> None:
    """Every schema, property and parameter carries the contract's comment."""
    for name, schema in DESCRIPTION["components"]["schemas"].items():
        assert schema["description"], name
        if name != "Problem":
            for key, one in schema.get("properties", {}).items():
                assert one.get("description"), f"{name}.{key}"
    for operation in OPERATIONS.values():
        assert all(one["description"] for one in operation["parameters"])


def test_what_is_sent_and_what_is_answered_differ() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    sent, answered = schemas["ErasureRequestInput"], schemas["ErasureRequest"]
    assert "subject" in sent["properties"]
    assert "subject" not in answered["properties"]
    assert {"plan", "state", "name"} <= set(answered["properties"])
    assert not {"plan", "state", "name"} & set(sent["properties"])
    assert sent["required"] == ["subject", "clock", "ground"]
    assert sent["additionalProperties"] is False


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.rpc.name)
def test_examples_are_accepted(route: Route) -> None:
    body = examples.body_of(route)
    parsed = strict_json.parse(json.dumps(body).encode()) if body is not None else None
    path, _, query = examples.url_of(route).partition("?")
    pairs = [tuple(pair.split("=")) for pair in query.split("&") if pair]
    message = binding.request_message(route, {}, pairs, parsed)  # type: ignore[arg-type]
    assert path.startswith(("/v1/partners", "/v1/policyVersions", "/v1/staffGrants", "/v1/ledger"))
    assert "*" not in path
    if route.kind is Kind.RESOURCE and body is not None:
        assert message.ByteSize() > 0
    sample = OPERATIONS[route.rpc.name]["x-codeSamples"][0]["source"]
    assert sample.startswith(f'curl "$DSR{path}')


def test_the_page_shows_everything_without_scripts() -> None:
    template = (ROOT / "gateway" / "docs.html.j2").read_text()
    page = docs.render(DESCRIPTION, template)
    assert "<script" not in page
    assert "TOKEN=$(dsr token --role ROLE_REQUESTER)\ncurl &#34;$DSR/v1/partners/acme/accessRequests" in page
    assert "TOKEN=$(dsr token --role ROLE_APPROVER --person)" in page
    assert "http://" not in page
    assert re.findall(r'(?:src|href)="(?![#/])', page) == []
    for name in [
        *OPERATIONS,
        *(f"schema-{name}" for name in DESCRIPTION["components"]["schemas"] if name != "ErrorReason"),
    ]:
        assert f'id="{name}"' in page
    links, targets = set(re.findall(r'href="#([^"]+)"', page)), set(re.findall(r'id="([^"]+)"', page))
    assert links <= targets, links - targets
    # From COPY_IN_PROGRESS on they say why work waits; no call fails with them.
    end = ErrorReason.Value("ERROR_REASON_COPY_IN_PROGRESS")
    reasons = {name.removeprefix("ERROR_REASON_") for name, number in ErrorReason.items() if 0 < number < end}
    assert reasons <= {target.removeprefix("error-") for target in targets}


def test_what_the_contract_says_cannot_break_the_page() -> None:
    evil = {**DESCRIPTION, "info": {**DESCRIPTION["info"], "description": "<script>alert(1)</script> `<b>`"}}
    page = docs.render(evil, (ROOT / "gateway" / "docs.html.j2").read_text())
    assert "<script" not in page
    assert "<code>&lt;b&gt;</code>" in page

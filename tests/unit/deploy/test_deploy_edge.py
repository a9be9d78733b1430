"""The edge's configuration says what the contract says."""

import json
from pathlib import Path

from deploy.edge import configuration, issuers, replies
from dsrkit.issuer import TrustFile
from gateway.routes import PUBLIC_SERVICES


def public() -> dict[str, object]:
    manager = configuration()["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    config: dict[str, object] = manager["typed_config"]
    return config


def test_every_public_service_has_its_route_and_nothing_else_has() -> None:
    (host,) = public()["route_config"]["virtual_hosts"]  # type: ignore[index]
    routes = [(one["match"]["prefix"], one["route"]["cluster"]) for one in host["routes"] if "grpc" in one["match"]]

    def cluster(path: str) -> str | None:
        return next((name for prefix, name in routes if path.startswith(prefix)), None)

    for process, services in PUBLIC_SERVICES.items():
        assert {cluster(f"/{service.full_name}/Any") for service in services} == {process}
    for internal in ("dsr.authority.v1.AuthorityService", "dsr.connector.v1.ConnectorService", "grpc.health.v1.Health"):
        assert cluster(f"/{internal}/Any") is None


def test_replies_are_the_contracts() -> None:
    assert public()["local_reply_config"] == replies(), "put `deploy.edge.replies()` into config/envoy.yaml"


def test_services_and_development_issuers_are_not_let_in(tmp_path: Path) -> None:
    trust = TrustFile(tmp_path / "trust.json")
    trust.add_partner("acme", tmp_path / "acme.json")
    trust.add_partner("developer", tmp_path / "developer.json", development=True)
    trust.add_service("erasure", tmp_path / "erasure.json")
    trust.add_operator(tmp_path / "operator.json")
    data = json.loads(trust.path.read_text())
    # An issuer of a partner's own naming, such as its identity provider.
    data["issuers"].append({**data["issuers"][0], "issuer": "https://id.acme.example"})
    trust.path.write_text(json.dumps(data))
    files = issuers(trust.path)
    rules = files["partners.yaml"]["resources"][0]["typed_config"]["rules"]["policies"]
    let_in = {
        name: policy["principals"][0]["and_ids"]["ids"][0]["authenticated"]["principal_name"]["exact"]
        for name, policy in rules.items()
    }
    assert let_in == {
        "urn:dsr:partner:acme": "urn:dsr:partner:acme",
        "https://id.acme.example": "urn:dsr:partner:acme",
        "urn:dsr:operator": "urn:dsr:operator",
    }
    assert set(files["jwt.yaml"]["resources"][0]["typed_config"]["providers"]) == set(let_in)

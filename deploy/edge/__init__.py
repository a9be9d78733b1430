"""The edge: Envoy's configuration, as it is deployed and as the tests run it."""

import base64
import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dsr.credentials import PLATFORM_AUDIENCE

from dsrkit.errors import DOMAIN, DsrError

CONFIG = Path(__file__).parent / "config"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
_PARTNER = "urn:dsr:partner:"
_SERVICE = "urn:dsr:service:"
_JWT = "envoy.filters.http.jwt_authn"


def issuers(trust: Path) -> dict[str, Any]:
    """The files of `issuers/` by name: whose tokens are let in, and under whose certificate.

    Of the trust file's issuers those of partners and of the operator's staff. A service never comes through the edge,
    and a development issuer is believed on loopback only.
    """
    entries = [
        entry
        for entry in json.loads(trust.read_text())["issuers"]
        if not entry["issuer"].startswith(_SERVICE) and not entry.get("development", False)
    ]
    return {"jwt.yaml": _resource("jwt", _tokens(entries)), "partners.yaml": _resource("partners", _policies(entries))}


def certificate_name(entry: Mapping[str, Any]) -> str:
    """The URI in the certificate of whoever an issuer of the trust file belongs to."""
    partner = entry.get("partner")
    return _PARTNER + partner.removeprefix("partners/") if partner else str(entry["issuer"])


def _tokens(entries: list[dict[str, Any]]) -> dict[str, Any]:
    providers = {
        entry["issuer"]: {
            "issuer": entry["issuer"],
            "audiences": [PLATFORM_AUDIENCE],
            "local_jwks": {"inline_string": json.dumps({"keys": entry["keys"]})},
            "forward": True,  # the service behind checks again
            "require_expiration": True,
            "max_lifetime": "305s",
            "clock_skew_seconds": 5,
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
            "payload_in_metadata": "token",
        }
        for entry in entries
    }
    # Without an issuer nobody is let in: a rule needs something to require.
    any_of = [{"provider_name": name} for name in providers]
    requires = {"requires_any": {"requirements": any_of}} if len(any_of) > 1 else any_of[0] if any_of else None
    return {
        "@type": f"{_FILTERS}.jwt_authn.v3.JwtAuthentication",
        "providers": providers,
        "rules": [{"match": {"prefix": "/"}, "requires": requires}] if requires else [],
    }


def _policies(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """One policy per issuer: its token, over a connection with the certificate of the same partner."""
    policies = {}
    for entry in entries:
        certificate = {"authenticated": {"principal_name": {"exact": certificate_name(entry)}}}
        issuer = {"string_match": {"exact": entry["issuer"]}}
        matcher = {"filter": _JWT, "path": [{"key": "token"}, {"key": "iss"}], "value": issuer}
        token = {"sourced_metadata": {"metadata_matcher": matcher}}
        policies[entry["issuer"]] = {
            "permissions": [{"any": True}],
            "principals": [{"and_ids": {"ids": [certificate, token]}}],
        }
    return {"@type": f"{_FILTERS}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": policies}}


def _resource(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": name,
                "typed_config": config,
            }
        ]
    }


def write_issuers(trust: Path, folder: Path) -> None:
    """Writes them, each whole or not at all: a running edge takes them over when they change."""
    folder.mkdir(parents=True, exist_ok=True)
    # The policies first: a new issuer's tokens are let in by the second file only.
    for name, content in sorted(issuers(trust).items(), reverse=True):
        part = folder / f"{name}.part"
        part.write_text(json.dumps(content, indent=1))
        os.replace(part, folder / name)


def configuration() -> dict[str, Any]:
    """`config/envoy.yaml`."""
    loaded: dict[str, Any] = yaml.safe_load((CONFIG / "envoy.yaml").read_text())
    return loaded


def relocated(listen: Mapping[str, tuple[str, int]], clusters: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    """The configuration with other addresses of its listeners and clusters, and nothing else changed."""
    config = copy.deepcopy(configuration())
    resources = config["static_resources"]
    for listener in resources["listeners"]:
        _move(listener["address"], listen[listener["name"]])
    for cluster in resources["clusters"]:
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        _move(endpoint["endpoint"]["address"], clusters[cluster["name"]])
    return config


def _move(address: dict[str, Any], to: tuple[str, int]) -> None:
    address["socket_address"] = {"address": to[0], "port_value": to[1]}


REPLIES: Mapping[int, tuple[str, str, Mapping[str, str]]] = {
    401: ("CREDENTIAL_INVALID", "Present a valid token for this audience: Authorization: Bearer <token>.", {}),
    403: ("CERTIFICATE_MISMATCH", "Use token and client certificate of the same partner.", {}),
    404: ("METHOD_UNKNOWN", "There is nothing at this path.", {}),
    413: ("MESSAGE_TOO_LARGE", "The body is larger than 1048576 bytes. Send less.", {"limit": "1048576"}),
    429: ("RATE_LIMITED", "Too many requests of this partner. Retry.", {"limit": "requests"}),
    503: ("SERVICE_UNAVAILABLE", "The service can't be reached. Retry.", {}),
}
"""What the edge itself answers, by status: reason, text and metadata. Everything else is answered behind it."""
_HTTP_HEADERS = {401: {"www-authenticate": 'Bearer realm="dsr"'}, 429: {"retry-after": "1"}, 503: {"retry-after": "1"}}


def replies() -> dict[str, Any]:
    """`local_reply_config`: the contract's errors in place of Envoy's own, for gRPC and for HTTP."""
    mappers = []
    for status, (reason, text, metadata) in REPLIES.items():
        error = DsrError(reason, text)
        error.metadata.update(metadata)
        own = {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"dsr.{status}"}}
            }
        }
        details = base64.b64encode(error.status().SerializeToString()).decode()
        mappers.append(
            {
                "filter": {"and_filter": {"filters": [own, _GRPC]}},
                "headers_to_add": [_header("grpc-status-details-bin", details)],
                "body_format_override": {"text_format_source": {"inline_string": text}},
            }
        )
        document = {
            "type": f"https://dsr.invalid/errors/{reason}",
            "title": reason.replace("_", " ").capitalize(),
            "status": status,
            "detail": text,
            "reason": reason,
            "domain": DOMAIN,
            "metadata": dict(metadata),
            "errors": [],
        }
        mappers.append(
            {
                "filter": own,
                "headers_to_add": [_header(name, value) for name, value in _HTTP_HEADERS.get(status, {}).items()],
                "body_format_override": {
                    "text_format_source": {"inline_string": json.dumps(document)},
                    "content_type": "application/problem+json",
                },
            }
        )
    return {"mappers": mappers}


_GRPC = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}

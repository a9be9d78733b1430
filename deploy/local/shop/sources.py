"""The shop's two data sources: what governance is told of them, and what their connector hosts are."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import yaml
from dsr.v1 import governance_pb2
from google.protobuf import json_format

PARTNER = "partners/acme"
SHOP, FILES = f"{PARTNER}/dataSources/shop", f"{PARTNER}/dataSources/files"


def write_config(name: str, target: Path, places: Mapping[str, Path]) -> None:
    """Writes the configuration of the connector host `shop` or `files`, with its paths filled in."""
    # A path is quoted as YAML quotes it, whatever characters it has.
    quoted = {key: yaml.safe_dump(str(path)).splitlines()[0] for key, path in places.items()}
    target.write_text(Template(_read(f"{name}.yaml")).substitute(quoted))


def data_map() -> governance_pb2.DataMap:
    """The partner's data map."""
    parsed: dict[str, Any] = yaml.safe_load(_read("data_map.yaml"))
    return json_format.ParseDict(parsed, governance_pb2.DataMap())


def partner() -> dict[str, Any]:
    """The partner, as JSON of dsr.v1.Partner. Approved erasures wait for a second, not for a day."""
    return {
        "name": PARTNER,
        "displayName": "Acme Home & Garden Ltd",
        "country": "IE",
        "timeZone": "Europe/Dublin",
        "privacyContact": "privacy@acme.example.com",
        "supervisoryAuthority": "Data Protection Commission, Ireland",
        "erasureGracePeriod": "1s",
        "contractLocations": [location("Dublin", "IE"), location("Frankfurt", "DE")],
    }


def location(site: str, country: str) -> dict[str, str]:
    """A place of the demonstration."""
    return {"provider": "Amazon Web Services", "site": site, "country": country}


def data_source(name: str, address: str) -> dict[str, Any]:
    """A data source, as JSON of dsr.v1.DataSource; `address` of its connector host."""
    shop = name == SHOP
    return {
        "name": name,
        "displayName": "Shop database" if shop else "Customer files",
        "connectorAddress": address,
        "custody": "CUSTODY_OPERATOR",
        "location": location("Dublin", "IE") if shop else location("Frankfurt", "DE"),
    }


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("declaration", name).read_text()

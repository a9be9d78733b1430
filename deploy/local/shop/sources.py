"""The shop's data sources: what governance is told of them, and what their connector hosts are."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import yaml
from dsr.v1 import governance_pb2
from google.protobuf import json_format

PARTNER = "partners/acme"
SHOP, FILES, STORE = (f"{PARTNER}/dataSources/{name}" for name in ("shop", "files", "store"))
_TITLES = {SHOP: "Shop database", STORE: "Documents and event history"}


def write_config(names: Sequence[str], target: Path, places: Mapping[str, Path | str]) -> None:
    """Writes the configuration of a connector host for some of `shop`, `files` and `store`, their places filled in."""
    # A path is quoted as YAML quotes it, whatever characters it has.
    quoted = {key: yaml.safe_dump(str(place)).splitlines()[0] for key, place in places.items()}
    parts = [yaml.safe_load(Template(_read(f"{name}.yaml")).substitute(quoted)) for name in names]
    sources = {name: source for part in parts for name, source in part["sources"].items()}
    target.write_text(yaml.safe_dump({**parts[0], "sources": sources}, sort_keys=False))


def data_map(*, store: bool = False) -> governance_pb2.DataMap:
    """The partner's data map; with `store`, of the object store too."""
    parsed: dict[str, Any] = yaml.safe_load(_read("data_map.yaml"))
    if store:
        parsed["sources"] += yaml.safe_load(_read("data_map_store.yaml"))["sources"]
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
    return {
        "name": name,
        "displayName": _TITLES.get(name, "Customer files"),
        "connectorAddress": address,
        "custody": "CUSTODY_OPERATOR",
        "location": location("Dublin", "IE") if name == SHOP else location("Frankfurt", "DE"),
    }


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("declaration", name).read_text()

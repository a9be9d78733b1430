"""A sandbox beside the shop: the partner, its one source, and what its data are for."""

from importlib import resources
from typing import Any

import yaml
from dsr.v1 import governance_pb2
from google.protobuf import json_format

PARTNER = "partners/acme-sandbox"
SHOP = f"{PARTNER}/dataSources/shop"
_DUBLIN = {"provider": "Amazon Web Services", "site": "Dublin", "country": "IE"}


def partner() -> dict[str, Any]:
    """The partner, as JSON of dsr.v1.Partner."""
    return {
        "name": PARTNER,
        "displayName": "Acme's sandbox",
        "country": "IE",
        "timeZone": "Europe/Dublin",
        "privacyContact": "privacy@acme.example.com",
        "contractLocations": [_DUBLIN],
        "contractApprovers": ["urn:dsr:partner:acme-sandbox#manager-2"],
        "sandbox": True,
    }


def data_source(address: str) -> dict[str, Any]:
    """Its data source, as JSON of dsr.v1.DataSource; `address` of a connector host with the kind `sandbox`."""
    return {
        "name": SHOP,
        "displayName": "A shop with made-up people",
        "connectorAddress": address,
        "custody": "CUSTODY_OPERATOR",
        "location": _DUBLIN,
        "sandbox": True,
    }


def data_map() -> governance_pb2.DataMap:
    """What its data are for."""
    text = resources.files(__package__).joinpath("declaration", "data_map.yaml").read_text()
    return json_format.ParseDict(yaml.safe_load(text), governance_pb2.DataMap())

"""The full breakdown, as one file that opens without a network."""

import orjson
from dsr.v1 import breach_pb2 as pb
from google.protobuf import json_format
from jinja2 import Environment, PackageLoader, StrictUndefined

from services.governance.breach.domain import OVER

_PAGES = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def as_json(breach: pb.Breach) -> bytes:
    """For machines."""
    found = json_format.MessageToDict(breach)
    return orjson.dumps({**found, "final": breach.phase in OVER}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def as_html(breach: pb.Breach, operator: str) -> bytes:
    """For people: no scripts, nothing from elsewhere, and what somebody wrote is text and never markup."""
    found = json_format.MessageToDict(
        breach, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    page = _PAGES.get_template("breach.html").render(breach=found, final=breach.phase in OVER, operator=operator)
    return page.encode()

"""The record of processing as a file: JSON, or one HTML page without scripts."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined

_PAGE = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    resources.files(__package__).joinpath("templates", "register.html").read_text()
)


def as_json(register: Mapping[str, Any]) -> bytes:
    """For machines."""
    return orjson.dumps(register, option=orjson.OPT_INDENT_2) + b"\n"


def as_html(register: Mapping[str, Any]) -> bytes:
    """For people."""
    return _PAGE.render(register).encode()

"""The page that shows the API: rendered at start-up from the OpenAPI description, without scripts, fit for offline."""

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup, escape


def render(description: Mapping[str, Any], template: str) -> str:
    """The HTML page."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(prose=_prose, kind=_kind)
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in description["tags"]}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append({"method": method.upper(), "path": path, **operation})
    schemas = description["components"]["schemas"]
    return environment.from_string(template).render(
        info=description["info"],
        tags=description["tags"],
        groups=groups,
        schemas=schemas,
        reasons=_reasons(schemas["ErrorReason"]["x-enum-descriptions"]),
    )


def _reasons(descriptions: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("ERROR_REASON_"): text
        for name, text in descriptions.items()
        if not name.endswith("UNSPECIFIED") and not text.startswith("Not an error")
    }


def _prose(text: str) -> Markup:
    """A comment, with its backquoted words as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def _kind(schema: Mapping[str, Any]) -> Markup:
    """A schema's type in a few words, with a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if schema.get("type") == "array":
        return Markup("{} []").format(_kind(schema["items"]))
    return escape(schema.get("format") or schema.get("type") or "any")

"""Path templates of `google.api.http`, such as `/v1/{name=partners/*/accessRequests/*}:cancel`.

Supported: literals, `*`, one level of `{field=…}`, a verb. `**` is not: no resource name here is of unknown depth.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_PATH = 1024
"""Bytes of a path, at most."""

# Unreserved characters only (RFC 3986), and no dot segments: a resource id needs no more, and what needs no decoding
# cannot be decoded twice.
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,200}")
_VARIABLE = re.compile(r"\{(?P<field>[a-z_][a-z0-9_]*)(?:=(?P<pattern>[^{}]+))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+|\*")


@dataclass(frozen=True)
class Variable:
    """A request field and the segments that make up its value."""

    field: str
    start: int
    end: int


@dataclass(frozen=True)
class PathTemplate:
    """A parsed template: its segments (`*` matches any one), what they bind, and the verb after the colon."""

    text: str
    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str

    @classmethod
    def parse(cls, text: str) -> "PathTemplate":
        """Parses a template. ValueError for one outside the supported grammar."""
        path, _, verb = text.rpartition(":") if ":" in text else (text, "", "")
        segments: list[str] = []
        variables: list[Variable] = []
        position = 1
        while position <= len(path):
            match = _VARIABLE.match(path, position)
            if match:
                pieces = (match["pattern"] or "*").split("/")
                variables.append(Variable(match["field"], len(segments), len(segments) + len(pieces)))
                position = match.end()
            else:
                end = path.find("/", position)
                pieces = [path[position : end if end >= 0 else len(path)]]
                position += len(pieces[0])
            segments += pieces
            if position < len(path) and path[position] != "/":
                raise ValueError(f"path template {text!r} has something between segments")
            position += 1
        if not path.startswith("/") or not all(_LITERAL.fullmatch(segment) for segment in segments):
            raise ValueError(f"path template {text!r} is outside the supported grammar")
        return cls(text, tuple(segments), tuple(variables), verb)

    def match(self, segments: tuple[str, ...]) -> Mapping[str, str] | None:
        """The bound fields, when these segments (as many as the template's own) match."""
        if any(mine not in ("*", theirs) for mine, theirs in zip(self.segments, segments, strict=True)):
            return None
        return {v.field: "/".join(segments[v.start : v.end]) for v in self.variables}


def split(path: str) -> tuple[tuple[str, ...], str] | None:
    """Segments and verb of a request's path as it was sent; None when it is not a canonical path."""
    if not path.startswith("/") or len(path) > MAX_PATH:
        return None
    head, _, verb = path.rpartition(":") if ":" in path else (path, "", "")
    segments = tuple(head[1:].split("/"))
    if ":" in path and not _SEGMENT.fullmatch(verb):
        return None
    return (segments, verb) if all(_SEGMENT.fullmatch(segment) for segment in segments) else None

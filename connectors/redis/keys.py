"""Patterns of keys such as `session:{customer_number}:*`: the path patterns of `filesystem` with colons for slashes.

Keys are bytes. Here they are text that loses nothing (`surrogateescape`).
"""

import re
from collections.abc import Mapping

from connectors.filesystem import pattern as paths
from connectors.filesystem.pattern import Pattern
from connectors.objects import keys as read_keys

# A key may hold slashes, a path may hold colons: they change places.
_SWAP = str.maketrans(":/", "/:")
_GLOB = re.compile(r"[*?\[\]\\^-]")


def parse(text: str) -> Pattern:
    """Compiles a pattern. PatternError says what is wrong with it."""
    try:
        return paths.parse(text.translate(_SWAP))
    except paths.PatternError as error:
        raise paths.PatternError(f"{str(error).replace('slash', 'colon')} (a colon ends a segment of a key)") from None


def text(key: bytes) -> str:
    """A key, member or field as text."""
    return key.decode(errors="surrogateescape")


def data(key: str) -> bytes:
    """The bytes of a text."""
    return key.encode(errors="surrogateescape")


def read(pattern: Pattern, key: str) -> Mapping[str, str] | None:
    """The identity values in a key, or None if the pattern doesn't match it."""
    found = read_keys.read(pattern, key.translate(_SWAP))
    return None if found is None else {name: value.translate(_SWAP) for name, value in found.items()}


def searchable(pattern: Pattern, variable: str, value: str) -> bool:
    """Whether a key with `value` has one reading only."""
    segment = read_keys.segment_of(pattern, variable)
    return ":" not in value and segment.searchable(variable, value.translate(_SWAP))


def name(pattern: Pattern, variable: str, value: str) -> str | None:
    """The one key that holds `value`; None if all keys must be gone through to know."""
    names = []
    for segment in pattern.segments:
        composed = None if segment.deep else segment.name(variable, value.translate(_SWAP))
        if composed is None:
            return None
        names.append(composed)
    return "/".join(names).translate(_SWAP)


def fixed(pattern: Pattern) -> str | None:
    """The key, if it is always the same."""
    if any(segment.fixed is None for segment in pattern.segments):
        return None
    return example(pattern, "")


def glob(pattern: Pattern, variable: str = "", value: str = "") -> str:
    """What SCAN is asked for: matches every key of the pattern, and maybe others. `value`: only one person's."""
    result = ""
    for index, segment in enumerate(pattern.segments):
        if segment.deep:
            result += "*"
            continue
        for part in segment.parts:
            known = part.text or (value.translate(_SWAP) if part.variable and part.variable == variable else "")
            result += literal(known.translate(_SWAP)) if known else "*"
        if index < len(pattern.segments) - 1:
            result += ":"
    return result


def literal(value: str) -> str:
    """Text that matches itself: a `*` in somebody's identity is a star and no wildcard."""
    return _GLOB.sub(lambda match: f"\\{match[0]}", value)


def example(pattern: Pattern, filler: str) -> str:
    """A key of the pattern, with `filler` for whatever is not fixed."""
    segments = ["".join(part.text or filler for part in segment.parts) or filler for segment in pattern.segments]
    return "/".join(segments).translate(_SWAP)

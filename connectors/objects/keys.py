"""Patterns read as patterns of keys: a key is one string, and its slashes are only characters."""

from collections.abc import Mapping

from connectors.filesystem.pattern import Pattern, Segment


def read(pattern: Pattern, key: str) -> Mapping[str, str] | None:
    """The identity values in a key, or None if the pattern doesn't match it."""
    parts = key.split("/")
    deep = next((index for index, segment in enumerate(pattern.segments) if segment.deep), None)
    if deep is None:
        return _read(pattern.segments, parts)
    head, tail = pattern.segments[:deep], pattern.segments[deep + 1 :]
    if len(parts) < len(head) + len(tail):
        return None
    return _read((*head, *tail), [*parts[:deep], *parts[len(parts) - len(tail) :]])


def _read(segments: tuple[Segment, ...], parts: list[str]) -> Mapping[str, str] | None:
    if len(segments) != len(parts):
        return None
    values: dict[str, str] = {}
    for segment, part in zip(segments, parts, strict=True):
        found = segment.read(part)
        if found is None:
            return None
        values |= found
    return values


def prefix(pattern: Pattern, variable: str = "", value: str = "") -> str:
    """What every key of the pattern begins with; of one person's, where `value` is what `variable` must be."""
    begun = ""
    for index, segment in enumerate(pattern.segments):
        if segment.deep:
            return begun
        for part in segment.parts:
            if part.wild and (not variable or part.variable != variable):
                return begun
            begun += part.text or value
        if index < len(pattern.segments) - 1:
            begun += "/"
    return begun


def folder(pattern: Pattern, variable: str, value: str) -> str:
    """The prefix that is the person's alone, with its last slash; empty if there is none."""
    begun = prefix(pattern, variable, value)
    position = next(i for i, segment in enumerate(pattern.segments) if variable in segment.variables)
    if position == len(pattern.segments) - 1 or begun.count("/") <= position:
        return ""
    return "/".join(begun.split("/")[: position + 1]) + "/"


def segment_of(pattern: Pattern, variable: str) -> Segment:
    """The segment that holds a name."""
    return next(segment for segment in pattern.segments if variable in segment.variables)

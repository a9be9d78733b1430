"""Path patterns such as `letters/{customer_number}/**/*`. Docs: docs/connectors/filesystem.md.

A pattern is compiled so that every name has at most one reading: which part of it is the identity is never a guess.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

_TOKEN = re.compile(r"\{(?P<variable>[a-z0-9_]+)\}|(?P<star>\*)|(?P<text>[^{}*]+)")
_DEEP = "**"


class PatternError(ValueError):
    """The pattern can't be used; the text says why and what to do."""


@dataclass(frozen=True)
class _Part:
    text: str = ""
    variable: str = ""

    @property
    def wild(self) -> bool:
        return not self.text


@dataclass(frozen=True)
class Segment:
    """What stands between two slashes."""

    parts: tuple[_Part, ...]
    deep: bool = False
    """`**`: any number of folders."""

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Identity names in this segment."""
        return tuple(part.variable for part in self.parts if part.variable)

    @cached_property
    def fixed(self) -> str | None:
        """The name, if it is always the same."""
        return None if self.deep or any(part.wild for part in self.parts) else self.parts[0].text

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile("".join(map(self._part_regex, range(len(self.parts)))), re.DOTALL)

    def _part_regex(self, index: int) -> str:
        part = self.parts[index]
        if part.text:
            return re.escape(part.text)
        if not part.variable:
            return ".*"
        separators = self._separators(part.variable)
        return f"(?P<{part.variable}>{f'[^{re.escape(separators)}]' if separators else '.'}+)"

    def _separators(self, variable: str) -> str:
        """Characters that end the variable because another wild part follows or precedes them."""
        index = next(i for i, part in enumerate(self.parts) if part.variable == variable)
        texts = []
        if index >= 2:
            texts.append(self.parts[index - 1].text)
        if index + 2 < len(self.parts):
            texts.append(self.parts[index + 1].text)
        return "".join(sorted(set("".join(texts))))

    def read(self, name: str) -> Mapping[str, str] | None:
        """The identity values in `name`, or None if the segment doesn't match it."""
        match = self._regex.fullmatch(name)
        return match.groupdict() if match else None

    def name(self, variable: str, value: str) -> str | None:
        """The one name that holds `value`, or None if the folder must be listed to know."""
        if any(part.wild and part.variable != variable for part in self.parts):
            return None
        return "".join(part.text or value for part in self.parts)

    def searchable(self, variable: str, value: str) -> bool:
        """Whether a name holding `value` has one reading only."""
        return not set(value) & set(self._separators(variable))


@dataclass(frozen=True)
class Pattern:
    """A whole pattern."""

    text: str
    segments: tuple[Segment, ...]

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Identity names, in order."""
        return tuple(name for segment in self.segments for name in segment.variables)

    @cached_property
    def base(self) -> tuple[str, ...]:
        """The fixed folders it begins with."""
        names = []
        for segment in self.segments[:-1]:
            if segment.fixed is None:
                break
            names.append(segment.fixed)
        return tuple(names)

    @cached_property
    def scans(self) -> bool:
        """Whether a search lists a whole tree: `**` stands before an identity."""
        deep = [index for index, segment in enumerate(self.segments) if segment.deep]
        return bool(deep) and any(segment.variables for segment in self.segments[deep[0] :])

    def covers_rest(self, index: int) -> bool:
        """Whether everything below the folder of segment `index` matches."""
        return self.text.split("/")[index + 1 :] == [_DEEP, "*"]


def parse(text: str) -> Pattern:
    """Compiles a pattern. PatternError says what is wrong with it."""
    if text.startswith("/"):
        raise PatternError("it is a path below the root: leave the first slash out")
    segments = tuple(_parse_segment(segment) for segment in text.split("/"))
    if segments[-1].deep:
        raise PatternError("`**` stands for folders and can't come last: say which files, such as `**/*`")
    if sum(segment.deep for segment in segments) > 1:
        raise PatternError("`**` may stand once")
    variables = [name for segment in segments for name in segment.variables]
    for name in variables:
        if variables.count(name) > 1:
            raise PatternError(f"{{{name}}} may stand once; use `*` for the other")
    return Pattern(text, segments)


def _parse_segment(text: str) -> Segment:
    if text == _DEEP:
        return Segment((), deep=True)
    if text in ("", ".", "..") or "\0" in text:
        raise PatternError("a segment can't be empty, `.`, `..` or hold NUL")
    parts, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PatternError("braces hold a name of lower-case letters, digits and underscores: `{customer_number}`")
        parts.append(_Part(text=match["text"] or "", variable=match["variable"] or ""))
        position = match.end()
    segment = Segment(tuple(parts))
    if any(a.wild and b.wild for a, b in itertools.pairwise(parts)):
        raise PatternError("two names, or a name and `*`, need text between them; `**` needs a segment of its own")
    if segment.variables and sum(part.wild and not part.variable for part in parts) > 1:
        raise PatternError("a segment with a name has at most one `*`: otherwise it could be read in two ways")
    return segment

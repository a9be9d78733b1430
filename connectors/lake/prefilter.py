"""Picks out the lines that could name somebody, by one pass of Aho-Corasick over raw bytes; only these are parsed.

It may pick too many lines, never too few: whatever could write a value differently (an escape, an exponent, another
case of a letter that isn't ASCII) picks the line as well.
"""

import re
from collections.abc import Iterator

from ahocorasick_rs import BytesAhoCorasick

from connectors.lake.identity import Rule, Wanted

_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f]')
_BEFORE_NUMBER = (b":", b",", b"[", b" ", b"\t", b"\r")
# 1e2 is 100. Apart from the automaton: the same two characters stand in every digest.
_EXPONENT = re.compile(rb"[:,\[ \t\r]-?[0-9.]+[eE]")
_NOT_ASCII = tuple(bytes([lead]) for lead in range(0xC2, 0xF5))
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class Prefilter:
    """For one search. `patterns` are bytes that pick a line; `numbers`: so does a number with an exponent."""

    def __init__(self, patterns: set[bytes], wanted: Wanted, *, fold: bool, numbers: bool = False) -> None:
        self._fold = fold
        self._wanted = wanted
        self._automaton = BytesAhoCorasick(sorted(pattern.lower() if fold else pattern for pattern in patterns))
        self._numbers = numbers

    def offsets(self, data: bytes) -> Iterator[int]:
        """Where something stands that picks a line, ascending."""
        found = (start for _, start, _ in self._automaton.find_matches_as_indexes(data.lower() if self._fold else data))
        exponents = [match.end() - 1 for match in _EXPONENT.finditer(data)] if self._numbers else []
        return iter(sorted({*found, *exponents})) if exponents else found

    def mentioned(self, data: bytes) -> frozenset[int]:
        """People whose value stands in `data` as a word of its own. For what can't be parsed."""
        text = _UNICODE_ESCAPE.sub(lambda m: chr(int(m[1], 16)), data.decode(errors="surrogateescape")).replace(
            "\\/", "/"
        )
        people: set[int] = set()
        for rule, value, owners in self._wanted.values():
            zeros = "0*" if rule.kind == "digits" else ""
            flags = re.IGNORECASE if rule.fold else 0
            if not owners <= people and re.search(rf"(?<![^\W_]){zeros}{re.escape(value)}(?![^\W_])", text, flags):
                people |= owners
        return frozenset(people)

    def undecodable(self, data: bytes) -> frozenset[int]:
        """People whose identity has letters beyond ASCII, if `data` isn't UTF-8: any of them may be meant there."""
        if is_utf8(data):
            return frozenset()
        found = (item for index in self._wanted.index for item in index.items())
        return frozenset(p for parts, people in found if not "".join(parts).isascii() for p in people)


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text as every format here wants it."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def for_json(wanted: Wanted) -> Prefilter:
    """Picks lines of JSON."""
    patterns = {b"\\"}
    for rule, value, _ in wanted.values():
        patterns |= _json_forms(rule, value)
    fold = any(rule.fold for rule in wanted.rules)
    if fold:
        patterns |= set(_NOT_ASCII)
    return Prefilter(patterns, wanted, fold=fold, numbers=any(rule.kind != "string" for rule in wanted.rules))


def _json_forms(rule: Rule, value: str) -> set[bytes]:
    forms: set[bytes] = set()
    raw = value.encode(errors="surrogatepass")
    if rule.kind in ("string", "either") and not _NEEDS_ESCAPE.search(value):
        forms.add(b'"%s"' % raw)
    if rule.kind == "digits":
        forms.add(b'%s"' % raw)
    if rule.kind != "string":
        forms |= {before + raw for before in _BEFORE_NUMBER}
    return forms


def for_csv(wanted: Wanted) -> Prefilter:
    """Picks records of CSV."""
    patterns = {value.replace('"', '""').encode(errors="surrogateescape") for _, value, _ in wanted.values()} - {b""}
    fold = any(rule.fold for rule in wanted.rules)
    if fold:
        patterns |= set(_NOT_ASCII)
    return Prefilter(patterns, wanted, fold=fold)

"""What keys and entries say of people, as a collection's rules read it: JSON, hashes, entries of streams."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.lake.identity import Rule, Wanted
from connectors.redis import content
from connectors.redis.connection import Server

_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_SAYING = (content.STRING, content.HASH)
_READ_AT_ONCE = 50
"""Contents held at once: each may be large."""


@dataclass(frozen=True)
class Broken:
    """Content that should be JSON and isn't."""

    data: bytes

    def people(self, wanted: Wanted) -> Iterator[int]:
        """Those whose identity stands in it as text, as a word of its own."""
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), self.data.decode(errors="replace"))
        for rule, part, people in wanted.values():
            word = re.compile(rf"(?<!\w){re.escape(part)}(?!\w)")
            if word.search(text.casefold() if rule.fold else text):
                yield from people


Document = Mapping[str, Any] | Sequence[Any] | Broken


async def of_keys(server: Server, page: Sequence[bytes], rules: Sequence[Rule]) -> list[tuple[bytes, Document]]:
    """Each key of a page and what it says: a string as JSON, a hash by its fields; other types say nothing."""
    kinds = [answer.decode() for answer in await server.commands([("TYPE", key) for key in page])]
    firsts = sorted({path[0] for rule in rules for path in rule.paths})
    # What neither is says nothing; of what isn't there any more there is nothing to say.
    result: list[tuple[bytes, Document]] = [
        (key, {}) for key, kind in zip(page, kinds, strict=True) if kind not in (content.STRING, content.HASH, "none")
    ]
    asked = [(key, kind) for key, kind in zip(page, kinds, strict=True) if kind in (content.STRING, content.HASH)]
    for start in range(0, len(asked), _READ_AT_ONCE):
        some = asked[start : start + _READ_AT_ONCE]
        answers = await server.commands(
            [("GET", key) if kind == content.STRING else ("HMGET", key, *firsts) for key, kind in some]
        )
        for (key, kind), answer in zip(some, answers, strict=True):
            if answer is None:
                continue
            document = of_json(answer) if kind == content.STRING else of_hash(firsts, answer, rules)
            result.append((key, document))
    return result


def first_names(rules: Sequence[Rule]) -> list[str]:
    """The fields that rules look at, or into."""
    return sorted({path[0] for rule in rules for path in rule.paths})


def of_json(data: bytes) -> Document:
    """A JSON document; a bare number or text names nobody."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return Broken(data)
    return document if isinstance(document, (dict, list)) else {}


def of_entry(flat: Sequence[bytes], rules: Sequence[Rule]) -> Document:
    """An entry of a stream."""
    fields: dict[str, Any] = {}
    for name, data in zip(flat[::2], flat[1::2], strict=True):
        fields.setdefault(content.name(name), []).append(data)
    return {name: [_inner(name, data, rules) for data in values] for name, values in fields.items()}


def of_hash(names: Sequence[str], values: Sequence[bytes | None], rules: Sequence[Rule]) -> Document:
    """Some fields of a hash; None where it lacks one."""
    return {n: _inner(n, data, rules) for n, data in zip(names, values, strict=True) if data is not None}


def _inner(name: str, data: bytes, rules: Sequence[Rule]) -> Any:
    """A field's value: text, unless a rule looks within it."""
    if any(path[0] == name and len(path) > 1 for rule in rules for path in rule.paths):
        document = of_json(data)
        return {} if isinstance(document, Broken) else document
    return data

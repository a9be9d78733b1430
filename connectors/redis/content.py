"""What keys hold: read a page at a time, so that the server serves others in between, and shown as JSON."""

import base64
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.redis.connection import PAGE, Ask

Part = tuple[bytes, ...]
"""One element: (member), (member, score), (field, value), (position, list element), (stream id, field, value …)."""

STRING, HASH, SET, ZSET, LIST, STREAM = "string", "hash", "set", "zset", "list", "stream"
KINDS = {
    "key": (STRING, HASH, SET, ZSET, LIST, STREAM),
    "member": (SET, ZSET, LIST),
    "field": (HASH,),
    "entry": (STREAM,),
}
"""The types that a collection may meet, by its `each`."""
_SCANS = {HASH: ("HSCAN", 2), SET: ("SSCAN", 1), ZSET: ("ZSCAN", 2)}


_PAGE_BYTES = 1 << 20


async def kind_of(ask: Ask, key: bytes) -> str:
    """The key's type; `none` if there is no such key."""
    answer = await ask("TYPE", key)
    return str(answer.decode())


async def parts(ask: Ask, key: bytes, kind: str) -> AsyncIterator[Part]:
    """All elements. Those of sets and hashes come in any order, and one may come twice."""
    async for page in pages(ask, key, kind):
        for part in page:
            yield part


async def pages(ask: Ask, key: bytes, kind: str) -> AsyncIterator[list[Part]]:
    """As `parts`, some at a time: few where they are large."""
    pace = _Pace()
    if kind in _SCANS:
        word, width = _SCANS[kind]
        cursor = b"0"
        while True:
            cursor, flat = await ask(word, key, cursor, "COUNT", pace.count)
            yield pace.after([tuple(flat[index : index + width]) for index in range(0, len(flat), width)])
            if cursor == b"0":
                return
    elif kind == LIST:
        start = 0
        while elements := await ask("LRANGE", key, start, start + pace.count - 1):
            yield pace.after([(str(start + index).encode(), element) for index, element in enumerate(elements)])
            start += len(elements)
    elif kind == STREAM:
        after = b"-"
        while entries := await ask("XRANGE", key, after, "+", "COUNT", pace.count):
            yield pace.after([(entry, *flat) for entry, flat in entries])
            after = b"(" + entries[-1][0]
    else:  # of a module's type only the server knows what it holds
        answer = await ask("GET" if kind == STRING else "DUMP", key)
        if answer is not None:
            yield [(answer,)]


class _Pace:
    """How many elements to ask for, by how large those before were."""

    def __init__(self) -> None:
        self.count = 10

    def after(self, page: list[Part]) -> list[Part]:
        """The page, taken note of."""
        if page:
            size = sum(len(word) for part in page for word in part) // len(page)
            self.count = max(1, min(PAGE, _PAGE_BYTES // (size + 1)))
        return page


def parts_of(kind: str, answer: Any) -> list[Part]:
    """The elements in the answer to a command that brings all of them: GET, HGETALL, ZRANGE with scores …"""
    if kind == LIST:
        return [(str(index).encode(), element) for index, element in enumerate(answer)]
    if kind == STREAM:
        return [(entry, *flat) for entry, flat in answer]
    if kind in _SCANS:
        width = _SCANS[kind][1]
        return [tuple(answer[index : index + width]) for index in range(0, len(answer), width)]
    return [] if answer is None else [(answer,)]


def expiry(milliseconds: int) -> datetime | None:
    """When a key expires, from the answer to PEXPIRETIME; None if it doesn't."""
    return None if milliseconds < 0 else datetime.fromtimestamp(milliseconds / 1000, UTC)


def shown(data: bytes) -> str | dict[str, str]:
    """Bytes as JSON has them: text, or what isn't text as base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def name(data: bytes) -> str:
    """Bytes where JSON wants a name. What isn't UTF-8 is shown as `\\xNN`."""
    return data.decode(errors="backslashreplace")


def value(kind: str, elements: Iterable[Part]) -> Any:
    """The whole content of a key as JSON."""
    if kind == HASH:
        return {name(field): shown(content) for field, content in sorted(elements)}
    if kind == SET:
        return [shown(member) for (member,) in sorted(elements)]
    if kind == ZSET:
        ranked = sorted(elements, key=lambda part: (float(part[1]), part[0]))
        return [{"member": shown(member), "score": score(text)} for member, text in ranked]
    if kind == LIST:
        return [shown(element) for _, element in sorted(elements, key=lambda part: int(part[0]))]
    if kind == STREAM:
        return [{"id": name(entry), "fields": fields(flat)} for entry, *flat in elements]
    return next((shown(content) for (content,) in elements), None)


def of_entry(kind: str, part: Sequence[bytes]) -> Any:
    """What an entry holds besides itself: a hash field's value, a stream entry's fields, a score."""
    if kind == STREAM:
        return fields(part[1:])
    if kind == HASH:
        return shown(part[1])
    return score(part[1]) if kind == ZSET else None


def fields(flat: Iterable[bytes]) -> dict[str, Any]:
    """The fields of a stream's entry; one that is repeated has a list."""
    words = list(flat)
    result: dict[str, Any] = {}
    for field, content in zip(map(name, words[::2]), map(shown, words[1::2]), strict=True):
        if field not in result:
            result[field] = content
        elif isinstance(result[field], list):
            result[field].append(content)
        else:
            result[field] = [result[field], content]
    return result


def score(text: bytes) -> float | str:
    """A score; an infinite one as text, since JSON has no such number."""
    number = float(text)
    return number if math.isfinite(number) else text.decode()


async def entry(ask: Ask, key: bytes, kind: str, name: bytes) -> Part | None:
    """One entry as it is now; None if it isn't there."""
    if kind == STREAM:
        found = await ask("XRANGE", key, name, name)
        return (name, *found[0][1]) if found else None
    if kind in (HASH, ZSET):
        value = await ask("HGET" if kind == HASH else "ZSCORE", key, name)
        return None if value is None else (name, value)
    there = await (ask("SISMEMBER", key, name) if kind == SET else ask("LPOS", key, name, "COUNT", 1))
    return (name,) if there else None

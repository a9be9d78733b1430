"""Patterns of keys, what SCAN is asked for, options, and how content is shown."""

import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.backend import SourceConfig
from connectors.filesystem.pattern import PatternError
from connectors.redis import content, keys, open_backend
from connectors.redis.address import pool
from connectors.redis.options import Options
from dsrkit.errors import DsrError


@pytest.mark.parametrize(
    ("pattern", "key", "values"),
    [
        ("user:{id}", "user:7", {"id": "7"}),
        ("user:{id}", "user:7:mail", None),
        ("user:{id}", "user:", None),
        ("user:{id}:mail", "user:7:mail", {"id": "7"}),
        ("{id}", "a/b", {"id": "a/b"}),
        ("session:*", "session:x", {}),
        ("session:*", "session:x:y", None),
        ("session:{id}:**:*", "session:7:a", {"id": "7"}),
        ("session:{id}:**:*", "session:7:a:b:c", {"id": "7"}),
        ("a:u{id}-*", "a:u7-x", {"id": "7"}),
    ],
)
def test_a_key_has_one_reading(pattern: str, key: str, values: dict[str, str] | None) -> None:
    assert keys.read(keys.parse(pattern), key) == values


@given(st.text(min_size=1).filter(lambda value: ":" not in value))
def test_an_identity_makes_one_key_and_is_read_from_it(value: str) -> None:
    pattern = keys.parse("user:{id}:mail")
    assert keys.searchable(pattern, "id", value)
    name = keys.name(pattern, "id", value)
    assert name == f"user:{value}:mail"
    assert keys.read(pattern, name) == {"id": value}


@given(st.text(alphabet="7*?[]\\^-!a", min_size=1), st.text(alphabet="7*?[]\\^-!a", min_size=1))
def test_a_star_in_an_identity_is_a_star(value: str, other: str) -> None:
    """Python's own patterns lack the backslash: escaped characters are put into brackets instead."""
    glob = keys.glob(keys.parse("s:{id}:*"), "id", value)
    assert glob.startswith("s:")
    plain = "".join(f"[{part[1]}]" if part[0] == "\\" else part for part in _escapes(glob))
    assert fnmatch.fnmatchcase(f"s:{other}:x", plain.replace("[^]", "^").replace("[!]", "!")) == (other == value)


def _escapes(glob: str) -> list[str]:
    parts, index = [], 0
    while index < len(glob):
        size = 2 if glob[index] == "\\" else 1
        parts.append(glob[index : index + size])
        index += size
    return parts


def test_a_colon_in_an_identity_is_not_searched() -> None:
    """`user:{id}` may not take `7:mail` for a person's number: that key is another collection's."""
    assert not keys.searchable(keys.parse("user:{id}"), "id", "7:mail")


def test_a_key_belongs_to_the_first_collection() -> None:
    collections = {"numbers": {"key": "user:next", "no_personal_data": True}, "users": _users()}
    options = Options.model_validate({"url": "redis://127.0.0.1", "collections": collections})
    assert options.owner("user:next") == "numbers"
    assert options.owner("user:7") == "users"
    assert options.owner("cache") is None


def _users(**changes: Any) -> dict[str, Any]:
    return {"key": "user:{id}", "identity": {"id": {}}, **changes}


@pytest.mark.parametrize(
    ("collection", "said"),
    [
        (_users(key=":user:{id}"), "first colon"),
        (_users(key="a::{id}"), "segment"),
        (_users(identity={}), "no identity is given"),
        (_users(identity={"id": {}, "mail": {}}), "in one of them"),
        (_users(identity={"id": {"field": "id"}}), "in one of them"),
        (_users(identity={"key": {}}), "under identity"),
        (_users(each="member"), "is one record"),
        ({"key": "value:{value}", "identity": {"value": {}}}, "is a field of every record"),
        ({"key": "s", "each": "entry", "identity": {"id": {}}}, "say which field"),
        ({"key": "s", "each": "member", "identity": {"id": {"value": "digits"}}}, "belongs to a field"),
        ({"key": "s", "each": "entry", "identity": {"id": {"field": "id", "prefix": "u"}}}, "prefix belongs"),
        ({"key": "s", "each": "member", "no_personal_data": True}, "neither identity nor each"),
    ],
)
def test_a_mistake_in_a_collection_is_named(collection: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, PatternError), match=said):
        Options.model_validate({"url": "redis://127.0.0.1", "collections": {"users": collection}})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1", "redis://", "redis://h:x", "redis://127.0.0.1/one", "redis://h?a=b"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    options = Options.model_validate({"url": url, "collections": {"users": _users()}})
    with pytest.raises(DsrError, match=r"options\.url"):
        pool(options, "partners/acme/dataSources/cache")


async def test_plaintext_leaves_this_machine_never(tmp_path: Path) -> None:
    source = "partners/acme/dataSources/cache"
    options = {"url": "redis://cache.example.com:6379", "collections": {"users": _users()}}
    backend = open_backend(SourceConfig(source, "redis", options, b"k" * 32, tmp_path))
    with pytest.raises(DsrError) as refused:
        await backend.probe()
    assert refused.value.reason == "BACKEND_UNENCRYPTED"
    await backend.close()


@pytest.mark.parametrize(
    ("kind", "parts", "value"),
    [
        ("string", [(b"x",)], "x"),
        ("string", [(b"\xff",)], {"base64": "/w=="}),
        ("hash", [(b"b", b"2"), (b"a", b"1")], {"a": "1", "b": "2"}),
        ("set", [(b"b",), (b"a",)], ["a", "b"]),
        ("zset", [(b"a", b"inf"), (b"b", b"1.5")], [{"member": "b", "score": 1.5}, {"member": "a", "score": "inf"}]),
        ("list", [(b"10", b"k"), (b"9", b"j")], ["j", "k"]),
        ("stream", [(b"1-1", b"a", b"1", b"a", b"2")], [{"id": "1-1", "fields": {"a": ["1", "2"]}}]),
    ],
)
def test_content_is_shown_without_loss(kind: str, parts: list[content.Part], value: Any) -> None:
    assert content.value(kind, parts) == value

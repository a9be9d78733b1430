"""A name has one reading, or the pattern is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.filesystem.options import Options
from connectors.filesystem.pattern import PatternError, parse


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("/avatars/{n}", "first slash"),
        ("avatars//{n}", "empty"),
        ("avatars/../{n}", "empty"),
        ("{n}/**", "can't come last"),
        ("**/{n}/**/*", "may stand once"),
        ("{n}/{n}.png", "may stand once"),
        ("{n}{m}.png", "text between"),
        ("{n}*.png", "text between"),
        ("a**/{n}", "text between"),
        ("*-{n}-*", "at most one"),
        ("{Number}.png", "lower-case"),
        ("{n.png", "lower-case"),
        ("n}.png", "lower-case"),
        ("{}.png", "lower-case"),
    ],
)
def test_a_bad_pattern_is_refused_with_its_reason(pattern: str, complaint: str) -> None:
    with pytest.raises(PatternError, match=complaint):
        parse(pattern)


@pytest.mark.parametrize(
    ("segment", "name", "values"),
    [
        ("{n}.png", "C-1.png", {"n": "C-1"}),
        ("{n}.png", "C-1.png.png", {"n": "C-1.png"}),
        ("{n}.png", ".png", None),
        ("{n}.png", "C-1xpng", None),
        ("invoice-{n}-*.pdf", "invoice-7-1-x.pdf", {"n": "7"}),
        ("invoice-{n}-*.pdf", "invoice-7.pdf", None),
        ("*-{n}", "a-b-7", {"n": "7"}),
        ("{a}-{b}", "x-y", {"a": "x", "b": "y"}),
        ("{a}-{b}", "x-y-z", None),
        ("{n}", "line\nbreak", {"n": "line\nbreak"}),
        ("*", ".hidden", {}),
    ],
)
def test_names_are_read_in_one_way(segment: str, name: str, values: dict[str, str] | None) -> None:
    assert parse(segment).segments[0].read(name) == values


def test_values_that_could_be_read_in_two_ways_are_known() -> None:
    segment = parse("invoice-{n}-*.pdf").segments[0]
    assert segment.searchable("n", "7")
    assert not segment.searchable("n", "7-1")
    alone = parse("invoice-{n}.pdf").segments[0]
    assert alone.searchable("n", "7-1")


@given(value=st.text(min_size=1).filter(lambda value: "/" not in value and "\0" not in value))
def test_what_is_composed_from_a_value_is_read_as_that_value(value: str) -> None:
    segment = parse("a[b]{n}(x).png").segments[0]
    name = segment.name("n", value)
    assert name is not None
    assert segment.read(name) == {"n": value}


def test_a_base_is_what_is_fixed_and_a_scan_is_known() -> None:
    assert parse("a/b/{n}/c/*").base == ("a", "b")
    assert parse("{n}/c").base == ()
    assert parse("a/**/{n}.pdf").scans
    assert not parse("a/{n}/**/*").scans


@pytest.mark.parametrize(
    ("collection", "where"),
    [
        ({"pattern": "a/{n}"}, "the same"),
        ({"pattern": "a/*", "identity": {}}, "no identity"),
        ({"pattern": "a/{n}", "identity": {"n": {}}, "no_personal_data": True}, "remove one"),
        ({"pattern": "a/{path}", "identity": {"path": {}}}, "field of every record"),
        ({"pattern": "a/{n}", "identity": {"n": {"type": "E-Mail"}}}, "lower-case"),
        ({"pattern": "a/{n}", "identity": {"n": {"match": "e164"}}}, "exact"),
        ({"pattern": "a/{n}", "identity": {"n": {"uniq": True}}}, "Extra inputs"),
    ],
)
def test_a_bad_collection_is_refused_with_its_path(collection: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError, match=where) as raised:
        Options.model_validate({"root": "/srv", "collections": {"letters": collection}})
    assert raised.value.errors()[0]["loc"][:2] == ("collections", "letters")


@pytest.mark.parametrize("root", ["relative", "/srv/../etc"])
def test_a_bad_root_is_refused(root: str) -> None:
    with pytest.raises(ValidationError, match="absolute"):
        Options.model_validate({"root": root, "collections": {"a": {"pattern": "a/*", "no_personal_data": True}}})

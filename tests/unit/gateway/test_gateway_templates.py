"""Path templates, and what counts as a path at all (S3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routes import PUBLIC_SERVICES, Router, routes_of
from gateway.templates import PathTemplate, split

ROUTER = Router(routes_of(PUBLIC_SERVICES))


@pytest.mark.parametrize(
    ("text", "segments", "variables", "verb"),
    [
        ("/v1/partners", ("v1", "partners"), [], ""),
        ("/v1/{name=partners/*}:go", ("v1", "partners", "*"), [("name", 1, 3)], "go"),
        ("/v1/{a}/x/{b=y/*}", ("v1", "*", "x", "y", "*"), [("a", 1, 2), ("b", 3, 5)], ""),
    ],
)
def test_parse(text: str, segments: tuple[str, ...], variables: list[tuple[str, int, int]], verb: str) -> None:
    template = PathTemplate.parse(text)
    assert (template.segments, template.verb) == (segments, verb)
    assert [(v.field, v.start, v.end) for v in template.variables] == variables


@pytest.mark.parametrize("text", ["v1", "/v1/**", "/v1/{name=a/**}", "/v1/{a}b", "/v1/{a={b}}", "/v1//x", "/v1/a?b"])
def test_parse_refuses_what_it_cannot_match(text: str) -> None:
    with pytest.raises(ValueError, match="path template"):
        PathTemplate.parse(text)


def test_match_binds_whole_names() -> None:
    ((route, values),) = ROUTER.find("/v1/partners/acme/accessRequests/7:cancel")
    assert (route.rpc.name, values) == ("CancelAccessRequest", {"name": "partners/acme/accessRequests/7"})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1/partners/acme",
        "//v1/partners/acme",
        "/v1//partners/acme",
        "/v1/partners/acme/",
        "/v1/partners/./acme",
        "/v1/partners/..",
        "/v1/partners/%61cme",
        "/v1/partners/a%2fb",
        "/v1/partners/a%252fb",
        "/v1/partners/a%00",
        "/v1/partners/a;x=1",
        "/v1/partners/a b",
        "/v1/partners/a:",
        "/v1/partners/a:b:setStanding",
        "/V1/partners/acme",
        "/v1/Partners/acme",
        "/v1/partners/acme:SETSTANDING",
        "/v1/partners/" + "a" * 201,
        "/v1/partners/acme" + "/x" * 600,
        "/v1/partners/açme",
    ],
)
def test_paths_that_are_not_canonical_lead_nowhere(path: str) -> None:
    assert not ROUTER.find(path)


_MUTATIONS = st.sampled_from(
    ["/", "//", "%2f", "%2F", "%252f", "/./", "/../", "\\", ":", "?", "#", ";", " ", "%00", "é", "\x7f"]
)


@given(data=st.data())
def test_mutated_paths_are_refused_or_canonical(data: st.DataObject) -> None:
    """Whatever is inserted anywhere, a path that matches binds names made of the contract's own segments only."""
    path = data.draw(st.sampled_from(["/v1/partners/acme", "/v1/partners/acme/accessRequests/7:cancel"]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(path)))
        path = path[:place] + data.draw(_MUTATIONS) + path[place:]
    for route, values in ROUTER.find(path):
        for name in values.values():
            pieces = name.split("/")
            assert pieces[0] == "partners"
            assert all(piece.isascii() and piece not in ("", ".", "..") and "%" not in piece for piece in pieces)
        assert route.template.segments[0] == "v1"


@given(st.text(max_size=60))
def test_split_accepts_unreserved_characters_only(text: str) -> None:
    parts = split(text)
    if parts is not None:
        assert "".join(parts[0]).replace(".", "a").replace("~", "a").replace("-", "a").replace("_", "a").isalnum()

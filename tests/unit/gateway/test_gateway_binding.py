"""Strict JSON: what is wrong is refused, by the path the caller wrote."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.errors import DsrError
from gateway import strict_json
from gateway.binding import request_message
from gateway.output import to_json
from gateway.routes import PUBLIC_SERVICES, Route, routes_of

ROUTES = {route.rpc.name: route for route in routes_of(PUBLIC_SERVICES)}
CREATE = ROUTES["CreateErasureRequest"]
PATH = {"parent": "partners/acme"}


def bind(text: str | bytes, route: Route = CREATE, query: list[tuple[str, str]] | None = None) -> Any:
    body = strict_json.parse(text.encode() if isinstance(text, str) else text)
    return request_message(route, PATH, query or [], body)


def error_of(text: str | bytes, route: Route = CREATE) -> DsrError:
    with pytest.raises(DsrError) as caught:
        bind(text, route)
    return caught.value


@pytest.mark.parametrize(
    ("text", "reason", "field"),
    [
        (
            '{"subject": {"identities": [{"type": "email", "valeu": "x"}]}}',
            "FIELD_UNKNOWN",
            "subject.identities[0].valeu",
        ),
        ('{"subject": {"identities": [{}, {"type": 7}]}}', "FIELD_INVALID", "subject.identities[1].type"),
        ('{"subject": {"identities": {"type": "email"}}}', "FIELD_INVALID", "subject.identities"),
        ('{"subject": []}', "FIELD_INVALID", "subject"),
        ('{"subject": {"capacity": "SELF"}}', "FIELD_INVALID", "subject.capacity"),
        ('{"subject": {"capacity": 99}}', "FIELD_INVALID", "subject.capacity"),
        ('{"subject": {"capacity": true}}', "FIELD_INVALID", "subject.capacity"),
        ('{"clock": {"receivedTime": "yesterday"}}', "FIELD_INVALID", "clock.receivedTime"),
        ('{"clock": {"receivedTime": "2026-02-30T00:00:00Z"}}', "FIELD_INVALID", "clock.receivedTime"),
        ('{"clock": {"received_time": "2026-01-31T00:00:00"}}', "FIELD_INVALID", "clock.received_time"),
        ('{"clock": {"receivedTime": 5}}', "FIELD_INVALID", "clock.receivedTime"),
        ('{"validateOnly": "true"}', "FIELD_INVALID", "validateOnly"),
        ('{"validateOnly": 1}', "FIELD_INVALID", "validateOnly"),
        ('{"dataSources": [null]}', "FIELD_INVALID", "dataSources[0]"),
        ('{"dataMapRevision": 1.5}', "FIELD_INVALID", "dataMapRevision"),
        ('{"dataMapRevision": "1_0"}', "FIELD_INVALID", "dataMapRevision"),
        ('{"dataMapRevision": 9223372036854775808}', "FIELD_INVALID", "dataMapRevision"),
        ('{"clock": {}, "clock": {}}', "FIELD_INVALID", "clock"),
        ('{"clock": {"receivedTime": null, "receivedTime": null}}', "FIELD_INVALID", "clock.receivedTime"),
        ('{"validateOnly": true, "validate_only": true}', "FIELD_INVALID", "validate_only"),
        ('{"parent": "partners/other"}', "FIELD_UNKNOWN", "parent"),
        ('{"requestId": "x"}', "FIELD_UNKNOWN", "requestId"),
        ('{"subject": {"identities": [{"value": "\\ud800"}]}}', "FIELD_INVALID", "subject.identities[0].value"),
        ('{"\\u0000\\ud800": 1}', "FIELD_UNKNOWN", "\ufffd\ufffd"),
        ('{"": 1}', "FIELD_UNKNOWN", '""'),
        ("[]", "FIELD_INVALID", "body"),
        ('"text"', "FIELD_INVALID", "body"),
        ("{", "FIELD_INVALID", "body"),
        ("{} {}", "FIELD_INVALID", "body"),
        ('{"validateOnly": NaN}', "FIELD_INVALID", "body"),
        ('{"validateOnly": Infinity}', "FIELD_INVALID", "body"),
        ("{'a': 1}", "FIELD_INVALID", "body"),
        ('{"a": 1,}', "FIELD_INVALID", "body"),
        (b'{"a": "\xff"}', "FIELD_INVALID", "body"),
        (b"\xef\xbb\xbf{}", "FIELD_INVALID", "body"),
        ('{"a": 1}'.encode("utf-16"), "FIELD_INVALID", "body"),
        ('{"dataMapRevision": ' + "9" * 5000 + "}", "FIELD_INVALID", "body"),
    ],
)
def test_wrong_bodies(text: str | bytes, reason: str, field: str) -> None:
    error = error_of(text)
    assert (error.reason, error.metadata["field"]) == (reason, field)


def test_path_fields_cannot_stand_in_the_body() -> None:
    error = error_of('{"name": "partners/other/accessRequests/1"}', ROUTES["CancelAccessRequest"])
    assert (error.reason, error.metadata["field"]) == ("FIELD_UNKNOWN", "name")


def test_a_value_never_stands_in_the_error() -> None:
    error = error_of('{"subject": {"capacity": "jane@example.org"}}')
    assert "jane" not in f"{error.message}{error.metadata}"


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ('{"dataMapRevision": "7"}', lambda m: m.data_map_revision == 7),
        ('{"dataMapRevision": 7.0}', lambda m: m.data_map_revision == 7),
        ('{"ground": "GROUND_OBJECTION"}', lambda m: m.ground == 3),
        ('{"clock": null, "dataSources": null}', lambda m: not m.HasField("clock")),
        (
            '{"clock": {"receivedTime": "2026-01-31T12:00:00.5+02:00"}}',
            lambda m: m.clock.received_time.nanos == 500_000_000,
        ),
        ("{}", lambda m: True),
    ],
)
def test_right_bodies(text: str, check: Any) -> None:
    message = bind(text)
    assert message.HasField("erasure_request")
    assert check(message.erasure_request)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ([("pageSize", "x")], "FIELD_INVALID"),
        ([("pageSize", "1"), ("page_size", "2")], "FIELD_INVALID"),
        ([("pagesize", "1")], "FIELD_UNKNOWN"),
        ([("parent", "partners/other")], "FIELD_UNKNOWN"),
        ([("states", "PENDING")], "FIELD_INVALID"),
        ([("states.x", "1")], "FIELD_UNKNOWN"),
        ([("dueBefore.seconds", "1")], "FIELD_UNKNOWN"),
        ([("dueBefore", "soon")], "FIELD_INVALID"),
        ([("", "1")], "FIELD_UNKNOWN"),
    ],
)
def test_wrong_queries(query: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(DsrError) as caught:
        request_message(ROUTES["ListAccessRequests"], PATH, query, None)
    assert caught.value.reason == reason


def test_range_is_a_header_and_not_a_parameter() -> None:
    with pytest.raises(DsrError, match="not a query parameter"):
        request_message(ROUTES["DownloadAccessBundle"], PATH, [("offset", "1")], None)


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


@pytest.mark.parametrize(
    "bomb",
    [
        nested(33),
        nested(500),
        nested(100_000),
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'{"subject":' * 20_000 + b"1" + b"}" * 20_000,
        b"[" + b"0," * 400_000 + b"0]",
        b'{"dataSources":[' + b'"",' * 200_000 + b'""]}',
        b'{"subject":{"identities":[' + b"{}," * 200_000 + b"{}]}}",
        b"[" + b"[]," * 200_000 + b"[]]",
        b"[" * 500_000,
    ],
    ids=lambda bomb: f"{bomb[:12]!r}x{len(bomb)}",
)
def test_bombs_are_refused_quickly(bomb: bytes) -> None:
    """S5. Time on the processor, not on the clock, and the best of three: others share the machine."""

    def spent() -> float:
        start = time.thread_time()
        error_of(bomb)
        return time.thread_time() - start

    assert min(spent() for _ in range(3)) < 0.5
    error = error_of(bomb)
    assert error.reason in ("MESSAGE_TOO_LARGE", "FIELD_INVALID")


def test_32_levels_are_not_too_deep() -> None:
    assert error_of(b'{"x":' + nested(31) + b"}").reason == "FIELD_UNKNOWN"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["subject", "clock", "identities", "type", "ground", "receivedTime"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_is_bound_or_refused_with_a_field(value: Any) -> None:
    refusal: DsrError | None = None
    try:
        message = bind(json.dumps(value))
    except DsrError as error:
        refusal = error
    if refusal is None:
        assert isinstance(value, dict)
        assert json.loads(to_json(message))["parent"] == "partners/acme"
    else:
        assert refusal.metadata.get("field") or refusal.reason == "MESSAGE_TOO_LARGE"

"""When a record was last used: what its own software wrote, and nothing that may mean something else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.redis import content, documents, lastuse
from connectors.redis.options import Collection, Options

_SEEN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def _collection(last_use: dict[str, Any], **changes: Any) -> Collection:
    return Collection.model_validate(
        {"key": "user:{id}", "identity": {"id": {"unique": True}}, "last_use": last_use, **changes}
    )


@pytest.mark.parametrize(
    ("unit", "value", "known"),
    [
        ("time", b"2023-11-14T22:13:20Z", _SEEN),
        ("time", "2023-11-14T23:13:20+01:00", _SEEN),
        ("time", b"", None),
        ("time", b"never", None),
        ("time", 1_700_000_000, None),
        ("seconds", b"1700000000", _SEEN),
        ("seconds", 1_700_000_000.0, _SEEN),
        ("seconds", b"1700000000000", None),
        ("seconds", b"0", None),
        ("seconds", b"-1", None),
        ("seconds", True, None),
        ("seconds", b"nan", None),
        ("seconds", b"inf", None),
        ("seconds", None, None),
        ("milliseconds", b"1700000000000", _SEEN),
        ("milliseconds", b"1700000000", None),
    ],
)
@pytest.mark.policy("P6", "in Redis a last use is what a record says; a number of another unit is unknown")
def test_a_last_use_is_read_or_unknown(unit: str, value: Any, known: datetime | None) -> None:
    collection = _collection({"field": "seen", "unit": unit})
    assert lastuse.known(lastuse.stated(collection, {"seen": value}, content.HASH, None)) == known


@pytest.mark.parametrize(
    ("last_use", "kind", "part", "known"),
    [
        ({"id": True}, content.STREAM, (b"1700000000000-7", b"a", b"b"), _SEEN),
        ({"id": True}, content.STREAM, (b"5-1", b"a", b"b"), None),
        ({"id": True}, content.STREAM, None, None),
        ({"id": True}, content.HASH, (b"1700000000000", b"x"), None),
    ],
)
def test_a_streams_ids_are_times_where_they_are(
    last_use: dict[str, Any], kind: str, part: content.Part | None, known: datetime | None
) -> None:
    assert lastuse.known(lastuse.stated(_collection(last_use), {}, kind, part)) == known


@pytest.mark.parametrize(("score", "known"), [(b"1700000000", _SEEN), (b"inf", None), (b"1", None)])
def test_a_score_may_be_a_time(score: bytes, known: datetime | None) -> None:
    scored = {"score": True, "unit": "seconds"}
    collection = _collection(scored, key="online", each="member")
    assert lastuse.known(lastuse.stated(collection, {}, content.ZSET, (b"7", score))) == known
    assert lastuse.stated(collection, {}, content.SET, (b"7",)) == []


def test_what_cant_be_read_says_nothing() -> None:
    assert lastuse.stated(_collection({"field": "seen"}), documents.Broken(b"{"), content.STRING, None) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"last_use": {}}, "give one of"),
        ({"last_use": {"field": "seen", "id": True}}, "give one of"),
        ({"last_use": {"score": True}}, "a score is a number"),
        ({"last_use": {"id": True, "unit": "seconds"}}, "an id has its own"),
        ({"last_use": {"score": True, "unit": "seconds"}}, "each: member"),
        ({"last_use": {"id": True}, "key": "flags", "each": "field"}, "belongs to streams"),
        ({"last_use": {"field": "seen"}, "key": "x", "identity": {}, "no_personal_data": True}, "with personal data"),
        ({"key": "u:{last_use}", "identity": {"last_use": {}}}, "is a field of every record"),
    ],
)
def test_a_mistake_about_the_last_use_is_named(changes: dict[str, Any], said: str) -> None:
    collection = {"key": "user:{id}", "identity": {"id": {"unique": True}}, **changes}
    with pytest.raises(ValidationError, match=said):
        Options.model_validate({"url": "redis://127.0.0.1", "collections": {"users": collection}})

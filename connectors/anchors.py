"""Anchors of stores without rows: each value is a JSON array with a text for every field."""

import json
from collections.abc import Iterator, Sequence

from dsr.connector.v1 import connector_pb2 as pb

from dsrkit.errors import invalid

_PER_MESSAGE = 1_000


def write(
    reference: str, collection: str, fields: Sequence[str], values: Sequence[Sequence[str]]
) -> Iterator[pb.Anchors]:
    """The values in messages of a bounded size."""
    for start in range(0, len(values), _PER_MESSAGE):
        # json, not orjson: what isn't UTF-8 survives as escaped surrogates.
        texts = [json.dumps(value) for value in values[start : start + _PER_MESSAGE]]
        yield pb.Anchors(subject_ref=reference, collection=collection, fields=fields, values=texts)


def read(text: str, length: int, where: str) -> list[str]:
    """One value, of `length` fields. FIELD_INVALID at `where` for what `write` can't have written."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != length or not all(isinstance(value, str) for value in values):
        raise invalid(f"{where}.values", "a value is not a JSON array of as many texts as there are fields")
    return values

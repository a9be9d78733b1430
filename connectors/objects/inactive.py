"""ListInactive in lakes: one pass, and everybody once by the latest use of all records."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Inactivity

from connectors.lake.identity import Rule
from connectors.lake.lastuse import latest
from connectors.objects import tally
from connectors.objects.census import EPOCH
from connectors.objects.options import Collection, Options
from connectors.objects.reading import Reader, names
from connectors.objects.tally import Add, Pass, rejected

_TIMES = frozenset({"datetime", "date"})


def tells_last_use(options: Options) -> bool:
    """Whether a collection of records tells people apart, and declares when a record was last used."""
    lakes = (c for c in options.collections.values() if c.lake and any(i.unique for i in c.identity.values()))
    return any(_TIMES & set(c.fields.values()) for c in lakes)


async def list_inactive(
    reader: Reader, options: Options, state_dir: Path, request: pb.ListInactiveRequest, wanted: Inactivity
) -> AsyncGenerator[pb.ListInactiveResponse, None]:
    """The contract's ListInactive. Where a record can't be read, anybody may have been used there: nobody is listed."""
    collection, rule = _resolve(options, request, wanted, reader.source)
    only = (rule.written(request.value) or ()) if request.value else None
    if only == ():
        yield pb.ListInactiveResponse(totals=pb.InactiveTotals())
        return
    rules = [rule, Rule("", ((wanted.field,),))] if wanted.field else [rule]
    who = None if only is None else rule.separator.join(only)

    async def read(add: Add, noted: Pass) -> None:
        await reader.read(collection, rules, partial(_note, add, collection, rule, wanted.field, who), noted)

    found = tally.list_inactive(request, wanted, read, state_dir, reader.threads.run, reader.source)
    async with aclosing(found) as messages:
        async for message in messages:
            yield message


def _resolve(
    options: Options, request: pb.ListInactiveRequest, wanted: Inactivity, source: str
) -> tuple[Collection, Rule]:
    collection = options.collections.get(wanted.collection)
    if collection is None or collection.no_personal_data or not collection.lake:
        raise rejected(source, "there is no such collection of records with personal data")
    unique = [i.unique for i in collection.identity.values()]
    rules = [r for r, u in zip(collection.rules, unique, strict=True) if u and r.type == wanted.identity_type]
    if len(rules) != 1:
        raise rejected(source, "the collection declares no unique identity, or several, of that type")
    if not wanted.field and not request.count_only:
        raise rejected(source, "everybody may be counted and not listed")
    if wanted.field and collection.fields.get(wanted.field) not in _TIMES:
        raise rejected(source, "the field is not declared under `fields` as a time or a date")
    return collection, rules[0]


def _note(add: Add, collection: Collection, rule: Rule, field: str, who: str | None, record: Mapping[str, Any]) -> None:
    for name in names(collection, rule, record):
        if who is None or name == who:
            add(name, latest(_values(record, field)) if field else EPOCH)


def _values(record: Mapping[str, Any], field: str) -> Sequence[Any]:
    """What stands in a top-level field; nothing where it is null or empty."""
    value = record.get(field)
    return value if isinstance(value, list) else [] if value in (None, "") else [value]

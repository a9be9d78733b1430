"""Sets fields and flags in one person's records: judged, done and written down in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, Grant

from connectors.sandbox.erase import found
from connectors.sandbox.seed import KINDS, Kind, Row
from connectors.sandbox.store import Found, Store, answered, answers, find, put
from dsrkit.errors import DsrError, invalid


@dataclass(frozen=True)
class Setting:
    """What a field becomes. `only`: what it must be before; None: whatever it is."""

    field: str
    value: Any
    only: str | None = None

    def due(self, row: Row) -> bool:
        """Whether there is something to set."""
        return row.get(self.field) != self.value and self.only in (None, row.get(self.field))


def wanted(grant: Grant) -> Mapping[str, Sequence[Setting]]:
    """By collection. FIELD_INVALID, FIELD_NOT_AMENDABLE or VALUE_UNFIT where something can't be meant."""
    for index, amendment in enumerate(grant.amendments):
        if amendment.collection not in KINDS:
            raise invalid(f"grant.amendments[{index}].collection", "the source has no such collection")
    return {a.collection: list(_settings(KINDS[a.collection], a)) for a in grant.amendments}


def _settings(kind: Kind, amendment: Amendment) -> Sequence[Setting]:
    types = {field.name: field.type for field in kind.shape.fields if field.amendable}
    flags = {**dict.fromkeys(amendment.set_flags, True), **dict.fromkeys(amendment.clear_flags, False)}
    for name in [f.field for f in amendment.fields if f.field not in types] + [f for f in flags if f not in kind.flags]:
        text = f"{kind.name} declares no {name} that may be set; nothing was."
        raise DsrError("FIELD_NOT_AMENDABLE", text, collection=kind.name, field=name)
    settings = []
    for field in amendment.fields:
        value = field.value if field.HasField("value") else None
        if types[field.field] == "date" and not (value is None or _is_date(value)):
            text = f"{field.field} of {kind.name} is a date, such as 1990-01-31; nothing was set."
            raise DsrError("VALUE_UNFIT", text, collection=kind.name, field=field.field)
        only = field.current_value if field.HasField("current_value") else None
        settings.append(Setting(field.field, value, only))
    return [*settings, *(Setting(kind.flags[name], value) for name, value in flags.items())]


def amend(
    store: Store,
    request: pb.AmendRequest,
    grant: Grant,
    counts: Callable[[Found], Sequence[pb.CollectionCount]],
    *,
    forgets: bool,
) -> pb.Amended:
    """The answer. `forgets`: says that it sets, and doesn't."""
    reference, changes = request.subject.subject_ref, wanted(grant)
    caps = {a.collection: a.cap for a in grant.amendments}
    with store.transaction() as database:
        past = {} if request.preview else answers(database, grant)
        if reference in past:
            amended = pb.Amended.FromString(past[reference])
            amended.outcome = pb.Amended.OUTCOME_REPLAYED
            answered(database, grant, reference, past[reference])
            return amended
        records = find(database, request.subject)
        if found(request.expected) != found(counts(records)):
            return pb.Amended(subject_ref=reference, outcome=pb.Amended.OUTCOME_CHANGED)
        outcome = pb.Amended.OUTCOME_PREVIEWED if request.preview else pb.Amended.OUTCOME_AMENDED
        amended, due = pb.Amended(subject_ref=reference, outcome=outcome), []
        for name, settings in changes.items():
            rows = records.get(name, ())
            wrong = [row for row in rows if any(s.due(row) for s in settings)]
            if len(wrong) > caps[name] and not request.preview:
                return pb.Amended(subject_ref=reference, outcome=pb.Amended.OUTCOME_CAP_EXCEEDED)
            amended.collections.add(collection=name, amended=len(wrong), unchanged=len(rows) - len(wrong))
            due += [(name, {**row, **{s.field: s.value for s in settings if s.due(row)}}) for row in wrong]
        if not request.preview:
            for name, row in [] if forgets else due:
                put(database, name, row)
            answered(database, grant, reference, amended.SerializeToString())
        return amended


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False

"""Between rows and messages."""

from datetime import UTC, date, datetime

import asyncpg
from dsr.v1 import recipient_pb2 as pb

from services.governance.recipients.domain import Owed, SubProcessor, state

_RIGHTS = ("find", "copy", "erase")


def sub_processor(partner: str, entry: SubProcessor, objection: asyncpg.Record | None, day: date) -> pb.SubProcessor:
    """An entry of the register, as it stands for a partner."""
    found = pb.SubProcessor(
        name=f"{partner}/subProcessors/{entry.id}",
        display_name=entry.name,
        purpose=entry.purpose,
        address=entry.address,
        country=entry.country,
        data=entry.data,
        state=pb.SubProcessor.State.Value(f"STATE_{state(entry, objection is not None, day)}"),
        how=entry.how,
        **{right: pb.SubProcessor.Way.Value(f"WAY_{entry.rights[right]}") for right in _RIGHTS},  # type: ignore[arg-type]
    )
    found.announce_time.FromDatetime(_midnight(entry.announced))
    found.effective_time.FromDatetime(_midnight(entry.effective))
    if entry.confirmed is not None:
        found.confirmer = entry.confirmed_by
        found.confirm_time.FromDatetime(_midnight(entry.confirmed))
    if objection is not None:
        found.objector, found.objection_reference = objection["objector"], objection["reference"]
        found.object_time.FromDatetime(objection["object_time"])
    return found


def task(row: asyncpg.Record) -> pb.RecipientTask:
    """A task."""
    partner = row["partner"]
    found = pb.RecipientTask(
        name=f"{partner}/recipientTasks/{row['id']}",
        request=row["request"],
        kind=pb.RecipientTask.Kind.Value(f"KIND_{row['kind']}"),
        recipient=row["recipient"],
        sub_processor=f"{partner}/subProcessors/{row['sub_processor']}" if row["sub_processor"] else "",
        collections=row["collections"],
        mode=pb.RecipientTask.Mode.Value(f"MODE_{row['mode']}"),
        how=row["how"],
        owner=row["owner"],
        done=row["complete_time"] is not None,
        evidence=row["evidence"],
        completer=row["completer"],
    )
    for column in ("due_time", "create_time", "complete_time"):
        if row[column]:
            getattr(found, column).FromDatetime(row[column])
    return found


def foreseen(partner: str, request: str, owed: Owed) -> pb.RecipientTask:
    """A task that will be made when the erasure is done."""
    return pb.RecipientTask(
        request=request,
        kind=pb.RecipientTask.KIND_ERASURE,
        recipient=owed.recipient,
        sub_processor=f"{partner}/subProcessors/{owed.sub_processor}" if owed.sub_processor else "",
        collections=owed.collections,
        mode=pb.RecipientTask.MODE_AUTOMATIC if owed.source else pb.RecipientTask.MODE_MANUAL,
        how=f"The connector of {owed.source} does it." if owed.source else owed.how,
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

"""Between rows and messages."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from dsr.v1 import breach_pb2 as pb
from google.protobuf import json_format

from dsrkit.vault import RequestKey
from services.governance.breach.domain import CONTROLLER

KEY = "breach-{}"
"""Name of a breach's key."""


def context(partner: str, identifier: object) -> str:
    """What the ciphertext is bound to."""
    return f"{partner}|{identifier}|breach"


def breach(row: asyncpg.Record, key: RequestKey | None, dpo: str) -> pb.Breach:
    """A breach without scope and timeline. Without its key, without what is encrypted too."""
    message = pb.Breach(
        name=f"{row['partner']}/breaches/{row['id']}",
        phase=pb.Breach.Phase.Value(f"PHASE_{row['phase']}"),
        natures=row["natures"],
        data_sources=row["data_sources"],
        reporter=row["reporter"],
        contact=dpo,
    )
    if key is not None:
        message.description = key.open(row["sealed"], context(row["partner"], row["id"])).decode()
    for field in ("begin_time", "end_time", "aware_time", "notice_time", "close_time"):
        if row[field] is not None:
            getattr(message, field).FromDatetime(row[field])
    message.authority_due_time.FromDatetime(row["notice_time"] + CONTROLLER)
    for field in ("authority", "subjects"):
        if row[field] is not None:
            json_format.ParseDict(row[field], getattr(message, field))
    return message


def entry(row: asyncpg.Record, key: RequestKey) -> pb.Breach.TimelineEntry:
    """An entry of the timeline."""
    message = pb.Breach.TimelineEntry(event=row["event"], actor=row["actor"])
    message.entry_time.FromDatetime(row["entry_time"])
    if row["sealed"] is not None:
        message.note = key.open(row["sealed"], context(row["partner"], row["breach"])).decode()
    return message


def counts(rows: Sequence[asyncpg.Record]) -> list[pb.Breach.SubjectCount]:
    """Counts and estimates."""
    found = []
    for row in rows:
        certainty = pb.Breach.SubjectCount.Certainty.Value(f"CERTAINTY_{row['certainty']}")
        one = pb.Breach.SubjectCount(source=row["source"], subjects=row["subjects"], certainty=certainty)
        one.counted = row["counted"]
        one.count_time.FromDatetime(row["count_time"])
        found.append(one)
    return found


def stored(message: pb.Breach) -> Mapping[str, Any]:
    """The scope as it is kept when the breach is over."""
    scope = pb.Breach(data_map_revision=message.data_map_revision)
    for field in ("concerned", "activities", "subject_counts"):
        getattr(scope, field).extend(getattr(message, field))
    found: Mapping[str, Any] = json_format.MessageToDict(scope)
    return found

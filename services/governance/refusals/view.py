"""Between rows and messages."""

import asyncpg
from dsr.v1 import refusal_pb2 as pb
from dsr.v1 import request_pb2
from google.protobuf import json_format


def message(row: asyncpg.Record, dpo: str, partner_dpo: str) -> pb.RefusalRecord:
    """A refusal."""
    subject = row["kind"] == "SUBJECT"
    name = f"{row['partner']}/refusals/{row['id']}"
    found = pb.RefusalRecord(
        name=name,
        refusal=request_pb2.Refusal(
            kind=request_pb2.Refusal.Kind.Value(f"KIND_{row['kind']}"),
            rule=row["rule"],
            article=row["article"],
            facts=row["facts"],
            objection=row["how_to_object"],
            name=name,
        ),
        addressee=pb.RefusalRecord.ADDRESSEE_SUBJECT if subject else pb.RefusalRecord.ADDRESSEE_CONTROLLER,
        operation=row["operation"],
        request=row["request"],
        state=pb.RefusalRecord.State.Value(f"STATE_{row['state']}"),
        told_late=row["told_late"],
        creator=row["creator"],
        times=row["times"],
        contact=dpo,
        partner_dpo=partner_dpo,
    )
    if row["subject_refusal"] is not None:
        json_format.ParseDict(row["subject_refusal"], found.subject_refusal)
    found.create_time.FromDatetime(row["create_time"])
    found.last_time.FromDatetime(row["last_time"])
    if row["object_time"]:
        found.objection.objector, found.objection.reference = row["objector"], row["reference"]
        found.objection.object_time.FromDatetime(row["object_time"])
    if row["answer_time"]:
        found.objection.answerer, found.objection.answer_reference = row["answerer"], row["answer_reference"]
        found.objection.answer_time.FromDatetime(row["answer_time"])
    return found

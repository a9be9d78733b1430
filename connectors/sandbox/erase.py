"""Erases one person of the sandbox: judged, done and written down in one transaction."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction, Grant

from connectors.sandbox.seed import KINDS, Row
from connectors.sandbox.store import Found, Store, answered, answers, find, put
from dsrkit.errors import invalid

Counts = Callable[[Found], list[pb.CollectionCount]]
_Instructions = Mapping[str, CollectionInstruction]
_DELETE, _ANONYMISE, _RETAIN = (
    CollectionInstruction.ACTION_DELETE,
    CollectionInstruction.ACTION_ANONYMISE,
    CollectionInstruction.ACTION_RETAIN,
)


def check_anonymise(grant: Grant) -> None:
    """FIELD_INVALID for fields that aren't there, or that nobody may empty."""
    for index, instruction in enumerate(grant.instructions):
        shape = KINDS[instruction.collection].shape
        allowed = set(shape.names) - set(shape.primary_key)
        if instruction.action == _ANONYMISE and not instruction.anonymise:
            raise invalid(f"grant.instructions[{index}].anonymise", "ANONYMISE needs fields")
        for number, rule in enumerate(instruction.anonymise):
            if rule.field not in allowed:
                path = f"grant.instructions[{index}].anonymise[{number}].field"
                raise invalid(path, "the collection has no such field, or it is the key")


def erase(store: Store, wanted: pb.EraseSubject, grant: Grant, counts: Counts) -> pb.Erased:
    """The answer for one person."""
    reference, instructions = wanted.subject.subject_ref, {i.collection: i for i in grant.instructions}
    with store.transaction() as database:
        past = answers(database, grant)
        if reference in past:
            erased = pb.Erased.FromString(past[reference])
            erased.outcome = pb.Erased.OUTCOME_REPLAYED
        else:
            records = find(database, wanted.subject)
            refusal = judge(instructions, wanted.expected, counts(records))
            if refusal is not None:
                refusal.subject_ref = reference
                return refusal
            erased = pb.Erased(subject_ref=reference, outcome=pb.Erased.OUTCOME_ERASED)
            for name, rows in records.items():
                if name in instructions:
                    erased.collections.append(_treat(database, name, rows, instructions[name]))
        answered(database, grant, reference, erased.SerializeToString())
        return erased


def judge(
    instructions: _Instructions, expected: Sequence[pb.CollectionCount], counted: Sequence[pb.CollectionCount]
) -> pb.Erased | None:
    """Why nothing may be done to this person; None: it may. CHANGED before BLOCKED before CAP_EXCEEDED."""
    now = found(counted)
    if now != found(expected):
        return pb.Erased(outcome=pb.Erased.OUTCOME_CHANGED)
    told = {name: instructions[name] for name in now if name in instructions}
    undecided = [name for name, i in told.items() if i.action not in (_DELETE, _ANONYMISE, _RETAIN)]
    if undecided:
        detail = "The collection has records and the grant doesn't say what becomes of them. Decide it in the data map."
        findings = [
            pb.Finding(code="UNDECIDED_ACTION", collection=name, detail=detail, blocks_erasure=True)
            for name in undecided
        ]
        return pb.Erased(outcome=pb.Erased.OUTCOME_BLOCKED, findings=findings)
    if any(now[name][0] > i.cap for name, i in told.items() if i.action != _RETAIN):
        return pb.Erased(outcome=pb.Erased.OUTCOME_CAP_EXCEEDED)
    return None


def found(counts: Sequence[pb.CollectionCount]) -> dict[str, tuple[int, bytes]]:
    """Number and fingerprint of what is there, to be compared."""
    return {c.collection: (c.records, c.fingerprint) for c in counts if c.records}


def becomes(rule: Anonymisation) -> Any:
    """What an anonymised field holds afterwards."""
    return json.loads(rule.constant) if rule.HasField("constant") else None


def _treat(
    database: sqlite3.Connection, name: str, rows: Sequence[Row], instruction: CollectionInstruction
) -> pb.CollectionOutcome:
    outcome = pb.CollectionOutcome(collection=name)
    if instruction.action == _RETAIN:
        outcome.retained = len(rows)
    elif instruction.action == _DELETE:
        database.executemany("DELETE FROM record WHERE collection = ? AND id = ?", [(name, row["id"]) for row in rows])
        outcome.deleted = len(rows)
    else:
        for row in rows:
            put(database, name, {**row, **{rule.field: becomes(rule) for rule in instruction.anonymise}})
        outcome.anonymised = len(rows)
    return outcome

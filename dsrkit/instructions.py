"""Whether two sets of instructions say the same, and what reads them back."""

from collections.abc import Sequence

from dsr.connector.v1.grant_pb2 import CollectionInstruction
from dsr.v1.governance_pb2 import ERASE_ACTION_ANONYMISE, SourceMap


def differences(approved: Sequence[CollectionInstruction], current: Sequence[CollectionInstruction]) -> list[str]:
    """Collections whose instruction isn't the same; caps are the plan's own and not compared."""
    before, after = _plain(approved), _plain(current)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def reading_back(approved: Sequence[CollectionInstruction], source: SourceMap) -> list[CollectionInstruction]:
    """Shows, of the collections that were to be anonymised, the fields that the data map anonymises."""
    wanted = {i.collection for i in approved if i.action == CollectionInstruction.ACTION_ANONYMISE}
    return [
        CollectionInstruction(
            collection=entry.collection,
            include_fields=[field.field for field in entry.fields if field.HasField("anonymise")],
        )
        for entry in source.collections
        if entry.collection in wanted and entry.erase_action == ERASE_ACTION_ANONYMISE
    ]


def _plain(instructions: Sequence[CollectionInstruction]) -> dict[str, bytes]:
    plain = {}
    for instruction in instructions:
        copy = CollectionInstruction()
        copy.CopyFrom(instruction)
        copy.ClearField("cap")
        plain[copy.collection] = copy.SerializeToString(deterministic=True)
    return plain

"""Whether two sets of instructions say the same."""

from collections.abc import Sequence

from dsr.connector.v1.grant_pb2 import CollectionInstruction


def differences(approved: Sequence[CollectionInstruction], current: Sequence[CollectionInstruction]) -> list[str]:
    """Collections whose instruction isn't the same; caps are the plan's own and not compared."""
    before, after = _plain(approved), _plain(current)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _plain(instructions: Sequence[CollectionInstruction]) -> dict[str, bytes]:
    plain = {}
    for instruction in instructions:
        copy = CollectionInstruction()
        copy.CopyFrom(instruction)
        copy.ClearField("cap")
        plain[copy.collection] = copy.SerializeToString(deterministic=True)
    return plain

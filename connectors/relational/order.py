"""In which order rows go: children before parents; what refers to itself in a circle, together."""

from collections import defaultdict
from collections.abc import Collection as Names

from connectors.relational.graph import components
from connectors.relational.model import Collection, Model


def deletion_order(model: Model, names: Names[str]) -> list[list[Collection]]:
    """The collections to delete from, one step after the other.

    Only enforced keys bind. A reference of a table to itself needs no step: keys are checked when a statement ends.
    """
    successors: dict[str, set[str]] = defaultdict(set)
    for target in names:
        for inbound in model.inbound.get(target, ()):
            child = inbound.table.full_name
            if inbound.enforced and child in names and child != target:
                successors[child].add(target)
    ordered = [name for name in model.collections if name in names]
    return [[model.collections[name] for name in step] for step in components(ordered, successors)]

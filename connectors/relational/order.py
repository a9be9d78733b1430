"""In which order rows go: children before parents; what refers to itself in a circle, together.

Where a database checks foreign keys row by row, nothing goes together: a circle is cut first, by taking references out
of rows that are about to go.
"""

from collections import defaultdict
from collections.abc import Collection as Names
from collections.abc import Iterator

from connectors.relational.graph import components
from connectors.relational.model import Collection, Finding, Inbound, Model


def deletion_order(model: Model, names: Names[str], loose: Names[Inbound] = ()) -> list[list[Collection]]:
    """The collections to delete from, one step after the other, `loose` references having been taken out.

    Only enforced keys bind. A reference of a table to itself needs no step: keys are checked when a statement ends.
    """
    successors: dict[str, set[str]] = defaultdict(set)
    for inbound in _binding(model, names):
        child = inbound.table.full_name
        if child != inbound.target and inbound not in loose:
            successors[child].add(inbound.target)
    ordered = [name for name in model.collections if name in names]
    return [[model.collections[name] for name in step] for step in components(ordered, successors)]


def loosened(model: Model, names: Names[str]) -> list[Inbound]:
    """The references within circles that can be taken out."""
    return [
        inbound for inbound in _circular(model, names) if loose_columns(model.collections[_child(inbound)], inbound)
    ]


def loose_columns(collection: Collection, inbound: Inbound) -> list[str]:
    """The columns whose being null takes the reference out of a row of the collection, leaving its address."""
    fixed = {column.name for column in collection.address}
    columns = (collection.table.column[name] for name in inbound.columns)
    return [c.name for c in columns if c.nullable and not c.generated and c.name not in fixed]


def stuck(model: Model, names: Names[str]) -> list[Finding]:
    """A finding for each collection whose rows can't go one after the other."""
    loose = loosened(model, names)
    bound = [inbound for inbound in _circular(model, names) if inbound not in loose]
    remaining = [{c.name for c in step} for step in deletion_order(model, names, loose)]
    caught = {
        _child(inbound): inbound.name
        for inbound in bound
        if any({_child(inbound), inbound.target} <= step for step in remaining)
    }
    detail = (
        "Rows refer to each other in a circle ({name}) that this database can't delete and whose columns may not be "
        "null. Make a column of the reference nullable, or anonymise instead."
    )
    return [
        Finding("CIRCULAR_REFERENCE", child, detail.format(name=name), True, frozenset({child}))
        for child, name in caught.items()
    ]


def _circular(model: Model, names: Names[str]) -> Iterator[Inbound]:
    """References between collections that would have to go together, and of collections to themselves."""
    together = [{c.name for c in step} for step in deletion_order(model, names)]
    for inbound in _binding(model, names):
        if any({_child(inbound), inbound.target} <= step for step in together):
            yield inbound


def _binding(model: Model, names: Names[str]) -> Iterator[Inbound]:
    for target in names:
        for inbound in model.inbound.get(target, ()):
            if inbound.enforced and _child(inbound) in names:
                yield inbound


def _child(inbound: Inbound) -> str:
    return inbound.table.full_name

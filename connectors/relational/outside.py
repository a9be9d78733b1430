"""Rows outside a person's plan that refer to rows which would go. A scope stops no cascade, so nothing here is scoped.

Only enforced foreign keys matter: what nothing enforces neither cascades nor forbids, and its ids may mean other rows
in another slice."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsr.connector.v1.grant_pb2 import CollectionInstruction

from connectors.relational.compiler import Compiler
from connectors.relational.dialect import Session
from connectors.relational.model import Collection, Finding, Inbound
from connectors.relational.sql import Sql, fill, join


@dataclass(frozen=True)
class _Check:
    inbound: Inbound
    covered: Collection | None
    inside: bool

    def finding(self) -> Finding:
        there, name, target = self.inbound.table.full_name, self.inbound.name, self.inbound.target
        rule = self.inbound.on_delete
        if self.inside:
            detail = (
                f"Records of {there} that are to be kept refer to these records ({name}, {rule}). Anonymise {target} "
                f"instead of deleting from it, or anonymise the referring fields of {there} as well."
            )
            return Finding("RETAINED_REFERENCES_DELETED", target, detail, True, frozenset({target}))
        silent = self.inbound.on_delete in ("CASCADE", "SET_NULL", "SET_DEFAULT")
        effect = "would be changed or deleted along with them" if silent else "keep them from being deleted"
        code = "CASCADE_OUTSIDE_PLAN" if silent else "REFERENCED_OUTSIDE_PLAN"
        detail = (
            f"Rows of {there} that are not the person's refer to these records ({name}, {rule}) and {effect}. "
            f"Anonymise {target} instead of deleting from it, or declare who owns {there}."
        )
        return Finding(code, target, detail, True, frozenset({target}))


async def at_locate(
    session: Session, compiler: Compiler, records: Mapping[str, int], chosen: frozenset[int]
) -> dict[int, list[Finding]]:
    """Findings by subject, as if all of a person's own rows were deleted."""
    checks: list[_Check] = []
    for name in records:
        checks += [
            _Check(inbound, compiler.model.collections.get(inbound.table.full_name), False)
            for inbound in compiler.model.inbound.get(name, ())
            if inbound.enforced and not _complete(compiler, inbound, chosen)
        ]
    return await _run(session, compiler, records, checks, Sql("strong"))


async def at_erase(
    session: Session, compiler: Compiler, records: Mapping[str, int], instructions: Mapping[str, CollectionInstruction]
) -> list[Finding]:
    """Findings of the one subject of the transaction, under its instructions. Rows that could join are locked out."""
    checks = []
    for name in records:
        if _action(instructions, name) != CollectionInstruction.ACTION_DELETE:
            continue
        for inbound in compiler.model.inbound.get(name, ()):
            if not inbound.enforced:
                continue
            covered = compiler.model.collections.get(inbound.table.full_name)
            checks.append(_Check(inbound, covered, False))
            if covered is not None and not _lets_go(inbound, instructions):
                checks.append(_Check(inbound, covered, True))
    found = await _run(session, compiler, records, checks, Sql("TRUE"))
    return [finding for findings in found.values() for finding in findings]


async def _run(
    session: Session, compiler: Compiler, records: Mapping[str, int], checks: Sequence[_Check], where: Sql
) -> dict[int, list[Finding]]:
    values = compiler.values()
    parts = []
    for place, check in enumerate(checks):
        if check.inside and not records.get(check.inbound.table.full_name):
            continue
        covered = check.covered if records.get(check.inbound.table.full_name) else None
        limit = values.bind(records[check.inbound.target])
        query = compiler.outside(check.inbound, limit, covered, check.inside, where, values)
        parts.append(fill("SELECT {place}, subject FROM ({query}) q{place}", place=place, query=query))
    found: dict[int, list[Finding]] = defaultdict(list)
    if parts:
        for place, subject in await session.rows(values.statement(join(" UNION ALL ", parts))):
            found[subject].append(checks[place].finding())
    return dict(found)


def _complete(compiler: Compiler, inbound: Inbound, chosen: frozenset[int]) -> bool:
    """Whether all rows that refer here are among the subject's by the way they were found."""
    collection = compiler.model.collections.get(inbound.table.full_name)
    reference = inbound.reference
    if collection is None or reference is None or not reference.followed or reference.when:
        return False
    return not collection.scoped and collection.number not in chosen


def _action(instructions: Mapping[str, CollectionInstruction], name: str) -> int:
    instruction = instructions.get(name)
    return CollectionInstruction.ACTION_UNSPECIFIED if instruction is None else instruction.action


def _lets_go(inbound: Inbound, instructions: Mapping[str, CollectionInstruction]) -> bool:
    """Whether the referring rows go as well, or lose the reference."""
    instruction = instructions.get(inbound.table.full_name)
    if instruction is None:
        return False
    if instruction.action == CollectionInstruction.ACTION_DELETE:
        return True
    emptied = {field.field for field in instruction.anonymise}
    return instruction.action == CollectionInstruction.ACTION_ANONYMISE and not emptied.isdisjoint(inbound.columns)

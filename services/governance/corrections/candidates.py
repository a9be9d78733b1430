"""Several people of the same names: sealed with the request, as long as it lives, with what the controller chose."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg
from dsr.authority.v1 import authority_pb2 as pb

from dsrkit.db import Connection
from dsrkit.requests.model import Candidate, Dossier, Known
from dsrkit.requests.resolution import newcomer
from services.governance.corrections import view
from services.governance.tools import Tools

MOST = 100
"""More people than one can choose from aren't kept."""


def merge(dossier: Dossier, told: Sequence[pb.FoundPerson]) -> Dossier | None:
    """With who was found now; None where there is nothing to choose: everybody is decided on, or there are too many."""
    known = {(c.source, c.collection, c.person): c for c in dossier.candidates}
    for found in told:
        key = (found.source, found.collection, found.person)
        if key not in known:
            names = [Known(i.type, i.value, found.source, found.collection, 1, False) for i in found.identities]
            known[key] = newcomer(*key, names)
    merged = tuple(known.values())
    return replace(dossier, candidates=merged) if len(merged) <= MOST and still_open(merged) else None


def still_open(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that the controller has to decide on."""
    return [candidate for candidate in candidates if not candidate.decision]


def chosen(dossier: Dossier) -> list[pb.ChosenPeople]:
    """What each source is told of the choice."""
    sources = sorted({c.source for c in dossier.candidates if c.decision})
    return [pb.ChosenPeople(source=s, people=dossier.subject("", s, ()).people) for s in sources]


async def load(tools: Tools, row: asyncpg.Record) -> Dossier:
    """The candidates of a request that lives. KeyGone where it doesn't any more."""
    if row["candidates"] is None:
        return Dossier()
    key = await tools.vault.get(row["partner"], view.KEY.format(row["id"]))
    return Dossier.load(key.open(row["candidates"], _context(row["partner"], row["id"])))


async def save(tools: Tools, connection: Connection, row: asyncpg.Record, dossier: Dossier) -> None:
    """Seals them."""
    key = await tools.vault.get(row["partner"], view.KEY.format(row["id"]))
    sealed = key.seal(dossier.dump(), _context(row["partner"], row["id"]))
    await tools.store.row(connection, "corrections.set_candidates", row["id"], sealed)


def _context(partner: str, identifier: UUID) -> str:
    return f"{view.context(partner, identifier)}|candidates"

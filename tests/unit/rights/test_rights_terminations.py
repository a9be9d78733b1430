"""One termination that can't go on keeps no other one up, in no service."""

import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from dsrkit.requests.terminations import Terminations
from services.governance.termination import progress

FAILS, GOES = (f"partners/{name}/terminations/{uuid.UUID(int=0)}" for name in ("broken", "acme"))


class Fake:
    """Governance, a database without requests, and a vault that can't destroy one partner's keys."""

    def __init__(self) -> None:
        self.pool = self
        self.done: list[str] = []

    async def terminations(self) -> list[str]:
        return [FAILS, GOES]

    async def destroy_partner(self, partner: str) -> None:
        if partner in FAILS:
            raise OSError(f"keys of {partner}")

    async def emptied(self, termination: str) -> None:
        self.done.append(termination)

    @asynccontextmanager
    async def acquire(self) -> Any:
        yield self

    @asynccontextmanager
    async def transaction(self) -> Any:
        yield self

    async def execute(self, *_: Any) -> None: ...

    async def unfinished(self, *_: Any) -> list[uuid.UUID]:
        return []

    async def rows(self, *_: Any) -> list[Any]:
        return [{"partner": name.split("/terminations/")[0], "id": uuid.UUID(int=0)} for name in (FAILS, GOES)]

    async def now(self, _: str) -> datetime:
        return datetime.now(UTC)


async def test_services_empty_themselves_of_everybody_else() -> None:
    fake: Any = Fake()
    await Terminations(fake, fake, fake, fake, ()).run()
    assert fake.done == [GOES]


async def test_governance_goes_on_with_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = Fake()
    fake.store = fake

    async def advance(_: Any, partner: str, identifier: uuid.UUID, now: datetime) -> None:
        await fake.destroy_partner(partner)
        fake.done.append(f"{partner}/terminations/{identifier}")

    monkeypatch.setattr(progress, "advance", advance)
    await progress.run(fake)
    assert fake.done == [GOES]

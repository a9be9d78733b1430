"""Lies about amending, each over an honest backend in memory: the suite must catch every one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dsr.conformance.bench import open_bench
from dsr.conformance.check import Verdict
from dsr.conformance.checks.amend import CHECKS
from dsr.conformance.checks.describe import CHECKS as DESCRIBE
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.runner import run
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from tests.conformance.harness import Keys, serve
from tests.support.memory import MemoryBackend, Table

SOURCE = "partners/acme/dataSources/shop"
MATERIAL = {
    "present": {"identities": {"email": "ann@x"}, "records": {"letters": 2}},
    "absent": {"identities": {"email": "nobody@x"}},
    "disposable": {
        "identities": {"email": "bob@x"},
        "records": {"letters": 2},
        "amend": {"letters": {"salutation": "Dr Bob"}},
    },
}


class Honest(MemoryBackend):
    """Lies about nothing."""

    def __init__(self) -> None:
        rows = [
            {"id": f"{who}{n}", "email": f"{who}@x", "salutation": "Mx", "held": "no"}
            for who in ("ann", "bob")
            for n in (1, 2)
        ]
        table = Table(
            {"email": ("email", True)}, rows, amendable=frozenset({"salutation"}), flags={"restriction": "held"}
        )
        super().__init__(SOURCE, {"letters": table})


class AmendsNothing(Honest):
    """ "200 OK, amended", and amends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.amends_nothing = True


class AmendsEverybody(Honest):
    """Sets the value in everybody's records."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        async for message in super().amend(request, grant):
            if message.amended.outcome == pb.Amended.OUTCOME_AMENDED and message.amended.collections[0].amended:
                for row in self.tables["letters"].rows:
                    row["salutation"] = "Dr Bob"
            yield message


class PreviewsForReal(Honest):
    """Sets what it should only have shown."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        async for message in super().amend(request, grant):
            if message.amended.outcome == pb.Amended.OUTCOME_PREVIEWED:
                for row in self.tables["letters"].rows:
                    row["salutation"] = "Dr Bob"
            yield message


class Forgets(Honest):
    """Does it again whenever it is asked."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        self.amended.clear()
        async for message in super().amend(request, grant):
            yield message


class IgnoresExpected(Honest):
    """Amends whatever is there now."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        request.ClearField("expected")
        request.expected.extend(self._counts(request.subject))
        async for message in super().amend(request, grant):
            yield message


class IgnoresCaps(Honest):
    """Amends as many records as there are."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        for amendment in grant.amendments:
            amendment.cap = 1_000
        async for message in super().amend(request, grant):
            yield message


class SetsKeys(Honest):
    """Sets whatever field it is told to."""

    async def amend(self, request: pb.AmendRequest, grant: Grant) -> AsyncIterator[pb.AmendResponse]:
        table = self.tables["letters"]
        table.amendable |= {"id", "email", "held"}
        async for message in super().amend(request, grant):
            yield message


class DeclaresNames(Honest):
    """Says that a name may be set."""

    def __init__(self) -> None:
        super().__init__()
        self.tables["letters"].amendable |= {"email"}


LIARS: dict[type[Honest], set[str]] = {
    Honest: set(),
    AmendsNothing: {"amend.read-back"},
    AmendsEverybody: {"amend.others"},
    PreviewsForReal: {"amend.previewed"},
    Forgets: {"amend.replayed", "amend.superseded"},
    IgnoresExpected: {"amend.changed"},
    IgnoresCaps: {"amend.cap"},
    SetsKeys: {"amend.not-amendable"},
    DeclaresNames: {"describe.sound"},
}
"""Each lie, and the rules that must fail because of it."""


@pytest.mark.policy("P11", "a connector that says amended and amended nothing is caught by what it exports")
@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
async def test_a_lie_about_amending_is_caught(liar: type[Honest], tmp_path: Path) -> None:
    keys = Keys.make(tmp_path)
    key, material = GrantKey.load(tmp_path / "grant-key.json"), Material.parse(MATERIAL)
    async with (
        serve(keys, {SOURCE: liar()}) as target,
        open_bench(target, SOURCE, keys.credential, material, key, 5.0) as bench,
    ):
        results = [result async for result in run(bench, [*DESCRIBE, *CHECKS])]
    failing = {result.check.rule for result in results if result.verdict is Verdict.FAILS}
    assert failing >= LIARS[liar]
    assert bool(failing) == bool(LIARS[liar])

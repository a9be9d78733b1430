"""A suite that nobody has seen fail proves nothing: every lie is caught, in bounded time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dsr.conformance.bench import open_bench
from dsr.conformance.check import Check, Result, Verdict
from dsr.conformance.checks import ALL
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material
from dsr.conformance.runner import exit_code, run, run_check

from connectors.backend import Backend
from tests.conformance import lies_counting, lies_erasing, lies_reading
from tests.conformance.harness import Keys, open_backends, serve
from tests.conformance.liar import Babbling, Liar, Trusting, serve_bare
from tests.conformance.test_conformance_filesystem import COLLECTIONS, DOWN, MATERIAL, SOURCE, make_files

TIMEOUT = 1.0

LIARS: dict[Callable[[Backend], Liar], frozenset[str]] = {
    lies_erasing.DeletesNothing: frozenset({"erase.gone", "verify.after-erasure", "erase.replayed", "erase.retained"}),
    lies_erasing.DeletesNothingAndVerifiesIt: frozenset({"erase.gone", "verify.unexplained"}),
    lies_erasing.CountsTooMany: frozenset({"erase.erased"}),
    lies_erasing.SaysItTwice: frozenset({"erase.absent", "erase.erased"}),
    lies_erasing.ReplaysZero: frozenset({"erase.replayed"}),
    lies_erasing.IgnoresAttempts: frozenset({"erase.superseded"}),
    lies_erasing.IgnoresTask: frozenset({"erase.replayed", "erase.superseded"}),
    lies_erasing.IgnoresCap: frozenset({"erase.cap"}),
    lies_erasing.DeletesRetained: frozenset({"erase.retained", "erase.undecided"}),
    lies_erasing.IgnoresExpected: frozenset({"erase.changed"}),
    lies_erasing.DeletesNeighbours: frozenset({"erase.others"}),
    lies_reading.LocatesTooFew: frozenset({"locate.present"}),
    lies_reading.ChangesFingerprints: frozenset({"locate.repeatable"}),
    lies_reading.ForgetsTheAbsent: frozenset({"locate.absent", "subjects.thousand"}),
    lies_reading.MatchesPrefixes: frozenset({"locate.literal"}),
    lies_reading.IgnoresTypes: frozenset({"locate.unknown-type"}),
    lies_reading.HidesOutage: frozenset({"call.unreachable"}),
    lies_reading.LeaksIdentities: frozenset({"locate.unknown-type", "error.privacy"}),
    lies_reading.WrongHash: frozenset({"export.complete"}),
    lies_reading.WrongTotals: frozenset({"export.complete"}),
    lies_reading.NoTotals: frozenset({"export.complete", "export.absent"}),
    lies_reading.GarbageLines: frozenset({"export.complete"}),
    lies_reading.IgnoresInstructions: frozenset(
        {"export.redacted", "export.included", "export.unnamed", "export.unknown-field"}
    ),
    lies_reading.ExportsSomebodyElse: frozenset({"export.one-person"}),
    lies_reading.ExportsOneRecordTwice: frozenset({"export.one-person"}),
    lies_reading.LocatesTwice: frozenset({"locate.present", "locate.absent"}),
    lies_reading.EndlessExport: frozenset({"export.complete"}),
    lies_reading.EndlessProgress: frozenset({"locate.present"}),
    lies_reading.HangsInVerify: frozenset({"verify.unexplained"}),
    lies_reading.HangsInDescribe: frozenset({"describe.sound"}),
    lies_reading.AnonymisesUnseen: frozenset({"describe.sound"}),
    lies_reading.DescribesNonsense: frozenset({"describe.sound"}),
    lies_erasing.DestroysNothing: frozenset({"destroy.destroyed", "destroy.cap", "destroy.unnamed"}),
    lies_erasing.DestroysWhatWasNotReturned: frozenset({"destroy.cap", "destroy.unnamed"}),
    lies_erasing.ReturnsOneCollectionLess: frozenset({"return.complete", "destroy.counted"}),
    lies_counting.ListsWhoIsUsed: frozenset({"inactive.used", "inactive.one"}),
    lies_counting.ListsTwice: frozenset({"inactive.listed"}),
    lies_counting.ListsTheUnknown: frozenset({"inactive.unknown"}),
    lies_counting.CountsOtherwise: frozenset({"inactive.counted"}),
    lies_counting.OverlooksTheValue: frozenset({"inactive.one"}),
    lies_counting.CountsSomebodyTwice: frozenset({"count.everybody"}),
    lies_counting.CountsTooFew: frozenset({"count.sound"}),
    lies_counting.IsSureOfTheSum: frozenset({"count.honest"}),
    lies_counting.CountsAnew: frozenset({"count.repeatable"}),
    lies_erasing.VerifiesEverything: frozenset({"verify.unexplained", "verify.explained"}),
}
"""Each lie, and the rules that must fail because of it."""


def backends(folder: Path) -> tuple[Keys, dict[str, Backend]]:
    """A fresh folder of files, and a source whose folder isn't there."""
    make_files(folder / "files")
    keys = Keys.make(folder)
    options = {"root": str(folder / "files"), "collections": COLLECTIONS}
    down = {**options, "root": str(folder / "unmounted")}
    sources = {SOURCE: {"kind": "filesystem", "options": options}, DOWN: {"kind": "filesystem", "options": down}}
    return keys, open_backends(keys, sources)


async def verdicts(keys: Keys, target: str, checks: Sequence[Check], timeout: float = TIMEOUT) -> list[Result]:
    """A run of some checks."""
    key = GrantKey.load(keys.folder / "grant-key.json")
    async with open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), key, timeout) as bench:
        return [result async for result in run(bench, checks)]


def failing(results: Sequence[Result]) -> set[str]:
    """The rules that fail."""
    return {result.check.rule for result in results if result.verdict is Verdict.FAILS}


@asynccontextmanager
async def lying(folder: Path, liar: Callable[[Backend], Liar]) -> AsyncIterator[tuple[Keys, str]]:
    """A host whose backends lie."""
    keys, honest = backends(folder)
    async with serve(keys, {name: liar(backend) for name, backend in honest.items()}) as target:
        yield keys, target


async def test_who_lies_about_nothing_passes(tmp_path: Path) -> None:
    async with lying(tmp_path, Liar) as (keys, target):
        results = await verdicts(keys, target, ALL, 20.0)
    assert failing(results) == set()
    assert exit_code(results) == 0


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
async def test_a_lie_is_caught(liar: Callable[[Backend], Liar], tmp_path: Path) -> None:
    expected = LIARS[liar]
    sections = tuple({rule.split(".")[0] for rule in expected})
    checks = [check for check in ALL if check.rule.startswith(sections)]
    start = time.monotonic()
    async with lying(tmp_path, liar) as (keys, target):
        results = await verdicts(keys, target, checks)
    assert failing(results) >= expected
    assert exit_code(results) == 1
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("liar", "rule"),
    [
        (lies_reading.HangsInLocate, "locate.present"),
        (lies_reading.HangsInExport, "export.absent"),
        (lies_erasing.HangsInErase, "erase.absent"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_silence_is_a_failure_in_time(liar: Callable[[Backend], Liar], rule: str, tmp_path: Path) -> None:
    (check,) = [check for check in ALL if check.rule == rule]
    async with lying(tmp_path, liar) as (keys, target):
        key = GrantKey.load(keys.folder / "grant-key.json")
        async with open_bench(target, SOURCE, keys.credential, Material.parse(MATERIAL), key, 20.0) as bench:
            await bench.described()
            bench.timeout = 0.2  # for what hangs
            result = await run_check(check, bench)
    assert result.verdict is Verdict.FAILS
    assert "did not end within 0.2 s" in result.detail


async def test_every_rule_about_walls_fails_without_walls(tmp_path: Path) -> None:
    keys, honest = backends(tmp_path)
    async with serve_bare(Trusting(honest[SOURCE])) as target:
        results = await verdicts(keys, target, ALL)
    for backend in honest.values():
        await backend.close()
    walls = {c.rule for c in ALL if c.rule.startswith(("call.", "grant.", "error.details"))}
    walls |= {"return.other-operation", "destroy.other-operation"}
    assert failing(results) >= walls - {"error.privacy", "grant.unknown-collection"}


async def test_bytes_that_are_no_message_are_a_failure_not_a_crash(tmp_path: Path) -> None:
    keys, honest = backends(tmp_path)
    async with serve_bare(Babbling()) as target:
        results = await verdicts(keys, target, ALL)
    for backend in honest.values():
        await backend.close()
    assert failing(results) == {"describe.sound"}
    assert exit_code(results) == 1


async def test_nobody_there_is_a_failure_in_time(tmp_path: Path) -> None:
    keys, honest = backends(tmp_path)
    for backend in honest.values():
        await backend.close()
    async with asyncio.timeout(10):
        results = await verdicts(keys, "127.0.0.1:1", ALL)
    assert failing(results) == {"describe.sound"}

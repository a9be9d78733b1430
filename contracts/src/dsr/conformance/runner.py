"""Runs checks one after the other, each within its bounds."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Failed, NotApplicable, Result, Unprepared, Verdict
from dsr.conformance.checks.describe import Sound

_CALLS_PER_CHECK = 24
"""A check makes at most this many calls that may each take the whole timeout."""
_UNREACHED = (
    "Start the connector, or correct --target. With TLS: --ca is the authority of the connector's certificate,"
    " --server-name the name in it; --certificate and --key are for a connector that asks for one."
)


async def run_check(check: Check, bench: Bench) -> Result:
    """One check's result. Never raises for what the connector does."""
    try:
        async with asyncio.timeout(bench.timeout * _CALLS_PER_CHECK):
            await check.run(bench)
    except Failed as failure:
        return Result(check, Verdict.FAILS, str(failure))
    except TimeoutError:
        return Result(check, Verdict.FAILS, "it took too long")
    except NotApplicable as reason:
        return Result(check, Verdict.NOT_APPLICABLE, str(reason))
    except Unprepared as reason:
        return Result(check, Verdict.NOT_RUN, str(reason))
    return Result(check, Verdict.HOLDS)


async def run(bench: Bench, checks: Sequence[Check]) -> AsyncIterator[Result]:
    """Every check's result, as it comes. A connector that can't even describe itself isn't asked the rest."""
    try:
        await bench.described()
    except Failed as failure:
        if bench.connected:
            yield Result(Sound(), Verdict.FAILS, str(failure))
        else:
            yield Result(Sound(), Verdict.FAILS, f"there is no connection: {failure}", _UNREACHED)
        for check in checks:
            if check.rule != Sound.rule:
                yield Result(check, Verdict.NOT_RUN, "Describe must answer first")
        return
    for check in checks:
        yield await run_check(check, bench)


def exit_code(results: Sequence[Result]) -> int:
    """0: every applicable rule holds. 1: a rule fails. 3: nothing fails, but a rule could not be checked."""
    verdicts = {result.verdict for result in results}
    if Verdict.FAILS in verdicts:
        return 1
    return 3 if Verdict.NOT_RUN in verdicts else 0

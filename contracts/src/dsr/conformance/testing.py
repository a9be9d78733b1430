"""The suite as pytest tests, one per rule, for connectors that are tested in Python.

    from dsr.conformance.testing import CHECKS, expect, open_bench

    @pytest.fixture(scope="module")
    async def bench():
        async with open_bench(target, source, credential, material, grant_key) as bench:
            yield bench

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule)
    async def test_contract(check, bench):
        await expect(check, bench)

The order matters: rules that change nothing come first. A module-scoped bench is one run.
"""

from collections.abc import Container

from dsr.conformance.bench import Bench, open_bench
from dsr.conformance.check import Check, Result, Verdict
from dsr.conformance.checks import ALL
from dsr.conformance.runner import run_check

__all__ = ["CHECKS", "expect", "open_bench"]

CHECKS = ALL


async def expect(check: Check, bench: Bench, not_run: Container[str] = ()) -> Result:
    """AssertionError unless the rule holds or isn't applicable. `not_run`: rules for which there is no material."""
    result = await run_check(check, bench)
    good = result.verdict in (Verdict.HOLDS, Verdict.NOT_APPLICABLE)
    if not good and not (result.verdict is Verdict.NOT_RUN and check.rule in not_run):
        raise AssertionError(f"{check.rule} {result.verdict.value}: {result.detail}. To mend it: {check.remedy}")
    return result

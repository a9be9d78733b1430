"""Rules of Probe."""

import time
from collections.abc import Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, Unprepared, require
from dsr.connector.v1 import connector_pb2 as pb

_CLOCK_TOLERANCE = 3600


class Reachable(Check):
    rule = "probe.reachable"
    condition = "the backend is there"
    code = "OK"
    meaning = "Reachable, with the backend's clock, and each thing that was declared being permitted."
    caller = "shows it; a permission that is missing is mended before work starts"
    remedy = "Ask the backend for its clock and for the permissions of the account that the connector uses."

    async def run(self, bench: Bench) -> None:
        """The source under test must be fit for the rest of the run."""
        (probed,) = await bench.answer("Probe", pb.ProbeRequest(source=bench.source))
        require(probed.reachable, "the backend is said not to be reachable")
        require(
            abs(probed.backend_time.seconds - time.time()) < _CLOCK_TOLERANCE,
            "backend_time is missing, or off by an hour",
        )
        require(probed.permissions, "no permission is listed")
        missing = [p.operation for p in probed.permissions if not p.allowed]
        require(not missing, f"not permitted: {', '.join(missing)[:200]}")


class NotReachable(Check):
    rule = "probe.unreachable"
    condition = "the backend is not there"
    code = "OK"
    meaning = "`reachable` is false: for Probe that is an answer, not an error."
    caller = "shows it"
    remedy = "Catch what the driver raises when it can't connect, and answer `reachable: false`."

    async def run(self, bench: Bench) -> None:
        """On the source that the material names for it."""
        source = bench.material.unreachable
        if not source:
            raise Unprepared("the material names no unreachable source")
        (probed,) = await bench.answer("Probe", pb.ProbeRequest(source=source), source=source)
        require(not probed.reachable, "the backend is said to be reachable")


CHECKS: Sequence[Check] = (Reachable(), NotReachable())

"""Rules of Verify."""

from collections.abc import Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks import erasure, requests
from dsr.connector.v1 import connector_pb2 as pb


def _remnants(verified: pb.Verified) -> dict[str, tuple[int, int]]:
    """Collection to (explained, unexplained)."""
    return {r.collection: (r.explained, r.unexplained) for r in verified.remnants if r.explained or r.unexplained}


class Undeclared(Check):
    rule = "verify.undeclared"
    condition = "ERASE isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this."
    caller = "doesn't retry"
    remedy = "Answer UNIMPLEMENTED with ErrorInfo, which the framework's own answer for a missing method lacks."

    async def run(self, bench: Bench) -> None:
        """With a request that is right."""
        if await bench.declares(pb.CAPABILITY_ERASE):
            raise NotApplicable("ERASE is declared")
        chosen = [requests.instruct(name) for name in await bench.personal()]
        requests.refused(await bench.call("Verify", requests.verify(bench, bench.material.present, chosen)), self)


class NoInstructions(Check):
    rule = "verify.no-instructions"
    condition = "no instructions"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Kept could not be told from forgotten."
    caller = "doesn't retry; an engineer looks"
    remedy = "Check REQUIRED fields."

    async def run(self, bench: Bench) -> None:
        """Of a person with records."""
        await bench.needs(pb.CAPABILITY_ERASE)
        requests.refused(await bench.call("Verify", requests.verify(bench, bench.material.present, [])), self)


class Unexplained(Check):
    rule = "verify.unexplained"
    condition = "records that should have been deleted"
    code = "OK"
    meaning = "`unexplained` counts them, `fields` names where they showed."
    caller = "doesn't certify; proposes a new plan"
    remedy = "Look for identities and anchors in every field that is declared to hold them."

    async def run(self, bench: Bench) -> None:
        """The present person, as if erased."""
        await bench.needs(pb.CAPABILITY_ERASE)
        person = bench.material.present
        chosen = [requests.instruct(name) for name in await bench.personal()]
        remnants = _remnants(await requests.verify_one(bench, person, chosen))
        require(remnants, "nothing is reported, though everything is still there")
        require(not any(explained for explained, _ in remnants.values()), "records are explained by nothing")
        require(
            remnants.keys() <= requests.records(await requests.locate_one(bench, person)).keys(), "unknown remnants"
        )


class Explained(Check):
    rule = "verify.explained"
    condition = "records of collections with RETAIN"
    code = "OK"
    meaning = "`explained` counts them."
    caller = "certifies what was kept"
    remedy = "Compare what is left with the instructions of the call."

    async def run(self, bench: Bench) -> None:
        """The present person, everything retained."""
        await bench.needs(pb.CAPABILITY_ERASE)
        chosen = [requests.instruct(name, requests.RETAIN) for name in await bench.personal()]
        remnants = _remnants(await requests.verify_one(bench, bench.material.present, chosen))
        require(remnants, "nothing is reported, though everything is still there")
        require(not any(unexplained for _, unexplained in remnants.values()), "retained records are not explained")


class Nothing(Check):
    rule = "verify.nothing"
    condition = "a person without records"
    code = "OK"
    meaning = "One `verified` without remnants."
    caller = "certifies"
    remedy = "Answer for each subject, also for those of whom nothing is left."

    async def run(self, bench: Bench) -> None:
        """The absent person."""
        await bench.needs(pb.CAPABILITY_ERASE)
        chosen = [requests.instruct(name) for name in await bench.personal()]
        remnants = _remnants(await requests.verify_one(bench, bench.material.absent, chosen))
        require(not remnants, f"remnants of nobody: {remnants}")


class AfterErasure(Check):
    rule = "verify.after-erasure"
    condition = "after the erasure, with the anchors of before"
    code = "OK"
    meaning = "Nothing unexplained is left."
    caller = "certifies"
    remedy = "If this reports remnants the erasure missed a place; if Erase counted them, it lied."

    async def run(self, bench: Bench) -> None:
        """The disposable person."""
        performed = await erasure.performed(bench)
        verified = await requests.verify_one(bench, bench.disposable, performed.instructions, performed.anchors)
        left = {name: number for name, (_, number) in _remnants(verified).items() if number}
        require(not left, f"unexplained remnants: {left}")


CHECKS: Sequence[Check] = (
    Undeclared(),
    NoInstructions(),
    Unexplained(),
    Explained(),
    Nothing(),
    AfterErasure(),
)

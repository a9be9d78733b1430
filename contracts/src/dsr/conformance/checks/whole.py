"""Rules of Return and Destroy. The source is destroyed only where the material says that it may be, and last of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks import requests
from dsr.conformance.checks.export import Copy, read_copy
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant

_OUTCOME = pb.Destroyed.Outcome.Name
_ATTEMPT = 3
_OTHERS = {
    "Return": (Grant.OPERATION_EXPORT, Grant.OPERATION_ERASE, Grant.OPERATION_DESTROY),
    "Destroy": (Grant.OPERATION_EXPORT, Grant.OPERATION_ERASE, Grant.OPERATION_RETURN),
}


async def _returned(bench: Bench) -> Copy:
    await bench.needs(pb.CAPABILITY_RETURN)
    grant = bench.sign(bench.grant(Grant.OPERATION_RETURN, []))
    return read_copy(await bench.answer("Return", pb.ReturnRequest(grant=grant)))


async def _counts(bench: Bench) -> dict[str, int]:
    """Every collection, empty ones too, with the number of records returned; asked once."""
    copied: Copy = await bench.once("returned", _returned)
    return {name: len(part.records) for name, part in copied.parts.items()}


def _grant(bench: Bench, caps: Mapping[str, int], task: str = "", attempt: int = 1) -> Grant:
    delete = CollectionInstruction.ACTION_DELETE
    instructions = [CollectionInstruction(collection=c, action=delete, cap=n) for c, n in caps.items()]
    return bench.grant(Grant.OPERATION_DESTROY, instructions, task=task, attempt=attempt)


async def _destroyed(bench: Bench, grant: Grant, *, count_only: bool = False) -> pb.Destroyed:
    request = pb.DestroyRequest(grant=bench.sign(grant), count_only=count_only)
    results = [m.destroyed for m in await bench.answer("Destroy", request) if m.WhichOneof("result") == "destroyed"]
    require(len(results) == 1, "Destroy must send exactly one `destroyed`")
    result: pb.Destroyed = results[0]
    return result


async def _left(bench: Bench) -> dict[str, int]:
    counted = await _destroyed(bench, _grant(bench, {}), count_only=True)
    require(counted.outcome == pb.Destroyed.OUTCOME_COUNTED, f"count_only was answered {_OUTCOME(counted.outcome)}")
    return {c.collection: c.left for c in counted.collections}


class Complete(Check):
    rule = "return.complete"
    condition = "a grant to return the source"
    code = "OK"
    meaning = (
        "Per collection, empty ones too, a header, JSON Lines, a trailer; at the end the totals. Every collection with "
        "personal data is there, and those in which a person has records have records."
    )
    caller = "makes a package of it, and gives it to the partner"
    remedy = "Go through what you describe, not through people."

    async def run(self, bench: Bench) -> None:
        """Against Describe and against the present person."""
        counts = await _counts(bench)
        missing = set(await bench.personal()) - counts.keys()
        require(not missing, f"these collections are missing: {sorted(missing)}")
        located = requests.records(await requests.locate_one(bench, bench.material.present))
        empty = sorted(name for name in located if not counts[name])
        require(not empty, f"a person has records there, and none were returned: {empty}")


class _OtherOperation(Check):
    code = "PERMISSION_DENIED / GRANT_INVALID"
    caller = "gets a new grant, then retries once"
    remedy = "Compare the grant's operation with the call, before anything else."
    rpc: str

    async def run(self, bench: Bench) -> None:
        """Each of the other operations; then this one's grant for Export and Erase."""
        await bench.needs(pb.CAPABILITY_RETURN if self.rpc == "Return" else pb.CAPABILITY_DESTROY)
        kind = pb.ReturnRequest if self.rpc == "Return" else pb.DestroyRequest
        for operation in _OTHERS[self.rpc]:
            grant = _grant(bench, await _counts(bench))
            grant.operation = operation
            requests.refused(await bench.call(self.rpc, kind(grant=bench.sign(grant))), self, self.rpc)
        signed = _grant(bench, await _counts(bench))
        signed.operation = Grant.OPERATION_RETURN if self.rpc == "Return" else Grant.OPERATION_DESTROY
        person = bench.material.present
        export = requests.export(bench.sign(signed), person)
        requests.refused(await bench.call("Export", export), self, "Export")
        subjects = requests.harmless(bench, person, list(signed.instructions))
        erase = pb.EraseRequest(grant=bench.sign(signed), subjects=subjects)
        requests.refused(await bench.call("Erase", erase), self, "Erase")


class ReturnOther(_OtherOperation):
    rule = "return.other-operation"
    condition = "a grant of another operation for Return; a grant to return for Export or Erase"
    meaning = "Permission to copy one person isn't permission to copy everybody, nor the other way round."
    rpc = "Return"


class DestroyOther(_OtherOperation):
    rule = "destroy.other-operation"
    condition = "a grant of another operation for Destroy; a grant to destroy for Export or Erase"
    meaning = "Permission to erase one person isn't permission to destroy a source, nor the other way round."
    rpc = "Destroy"


class Counted(Check):
    rule = "destroy.counted"
    condition = "`count_only`"
    code = "OK"
    meaning = "OUTCOME_COUNTED; `left` is what Return returns, collection by collection. Nothing was changed."
    caller = "knows what would be destroyed, or that nothing is left"
    remedy = "Count by the same conditions by which you return and destroy."

    async def run(self, bench: Bench) -> None:
        """Against Return, twice."""
        await bench.needs(pb.CAPABILITY_DESTROY)
        counts = await _counts(bench)
        for _ in range(2):
            left = await _left(bench)
            require(left == counts, f"counted {left}, returned {counts}")


class _Refusal(Check):
    code = "OK"
    outcome: "pb.Destroyed.Outcome.ValueType"

    def spoil(self, counts: Mapping[str, int], largest: str) -> dict[str, int]:
        """Caps that must not do."""
        raise NotImplementedError

    async def run(self, bench: Bench) -> None:
        """One collection spoilt; then everything is still there."""
        await bench.needs(pb.CAPABILITY_DESTROY)
        counts = await _counts(bench)
        caps = self.spoil(counts, max(counts, key=lambda name: counts[name]))
        result = await _destroyed(bench, _grant(bench, caps))
        wanted = _OUTCOME(self.outcome)
        require(result.outcome == self.outcome, f"the outcome is {_OUTCOME(result.outcome)}, not {wanted}")
        require(await _left(bench) == counts, "records are gone, though nothing was to be done")


class Cap(_Refusal):
    rule = "destroy.cap"
    condition = "a collection has more records than its `cap`"
    meaning = "OUTCOME_CAP_EXCEEDED: nothing was destroyed. What wasn't returned isn't destroyed."
    caller = "stops; the rest is handed over first"
    remedy = "Count everything and compare with the caps, before the first record goes."
    outcome = pb.Destroyed.OUTCOME_CAP_EXCEEDED

    def spoil(self, counts: Mapping[str, int], largest: str) -> dict[str, int]:
        return {**counts, largest: counts[largest] - 1}


class Unnamed(_Refusal):
    rule = "destroy.unnamed"
    condition = "a collection with records that the grant doesn't name"
    meaning = "OUTCOME_BLOCKED with the finding that says so: nothing was destroyed."
    caller = "stops; the collection is returned first"
    remedy = "Look for collections that nobody named before the first record goes; never leave one in silence."
    outcome = pb.Destroyed.OUTCOME_BLOCKED

    def spoil(self, counts: Mapping[str, int], largest: str) -> dict[str, int]:
        return {name: number for name, number in counts.items() if name != largest}


@dataclass(frozen=True)
class _Performed:
    task: str
    result: pb.Destroyed
    counts: Mapping[str, int]


async def _perform(bench: Bench) -> _Performed:
    await bench.needs(pb.CAPABILITY_DESTROY)
    if not bench.material.destroyable:
        raise NotApplicable("the material doesn't say that the source may be destroyed")
    # Returned anew: an erasure may have come since, and what is destroyed is what was returned.
    copied = await _returned(bench)
    counts = {name: len(part.records) for name, part in copied.parts.items()}
    task = bench.task()
    result = await _destroyed(bench, _grant(bench, counts, task, _ATTEMPT))
    return _Performed(task, result, counts)


class Destroyed(Check):
    rule = "destroy.destroyed"
    condition = "a good grant; then Return, a count, and Locate"
    code = "OK"
    meaning = "OUTCOME_DESTROYED: each record returned is counted once, none is left, and nothing finds any."
    caller = "certifies"
    remedy = "Delete for real, then count; answer DESTROYED only when the count is zero."

    async def run(self, bench: Bench) -> None:
        """The whole source, now."""
        done: _Performed = await bench.once("destroyed", _perform)
        require(
            done.result.outcome == pb.Destroyed.OUTCOME_DESTROYED, f"the outcome is {_OUTCOME(done.result.outcome)}"
        )
        told = {c.collection: (c.destroyed, c.left) for c in done.result.collections}
        wanted = {name: (number, 0) for name, number in done.counts.items()}
        require(told == wanted, f"counts (destroyed, left) are {told}, not {wanted}")
        require(not (await _returned(bench)).records, "Return still returns records")
        counted = await _destroyed(bench, _grant(bench, {}), count_only=True)
        require(not any(c.left for c in counted.collections), "a count still finds records")
        left = requests.records(await requests.locate_one(bench, bench.material.present))
        require(not left, f"Locate still finds {sorted(left)}")


class Repeated(Check):
    rule = "destroy.repeated"
    condition = "the same task again after success, by a later attempt"
    code = "OK"
    meaning = "OUTCOME_DESTROYED with the counts of the first time. Never 0."
    caller = "takes the counts as if it had heard them the first time"
    remedy = "Write down what each step destroyed, under the task, where it can't be lost."

    async def run(self, bench: Bench) -> None:
        """As a worker that never heard the first answer would."""
        done: _Performed = await bench.once("destroyed", _perform)
        again = await _destroyed(bench, _grant(bench, done.counts, done.task, _ATTEMPT + 1))
        require(again == done.result, "the second answer is another than the first")


class Superseded(Check):
    rule = "destroy.superseded"
    condition = "an attempt older than one that was seen"
    code = "ABORTED / ATTEMPT_SUPERSEDED"
    meaning = "A newer attempt has taken over."
    caller = "stops, and does not retry"
    remedy = "Remember the highest attempt of a task, and refuse lower ones."

    async def run(self, bench: Bench) -> None:
        """Of the destruction's own task."""
        done: _Performed = await bench.once("destroyed", _perform)
        grant = bench.sign(_grant(bench, done.counts, done.task, _ATTEMPT - 1))
        requests.refused(await bench.call("Destroy", pb.DestroyRequest(grant=grant)), self)


CHECKS: Sequence[Check] = (
    Complete(),
    ReturnOther(),
    DestroyOther(),
    Counted(),
    Cap(),
    Unnamed(),
    Destroyed(),
    Repeated(),
    Superseded(),
)

"""Rules of Erase. Those that must change nothing come first."""

from collections.abc import Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks import erasure, requests
from dsr.conformance.checks.export import copy
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Anonymisation, CollectionInstruction

_OUTCOME = pb.Erased.Outcome.Name


def _counts(erased: pb.Erased) -> dict[str, tuple[int, int, int, int]]:
    return {
        c.collection: (c.deleted, c.anonymised, c.retained, c.pseudonymised)
        for c in erased.collections
        if c.deleted or c.anonymised or c.retained or c.pseudonymised
    }


def _outcome(erased: pb.Erased, wanted: "pb.Erased.Outcome.ValueType") -> None:
    require(erased.outcome == wanted, f"the outcome is {_OUTCOME(erased.outcome)}, not {_OUTCOME(wanted)}")


class Undeclared(Check):
    rule = "erase.undeclared"
    condition = "ERASE isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this."
    caller = "doesn't retry; makes a manual task of it"
    remedy = "Answer UNIMPLEMENTED with ErrorInfo, which the framework's own answer for a missing method lacks."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        if await bench.declares(pb.CAPABILITY_ERASE):
            raise NotApplicable("ERASE is declared")
        chosen = [requests.instruct(name) for name in await bench.personal()]
        subjects = requests.harmless(bench, bench.material.present, chosen)
        request = pb.EraseRequest(grant=bench.sign(erasure.grant(bench, chosen)), subjects=subjects)
        requests.refused(await bench.call("Erase", request), self)


class UndeclaredAnonymise(Check):
    rule = "erase.undeclared-anonymise"
    condition = "an instruction to ANONYMISE, though ANONYMISE isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this. Nothing was done, to anybody."
    caller = "doesn't retry; the plan decides otherwise for the collection"
    remedy = "Look at every instruction before you begin; never delete or keep instead."

    async def run(self, bench: Bench) -> None:
        """Of a person who would otherwise change."""
        await bench.needs(pb.CAPABILITY_ERASE)
        if await bench.declares(pb.CAPABILITY_ANONYMISE):
            raise NotApplicable("ANONYMISE is declared")
        chosen = [requests.instruct(name, CollectionInstruction.ACTION_ANONYMISE) for name in await bench.personal()]
        for instruction in chosen:
            instruction.anonymise.append(Anonymisation(field="conformance"))
        subjects = requests.harmless(bench, bench.material.present, chosen)
        request = pb.EraseRequest(grant=bench.sign(erasure.grant(bench, chosen)), subjects=subjects)
        requests.refused(await bench.call("Erase", request), self)


class Changed(Check):
    rule = "erase.changed"
    condition = "the records are no longer those of `expected`"
    code = "OK"
    meaning = "OUTCOME_CHANGED: this person was left alone."
    caller = "locates again; growth within the caps goes on, anything else needs a new approval"
    remedy = (
        "Compare number and fingerprint of every collection while the records are locked, before the first is touched."
    )

    async def run(self, bench: Bench) -> None:
        """A wrong fingerprint; a wrong number; a collection left out."""
        located = await erasure.located(bench)
        chosen = await erasure.instructions(bench)
        wrong = []
        for spoil in ("fingerprint", "number", "nothing"):
            expected = requests.expect(located, chosen)
            index = next(i for i, count in enumerate(expected) if count.records)
            count = pb.CollectionCount()
            count.CopyFrom(expected[index])
            if spoil == "fingerprint":
                count.fingerprint = requests.NO_FINGERPRINT
            elif spoil == "number":
                count.records += 1
            else:
                count = pb.CollectionCount(collection=count.collection)
            expected[index] = count
            grant = erasure.grant(bench, chosen)
            erased = await requests.erase_one(bench, grant, bench.disposable, expected)
            if erased.outcome != pb.Erased.OUTCOME_CHANGED:
                wrong.append(f"wrong {spoil}: {_OUTCOME(erased.outcome)}")
            require(not _counts(erased), "counts, though nothing was done")
        require(not wrong, "; ".join(wrong))
        await erasure.untouched(bench, located)


class _CapCheck(Check):
    code = "OK"
    caller = "stops; the partner raises the cap or narrows the plan"
    remedy = "Compare the count with the cap of its instruction before the first record is touched."
    below: int | None = None
    """How far below the number of records the cap is; None: it is 0."""

    async def run(self, bench: Bench) -> None:
        """On one collection that would be touched."""
        located = await erasure.located(bench)
        chosen = await erasure.instructions(bench)
        counts = requests.records(located)
        touched = [i for i in chosen if i.action != requests.RETAIN and counts.get(i.collection)]
        largest = max(touched, key=lambda i: counts[i.collection], default=None)
        if largest is None or counts[largest.collection] <= (self.below or 0):
            raise NotApplicable("the disposable person has too few records that are to be erased")
        largest.cap = 0 if self.below is None else counts[largest.collection] - self.below
        grant = erasure.grant(bench, chosen)
        erased = await requests.erase_one(bench, grant, bench.disposable, requests.expect(located, chosen))
        _outcome(erased, pb.Erased.OUTCOME_CAP_EXCEEDED)
        require(not _counts(erased), "counts, though nothing was done")
        await erasure.untouched(bench, located)


class Cap(_CapCheck):
    rule = "erase.cap"
    condition = "one person has more records in a collection than its `cap`, which isn't 0"
    meaning = "OUTCOME_CAP_EXCEEDED: this person was left alone."
    below = 1


class NoCap(_CapCheck):
    rule = "erase.cap-zero"
    condition = "one person has records in a collection whose `cap` is 0"
    meaning = "OUTCOME_CAP_EXCEEDED: 0 allows none. A cap that somebody forgot is no licence."


class Undecided(Check):
    rule = "erase.undecided"
    condition = "an instruction without action for a collection with records"
    code = "OK"
    meaning = "OUTCOME_BLOCKED with the finding that says so: this person was left alone."
    caller = "stops; the data map decides"
    remedy = "Treat ACTION_UNSPECIFIED as a refusal, never as DELETE."

    async def run(self, bench: Bench) -> None:
        """Every instruction undecided."""
        located = await erasure.located(bench)
        chosen = [CollectionInstruction(collection=name, cap=100_000) for name in requests.records(located)]
        grant = erasure.grant(bench, chosen)
        erased = await requests.erase_one(bench, grant, bench.disposable, requests.expect(located, chosen))
        _outcome(erased, pb.Erased.OUTCOME_BLOCKED)
        require(erased.findings, "no finding says why")
        await erasure.untouched(bench, located)


class Retained(Check):
    rule = "erase.retained"
    condition = "every instruction is RETAIN"
    code = "OK"
    meaning = "OUTCOME_ERASED with `retained` counts; nothing was changed."
    caller = "certifies what was kept, and why"
    remedy = "Count what is kept, and leave it as it is."

    async def run(self, bench: Bench) -> None:
        """Of everything the person has."""
        located = await erasure.located(bench)
        chosen = [requests.instruct(name, requests.RETAIN) for name in requests.records(located)]
        grant = erasure.grant(bench, chosen)
        erased = await requests.erase_one(bench, grant, bench.disposable, requests.expect(located, chosen))
        _outcome(erased, pb.Erased.OUTCOME_ERASED)
        kept = {name: (0, 0, number, 0) for name, number in requests.records(located).items()}
        require(_counts(erased) == kept, "the counts (deleted, anonymised, retained, pseudonymised) are wrong")
        await erasure.untouched(bench, located)


class Absent(Check):
    rule = "erase.absent"
    condition = "a person without records; `expected` has 0 records"
    code = "OK"
    meaning = "OUTCOME_ERASED without counts."
    caller = "goes on"
    remedy = "Absence isn't an error."

    async def run(self, bench: Bench) -> None:
        """With instructions to delete."""
        await bench.needs(pb.CAPABILITY_ERASE)
        chosen = [requests.instruct(name) for name in await bench.personal()]
        expected = requests.expect(pb.Located(), chosen)
        erased = await requests.erase_one(bench, erasure.grant(bench, chosen), bench.material.absent, expected)
        _outcome(erased, pb.Erased.OUTCOME_ERASED)
        require(not _counts(erased), f"counts, though there was nothing: {_counts(erased)}")


class Erased(Check):
    rule = "erase.erased"
    condition = "a person with records"
    code = "OK"
    meaning = "OUTCOME_ERASED; each record of Locate is counted once, as deleted, anonymised or retained."
    caller = "verifies"
    remedy = "Count what the backend reports as changed, and compare with what was located before you commit."

    async def run(self, bench: Bench) -> None:
        """The disposable person, now."""
        performed = await erasure.performed(bench)
        _outcome(performed.erased, pb.Erased.OUTCOME_ERASED)
        actions = {i.collection: i.action for i in performed.instructions}
        column = {requests.DELETE: 0, CollectionInstruction.ACTION_ANONYMISE: 1, requests.RETAIN: 2}
        wanted = {}
        for name, number in requests.records(performed.located).items():
            counts = [0, 0, 0, 0]
            counts[column[actions[name]]] = number
            wanted[name] = tuple(counts)
        found = _counts(performed.erased)
        require(found == wanted, f"the counts (deleted, anonymised, retained, pseudonymised) are {found}, not {wanted}")


class Gone(Check):
    rule = "erase.gone"
    condition = "Locate and Export after the erasure"
    code = "OK"
    meaning = "Find nothing of what was deleted."
    caller = "trusts this, and no count, for the certificate"
    remedy = "Delete for real: a flag, a cache or an asynchronous queue that still answers is not erasure."

    async def run(self, bench: Bench) -> None:
        """What was to be deleted is looked for again, in two ways."""
        performed = await erasure.performed(bench)
        deleted = {i.collection for i in performed.instructions if i.action == requests.DELETE}
        left = requests.records(await requests.locate_one(bench, bench.disposable)).keys() & deleted
        require(not left, f"Locate still finds {sorted(left)}")
        if await bench.declares(pb.CAPABILITY_EXPORT):
            copied = (await copy(bench, bench.disposable)).records.keys() & deleted
            require(not copied, f"Export still copies {sorted(copied)}")


class Replayed(Check):
    rule = "erase.replayed"
    condition = "the same task again after success: same or later attempt, whatever `expected` says now"
    code = "OK"
    meaning = "OUTCOME_REPLAYED with the counts of the first time. Never 0."
    caller = "takes the counts as if it had heard them the first time"
    remedy = "Write the counts where they commit together with the erasure, under task and subject; answer from there."

    async def run(self, bench: Bench) -> None:
        """As a worker that never heard the first answer would."""
        performed = await erasure.performed(bench)
        now = requests.expect(await requests.locate_one(bench, bench.disposable), performed.instructions)
        for attempt, expected in (
            (erasure.ATTEMPT, requests.expect(performed.located, performed.instructions)),
            (erasure.ATTEMPT + 1, now),
        ):
            grant = erasure.grant(bench, performed.instructions, performed.task, attempt)
            erased = await requests.erase_one(bench, grant, bench.disposable, expected)
            _outcome(erased, pb.Erased.OUTCOME_REPLAYED)
            require(_counts(erased) == _counts(performed.erased), f"counts are {_counts(erased)} the second time")


class Superseded(Check):
    rule = "erase.superseded"
    condition = "an attempt older than one that was seen"
    code = "ABORTED / ATTEMPT_SUPERSEDED"
    meaning = "A newer attempt has taken over. Nothing was done."
    caller = "stops, and does not retry"
    remedy = "Remember the highest attempt of a task, and refuse lower ones."

    async def run(self, bench: Bench) -> None:
        """Of the erasure's own task."""
        performed = await erasure.performed(bench)
        grant = erasure.grant(bench, performed.instructions, performed.task, erasure.ATTEMPT - 1)
        subject = pb.EraseSubject(
            subject=bench.disposable.subject("one"), expected=requests.expect(performed.located, performed.instructions)
        )
        request = pb.EraseRequest(grant=bench.sign(grant), subjects=[subject])
        requests.refused(await bench.call("Erase", request), self)


class Others(Check):
    rule = "erase.others"
    condition = "another person, after the erasure"
    code = "OK"
    meaning = "Has the same records, with the same fingerprints."
    caller = "counts on it"
    remedy = "Delete by the keys that were located, never by a condition that could match more."

    async def run(self, bench: Bench) -> None:
        """The present person, before and after."""
        performed = await erasure.performed(bench)
        after = requests.state(await requests.locate_one(bench, bench.material.present))
        require(after == performed.others, "the present person's records changed")


CHECKS: Sequence[Check] = (
    Undeclared(),
    UndeclaredAnonymise(),
    Changed(),
    Cap(),
    NoCap(),
    Undecided(),
    Retained(),
    Absent(),
    Erased(),
    Gone(),
    Replayed(),
    Superseded(),
    Others(),
)

"""Rules of Amend. Those that must change nothing come first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, Unprepared, require
from dsr.conformance.checks import requests
from dsr.conformance.checks.export import copy
from dsr.conformance.material import Person
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Amendment, CollectionInstruction, FieldValue, Grant

_OUTCOME = pb.Amended.Outcome.Name
_ATTEMPT = 5
_NO_VALUE = {"integer": "seven", "number": "seven", "boolean": "perhaps", "date": "yesterday", "datetime": "now"}
"""A value that no field of the type can hold."""


def _amendments(bench: Bench) -> list[Amendment]:
    """What the material says may be set in the disposable person's records."""
    wanted = bench.disposable.amend
    if not wanted:
        raise Unprepared("the material says nothing to amend: disposable.amend")
    return [
        Amendment(collection=name, fields=[FieldValue(field=f, value=v) for f, v in fields.items()], cap=100_000)
        for name, fields in wanted.items()
    ]


def _grant(bench: Bench, amendments: Sequence[Amendment], task: str = "", attempt: int = 1) -> Grant:
    grant = bench.grant(Grant.OPERATION_AMEND, [], task=task, attempt=attempt)
    grant.amendments.extend(amendments)
    return grant


def _request(
    bench: Bench, grant: Grant, person: Person, expected: Sequence[pb.CollectionCount], *, preview: bool = False
) -> pb.AmendRequest:
    subject = person.subject("one")
    return pb.AmendRequest(grant=bench.sign(grant), subject=subject, expected=expected, preview=preview)


def harmless(bench: Bench, grant: Grant, person: Person) -> pb.AmendRequest:
    """An Amend that must set nothing even if it were allowed: the fingerprint is wrong. Not yet signed."""
    expected = [
        pb.CollectionCount(collection=i.collection, records=1, fingerprint=requests.NO_FINGERPRINT)
        for i in grant.instructions
    ]
    return pb.AmendRequest(subject=person.subject("one"), expected=expected)


async def _answer(bench: Bench, request: pb.AmendRequest) -> pb.Amended:
    messages = await bench.answer("Amend", request)
    amended = [m.amended for m in messages if m.WhichOneof("result") == "amended"]
    require([a.subject_ref for a in amended] == ["one"], "Amend must send exactly one `amended` for the subject")
    result: pb.Amended = amended[0]
    return result


def _outcome(amended: pb.Amended, wanted: "pb.Amended.Outcome.ValueType") -> None:
    require(amended.outcome == wanted, f"the outcome is {_OUTCOME(amended.outcome)}, not {_OUTCOME(wanted)}")


def _counts(amended: pb.Amended) -> dict[str, tuple[int, int]]:
    return {c.collection: (c.amended, c.unchanged) for c in amended.collections}


async def _located(bench: Bench) -> pb.Located:
    await bench.needs(pb.CAPABILITY_AMEND)
    located = await requests.locate_one(bench, bench.disposable)
    wanted = {name: number for name, number in bench.disposable.records.items() if number}
    found = requests.records(located)
    require(found == wanted, f"the disposable person has {found}, where the material says {wanted}")
    return located


async def _untouched(bench: Bench, before: pb.Located) -> None:
    after = await requests.locate_one(bench, bench.disposable)
    require(requests.state(after) == requests.state(before), "records were changed all the same")


@dataclass(frozen=True)
class _Amendment:
    task: str
    amendments: list[Amendment]
    located: pb.Located
    previewed: pb.Amended
    amended: pb.Amended
    others: dict[str, tuple[int, bytes]]


async def _performed(bench: Bench) -> _Amendment:
    result: _Amendment = await bench.once("amendment", _perform)
    return result


async def _perform(bench: Bench) -> _Amendment:
    located, amendments, task = await _located(bench), _amendments(bench), bench.task()
    others = requests.state(await requests.locate_one(bench, bench.material.present))
    person = bench.disposable
    looking = _request(bench, _grant(bench, amendments), person, located.collections, preview=True)
    previewed = await _answer(bench, looking)
    request = _request(bench, _grant(bench, amendments, task, _ATTEMPT), person, located.collections)
    return _Amendment(task, amendments, located, previewed, await _answer(bench, request), others)


class Undeclared(Check):
    rule = "amend.undeclared"
    condition = "AMEND isn't declared"
    code = "UNIMPLEMENTED / METHOD_UNKNOWN"
    meaning = "The connector can't do this. One that was made before this RPC says so without a reason."
    caller = "doesn't retry; makes a manual task of it"
    remedy = "Answer UNIMPLEMENTED to what you don't declare."

    async def run(self, bench: Bench) -> None:
        """With a good grant."""
        if await bench.declares(pb.CAPABILITY_AMEND):
            raise NotApplicable("AMEND is declared")
        name = next(iter(await bench.personal()))
        amendment = Amendment(collection=name, fields=[FieldValue(field="conformance")])
        request = _request(bench, _grant(bench, [amendment]), bench.material.present, [], preview=True)
        requests.refused(await bench.undeclared("Amend", request), self)


class Unapproved(Check):
    rule = "amend.unapproved"
    condition = "a grant without `approver` or `plan_digest`, and not `preview`"
    code = "PERMISSION_DENIED / GRANT_INVALID"
    meaning = "Nobody approved it: such a grant permits a preview alone."
    caller = "previews, and waits for an approval"
    remedy = "Unless `preview` is set, refuse a grant that names no approver and no plan."

    async def run(self, bench: Bench) -> None:
        """Each of the two left out."""
        located, amendments = await _located(bench), _amendments(bench)
        for missing in ("approver", "plan_digest"):
            grant = _grant(bench, amendments)
            grant.ClearField(missing)
            request = _request(bench, grant, bench.disposable, located.collections)
            requests.refused(await bench.call("Amend", request), self, f"a grant without {missing}")
        await _untouched(bench, located)


class NothingToSet(Check):
    rule = "amend.nothing"
    condition = "no amendment, one that sets nothing, or two for one collection"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "What is meant would be a guess."
    caller = "doesn't retry; an engineer looks"
    remedy = "Look at the grant as a whole before you begin."

    async def run(self, bench: Bench) -> None:
        """Each of the three."""
        located, amendments = await _located(bench), _amendments(bench)
        empty = Amendment(collection=amendments[0].collection)
        for what in ([], [empty], [amendments[0], amendments[0]]):
            request = _request(bench, _grant(bench, what), bench.disposable, located.collections, preview=True)
            requests.refused(await bench.call("Amend", request), self)


class UnknownCollection(Check):
    rule = "amend.unknown-collection"
    condition = "an amendment for a collection that the source doesn't have"
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    meaning = "The data map is out of date."
    caller = "stops; the data map is compared with Describe"
    remedy = "Check every amendment against your collections before you begin."

    async def run(self, bench: Bench) -> None:
        """Beside one that could be carried out."""
        located, amendments = await _located(bench), _amendments(bench)
        foreign = Amendment(collection="conformance.nothing", fields=[FieldValue(field="x", value="y")])
        request = _request(bench, _grant(bench, [*amendments, foreign]), bench.disposable, located.collections)
        requests.refused(await bench.call("Amend", request), self)
        await _untouched(bench, located)


class NotAmendable(Check):
    rule = "amend.not-amendable"
    condition = "a field that isn't declared `amendable`, or a flag that the collection doesn't declare"
    code = "INVALID_ARGUMENT / FIELD_NOT_AMENDABLE"
    meaning = "Keys, references and names are never set. Metadata `collection` and `field` name it; nothing was set."
    caller = "doesn't retry; makes a manual task of it"
    remedy = "Check every field and flag against your declaration before you begin."

    async def run(self, bench: Bench) -> None:
        """A key or other field, and a flag, beside what could be carried out."""
        located, amendments = await _located(bench), _amendments(bench)
        personal = await bench.personal()
        for name in (a.collection for a in amendments):
            fixed = next((f.name for f in personal[name].fields if not f.amendable), "conformance")
            for spoiled in (
                Amendment(collection=name, fields=[FieldValue(field=fixed, value="1")], cap=100_000),
                Amendment(collection=name, set_flags=["conformance"], cap=100_000),
            ):
                others = [a for a in amendments if a.collection != name]
                grant = _grant(bench, [*others, spoiled])
                request = _request(bench, grant, bench.disposable, located.collections)
                requests.refused(await bench.call("Amend", request), self)
        await _untouched(bench, located)


class Unfit(Check):
    rule = "amend.unfit"
    condition = "a value that its field can't hold"
    code = "INVALID_ARGUMENT / VALUE_UNFIT"
    meaning = "Metadata `collection` and `field` name it; the value stands nowhere. Nothing was set."
    caller = "doesn't retry; the person who asked corrects the value"
    remedy = "Convert every value before the first record is touched, without cutting or rounding."

    async def run(self, bench: Bench) -> None:
        """In an amendable field that isn't text, or mustn't be null."""
        located, amendments = await _located(bench), _amendments(bench)
        wrong = [
            Amendment(collection=name, fields=[value], cap=100_000)
            for name, collection in (await bench.personal()).items()
            for field in collection.fields
            if field.amendable and (value := _no_value(field)) is not None
        ]
        if not wrong:
            raise NotApplicable("every amendable field takes any text, and none")
        for amendment in wrong:
            others = [a for a in amendments if a.collection != amendment.collection]
            request = _request(bench, _grant(bench, [*others, amendment]), bench.disposable, located.collections)
            requests.refused(await bench.call("Amend", request), self)
        await _untouched(bench, located)


def _no_value(field: pb.Field) -> FieldValue | None:
    if field.type in _NO_VALUE:
        return FieldValue(field=field.name, value=_NO_VALUE[field.type])
    return None if field.nullable else FieldValue(field=field.name)


class Changed(Check):
    rule = "amend.changed"
    condition = "the records are no longer those of `expected`"
    code = "OK"
    meaning = "OUTCOME_CHANGED: nothing was set, and a preview says nothing."
    caller = "locates and previews again"
    remedy = "Find and lock the records again and compare number and fingerprint of every collection."

    async def run(self, bench: Bench) -> None:
        """A wrong fingerprint, and nothing expected."""
        located, amendments = await _located(bench), _amendments(bench)
        other = [pb.CollectionCount() for _ in located.collections]
        for copied, count in zip(other, located.collections, strict=True):
            copied.CopyFrom(count)
        other[0].fingerprint = requests.NO_FINGERPRINT
        for expected in (other, []):
            for preview in (True, False):
                grant = _grant(bench, amendments)
                amended = await _answer(bench, _request(bench, grant, bench.disposable, expected, preview=preview))
                _outcome(amended, pb.Amended.OUTCOME_CHANGED)
        await _untouched(bench, located)


class Cap(Check):
    rule = "amend.cap"
    condition = "something would be set in more records of a collection than its `cap`; 0 allows none"
    code = "OK"
    meaning = "OUTCOME_CAP_EXCEEDED: nothing was set."
    caller = "previews again, and waits for another approval"
    remedy = "Count the records that would change before the first one does."

    async def run(self, bench: Bench) -> None:
        """A cap of 0."""
        located, amendments = await _located(bench), _amendments(bench)
        for amendment in amendments:
            amendment.cap = 0
        request = _request(bench, _grant(bench, amendments), bench.disposable, located.collections)
        _outcome(await _answer(bench, request), pb.Amended.OUTCOME_CAP_EXCEEDED)
        await _untouched(bench, located)


class Absent(Check):
    rule = "amend.absent"
    condition = "a person without records; `expected` is empty"
    code = "OK"
    meaning = "OUTCOME_AMENDED with 0 records in every collection named."
    caller = "says that nothing was found there"
    remedy = "Absence isn't an error."

    async def run(self, bench: Bench) -> None:
        """With amendments that would fit."""
        await bench.needs(pb.CAPABILITY_AMEND)
        amendments = _amendments(bench)
        amended = await _answer(bench, _request(bench, _grant(bench, amendments), bench.material.absent, []))
        _outcome(amended, pb.Amended.OUTCOME_AMENDED)
        require(_counts(amended) == {a.collection: (0, 0) for a in amendments}, f"counts are {_counts(amended)}")


class Previewed(Check):
    rule = "amend.previewed"
    condition = "`preview`, and then the same for real"
    code = "OK"
    meaning = "OUTCOME_PREVIEWED, then OUTCOME_AMENDED, with the same counts. A preview sets nothing."
    caller = "shows the preview to whoever approves"
    remedy = "Count with the condition by which you set; count what the backend reports, and compare before you commit."

    async def run(self, bench: Bench) -> None:
        """In the disposable person's records."""
        performed = await _performed(bench)
        _outcome(performed.previewed, pb.Amended.OUTCOME_PREVIEWED)
        _outcome(performed.amended, pb.Amended.OUTCOME_AMENDED)
        previewed, amended = _counts(performed.previewed), _counts(performed.amended)
        require(previewed == amended, f"{amended} amended and unchanged, where the preview said {previewed}")
        counts = requests.records(performed.located)
        wanted = {a.collection: counts.get(a.collection, 0) for a in performed.amendments}
        sums = {name: sum(numbers) for name, numbers in amended.items()}
        require(sums == wanted, f"amended and unchanged add up to {sums}, where Locate found {wanted}")
        require(any(changed for changed, _ in amended.values()), "nothing was amended: the values were there before")


class ReadBack(Check):
    rule = "amend.read-back"
    condition = "Export after the amendment"
    code = "OK"
    meaning = "Every record of the person has the values that were set, and none has gone."
    caller = "trusts this, and no count, for closing the request"
    remedy = "Set for real: a queue that is worked off later is not done."

    async def run(self, bench: Bench) -> None:
        """Only the fields that were set are copied."""
        performed = await _performed(bench)
        await bench.needs(pb.CAPABILITY_EXPORT)
        chosen = [
            CollectionInstruction(collection=a.collection, include_fields=[f.field for f in a.fields])
            for a in performed.amendments
        ]
        copied, counts = await copy(bench, bench.disposable, chosen), requests.records(performed.located)
        for amendment in performed.amendments:
            part = copied.parts.get(amendment.collection)
            found = part.records if part is not None else []
            number = counts.get(amendment.collection, 0)
            require(len(found) == number, f"{amendment.collection}: {len(found)} records, {number} before")
            for field in amendment.fields:
                wrong = sum(_spelled(record.get(field.field)) != field.value for record in found)
                require(not wrong, f"{amendment.collection}.{field.field}: {wrong} records have another value")


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Replayed(Check):
    rule = "amend.replayed"
    condition = "the same task again after success: same or later attempt, whatever `expected` says now"
    code = "OK"
    meaning = "OUTCOME_REPLAYED with the counts of the first time. Nothing is set again."
    caller = "takes the counts as if it had heard them the first time"
    remedy = "Write the counts where they commit with the amendment, under task and subject; answer from there."

    async def run(self, bench: Bench) -> None:
        """As a worker that never heard the first answer would."""
        performed = await _performed(bench)
        now = await requests.locate_one(bench, bench.disposable)
        for attempt, expected in ((_ATTEMPT, performed.located.collections), (_ATTEMPT + 1, now.collections)):
            grant = _grant(bench, performed.amendments, performed.task, attempt)
            amended = await _answer(bench, _request(bench, grant, bench.disposable, expected))
            _outcome(amended, pb.Amended.OUTCOME_REPLAYED)
            require(_counts(amended) == _counts(performed.amended), f"counts are {_counts(amended)} the second time")
        await _untouched(bench, now)


class Superseded(Check):
    rule = "amend.superseded"
    condition = "an attempt older than one that was seen"
    code = "ABORTED / ATTEMPT_SUPERSEDED"
    meaning = "A newer attempt has taken over. Nothing was done."
    caller = "stops, and does not retry"
    remedy = "Remember the highest attempt of a task, and refuse lower ones."

    async def run(self, bench: Bench) -> None:
        """Of the amendment's own task."""
        performed = await _performed(bench)
        grant = _grant(bench, performed.amendments, performed.task, _ATTEMPT - 1)
        request = _request(bench, grant, bench.disposable, performed.located.collections)
        requests.refused(await bench.call("Amend", request), self)


class Others(Check):
    rule = "amend.others"
    condition = "another person, after the amendment"
    code = "OK"
    meaning = "Has the same records, with the same fingerprints."
    caller = "counts on it"
    remedy = "Set by the keys that were located, never by a condition that could match more."

    async def run(self, bench: Bench) -> None:
        """The present person, before and after."""
        performed = await _performed(bench)
        after = requests.state(await requests.locate_one(bench, bench.material.present))
        require(after == performed.others, "the present person's records changed")


CHECKS: Sequence[Check] = (
    Undeclared(),
    Unapproved(),
    NothingToSet(),
    UnknownCollection(),
    NotAmendable(),
    Unfit(),
    Changed(),
    Cap(),
    Absent(),
    Previewed(),
    ReadBack(),
    Replayed(),
    Superseded(),
    Others(),
)

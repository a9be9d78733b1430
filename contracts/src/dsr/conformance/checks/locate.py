"""Rules of Locate."""

import json
from collections.abc import Iterator, Sequence

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, NotApplicable, require
from dsr.conformance.checks import requests
from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity


class Present(Check):
    rule = "locate.present"
    condition = "a person with records"
    code = "OK"
    meaning = "Number and fingerprint of the records in each collection; collections without records are left out."
    caller = "plans with the numbers, erases with the fingerprints"
    remedy = "Count every record that is reached from the person's identities, in every collection."

    async def run(self, bench: Bench) -> None:
        """Against the numbers of the material."""
        located = await requests.locate_one(bench, bench.material.present)
        expected = {name: number for name, number in bench.material.present.records.items() if number}
        found = requests.records(located)
        require(found == expected, f"found {found}, where the material says {expected}")
        require(all(c.records > 0 for c in located.collections), "a collection without records is listed")
        require(all(c.fingerprint for c in located.collections), "a fingerprint is missing")
        unknown = found.keys() - (await bench.personal()).keys()
        require(not unknown, f"collections that Describe doesn't know: {sorted(unknown)}")


class Absent(Check):
    rule = "locate.absent"
    condition = "a person without records"
    code = "OK"
    meaning = "One `located` without collections."
    caller = "notes that nothing was found there"
    remedy = "Answer for each subject, also for those of whom nothing was found. Absence isn't an error."

    async def run(self, bench: Bench) -> None:
        """And nobody else is found instead."""
        located = await requests.locate_one(bench, bench.material.absent)
        require(not requests.records(located), f"found {requests.records(located)}")
        require(not located.identities and not located.people, "other names or people were found")


class Repeatable(Check):
    rule = "locate.repeatable"
    condition = "the same person again, nothing having changed"
    code = "OK"
    meaning = "The same numbers and the same fingerprints, whoever else is asked for in the call."
    caller = "compares fingerprints to see whether something changed"
    remedy = "Derive the fingerprint from keys and row versions in a fixed order, and from nothing else."

    async def run(self, bench: Bench) -> None:
        """Alone, again, and in company."""
        present, absent = bench.material.present, bench.material.absent
        first = requests.state(await requests.locate_one(bench, present))
        again = requests.state(await requests.locate_one(bench, present))
        require(first == again, "two calls find different numbers or fingerprints")
        found = await requests.located(bench, absent.subject("two"), present.subject("one"))
        require("one" in found and requests.state(found["one"]) == first, "in company the person looks different")


class Literal(Check):
    rule = "locate.literal"
    condition = "an identity that differs from the person's by a wildcard, a quote, a path or one character"
    code = "OK"
    meaning = "Nothing is found: values are compared, never interpreted."
    caller = "may pass on whatever a person wrote"
    remedy = "Bind values as parameters; escape what a pattern language would interpret."

    async def run(self, bench: Bench) -> None:
        """All variants in one call."""
        subjects = [
            pb.Subject(subject_ref=f"s{index}", identities=[Identity(type=kind, value=value)])
            for index, (kind, value) in enumerate(self._variants(bench))
        ]
        found = await requests.located(bench, *subjects)
        for index, subject in enumerate(subjects):
            located = found.get(subject.subject_ref)
            require(located is not None, f"variant {index} was not answered")
            hit = located is not None and requests.records(located)
            require(
                not hit,
                f"variant {index} of {subject.identities[0].type} finds records: {_VARIANTS[index % len(_VARIANTS)]}",
            )

    def _variants(self, bench: Bench) -> Iterator[tuple[str, str]]:
        for kind, value in bench.material.present.identities:
            for form in _VARIANTS:
                yield kind, form.format(value=value, start=value[:-1])


_VARIANTS = (
    "%",
    "*",
    "{start}%",
    "{start}_",
    "{start}?",
    "{start}*",
    "{start}[!x]",
    "{value}' OR '1'='1",
    '{value}" OR ""="',
    "{value}; --",
    "../{value}",
    "{value}/..",
    "{value}/{value}",
    "{value}\\",
    ".*",
    "..",
    "{value}x",
    "x{value}",
)


class UnknownType(Check):
    rule = "locate.unknown-type"
    condition = "identities only of types that the source doesn't declare"
    code = "OK"
    meaning = "They are ignored: one `located` without collections."
    caller = "asks with other identities, if it finds any elsewhere"
    remedy = "Skip identities of other types; never compare them with a field of another type."

    async def run(self, bench: Bench) -> None:
        """The present person's own value, under another type."""
        value = bench.material.present.identities[0][1]
        subject = pb.Subject(subject_ref="one", identities=[Identity(type="conformance_unknown", value=value)])
        found = await requests.located(bench, subject)
        require("one" in found, "the subject was not answered")
        require(not requests.records(found["one"]), "records were found by an identity of another type")


class Anchors(Check):
    rule = "locate.anchors"
    condition = "`with_anchors`"
    code = "OK"
    meaning = "Before each `located`, values that would betray a remnant, each a JSON array with one element per field."
    caller = "keeps them encrypted, for Verify"
    remedy = "Send the identities and keys that other records point at, and only when asked."

    async def run(self, bench: Bench) -> None:
        """Form and order; and none unless asked."""
        person = bench.material.present
        without = await bench.answer("Locate", requests.locate(bench, [person.subject("one")]))
        require(all(m.WhichOneof("result") != "anchors" for m in without), "anchors were sent unasked")
        messages = await bench.answer("Locate", requests.locate(bench, [person.subject("one")], anchors=True))
        kinds = [message.WhichOneof("result") for message in messages]
        require(kinds and kinds[-1] == "located" and kinds.count("located") == 1, "`located` must come last, once")
        if await bench.declares(pb.CAPABILITY_ERASE):
            require("anchors" in kinds, "a connector that erases must send anchors of a person with records")
        for message in messages:
            if message.WhichOneof("result") == "anchors":
                _check_anchors(message.anchors)


def _check_anchors(anchors: pb.Anchors) -> None:
    require(anchors.subject_ref == "one", "anchors carry another subject's reference")
    require(anchors.collection and anchors.fields, "anchors lack collection or fields")
    for value in anchors.values:
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        good = isinstance(parsed, list) and len(parsed) == len(anchors.fields)
        require(good, "an anchor is not a JSON array with one element per field")


class Choice(Check):
    rule = "locate.choice"
    condition = "`people` of a collection of people names no record"
    code = "OK"
    meaning = "The controller said that none of these records is the person: none is found."
    caller = "goes on with what the controller decided"
    remedy = "Where `people` has an entry for a collection, start from those records only, none included."

    async def run(self, bench: Bench) -> None:
        """On every collection of people that holds records of the present person."""
        person = bench.material.present
        found = await requests.locate_one(bench, person)
        people = {p.collection for p in found.people}
        if not people:
            raise NotApplicable("the present person has no record in a collection of people")
        subject = person.subject("one")
        subject.people.extend(pb.PersonChoice(collection=name) for name in sorted(people))
        located = (await requests.located(bench, subject)).get("one", pb.Located())
        kept = people & requests.records(located).keys()
        require(not kept and not located.people, f"records were found all the same: {sorted(kept)}")


CHECKS: Sequence[Check] = (Present(), Absent(), Repeatable(), Literal(), UnknownType(), Anchors(), Choice())

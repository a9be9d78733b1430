"""Rules about the people a call names: Locate, Erase and Verify alike."""

from collections.abc import Sequence

from google.protobuf.message import Message

from dsr.conformance.bench import Bench
from dsr.conformance.check import Check, require
from dsr.conformance.checks import requests
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant
from dsr.v1.subject_pb2 import Identity

LIMIT = 1_000


async def _calls(bench: Bench, subjects: Sequence[pb.Subject]) -> dict[str, Message]:
    """The subjects in a request of each RPC that takes several."""
    calls: dict[str, Message] = {"Locate": requests.locate(bench, subjects)}
    if await bench.declares(pb.CAPABILITY_ERASE):
        instructions = [requests.instruct(name) for name in await bench.personal()]
        calls["Verify"] = pb.VerifyRequest(
            source=bench.source, subjects=[pb.VerifySubject(subject=s) for s in subjects], instructions=instructions
        )
        if bench.grant_key is not None:
            expected = [pb.CollectionCount(collection=i.collection) for i in instructions]
            calls["Erase"] = pb.EraseRequest(
                grant=bench.sign(bench.grant(Grant.OPERATION_ERASE, instructions)),
                subjects=[pb.EraseSubject(subject=s, expected=expected) for s in subjects],
            )
    return calls


class _SubjectCheck(Check):
    code = "INVALID_ARGUMENT / FIELD_INVALID"
    caller = "doesn't retry; an engineer looks"

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        """The spoilt subjects."""
        raise NotImplementedError

    async def run(self, bench: Bench) -> None:
        """Every RPC must refuse them."""
        for rpc, request in (await _calls(bench, self.subjects(bench))).items():
            requests.refused(await bench.call(rpc, request), self, rpc)


class NoSubject(_SubjectCheck):
    rule = "subjects.none"
    condition = "no subject"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "There is nothing to do, which is likelier a mistake."
    remedy = "Refuse an empty `subjects`."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return []


class TooMany(_SubjectCheck):
    rule = "subjects.too-many"
    condition = "more than 1,000 subjects"
    meaning = "The limit of a call."
    remedy = "Count before you work."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return [bench.material.absent.subject(f"s{index}") for index in range(LIMIT + 1)]


class SameReference(_SubjectCheck):
    rule = "subjects.same-reference"
    condition = "two subjects with one `subject_ref`"
    meaning = "Results could not be told apart."
    remedy = "Refuse a reference that stands twice."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return [bench.material.absent.subject("same"), bench.material.absent.subject("same")]


class NoReference(_SubjectCheck):
    rule = "subjects.no-reference"
    condition = "a subject without `subject_ref`"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "The result could not be told."
    remedy = "Check REQUIRED fields in repeated messages too."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return [bench.material.absent.subject("")]


class NoIdentity(_SubjectCheck):
    rule = "subjects.no-identity"
    condition = "a subject without identities"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Nobody is named; an empty filter must never match everybody."
    remedy = "Refuse a subject without identities before a query is built from it."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return [pb.Subject(subject_ref="one")]


class EmptyValue(_SubjectCheck):
    rule = "subjects.empty-value"
    condition = "an identity with an empty value"
    code = "INVALID_ARGUMENT / FIELD_REQUIRED"
    meaning = "Records with an empty field are not this person's."
    remedy = "Refuse an empty `value`."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        kind = bench.material.present.identities[0][0]
        return [pb.Subject(subject_ref="one", identities=[Identity(type=kind, value="")])]


class BadType(_SubjectCheck):
    rule = "subjects.bad-type"
    condition = "an identity type that isn't 1 to 63 of `a-z`, `0-9` and `_`"
    meaning = "It can't be the name of a type."
    remedy = "Check the type's form; a well-formed type that the source doesn't declare is ignored instead."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        return [pb.Subject(subject_ref="one", identities=[Identity(type="E-Mail Address", value="x")])]


class LongValue(_SubjectCheck):
    rule = "subjects.long-value"
    condition = "an identity value of more than 1,024 characters"
    meaning = "The limit of a value."
    remedy = "Check the length in characters."

    def subjects(self, bench: Bench) -> list[pb.Subject]:
        kind = bench.material.present.identities[0][0]
        return [pb.Subject(subject_ref="one", identities=[Identity(type=kind, value="x" * 1_025)])]


class Thousand(Check):
    rule = "subjects.thousand"
    condition = "1,000 subjects (Locate)"
    code = "OK"
    meaning = "One `located` for each, and none for anybody else."
    caller = "matches results by `subject_ref`; order means nothing"
    remedy = "Answer each subject once, in any order, also those of whom nothing was found."

    async def run(self, bench: Bench) -> None:
        """One present person among absent ones."""
        present, absent = bench.material.present, bench.material.absent
        subjects = [absent.subject(f"s{index}") for index in range(LIMIT)]
        subjects[LIMIT // 2] = present.subject(f"s{LIMIT // 2}")
        messages = await bench.answer("Locate", requests.locate(bench, subjects))
        found = [m.located for m in messages if m.WhichOneof("result") == "located"]
        references = sorted(located.subject_ref for located in found)
        require(references == sorted(s.subject_ref for s in subjects), "not exactly one `located` for each subject")
        wrong = [one for one in found if bool(requests.records(one)) != (one.subject_ref == f"s{LIMIT // 2}")]
        require(not wrong, "records were found for the wrong subjects")


CHECKS: Sequence[Check] = (
    NoSubject(),
    TooMany(),
    SameReference(),
    NoReference(),
    NoIdentity(),
    EmptyValue(),
    BadType(),
    LongValue(),
    Thousand(),
)

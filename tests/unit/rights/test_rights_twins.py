"""People of the same names: who is kept to be chosen from, and what a source is told of the choice."""

from dataclasses import replace

from dsr.authority.v1 import authority_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from dsrkit.requests.model import Dossier
from services.governance.corrections.candidates import MOST, chosen, merge

CRM = "partners/acme/dataSources/crm"


def found(person: str) -> pb.FoundPerson:
    return pb.FoundPerson(source=CRM, collection="people", person=person, identities=[Identity(type="n", value="7")])


def test_who_is_known_keeps_name_and_decision() -> None:
    first = merge(Dossier(), [found("[1]"), found("[2]")])
    assert first is not None
    assert merge(first, [found("[1]"), found("[2]")]) == first
    decided = Dossier(candidates=(replace(first.candidates[0], decision="ACCEPT"), first.candidates[1]))
    again = merge(decided, [found("[3]")])
    assert again is not None
    assert again.candidates[:2] == decided.candidates
    assert len({c.candidate for c in again.candidates}) == 3


def test_there_is_nothing_to_choose_among_the_decided_and_among_too_many() -> None:
    first = merge(Dossier(), [found("[1]"), found("[2]")])
    assert first is not None
    decided = Dossier(candidates=tuple(replace(c, decision="REJECT") for c in first.candidates))
    assert merge(decided, [found("[1]")]) is None
    assert merge(Dossier(), [found(f"[{n}]") for n in range(MOST)]) is not None
    assert merge(Dossier(), [found(f"[{n}]") for n in range(MOST + 1)]) is None


def test_a_source_is_told_whom_and_that_it_is_nobody_else() -> None:
    first = merge(Dossier(), [found("[1]"), found("[2]")])
    assert first is not None
    assert chosen(first) == []
    one, two = first.candidates
    accepted = Dossier(candidates=(replace(one, decision="ACCEPT"), replace(two, decision="REJECT")))
    assert [(c.source, [(p.collection, list(p.people)) for p in c.people]) for c in chosen(accepted)] == [
        (CRM, [("people", ["[1]"])])
    ]
    rejected = Dossier(candidates=tuple(replace(c, decision="REJECT") for c in first.candidates))
    assert [list(p.people) for c in chosen(rejected) for p in c.people] == [[]]

"""One person, many names: what is followed, what is only reported, and when to stop and ask."""

from dataclasses import replace

from dsr.connector.v1 import connector_pb2 as pb
from dsr.v1.subject_pb2 import Identity

from dsrkit.requests.model import Candidate, Dossier, Found, Known
from dsrkit.requests.resolution import MAX_ROUNDS, SourceResult, resolve

CRM, SHOP, LAKE = "partners/a/dataSources/crm", "partners/a/dataSources/shop", "partners/a/dataSources/lake"
START = Dossier((Known("email", "ann@x"),))


def result(
    source: str,
    *found: tuple[str, str, bool],
    types: tuple[str, ...] = ("email", "number"),
    authoritative: tuple[str, ...] = (),
    asked: tuple[tuple[str, str], ...] = (("email", "ann@x"),),
    people: tuple[str, ...] = (),
) -> SourceResult:
    located = pb.Located(
        identities=[
            pb.FoundIdentity(identity=Identity(type=t, value=v), collection="c", unique=u) for t, v, u in found
        ],
        people=[pb.Person(collection="c", person=p) for p in people],
    )
    return SourceResult(source, types, authoritative, Found(asked, located))


def followed(dossier: Dossier) -> set[tuple[str, str]]:
    return {(i.type, i.value) for i in dossier.followed()}


def test_unique_names_are_followed_to_sources_that_know_the_type() -> None:
    shop = result(SHOP, types=("number",), asked=())
    lake = result(LAKE, types=("cookie",), asked=())
    done = resolve(START, [result(CRM, ("number", "7", True)), shop, lake], 0)
    assert followed(done.dossier) == {("email", "ann@x"), ("number", "7")}
    assert set(done.ask) == {CRM, SHOP}
    assert next(i for i in done.dossier.identities if i.type == "number").hops == 1


def test_names_that_are_not_unique_only_corroborate() -> None:
    done = resolve(START, [result(CRM, ("phone", "1", False))], 0)
    assert followed(done.dossier) == {("email", "ann@x")}
    assert [i.value for i in done.dossier.identities if not i.followed] == ["1"]
    assert done.ask == ()


def test_only_the_authoritative_source_expands() -> None:
    gossip = result(SHOP, ("number", "8", True))
    register = result(CRM, ("number", "7", True), authoritative=("number",))
    done = resolve(START, [gossip, register], 0)
    assert ("number", "7") in followed(done.dossier)
    assert ("number", "8") not in followed(done.dossier)


def test_it_ends_when_nothing_new_appears_and_after_five_rounds() -> None:
    known = replace(START, identities=(*START.identities, Known("number", "7", CRM, "c", 1)))
    asked = (("email", "ann@x"), ("number", "7"))
    assert resolve(known, [result(CRM, ("number", "7", True), asked=asked)], 1).ask == ()
    fresh = [result(CRM, ("number", "9", True))]
    before, last = (resolve(START, fresh, MAX_ROUNDS - 2), resolve(START, fresh, MAX_ROUNDS - 1))
    assert (before.ask, before.dossier.unasked) == ((CRM,), ())
    assert (last.ask, last.dossier.unasked) == ((), (CRM,)), "whoever wasn't asked by every name is said"
    assert Dossier.load(last.dossier.dump()) == last.dossier
    settled = resolve(last.dossier, [result(CRM, asked=(("email", "ann@x"), ("number", "9")))], 0)
    assert settled.dossier.unasked == ()


def test_two_people_stop_everything_and_are_not_followed() -> None:
    done = resolve(START, [result(CRM, ("number", "7", True), people=("[1]", "[2]"))], 0)
    assert done.ambiguous
    assert done.ask == ()
    assert followed(done.dossier) == {("email", "ann@x")}
    assert len({c.candidate for c in done.dossier.candidates}) == 2


def test_decided_candidates_are_not_asked_about_again() -> None:
    first = resolve(START, [result(CRM, people=("[1]", "[2]"))], 0)
    decided = replace(first.dossier, candidates=tuple(replace(c, decision="ACCEPT") for c in first.dossier.candidates))
    again = resolve(decided, [result(CRM, people=("[1]", "[2]"))], 1)
    assert not again.ambiguous
    third = resolve(decided, [result(CRM, people=("[1]", "[2]", "[3]"))], 2)
    assert third.ambiguous


def test_choices_reach_the_source_concerned_and_no_other() -> None:
    dossier = Dossier(
        START.identities,
        (Candidate("a", CRM, "c", "[1]", (), "ACCEPT"), Candidate("b", CRM, "c", "[2]", (), "REJECT")),
    )
    chosen = dossier.subject("r", CRM, ["email"])
    assert [(p.collection, list(p.people)) for p in chosen.people] == [("c", ["[1]"])]
    assert not dossier.subject("r", SHOP, ["email"]).people
    assert not dossier.subject("r", CRM, ["number"]).identities


def test_a_dossier_survives_being_stored() -> None:
    dossier = Dossier(START.identities, (Candidate("a", CRM, "c", "[1]", (Known("n", "1"),), "REJECT"),))
    assert Dossier.load(dossier.dump()) == dossier

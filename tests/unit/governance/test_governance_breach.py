"""What a breach may look like, what follows what, when controllers are reminded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from dsr.v1 import breach_pb2 as pb
from dsr.v1 import governance_pb2
from dsr.v1.error_reason_pb2 import ErrorReason

from services.governance.breach import document, domain

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
P = pb.Breach
HOURS = timedelta(hours=1)


def breach(**fields: Any) -> pb.Breach:
    times = {name: fields.pop(name) for name in ("begin_time", "end_time", "aware_time") if name in fields}
    message = P(**{"natures": [P.NATURE_CONFIDENTIALITY], "description": "A key was lost.", **fields})
    for name, value in times.items():
        getattr(message, name).FromDatetime(value)
    return message


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (breach(), ""),
        (breach(data_sources=["s"], begin_time=NOW - HOURS, end_time=NOW), ""),
        (breach(natures=[P.NATURE_UNSPECIFIED]), "natures[0]"),
        (breach(natures=[9]), "natures[0]"),
        (breach(description="  "), "description"),
        (breach(description="x" * 4001), "description"),
        (breach(data_sources=["s", "t"]), "data_sources[1]"),
        (breach(begin_time=NOW + HOURS), "begin_time"),
        (breach(end_time=NOW + HOURS), "end_time"),
        (breach(aware_time=NOW + HOURS), "aware_time"),
        (breach(begin_time=NOW, end_time=NOW - HOURS), "end_time"),
    ],
)
def test_what_may_be_reported(wanted: pb.Breach, field: str) -> None:
    found = domain.wrong(wanted, ["s"], NOW)
    assert (found[0] if found else "") == field


def test_what_follows_what() -> None:
    allowed = {
        (P.PHASE_SUSPECTED, P.PHASE_SUSPECTED),
        (P.PHASE_SUSPECTED, P.PHASE_CONFIRMED),
        (P.PHASE_SUSPECTED, P.PHASE_DISMISSED),
        (P.PHASE_CONFIRMED, P.PHASE_CONFIRMED),
        (P.PHASE_CONFIRMED, P.PHASE_FIXED),
        (P.PHASE_FIXED, P.PHASE_FIXED),
        (P.PHASE_FIXED, P.PHASE_CLOSED),
    }
    phases = P.Phase.values()[1:]
    assert {(a, b) for a in phases for b in phases if domain.may_follow(a, b)} == allowed
    assert domain.following(P.PHASE_SUSPECTED) == "SUSPECTED,CONFIRMED,DISMISSED"


@pytest.mark.parametrize(
    ("hours", "left"), [(0, None), (47.9, None), (48, 24), (65, 24), (66, 6), (71.9, 6), (72, 0), (99, 0)]
)
@pytest.mark.policy("P8", "the controller is reminded before its 72 hours end, and told when they have")
def test_reminders(hours: float, left: int | None) -> None:
    # Hours are hours: a change of the clock, a weekend, a holiday lengthen nothing.
    for notice in (NOW, datetime(2027, 3, 27, 23, tzinfo=UTC), datetime(2028, 2, 28, 23, 30, tzinfo=UTC)):
        assert domain.reminder(notice, notice + hours * HOURS) == left


def test_scope() -> None:
    collection = governance_pb2.CollectionMap(collection="people", category="contact data")
    data_map = governance_pb2.DataMap(sources=[governance_pb2.SourceMap(source="s", collections=[collection])])
    found = domain.concerned(["s", "unmapped"], data_map)
    assert [(c.source, c.collection, c.category) for c in found] == [
        ("s", "people", "contact data"),
        ("unmapped", "", ""),
    ]
    count = P.SubjectCount
    known = count(source="s", subjects=3, certainty=count.CERTAINTY_EXACT)
    unknown = count(source="t", certainty=count.CERTAINTY_UNKNOWN)
    assert domain.counts(["s", "t"], [known], {}) == [known, unknown]
    here = governance_pb2.Location(provider="P", site="S", country="IE")
    sources = [governance_pb2.DataSource(name="s", location=here), governance_pb2.DataSource(name="t")]
    assert domain.at(sources, here) == ["s"]


@pytest.mark.policy("P8", "the breakdown opens without a network, and what was written into it is never markup")
def test_the_document() -> None:
    count = P.SubjectCount
    made = breach(
        description="<script>alert(1)</script>",
        begin_time=NOW,
        aware_time=NOW,
        name="partners/acme/breaches/1",
        phase=P.PHASE_FIXED,
        contact="dpo@agency.example",
        subject_counts=[
            count(source="s", subjects=0, certainty=count.CERTAINTY_EXACT),
            count(source="t", certainty=count.CERTAINTY_UNKNOWN),
        ],
        timeline=[P.TimelineEntry(event="FIXED", actor="urn:x#y", note="<b>closed</b>")],
    )
    for time in (made.notice_time, made.authority_due_time, made.timeline[0].entry_time):
        time.FromDatetime(NOW)
    page = document.as_html(made, "The Agency").decode()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "This is not final" in page
    assert "dpo@agency.example" in page
    assert "Art. 33(3)(b)" not in page
    made.partner_dpo = "officer@acme.example"
    assert "(Art. 33(3)(b) GDPR): officer@acme.example" in document.as_html(made, "The Agency").decode()
    assert ">0<" in page
    assert ">unknown<" in page
    assert "http" not in page.replace("http-equiv", "")
    made.phase = P.PHASE_CLOSED
    assert "This is not final" not in document.as_html(made, "The Agency").decode()
    assert orjson.loads(document.as_json(made))["final"] is True


def test_a_source_that_does_not_count_is_asked_less_and_less_often() -> None:
    assert [domain.wait(attempts) for attempts in (0, 1, 2, 6, 7, 10**6)] == [
        timedelta(minutes=minutes) for minutes in (5, 10, 20, 320, 360, 360)
    ]


def test_a_reason_stays_beside_an_estimate_and_goes_with_a_count() -> None:
    exact, estimated = pb.Breach.SubjectCount.CERTAINTY_EXACT, pb.Breach.SubjectCount.CERTAINTY_ESTIMATED
    counted = pb.Breach.SubjectCount(source="s", subjects=4, certainty=exact, counted=True)
    guessed = pb.Breach.SubjectCount(source="t", subjects=5, certainty=estimated)
    failures = dict.fromkeys("stu", "SOURCE_BUSY")
    found = domain.counts("stuv", [counted, guessed], failures)
    busy = ErrorReason.ERROR_REASON_SOURCE_BUSY
    assert [(c.subjects, c.reason) for c in found] == [(4, 0), (5, busy), (0, busy), (0, 0)]

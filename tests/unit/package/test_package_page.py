"""The page: readable, accessible, and proof against what sources hold."""

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from dsr.v1.governance_pb2 import Location
from dsr.v1.request_pb2 import ResolvedIdentity
from dsr.v1.subject_pb2 import RequesterCapacity
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrkit.parts import Part, Report
from services.access.package import build, facts, page
from tests.unit.package import html, sample
from tests.unit.package.archive import unpack

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "</title><script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<!-- comment",
    "]]>",
    "&lt;b&gt;",
    "\u202etxt.exe\u202c",
    "\u2066isolated\u2069",
    "nul\x00byte\x1b[31m",
    "\ud800 alone",
    "x" * 10_000_000,
]


def rendered(report: Report, parts: Sequence[Part]) -> bytes:
    """The bytes of the page."""
    with zipfile.ZipFile(io.BytesIO(b"".join(build(report, parts)))) as zipped:
        return zipped.read(next(n for n in zipped.namelist() if n.endswith("index.html")))


def shown(*values: Any, type: str = "string") -> html.Element:
    """The page of one collection with these values, one a record and one record more."""
    sources = [sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, [sample.collection_map("t", "Things")])]
    data = b"".join(json.dumps({"v": value}).encode() + b"\n" for value in [*values, None])
    part = sample.part_of(sample.SHOP, "t", [("v", type)], data, cut=65536)
    return html.parse(rendered(sample.report(sources), [part]))


def cells(document: html.Element) -> list[html.Element]:
    """The cells of the data table but the last."""
    table = next(t for t in document.all("table") if t.all("caption")[0].words.startswith("Things"))
    return table.all("td")[:-1]


@pytest.fixture(scope="module")
def document() -> html.Element:
    """The page of the example."""
    return html.parse(rendered(sample.report(), sample.shop_parts()))


def test_is_a_document_of_its_own(document: html.Element) -> None:
    (root,) = document.all("html")
    assert root.get("lang") == "en"
    assert document.all("title")[0].text == "Your personal data held by Acme Shop"
    assert not document.all("script", "link", "iframe", "object", "embed", "form", "img", "svg", "base")
    (policy,) = [m for m in document.all("meta") if m.get("http-equiv")]
    assert policy.get("content").startswith("default-src 'none'; style-src 'sha256-")
    assert not [e for e in document.all() if e.get("style") or any(name.startswith("on") for name in e.attributes)]
    assert "url(" not in document.all("style")[0].text
    assert "@import" not in document.all("style")[0].text


def test_headings_and_landmarks(document: html.Element) -> None:
    headings = [int(h.tag[1]) for h in document.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert headings.count(1) == 1
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert all(h.words for h in document.all("h1", "h2", "h3", "h4"))
    for tag in ("header", "main", "nav", "footer"):
        assert len(document.all(tag)) == 1
    assert document.all("a")[0].get("href") == "#answer"
    assert document.all("a")[0].get("class") == "skip"


def test_tables_say_what_they_are(document: html.Element) -> None:
    for table in document.all("table"):
        assert len(table.all("caption")) == 1
        assert table.all("caption")[0].words
        assert table.all("th")
        assert all(th.get("scope") in ("col", "row") for th in table.all("th"))
        for row in table.all("tr"):
            assert len(row.all("td", "th")) in (len(table.all("tr")[0].all("td", "th")), 1)


def test_every_id_is_unique_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    archive = unpack(build(sample.report(), sample.shop_parts()), tmp_path)
    document = html.parse(archive.read("index.html"))
    ids = [e.get("id") for e in document.all() if e.get("id")]
    assert len(ids) == len(set(ids))
    links = [a.get("href") for a in document.all("a")]
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        elif not link.startswith("mailto:"):
            assert (archive.root / unquote(link)).is_file(), link
    for element in document.all():
        for name in ("aria-labelledby", "aria-describedby"):
            assert not element.get(name) or element.get(name) in ids
    copies = {name for name in archive.names() if name.endswith(".jsonl") or name.startswith("data/files/files/")}
    assert copies <= {unquote(link) for link in links}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent"])
@pytest.mark.parametrize("paper", ["paper", "tint", "mark"])
def test_contrast_is_enough_for_wcag_aa(document: html.Element, scheme: int, ink: str, paper: str) -> None:
    block = re.findall(r":root \{([^}]*)\}", document.all("style")[0].text)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    one, other = sorted([luminance(colours[ink]), luminance(colours[paper])])
    assert (other + 0.05) / (one + 0.05) >= 4.5


def test_tells_what_was_found_where(document: html.Element) -> None:
    assert "427 records were found in 6 of 8 collections that could be searched" in document.words
    (table,) = [t for t in document.all("table") if t.all("caption")[0].words == "What was found, and where"]
    rows = [[td.words for td in tr.all("td")] for tr in table.all("tbody")[0].all("tr")]
    assert ["Shop database", "Messages to support", "Correspondence", "2 records", "1 field"] in rows
    assert ["Shop database", "Reviews", "Content you published", "nothing", "–"] in rows
    assert ["Newsletter", "Newsletter subscriptions", "Contact data", "could not be searched", "–"] in rows
    assert "Newsletter knows people only by kinds of names that are not known of you" in document.words


def test_tells_how_the_person_was_found(document: html.Element) -> None:
    (table,) = [t for t in document.all("table") if t.all("caption")[0].words == "Your identities"]
    assert [[td.words for td in tr.all("td")] for tr in table.all("tbody")[0].all("tr")] == [
        ["Email", "ann.walsh@example.com", "Your request", "yes"],
        ["Customer number", "C-20417", "Shop database, Customer account (1 step from your request)", "yes"],
        ["Phone", "+353 1 496 0123", "Shop database, Customer account (1 step from your request)", "no, only noted"],
    ]


def test_tells_every_point_of_article_15(document: html.Element) -> None:
    for text in (
        "To reach you about your orders",  # (a)
        "Usage data",  # (b)
        "DHL Express (Ireland) Ltd, for delivery",  # (c)
        "Two years after the last message",  # (d)
        "Have it corrected Art. 16",  # (e)
        "Data Protection Commission, 6 Pembroke Row, Dublin 2, Ireland, or to the supervisory authority",  # (f)
        "It was recorded while you used the service",  # (g)
        "Loyalty score: it was worked out from other data about you",
        "Articles are recommended by what you looked at.",  # (h)
        "adequacy decision of the European Commission",  # (2)
        "Agent notes: It holds other people’s data (Art. 15(4) GDPR)",
        "It may not be erased yet, because a law requires it to be kept (Taxes Consolidation Act 1997, s. 886); this "
        "is looked at again on 1 January 2031.",
        "You gave your consent (Art. 6(1)(a) GDPR)",
        "Object Art. 21",
        "(Art. 22 GDPR)",
        "Letters and pictures is kept with Rackspace in London, United Kingdom.",
        "Data protection officer: dpo@agency.example",
    ):
        assert text in document.words, text


def test_shows_200_records_and_says_how_many_there_are(document: html.Element) -> None:
    (table,) = [t for t in document.all("table") if t.all("caption")[0].words.startswith("Visits")]
    assert table.all("caption")[0].words == "Visits to the shop: the first 200 of 412 records"
    assert len(table.all("tbody")[0].all("tr")) == 200
    assert "This page shows the first 200 of 412. The complete copy, for machines: data/shop/public.events.jsonl" in (
        document.words
    )


def test_shows_files_as_links(document: html.Element) -> None:
    (table,) = [t for t in document.all("table") if t.all("caption")[0].words == "Letters: all 3 files"]
    assert [td.words for td in table.all("tbody")[0].all("tr")[0].all("td")] == [
        "letters/C-20417/2026 Äpfel.pdf",
        "application/pdf",
        "15 kB",
        "1 March 2025, 10:00:00 UTC",
    ]
    assert table.all("a")[1].get("href") == "data/files/files/letters/page.html.txt"


def test_values_are_shown_as_people_write_them() -> None:
    values: list[Any] = [True, None, "", 12.50, {"Ärger": [1, {"x": None}]}, [], "a\nb", "ABC" * 200]
    assert [c.words for c in cells(shown(*values))] == [
        "yes",
        "not set",
        "",
        "12.5",
        "Ärger1Xnot set",
        "empty",
        "a b",
        "ABC" * 100 + "… (shortened; 600 characters in all)",
    ]
    assert [c.words for c in cells(shown("2026-03-29T23:30:00Z", "infinity", "-0044-03-15", type="datetime"))] == [
        "29 March 2026, 23:30:00 UTC",
        "infinity",
        "-0044-03-15",
    ]


def test_deep_and_long_values_end_somewhere() -> None:
    deep: Any = "end"
    for _ in range(9):
        deep = {"in": deep}
    (nested, long) = cells(shown(deep, list(range(1000))))
    assert "end" not in nested.words
    assert "1 value more, nested deeper" in nested.words
    assert len(long.all("li")) == 20
    assert "and 980 more" in long.words


def test_a_record_too_long_to_show_says_so() -> None:
    document = shown(list(range(200_000)))
    assert "This record is too long to be shown here." in document.words


def test_hostile_values_stay_text() -> None:
    document = shown(*HOSTILE)
    texts = [c.text for c in cells(document)]
    assert len(texts) == len(HOSTILE)
    assert not document.all("script", "img")
    assert len(document.all("style")) == 1
    for value, text in zip(HOSTILE[:10], texts, strict=False):
        assert value in text
    assert "⟨U+202E⟩txt.exe⟨U+202C⟩" in texts[10]
    assert "⟨U+2066⟩isolated⟨U+2069⟩" in texts[11]
    assert "nul⟨U+0000⟩byte⟨U+001B⟩[31m" in texts[12]
    assert "⟨U+D800⟩ alone" in texts[13]
    assert "(shortened; 10 MB in all)" in texts[14]


def test_hostile_words_everywhere_else_stay_text() -> None:
    text = HOSTILE[1] + "\u202e\x00"
    law = sample.collection_map(
        text,
        text,
        purposes=[text, text],
        category=text,
        recipients=[text],
        retention=text,
        data_origin=text,
        automated_decisions=text,
        transfer_safeguards=text,
    )
    place = Location(provider=text, site=text, country='"><')
    source = sample.source_report(f"partners/acme/dataSources/{text}", text, place, [law], searched_by=[text])
    partner = sample.partner()
    for field in ("display_name", "country", "privacy_contact", "supervisory_authority"):
        setattr(partner, field, text)
    identity = ResolvedIdentity(type=text, value=text, source=text, collection=text, hops=1)
    people = {"operator": text, "operator_contact": text, "partner_dpo": text}
    report = sample.report([source], partner=partner, identities=[identity], request=f"a/b/{text}", **people)
    name = source.instructions.data_source.name
    parts = [
        sample.part(name, text, [(text, text)], [{text: {text: [text]}}, {text: text}], withheld=[text]),
    ]
    document = html.parse(b"".join(page.render(report, facts.gather(report, parts))))
    assert not document.all("img", "script")
    assert document.words.count("onerror=alert(1)") > 20
    assert not re.search("[\x00\u202e]", document.text)


@settings(max_examples=40)
@given(st.text(st.characters(), max_size=40))
def test_any_text_is_shown_and_nothing_but_text(text: str) -> None:
    (cell,) = cells(shown(text))
    assert all(e.tag == "span" for e in cell.all())
    assert cell.text.strip() == page.visible(text).replace("\r", "").strip()


def test_many_fields_make_cards() -> None:
    fields = [(f"field_{i}", "string") for i in range(12)]
    rows = [{name: f"{n}.{name}" for name, _ in fields} for n in range(3)]
    sources = [sample.source_report(sample.SHOP, "Shop", sample.DUBLIN, [sample.collection_map("t", "Things")])]
    document = html.parse(rendered(sample.report(sources), [sample.part(sample.SHOP, "t", fields, rows)]))
    captions = [t.all("caption")[0].words for t in document.all("table")]
    assert captions[2:] == [f"Things: record {n} of 3" for n in (1, 2, 3)]


@pytest.mark.parametrize("capacity", [2, 3, 4])
def test_who_asked_for_somebody_else_is_told(capacity: RequesterCapacity.ValueType) -> None:
    document = html.parse(rendered(sample.report(capacity=capacity), []))
    assert "for the person concerned. “You” on this page is the person concerned." in document.words
    assert "for the person concerned" not in html.parse(rendered(sample.report(), [])).words


def test_times_are_the_partners(document: html.Element) -> None:
    late = dataclasses.replace(sample.report(), received_time=sample.NOW.replace(month=7, hour=23, minute=30))
    assert "Request received25 July 2026" in html.parse(rendered(late, [])).words.replace(" 25", "25")


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("privacy@acme.example", "mailto:privacy@acme.example"),
        ("https://acme.example/privacy", "https://acme.example/privacy"),
        ("javascript:alert(1)", None),
        ("Privacy team, 14 Harbour Road", None),
        ("a@b.example?subject=<script>", None),
    ],
)
def test_contacts_are_links_only_if_they_are_nothing_else(text: str, link: str | None) -> None:
    partner = sample.partner()
    partner.privacy_contact = text
    document = html.parse(rendered(sample.report(partner=partner, operator=""), []))
    links = {a.get("href") for a in document.all("a") if not a.get("href").startswith(("#", "data/"))}
    assert links == ({link} if link else set())
    assert text in document.text


@pytest.mark.policy("P18", "without an officer of its own, a partner's copies name its contact and nobody else")
@pytest.mark.parametrize(("officer", "shown"), [("officer@acme.example", True), ("", False)])
def test_names_the_controllers_own_officer_beside_its_contact(officer: str, shown: bool) -> None:
    report = sample.report(partner_dpo=officer)
    words = html.parse(rendered(report, [])).words
    assert "privacy@acme.example" in words
    assert ("Its data protection officer: officer@acme.example" in words) is shown
    assert ("Its data protection officer" in words) is shown
    assert facts.processing(report, [])["controller"]["data_protection_officer"] == (officer or None)

"""The words of the page: legal terms in plain language."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from babel import Locale
from dsr.v1.governance_pb2 import DataSource, LawfulBasis, Origin
from dsr.v1.subject_pb2 import RequesterCapacity

_EEA = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
EEA = frozenset(_EEA.split())
"""The European Economic Area (EEA Agreement, Art. 126), ISO 3166-1 alpha-2."""


class Basis(NamedTuple):
    """A lawful basis: its article, its term in the Data Privacy Vocabulary, and what it means."""

    article: str
    term: str
    text: str


_BASES: Mapping[LawfulBasis.ValueType, Basis] = {
    LawfulBasis.LAWFUL_BASIS_CONSENT: Basis("Art. 6(1)(a)", "eu-gdpr:A6-1-a", "You gave your consent"),
    LawfulBasis.LAWFUL_BASIS_CONTRACT: Basis(
        "Art. 6(1)(b)", "eu-gdpr:A6-1-b", "It is needed for a contract with you, or to prepare one"
    ),
    LawfulBasis.LAWFUL_BASIS_LEGAL_OBLIGATION: Basis("Art. 6(1)(c)", "eu-gdpr:A6-1-c", "A law requires it"),
    LawfulBasis.LAWFUL_BASIS_VITAL_INTERESTS: Basis(
        "Art. 6(1)(d)", "eu-gdpr:A6-1-d", "It protects somebody’s life or health"
    ),
    LawfulBasis.LAWFUL_BASIS_PUBLIC_TASK: Basis(
        "Art. 6(1)(e)", "eu-gdpr:A6-1-e", "It is needed for a task in the public interest"
    ),
    LawfulBasis.LAWFUL_BASIS_LEGITIMATE_INTERESTS: Basis(
        "Art. 6(1)(f)", "eu-gdpr:A6-1-f", "It serves legitimate interests, weighed against yours"
    ),
}
_NOT_STATED = Basis("Art. 6(1)", "eu-gdpr:A6", "Not recorded")

_ORIGINS: Mapping[Origin.ValueType, str] = {
    Origin.ORIGIN_PROVIDED: "You provided it",
    Origin.ORIGIN_OBSERVED: "It was recorded while you used the service",
    Origin.ORIGIN_DERIVED: "It was worked out from other data about you",
}

_RETENTIONS: Mapping[str, str] = {
    "eu-gdpr:JustificationA17FreedomOfExpression": "it serves freedom of expression and information",
    "eu-gdpr:JustificationA17LegallyRequired": "a law requires it to be kept",
    "eu-gdpr:JustificationA17PublicInterest": "it is needed for a task in the public interest",
    "eu-gdpr:JustificationA17OfficialAuthority": "it is needed for the exercise of official authority",
    "eu-gdpr:JustificationA17PublicHealth": "it is needed for public health",
    "eu-gdpr:JustificationA17Archiving": "it is needed for archives, research or statistics",
    "eu-gdpr:JustificationA17LegalClaims": "it is needed to establish, exercise or defend legal claims",
}

_CUSTODIES: Mapping[DataSource.Custody.ValueType, str] = {
    DataSource.CUSTODY_OPERATOR: "run by a service provider",
    DataSource.CUSTODY_PARTNER: "run by the controller itself",
    DataSource.CUSTODY_SUB_PROCESSOR: "run by a further service provider",
}

_ENGLISH = Locale("en")

_BEHALF: Mapping[RequesterCapacity.ValueType, str] = {
    RequesterCapacity.REQUESTER_CAPACITY_GUARDIAN: "a parent or guardian",
    RequesterCapacity.REQUESTER_CAPACITY_AGENT: "an agent with a mandate",
    RequesterCapacity.REQUESTER_CAPACITY_HEIR: "an heir",
}


@dataclass(frozen=True)
class Right:
    """A right of the person."""

    title: str
    article: str
    text: str


RIGHTS = (
    Right("Have it corrected", "Art. 16", "If something here is wrong or incomplete, you can have it put right."),
    Right(
        "Have it erased",
        "Art. 17",
        "For example when it is no longer needed, or when you withdraw your consent. Where a law requires data to be "
        "kept, the section on that data says so.",
    ),
    Right(
        "Have its use restricted",
        "Art. 18",
        "For example while it is being checked whether it is correct, or whether your objection prevails.",
    ),
    Right(
        "Object",
        "Art. 21",
        "Where data is used for legitimate interests or a public task, you can object on grounds of your own "
        "situation. To direct marketing you can object at any time, without a reason.",
    ),
    Right(
        "Take it elsewhere",
        "Art. 20",
        "What you provided, and what was recorded while you used the service, under consent or a contract, you can "
        "get in machine-readable form, or have sent to somebody else.",
    ),
    Right("Withdraw your consent", "Art. 7(3)", "At any time. What was done before stays lawful."),
)


def basis(value: LawfulBasis.ValueType) -> Basis:
    """A lawful basis in words."""
    return _BASES.get(value, _NOT_STATED)


def origin(value: Origin.ValueType) -> str:
    """Where data comes from, in words; not stated counts as derived (dsr.v1.Origin)."""
    return _ORIGINS.get(value, _ORIGINS[Origin.ORIGIN_DERIVED])


def retention(term: str) -> str:
    """Why data is kept in spite of an erasure; an unknown term of the vocabulary is given as it is."""
    return _RETENTIONS.get(term, f"of this reason: {term}")


def custody(value: DataSource.Custody.ValueType) -> str:
    """Whose hands a data source is in; empty when not stated."""
    return _CUSTODIES.get(value, "")


def on_behalf(value: RequesterCapacity.ValueType) -> str:
    """Who asked for the person; empty when it was the person."""
    return _BEHALF.get(value, "")


def country(code: str) -> str:
    """English name of a country; the code itself when it is none."""
    return str(_ENGLISH.territories.get(code, code))


def in_eea(code: str) -> bool:
    """Whether a country belongs to the European Economic Area."""
    return code in EEA


def day(time: date) -> str:
    """`24 November 2026`."""
    return f"{time.day} {time:%B %Y}"


def moment(time: datetime) -> str:
    """`24 November 2026, 03:15:09 UTC`, in the time's own zone."""
    return f"{day(time)}, {time:%H:%M:%S} {time.tzname() or ''}".rstrip()


def size(count: int) -> str:
    """`9.8 MB`."""
    if count < 1000:
        return f"{count} bytes" if count != 1 else "1 byte"
    units, value = ["GB", "MB", "kB"], count / 1000
    while value >= 999.5 and len(units) > 1:
        units.pop()
        value /= 1000
    return f"{value:.1f} {units[-1]}" if value < 9.95 else f"{value:,.0f} {units[-1]}"

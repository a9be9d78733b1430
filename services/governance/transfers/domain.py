"""May personal data go to a recipient outside the EEA? Pure: basis, attestation and notice, or a closed gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dsr.v1 import transfer_pb2 as pb

from services.governance.law.domain import Law

COVERED = pb.TRANSFER_INSTRUMENT_COVERED_RECIPIENT
ARTICLES: Mapping[int, str] = {
    COVERED: "GDPR Art. 45(3)",
    pb.TRANSFER_INSTRUMENT_PUBLIC_INSTRUMENT: "GDPR Art. 46(2)(a)",
    pb.TRANSFER_INSTRUMENT_BINDING_CORPORATE_RULES: "GDPR Art. 46(2)(b), Art. 47",
    pb.TRANSFER_INSTRUMENT_STANDARD_CLAUSES: "GDPR Art. 46(2)(c)",
    pb.TRANSFER_INSTRUMENT_AUTHORITY_CLAUSES: "GDPR Art. 46(2)(d)",
    pb.TRANSFER_INSTRUMENT_CODE_OF_CONDUCT: "GDPR Art. 46(2)(e)",
    pb.TRANSFER_INSTRUMENT_CERTIFICATION: "GDPR Art. 46(2)(f)",
    pb.TRANSFER_INSTRUMENT_AUTHORISED_CLAUSES: "GDPR Art. 46(3)(a)",
    pb.TRANSFER_INSTRUMENT_ADMINISTRATIVE_ARRANGEMENT: "GDPR Art. 46(3)(b)",
    pb.TRANSFER_INSTRUMENT_CONSENT: "GDPR Art. 49(1)(a)",
    pb.TRANSFER_INSTRUMENT_CONTRACT_WITH_SUBJECT: "GDPR Art. 49(1)(b)",
    pb.TRANSFER_INSTRUMENT_CONTRACT_FOR_SUBJECT: "GDPR Art. 49(1)(c)",
    pb.TRANSFER_INSTRUMENT_PUBLIC_INTEREST: "GDPR Art. 49(1)(d)",
    pb.TRANSFER_INSTRUMENT_LEGAL_CLAIMS: "GDPR Art. 49(1)(e)",
    pb.TRANSFER_INSTRUMENT_VITAL_INTERESTS: "GDPR Art. 49(1)(f)",
    pb.TRANSFER_INSTRUMENT_REGISTER: "GDPR Art. 49(1)(g)",
}
DEROGATIONS = frozenset(number for number, article in ARTICLES.items() if "Art. 49" in article)
_LONGEST_DEROGATION = timedelta(days=31)
_LONGEST = 200


@dataclass(frozen=True)
class Destination:
    """Where data would go."""

    what: str
    """In words, for the facts of a refusal."""
    recipient: str
    """`partners/{partner}`, or a data source; empty for a place of the operator."""
    country: str
    keeps: bool = True
    """Whether data stays there: a derogation of Art. 49 is for single occasions."""


@dataclass(frozen=True)
class Safeguard:
    """A safeguard on record."""

    recipient: str
    country: str
    instrument: int
    begins: datetime
    ends: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it counts now."""
        return self.begins <= now and (self.ends is None or now < self.ends)


@dataclass(frozen=True)
class Attestation:
    """A partner's word for a country, with the time its subjects were told."""

    country: str
    told: datetime
    ends: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it counts now."""
        return self.told <= now and (self.ends is None or now < self.ends)


@dataclass(frozen=True)
class Records:
    """What a partner has put on record."""

    safeguards: Sequence[Safeguard] = ()
    attestations: Sequence[Attestation] = ()


@dataclass(frozen=True)
class Bar:
    """Why data may not go."""

    rule: str
    article: str
    facts: Sequence[str]


def bar(destination: Destination, law: Law, records: Records, now: datetime) -> Bar | None:
    """What is missing for a transfer; None when everything is on record, or data stays in the EEA."""
    bars = law.bars(destination.country, now.date())
    if destination.country in law.eea:
        return None
    if bars and not any(_permits(s, destination, law, now) for s in records.safeguards):
        lines = [destination.what, *bars, "safeguard on record: none that covers this"]
        return Bar("TRANSFER_WITHOUT_BASIS", "GDPR Art. 44, Art. 45, Art. 46", lines)
    if not any(a.country == destination.country and a.in_force(now) for a in records.attestations):
        lines = [
            destination.what,
            f"country outside the EEA: {destination.country}",
            "attestation that data there is processed as the GDPR demands, and its subjects were told: none",
        ]
        return Bar("TRANSFER_NOT_ATTESTED", "GDPR Art. 13(1)(f), Art. 44", lines)
    return None


def _permits(safeguard: Safeguard, destination: Destination, law: Law, now: datetime) -> bool:
    if not destination.recipient or safeguard.recipient != destination.recipient:
        return False
    if safeguard.country != destination.country or not safeguard.in_force(now):
        return False
    if safeguard.instrument == COVERED:
        return law.limited(destination.country, now.date())
    return not (safeguard.instrument in DEROGATIONS and destination.keeps)


def wrong_safeguard(given: pb.TransferSafeguard, partner: str, eea: frozenset[str]) -> tuple[str, str] | None:
    """What is wrong with a safeguard, as field and reason."""
    if given.instrument not in ARTICLES:
        return "instrument", "must be one of TransferInstrument"
    if given.recipient != partner and not given.recipient.startswith(f"{partner}/dataSources/"):
        return "recipient", "must be the partner, or one of its data sources"
    if given.HasField("end_time") and given.end_time.ToDatetime() <= given.begin_time.ToDatetime():
        return "end_time", "must be after begin_time"
    if given.instrument in DEROGATIONS:
        if given.recipient != partner:
            return "instrument", "a derogation of Art. 49 is for handing out a copy to the partner only"
        lasts = given.end_time.ToDatetime() - given.begin_time.ToDatetime()
        if not given.HasField("end_time") or lasts > _LONGEST_DEROGATION:
            return "end_time", "a derogation of Art. 49 ends within 31 days: it is for single occasions"
    return _wrong_document(given.country, eea, given.document_reference, given.document_sha256, "document")


def wrong_attestation(given: pb.TransferAttestation, eea: frozenset[str], now: datetime) -> tuple[str, str] | None:
    """What is wrong with an attestation, as field and reason."""
    if not given.compliant:
        return "compliant", "must be true: without compliance nothing is transferred"
    if given.subjects_told_time.ToDatetime(UTC) > now:
        return "subjects_told_time", "must not be in the future: the subjects are told first"
    return _wrong_document(given.country, eea, given.notice_reference, given.notice_sha256, "notice")


def _wrong_document(
    country: str, eea: frozenset[str], reference: str, digest: str, document: str
) -> tuple[str, str] | None:
    if len(country) != 2 or not country.isascii() or not country.isalpha() or not country.isupper():
        return "country", "must be ISO 3166-1 alpha-2, such as US"
    if country in eea:
        return "country", "is in the EEA: nothing is transferred"
    if not 1 <= len(reference.strip()) <= _LONGEST:
        return f"{document}_reference", f"must have 1 to {_LONGEST} characters"
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        return f"{document}_sha256", "must be 64 lower-case hexadecimal digits"
    return None

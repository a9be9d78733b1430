"""A person's data as three sources might give it, for the package tests. Everything in it is invented."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dsr.authority.v1.authority_pb2 import Retention, SourceInstructions
from dsr.v1.governance_pb2 import CollectionMap, DataSource, FieldMap, LawfulBasis, Location, Origin, Partner, SourceMap
from dsr.v1.request_pb2 import ResolvedIdentity
from dsr.v1.subject_pb2 import RequesterCapacity
from google.protobuf.timestamp_pb2 import Timestamp

from dsrkit.parts import Field, Part, Report, SourceReport

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SHOP = "partners/acme/dataSources/shop"
FILES = "partners/acme/dataSources/files"
MAIL = "partners/acme/dataSources/newsletter"


def part(
    source: str,
    collection: str,
    fields: Sequence[tuple[str, str]],
    rows: Iterable[dict[str, Any]],
    *,
    key: Sequence[str] = ("id",),
    withheld: Sequence[str] = (),
    cut: int = 1000,
) -> Part:
    """A part of these rows, cut into pieces of `cut` bytes."""
    return part_of(source, collection, fields, _lines(rows), key=key, withheld=withheld, cut=cut)


def part_of(
    source: str,
    collection: str,
    fields: Sequence[tuple[str, str]],
    data: bytes,
    *,
    key: Sequence[str] = ("id",),
    withheld: Sequence[str] = (),
    cut: int = 1000,
) -> Part:
    """A part of these bytes."""

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), cut):
            yield data[at : at + cut]

    return Part(
        source=source,
        collection=collection,
        fields=[Field(name, type) for name, type in fields],
        primary_key=key,
        withheld_fields=withheld,
        records=data.count(b"\n"),
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
        open=pieces,
    )


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def file_row(path: str, content: bytes, media_type: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
    """A file as a connector of files exports it."""
    return {
        "path": path,
        "size": len(content),
        "modified_time": "2025-03-01T10:00:00Z",
        "media_type": media_type,
        "content": base64.b64encode(content).decode(),
        "sha256": hashlib.sha256(content).hexdigest(),
        **more,
    }


FILE_FIELDS = [
    ("path", "string"),
    ("size", "integer"),
    ("modified_time", "datetime"),
    ("media_type", "string"),
    ("content", "string"),
    ("sha256", "string"),
]


def partner() -> Partner:
    """The controller."""
    return Partner(
        name="partners/acme",
        display_name="Acme Shop",
        country="IE",
        time_zone="Europe/Dublin",
        privacy_contact="privacy@acme.example",
        supervisory_authority="Data Protection Commission, 6 Pembroke Row, Dublin 2, Ireland",
    )


def source_report(
    name: str, title: str, location: Location, maps: Sequence[CollectionMap], **more: Any
) -> SourceReport:
    """A source with these collections."""
    return SourceReport(
        SourceInstructions(
            data_source=DataSource(
                name=name, display_name=title, location=location, custody=DataSource.CUSTODY_OPERATOR
            ),
            map=SourceMap(source=name, collections=maps),
            retentions=more.pop("retentions", ()),
        ),
        **more,
    )


def collection_map(collection: str, title: str, **more: Any) -> CollectionMap:
    """A collection on a contract, provided by the person, unless told otherwise."""
    told: dict[str, Any] = {
        "purposes": ["To deliver what you ordered"],
        "category": "Order data",
        "retention": "Six years after the order",
        "lawful_basis": LawfulBasis.LAWFUL_BASIS_CONTRACT,
        "origin": Origin.ORIGIN_PROVIDED,
    }
    return CollectionMap(collection=collection, title=title, **(told | more))


DUBLIN = Location(provider="Amazon Web Services", site="Dublin", country="IE")
LONDON = Location(provider="Rackspace", site="London", country="GB")
FRANKFURT = Location(provider="Amazon Web Services", site="Frankfurt", country="DE")


def report(sources: Sequence[SourceReport] | None = None, **more: Any) -> Report:
    """The facts of a request."""
    told: dict[str, Any] = {
        "request": "partners/acme/accessRequests/7a1f3c52-93d4-4c1e-8a51-0b9a3f6f2d11",
        "received_time": NOW - timedelta(days=11),
        "create_time": NOW - timedelta(days=10),
        "package_time": NOW,
        "partner": partner(),
        "capacity": RequesterCapacity.REQUESTER_CAPACITY_SELF,
        "data_map_revision": 7,
        "sources": shop() if sources is None else sources,
        "identities": [
            ResolvedIdentity(type="email", value="ann.walsh@example.com", followed=True),
            ResolvedIdentity(
                type="customer_number",
                value="C-20417",
                source=SHOP,
                collection="public.customers",
                hops=1,
                followed=True,
            ),
            _found("phone", "+353 1 496 0123"),
        ],
        "operator": "Example Agency",
        "operator_contact": "dpo@agency.example",
    }
    return Report(**(told | more))


def _found(type: str, value: str, *, followed: bool = False) -> ResolvedIdentity:
    return ResolvedIdentity(
        type=type, value=value, source=SHOP, collection="public.customers", hops=1, followed=followed
    )


def shop() -> list[SourceReport]:
    """The sources of the example."""
    hold = Retention(
        collection="public.invoices",
        reason="eu-gdpr:JustificationA17LegallyRequired",
        legal_reference="Taxes Consolidation Act 1997, s. 886",
    )
    hold.review_time.CopyFrom(Timestamp(seconds=int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())))
    third = FieldMap(field="agent_notes", third_party=True)
    score = FieldMap(field="loyalty_score", origin=Origin.ORIGIN_DERIVED)
    return [
        source_report(
            SHOP,
            "Shop database",
            DUBLIN,
            [
                collection_map(
                    "public.customers",
                    "Customer account",
                    purposes=["To run your account", "To reach you about your orders"],
                    category="Contact data",
                    retention="As long as you have an account, and one year after",
                    fields=[score],
                ),
                collection_map(
                    "public.orders",
                    "Orders",
                    recipients=["DHL Express (Ireland) Ltd, for delivery", "Stripe Payments Europe Ltd, for payment"],
                ),
                collection_map(
                    "public.invoices",
                    "Invoices",
                    category="Billing data",
                    lawful_basis=LawfulBasis.LAWFUL_BASIS_LEGAL_OBLIGATION,
                    recipients=["Revenue Commissioners, on demand"],
                ),
                collection_map(
                    "public.messages",
                    "Messages to support",
                    purposes=["To answer you"],
                    category="Correspondence",
                    retention="Two years after the last message",
                    fields=[third],
                ),
                collection_map(
                    "public.events",
                    "Visits to the shop",
                    purposes=["To find faults", "To recommend articles"],
                    category="Usage data",
                    origin=Origin.ORIGIN_OBSERVED,
                    lawful_basis=LawfulBasis.LAWFUL_BASIS_CONSENT,
                    automated_decisions="Articles are recommended by what you looked at. This changes what you see "
                    "first, never prices or terms.",
                    retention="13 months",
                ),
                collection_map("public.reviews", "Reviews", category="Content you published"),
            ],
            retentions=[hold],
            searched_by=["email", "customer_number"],
            snapshot_time=NOW - timedelta(days=9),
        ),
        source_report(
            FILES,
            "Letters and pictures",
            LONDON,
            [
                collection_map(
                    "letters",
                    "Letters",
                    purposes=["To keep what we wrote to each other"],
                    category="Correspondence",
                    transfer_safeguards="United Kingdom: adequacy decision of the European Commission (renewed 19 "
                    "December 2025).",
                ),
                collection_map("avatars", "Profile pictures", category="Pictures"),
            ],
            searched_by=["customer_number"],
            snapshot_time=NOW - timedelta(days=9),
        ),
        source_report(
            MAIL,
            "Newsletter",
            FRANKFURT,
            [collection_map("subscribers", "Newsletter subscriptions", category="Contact data")],
            searched_by=[],
        ),
    ]


def shop_parts(events: int = 412) -> list[Part]:
    """What was found in them."""
    return [
        part(
            SHOP,
            "public.customers",
            [
                ("id", "integer"),
                ("customer_number", "string"),
                ("full_name", "string"),
                ("email", "string"),
                ("phone", "string"),
                ("born", "date"),
                ("newsletter", "boolean"),
                ("preferences", "object"),
                ("loyalty_score", "number"),
                ("created_time", "datetime"),
            ],
            [
                {
                    "id": 20417,
                    "customer_number": "C-20417",
                    "full_name": "Ann Walsh",
                    "email": "ann.walsh@example.com",
                    "phone": "+353 1 496 0123",
                    "born": "1984-05-17",
                    "newsletter": False,
                    "preferences": {
                        "language": "en-IE",
                        "sizes": {"shoes": 39, "shirts": "M"},
                        "topics": ["hiking", "tea"],
                    },
                    "loyalty_score": 71.5,
                    "created_time": "2019-02-11T08:15:42Z",
                }
            ],
        ),
        part(
            SHOP,
            "public.orders",
            [
                ("order_number", "string"),
                ("placed_time", "datetime"),
                ("state", "string"),
                ("total", "number"),
                ("currency", "string"),
                ("items", "array"),
                ("gift_note", "string"),
            ],
            [
                {
                    "order_number": f"2026-{i:05}",
                    "placed_time": f"2026-0{i % 9 + 1}-1{i % 10}T1{i % 10}:30:0{i % 10}Z",
                    "state": ("delivered", "returned", "delivered")[i % 3],
                    "total": 19.9 + i * 7,
                    "currency": "EUR",
                    "items": [
                        {"article": "Boots", "quantity": 1},
                        {"article": "Tea, 250 g", "quantity": 2 + i},
                    ],
                    "gift_note": "Happy birthday! " * 40 if i == 2 else None,
                }
                for i in range(6)
            ],
            key=["order_number"],
        ),
        part(
            SHOP,
            "public.invoices",
            [("invoice", "string"), ("issued", "date"), ("amount", "number"), ("billing_address", "string")],
            [
                {
                    "invoice": f"R-{7000 + i}",
                    "issued": f"2026-03-0{i + 1}",
                    "amount": 26.9,
                    "billing_address": "Ann Walsh\n14 Harbour Road\nHowth, Co. Dublin",
                }
                for i in range(3)
            ],
            key=["invoice"],
        ),
        part(
            SHOP,
            "public.messages",
            [("id", "integer"), ("sent_time", "datetime"), ("subject", "string"), ("body", "string")],
            [
                {
                    "id": 1,
                    "sent_time": "2026-04-02T17:03:00Z",
                    "subject": "<script>alert(1)</script>",
                    "body": "Bonjour, je n’ai rien reçu.\n\nمرحبا بالعالم \u202egnp.exe\u202c and\x00 a NUL",
                },
                {"id": 2, "sent_time": "2026-04-03T09:00:00Z", "subject": "Re: your order", "body": None},
            ],
            withheld=["agent_notes"],
        ),
        part(
            SHOP,
            "public.events",
            [("time", "datetime"), ("page", "string"), ("device", "string")],
            [
                {
                    "time": f"2026-10-{i % 28 + 1:02}T{i % 24:02}:00:00Z",
                    "page": f"/articles/walking-boots-{i}",
                    "device": "Phone",
                }
                for i in range(events)
            ],
            key=[],
        ),
        part(
            FILES,
            "letters",
            FILE_FIELDS,
            [
                file_row("letters/C-20417/2026 Äpfel.pdf", b"%PDF-1.7 a letter" * 900, "application/pdf"),
                file_row("letters/C-20417/page.html", b"<script>alert(1)</script>", "text/html"),
                file_row("letters/C-20417/empty.txt", b"", "text/plain"),
            ],
            key=["path"],
        ),
    ]

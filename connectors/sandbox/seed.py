"""What a sandbox begins with: the same records, every time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import yaml
from dsr.connector.v1 import connector_pb2 as pb

from connectors.copying import Shape

DOMAIN = "sandbox.example"
Row = dict[str, Any]
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ITEMS = ("lamp", "kettle", "rug", "chair")


def _read(name: str) -> Any:
    return yaml.safe_load(resources.files(__package__).joinpath(name).read_text())


_SHOP = _read("shop.yaml")
TRIGGERS: Mapping[str, Mapping[str, Any]] = _read("triggers.yaml")
"""People for whom things go wrong, by the part of their address before the @."""
PEOPLE: Mapping[str, Row] = _SHOP["people"]
"""Ordinary people, in the same way."""


@dataclass(frozen=True)
class Kind:
    """A collection: its fields, and by which of them a person is known."""

    name: str
    shape: Shape
    identities: Mapping[str, str]
    """Field to type of identity; every one is unique."""
    people: bool
    flags: Mapping[str, str]
    """Flag to field: a boolean."""
    amendable: Sequence[str]

    def described(self) -> pb.Collection:
        """As Describe says it."""
        return pb.Collection(
            name=self.name,
            fields=self.shape.fields,
            primary_key=self.shape.primary_key,
            identity_fields=[
                pb.IdentityField(field=field, type=kind, match=pb.IdentityField.MATCH_EXACT, unique=True)
                for field, kind in self.identities.items()
            ],
            people=self.people,
            flags=[pb.Flag(name=n, field=f, set_value="true", clear_value="false") for n, f in self.flags.items()],
            no_personal_data=not self.identities,
            record_estimate=-1,
        )


def _kind(name: str, told: Mapping[str, Any]) -> Kind:
    amendable = told.get("amendable", ())
    fields = [
        pb.Field(name=field, type=type_, nullable=field != "id", amendable=field in amendable)
        for field, type_ in told["fields"].items()
    ]
    people, flags = bool(told.get("people")), told.get("flags", {})
    return Kind(name, Shape(fields, ["id"]), told["identities"], people, flags, amendable)


KINDS: Mapping[str, Kind] = {name: _kind(name, told) for name, told in _SHOP["collections"].items()}


def rows(begun: datetime) -> Iterator[tuple[str, Row]]:
    """Every record, with its collection. `begun`: the sandbox's time; people were last used that long before."""
    number = 1000
    unlucky = {name: _unlucky(name, told) for name, told in TRIGGERS.items() if name != "notfound"}
    for who, told in {**PEOPLE, **unlucky}.items():
        for twin in range(2 if who == "ambiguous" else 1):
            number += 1
            name = f"{told['name']}{' II' * twin}"
            yield from _person(f"{who}@{DOMAIN}", f"S-{number}", {**told, "name": name}, begun)
    for index, item in enumerate(_ITEMS):
        yield "products", {"id": f"products-{index}", "item": item}


def _unlucky(who: str, trigger: Mapping[str, Any]) -> Row:
    told = {
        "name": f"{who.title()} Sample",
        "country": "IE",
        "orders": 2,
        "invoices": int(who == "legalhold"),
        "logs": 3,
    }
    return {**told, "last_login": trigger.get("last_login")}


def _person(email: str, number: str, told: Row, begun: datetime) -> Iterator[tuple[str, Row]]:
    days = told["last_login"]
    yield (
        "customers",
        {
            "id": number,
            "customer_number": number,
            "email": email,
            "name": told["name"],
            "phone": f"+3531{number[2:]:0>7}",
            "country": told["country"],
            "birth_date": "1990-01-01",
            "last_login_time": None if days is None else (begun - timedelta(days=days)).isoformat(),
            "restricted": False,
            "no_offers": False,
        },
    )
    for index in range(told.get("orders", 0)):
        yield "orders", order(number, index)
    for index in range(told.get("invoices", 0)):
        yield "invoices", _one(number, "invoices", index, invoice_time=_time(index), total=49.5)
    for index in range(told.get("tickets", 0)):
        text = {"subject": "Where is my parcel?", "text": f"This is {told['name']}. It isn't here yet."}
        yield "tickets", {"id": f"tickets-{number}-{index}", "email": email, "open_time": _time(index), **text}
    for index in range(told.get("reviews", 0)):
        yield "reviews", review(number, index, told["name"])
    for index in range(told.get("logs", 0)):
        where = {"ip": f"192.0.2.{index % 250}", "path": f"/products/{_ITEMS[index % 4]}"}
        yield "logs", _one(number, "logs", index, log_time=_time(index), **where)


def order(number: str, index: int) -> Row:
    """An order of a customer."""
    return _one(number, "orders", index, order_time=_time(index), item=_ITEMS[index % 4], total=49.5)


def review(number: str, index: int, author: str) -> Row:
    """A review of a customer."""
    return _one(number, "reviews", index, author=author, text="As described.")


def _one(number: str, collection: str, index: int, **fields: Any) -> Row:
    return {"id": f"{collection}-{number}-{index}", "customer_number": number, **fields}


def _time(index: int) -> str:
    return (_BEGIN - timedelta(hours=7 * index)).isoformat()

"""A wrong declaration is refused where it is wrong, with the reason and the next step, and without its values."""

from typing import Any

import pytest

from connectors.postgres.options import PostgresOptions, address
from connectors.relational.build import build
from connectors.relational.catalogue import Catalogue, Column, ForeignKey, Index, Table, Trigger
from connectors.relational.declaration import parse
from connectors.relational.model import Model
from connectors.relational.sql import Sql
from dsrkit.errors import DsrError

DSN = "postgresql://dsr:hunter2@127.0.0.1/shop"


def column(name: str, family: Any = "integer", *, nullable: bool = False) -> Column:
    return Column(name, family, Sql(family), family, "native", "integer", nullable)


def table(name: str, *columns: Column, key: bool = True, **more: Any) -> Table:
    schema, _, short = name.partition(".")
    index = Index((columns[0].name,), unique=True, primary=True, partial=False)
    return Table(schema, short, "table", columns, columns[:1], key, (index,) if key else (), **more)


CATALOGUE = Catalogue(
    {
        t.full_name: t
        for t in (
            table("public.people", column("id"), column("email", "text"), column("tenant")),
            table(
                "public.orders", column("id"), column("person"), triggers=(Trigger("audit", "trigger", ("DELETE",)),)
            ),
            table("public.logs", column("person"), column("at", "other"), key=False),
            Table("public", "report", "materialized view", (column("id"),), (), False),
        )
    },
    (ForeignKey("orders_person_fkey", "public.orders", ("person",), "public.people", ("id",)),),
)


def options(**more: Any) -> PostgresOptions:
    return parse(PostgresOptions, {"dsn": DSN, **more})


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "options"),
        ({"dsn": DSN, "dsn_file": "/x"}, "options"),
        ({"dsn": DSN, "colections": {}}, "options.colections"),
        ({"dsn": DSN, "scope": {}}, "options.scope"),
        ({"dsn": DSN, "scope": {"tenant": None}}, "options.scope.tenant"),
        ({"dsn": DSN, "lock_timeout": 0}, "options.lock_timeout"),
        ({"dsn": DSN, "max_records_per_subject": -1}, "options.max_records_per_subject"),
        ({"dsn": DSN, "journal_schema": 'x"; DROP'}, "options.journal_schema"),
        ({"dsn": DSN, "collections": {"public.people": {"peeple": True}}}, "options.collections.public.people.peeple"),
        (
            {"dsn": DSN, "collections": {"a.b": {"identity": {"e": {"type": "E-Mail"}}}}},
            "options.collections.a.b.identity.e.type",
        ),
        (
            {"dsn": DSN, "collections": {"a.b": {"identity": {"e": {"type": "email", "match": "fuzzy"}}}}},
            "options.collections.a.b.identity.e.match",
        ),
        (
            {"dsn": DSN, "collections": {"a.b": {"identity": {"e": {"type": "email", "region": "GB"}}}}},
            "options.collections.a.b.identity.e",
        ),
        (
            {"dsn": DSN, "collections": {"a.b": {"references": {"x": "MINE"}}}},
            "options.collections.a.b.references.x.ownership",
        ),
        (
            {"dsn": DSN, "collections": {"a.b": {"references": {"x": {"ownership": "OWNED", "columns": ["c"]}}}}},
            "options.collections.a.b.references.x",
        ),
        ({"dsn": DSN, "collections": {"a.b": {"no_personal_data": True, "people": True}}}, "options.collections.a.b"),
    ],
)
def test_options_that_can_not_be_are_refused_at_their_path(given: dict[str, Any], path: str) -> None:
    with pytest.raises(DsrError) as caught:
        parse(PostgresOptions, given)
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"].startswith(path)
    assert "hunter2" not in str(caught.value)


def built(collections: dict[str, Any], **more: Any) -> Model:
    return build(CATALOGUE, options(collections=collections, **more), "partners/p/dataSources/s")


@pytest.mark.parametrize(
    ("collections", "more", "path"),
    [
        ({"public.persons": {}}, {}, "collections.public.persons"),
        ({"public.report": {}}, {}, "collections.public.report"),
        ({"public.people": {"identity": {"mail": {"type": "email"}}}}, {}, "collections.public.people.identity.mail"),
        ({"public.logs": {"identity": {"at": {"type": "email"}}}}, {}, "collections.public.logs.identity.at"),
        ({"public.logs": {"people": True}}, {}, "collections.public.logs.people"),
        ({"public.orders": {"acknowledged": ["audti"]}}, {}, "collections.public.orders.acknowledged"),
        ({"public.orders": {"soft_delete": "gone"}}, {}, "collections.public.orders.soft_delete"),
        ({"public.orders": {"references": {"nope": "OWNED"}}}, {}, "collections.public.orders.references.nope"),
        (
            {"public.orders": {"references": {"orders_person_fkey": "OWNED"}}},
            {},
            "collections.public.orders.references.orders_person_fkey",
        ),
        (
            {
                "public.people": {},
                "public.logs": {
                    "references": {
                        "p": {
                            "columns": ["x"],
                            "target": "public.people",
                            "target_columns": ["id"],
                            "ownership": "OWNED",
                        }
                    }
                },
            },
            {},
            "collections.public.logs.references.p.columns",
        ),
        ({}, {"schemas": ["pubic"]}, "schemas"),
        ({}, {"scope": {"tenant_id": 1}}, "scope.tenant_id"),
        ({"public.people": {}}, {"scope": {"tenant": "one"}}, "scope.tenant"),
        (
            {"public.orders": {"identity": {"person": {"type": "customer_number"}}}},
            {"scope": {"tenant": 1}},
            "collections.public.orders.identity",
        ),
        ({"public.orders": {"scope_via": "nope"}}, {"scope": {"tenant": 1}}, "collections.public.orders.scope_via"),
        (
            # A number that two partners' people may share says nothing of whose a row is.
            {
                "public.people": {},
                "public.logs": {
                    "references": {
                        "p": {
                            "columns": ["person"],
                            "target": "public.people",
                            "target_columns": ["tenant"],
                            "ownership": "OWNED",
                        }
                    },
                    "scope_via": "p",
                },
            },
            {"scope": {"tenant": 1}},
            "collections.public.logs.scope_via",
        ),
    ],
)
def test_a_declaration_that_does_not_fit_the_database_is_refused_at_its_path(
    collections: dict[str, Any], more: dict[str, Any], path: str
) -> None:
    with pytest.raises(DsrError) as caught:
        built(collections, **more)
    assert caught.value.reason == "SOURCE_REJECTED"
    assert caught.value.metadata["why"].startswith(f"options.{path}:")


def codes(model: Model) -> set[tuple[str, str]]:
    return {(finding.code, finding.collection.removeprefix("public.")) for finding in model.findings}


def test_what_is_not_declared_is_a_finding_and_not_silence() -> None:
    model = built({"public.people": {"identity": {"email": {"type": "email"}}}})
    undeclared = {("UNDECLARED_COLLECTION", name) for name in ("orders", "logs", "report")}
    assert codes(model) == undeclared | {("IDENTITY_NOT_INDEXED", "people")}


def test_undecided_references_triggers_and_dead_ends_block() -> None:
    model = built({"public.people": {"identity": {"email": {"type": "email"}}}, "public.orders": {}, "public.logs": {}})
    blocking = {(f.code, f.collection.removeprefix("public.")) for f in model.findings if f.blocks}
    assert blocking == {
        ("UNDECIDED_REFERENCE", "orders"),
        ("UNDECIDED_REFERENCE", "people"),
        ("TRIGGER", "orders"),
        ("NO_IDENTITY", "logs"),
        ("UNDECLARED_COLLECTION", "report"),
    }


@pytest.mark.parametrize(
    ("dsn", "verified"),
    [
        ("postgresql://u@127.0.0.1/d", False),
        ("postgresql://u@localhost:5433/d", False),
        ("postgresql://u@[::1]:5432/d", False),
        ("postgresql://u@/d?host=/run/postgresql", False),
        ("postgresql://u@db.example/d", True),
        ("postgresql://u:p%40ss@db.example:5432/d?sslmode=verify-full", True),
        ("postgresql://u@127.0.0.1,db.example/d", True),
    ],
)
def test_a_connection_leaves_this_machine_verified_or_not_at_all(dsn: str, verified: bool) -> None:
    found = address(parse(PostgresOptions, {"dsn": dsn}), "s")
    assert found.verified is verified
    assert (found.tls is False) is not verified
    assert "ss@" not in repr(found)


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
@pytest.mark.policy("P10", "an unverified connection to a database on another machine is refused")
def test_a_weaker_connection_is_refused(mode: str) -> None:
    with pytest.raises(DsrError) as caught:
        address(parse(PostgresOptions, {"dsn": f"postgresql://u:hunter2@db.example/d?sslmode={mode}"}), "s")
    assert caught.value.reason == "BACKEND_UNENCRYPTED"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["mysql://u@h/d", "postgresql://h/d", "postgresql://u@h", "postgresql://u@/d"])
def test_an_address_names_everything_itself(dsn: str) -> None:
    with pytest.raises(DsrError) as caught:
        address(parse(PostgresOptions, {"dsn": dsn}), "s")
    assert caught.value.metadata["field"] == "options.dsn"

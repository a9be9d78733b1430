"""A connector that isn't ours, in another language, keeps the whole contract, and serves the whole platform."""

import asyncio
import io
import json
import secrets
import socket
import ssl
import sys
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
import yaml
from dsr.conformance.check import Verdict
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant
from dsr.v1 import connectors_pb2, erasure_pb2, governance_pb2

from deploy.local.postgres import Cluster
from tests.conformance.harness import Client, Keys, connect, delete, person, reason
from tests.servers.typescript_connector import ANN, JOANN, Shop, built, check, content, run
from tests.support.contract import CONTRACT
from tests.support.pki import Authority
from tests.support.services import PARTNER, World, collection_map, data_map, open_world, state

SOURCE = f"{PARTNER}/dataSources/webshop"
NAME = "shop.acme.example"
COLLECTIONS = ("customers", "orders", "newsletter")
ERASE, EXPORT = Grant.OPERATION_ERASE, Grant.OPERATION_EXPORT


@pytest.fixture(scope="module")
def main() -> Path:
    return built()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys.make(tmp_path)


@pytest.fixture
def shop(keys: Keys) -> Shop:
    return Shop.make(keys.folder, SOURCE, "grants.json", content(ANN, JOANN))


# The contract -------------------------------------------------------------------------------------------------------


LATER = ("amend.", "count.", "destroy.", "inactive.", "return.")
"""Rules of capabilities that came later, which it doesn't declare."""


@pytest.mark.parametrize("orders", ["DELETE", "RETAIN", {"anonymise": {"item": "removed", "gift_for": None}}], ids=str)
async def test_typescript_keeps_the_contract(
    main: Path, keys: Keys, shop: Shop, orders: object, record_property: Callable[[str, object], None]
) -> None:
    shop.write(content(JOANN, ANN))
    material = {
        "present": {"identities": {"customer_number": "70"}, "records": dict.fromkeys(COLLECTIONS[:2], 1)},
        "absent": {"identities": {"email": "nobody@example.com", "customer_number": "404"}},
        "disposable": {
            "identities": {"email": "ANN@example.com"},
            "records": {"customers": 1, "orders": 2, "newsletter": 1},
            "instructions": {"orders": orders},
        },
        "unreachable": f"{SOURCE}-down",
    }
    (keys.folder / "material.yaml").write_text(yaml.safe_dump(material))
    # What is to be done with the orders matters to an erasure only.
    only = () if isinstance(orders, dict) else ("--only", "erase.", "--only", "verify.")
    async with run(main, shop) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dsr.conformance", "--json", "--target", running.target, "--source", SOURCE),
            *("--credential", str(keys.folder / "erasure.json"), "--grant-key", str(keys.folder / "grant-key.json")),
            *("--material", str(keys.folder / "material.yaml"), *only),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    results = json.loads(output)
    for result in results:
        record_property(CONTRACT, ("typescript", result["rule"], Verdict[result["verdict"]].value))
    assert [r for r in results if r["verdict"] not in ("HOLDS", "NOT_APPLICABLE")] == []
    assert process.returncode == 0
    # It declares what a connector of the first day could, so that of that only the rules for what isn't declared have
    # nothing to apply to; and with the orders retained there is one record of each kind to touch, for which there is
    # no smaller cap but 0.
    undeclared = {"erase.undeclared", "erase.undeclared-anonymise", "verify.undeclared"}
    undeclared |= set() if only else {"export.undeclared"}
    small = {"erase.cap"} if orders == "RETAIN" else set()
    idle = {r["rule"] for r in results if r["verdict"] == "NOT_APPLICABLE"}
    assert {rule for rule in idle if not rule.startswith(LATER)} == undeclared | small
    log = "".join(running.lines)
    assert '"rpc":"Erase"' in log
    assert not any(name in log for name in ("ann", "ANN", "Ann", '"70"')), "the log names somebody"


# What the suite can't see: the process dies, calls overlap, caps of its own -----------------------------------------


@pytest.fixture
async def client(main: Path, keys: Keys, shop: Shop) -> AsyncIterator[Client]:
    async with run(main, shop) as running, connect(keys, running.target, SOURCE) as opened:
        yield opened


async def wanted(client: Client, subject: pb.Subject) -> pb.EraseSubject:
    (located,) = await client.located(subject)
    return pb.EraseSubject(subject=subject, expected=located.collections)


async def refused(call: object) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return reason(caught.value)


def counts(erased: pb.Erased) -> dict[str, tuple[int, int, int]]:
    return {c.collection: (c.deleted, c.anonymised, c.retained) for c in erased.collections}


async def test_after_kill_nine_the_journal_still_knows(main: Path, keys: Keys, shop: Shop) -> None:
    ann = person("a", email="ann@example.com")
    instructions = [delete(name) for name in COLLECTIONS]
    async with run(main, shop) as running, connect(keys, running.target, SOURCE) as client:
        subject = await wanted(client, ann)
        (erased,) = await client.erase(client.grant(ERASE, *instructions, attempt=2), subject)
        assert erased.outcome == pb.Erased.OUTCOME_ERASED
        await running.kill()
    assert shop.read() == content(JOANN)
    async with run(main, shop) as running, connect(keys, running.target, SOURCE) as client:
        older = client.grant(ERASE, *instructions, attempt=1)
        assert await refused(client.erase(older, subject)) == ("ABORTED", "ATTEMPT_SUPERSEDED")
        (again,) = await client.erase(client.grant(ERASE, *instructions, attempt=3), subject)
        assert again.outcome == pb.Erased.OUTCOME_REPLAYED
        assert counts(again) == counts(erased) == {"customers": (1, 0, 0), "orders": (2, 0, 0), "newsletter": (1, 0, 0)}
    assert shop.read() == content(JOANN)


async def test_a_refused_attempt_is_remembered_though_nobody_was_erased(main: Path, keys: Keys, shop: Shop) -> None:
    nobody = person("n", email="nobody@example.com")
    changed = pb.EraseSubject(subject=nobody, expected=[pb.CollectionCount(collection="orders", records=1)])
    for attempt, answer in ((7, ""), (6, "ATTEMPT_SUPERSEDED"), (7, "")):
        async with run(main, shop) as running, connect(keys, running.target, SOURCE) as client:
            call = client.erase(client.grant(ERASE, delete("orders"), attempt=attempt), changed)
            if answer:
                assert (await refused(call))[1] == answer
            else:
                assert [one.outcome for one in await call] == [pb.Erased.OUTCOME_CHANGED]


async def test_a_newer_attempt_doesnt_wait_for_a_reader_that_doesnt_read(client: Client, shop: Shop) -> None:
    letters = {
        "orders": [{"id": f"l{n}", "customer_number": "7", "item": "x" * 1_000_000, "total": 1} for n in range(40)]
    }
    shop.write(content(ANN, letters, JOANN))
    ann = person("a", email="ann@example.com")

    def request(attempt: int) -> pb.ExportRequest:
        grant = client.grant(EXPORT, *(delete(name) for name in COLLECTIONS), attempt=attempt)
        return pb.ExportRequest(grant=client.keys.sign(grant), subject=ann)

    older = client.stub.Export(request(1), metadata=client.metadata, timeout=20)
    await older.read()
    newer = [m async for m in client.stub.Export(request(2), metadata=client.metadata, timeout=20)]
    assert newer[-1].totals.records == 44
    assert max(len(m.data) for m in newer) <= 1 << 20

    async def rest() -> None:
        while await older.read() is not grpc.aio.EOF:
            pass

    assert await refused(rest()) == ("ABORTED", "ATTEMPT_SUPERSEDED")


async def test_the_person_is_more_than_the_one_name_that_was_given(client: Client) -> None:
    by_email = (await client.located(person("a", email="ANN@EXAMPLE.COM")))[0]
    assert {c.collection: c.records for c in by_email.collections} == {"customers": 1, "orders": 2, "newsletter": 1}
    by_number = (await client.located(person("a", customer_number="7")))[0]
    assert {c.collection: c.records for c in by_number.collections} == {"customers": 1, "orders": 2}
    assert ("email", "ann@example.com") in {
        (i.identity.type, i.identity.value) for i in by_number.identities if i.unique
    }


async def test_orders_that_stay_behind_are_found_by_the_anchors(client: Client) -> None:
    ann = person("a", email="ann@example.com")
    messages = await client.locate(ann, with_anchors=True)
    anchors = [m.anchors for m in messages if m.HasField("anchors")]
    subject = pb.EraseSubject(subject=ann, expected=messages[-1].located.collections)
    (erased,) = await client.erase(client.grant(ERASE, delete("customers"), delete("newsletter")), subject)
    assert erased.outcome == pb.Erased.OUTCOME_ERASED
    # The number that leads from the e-mail address to the orders is gone with the customer.
    instructions = [delete(name) for name in COLLECTIONS]
    (blind,) = await client.verify(instructions, pb.VerifySubject(subject=ann))
    assert not blind.remnants
    (verified,) = await client.verify(instructions, pb.VerifySubject(subject=ann, anchors=anchors))
    left = {r.collection: (r.explained, r.unexplained, list(r.fields)) for r in verified.remnants}
    assert left == {"orders": (0, 2, ["customer_number", "id"])}


async def test_anonymised_records_are_explained_only_while_they_are(client: Client, shop: Shop) -> None:
    ann = person("a", email="ann@example.com")
    rule = CollectionInstruction(collection="orders", action=CollectionInstruction.ACTION_ANONYMISE, cap=9)
    rule.anonymise.add(field="gift_for")
    rule.anonymise.add(field="item", constant='"removed"')
    (erased,) = await client.erase(client.grant(ERASE, rule), await wanted(client, ann))
    assert counts(erased) == {"orders": (0, 2, 0)}
    assert [(o["item"], o["gift_for"], o["total"]) for o in shop.read()["orders"][:2]] == [
        ("removed", None, 9.5),
        ("removed", None, 12),
    ]
    for change, expected in (("removed", (2, 0)), ("tea again", (1, 1))):
        collections = shop.read()
        collections["orders"][0]["item"] = change
        shop.write(collections)
        (verified,) = await client.verify([rule], pb.VerifySubject(subject=ann))
        (orders,) = [r for r in verified.remnants if r.collection == "orders"]
        assert (orders.explained, orders.unexplained) == expected


@pytest.mark.parametrize(
    ("field", "constant"),
    [("id", '"x"'), ("total", None), ("total", '"nine"'), ("item", "{"), ("nothing", None), ("", None)],
)
async def test_what_cant_be_anonymised_is_refused_before_anything_is_done(
    client: Client, shop: Shop, field: str, constant: str | None
) -> None:
    rule = CollectionInstruction(collection="orders", action=CollectionInstruction.ACTION_ANONYMISE, cap=9)
    if field:
        rule.anonymise.add(field=field, constant=constant)
    subject = await wanted(client, person("a", email="ann@example.com"))
    call = client.erase(client.grant(ERASE, rule, delete("customers")), subject)
    assert await refused(call) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert shop.read() == content(ANN, JOANN)


async def test_its_own_caps_hold_whatever_the_grant_says(main: Path, keys: Keys, shop: Shop) -> None:
    shop.config["sources"][SOURCE] |= {"maxRecordsPerSubject": 3, "maxPeoplePerDay": 1}
    instructions = [delete(name, cap=1_000_000) for name in COLLECTIONS]
    async with run(main, shop) as running, connect(keys, running.target, SOURCE) as client:
        assert (await client.describe()).max_records_per_subject == 3
        ann, joann = [await wanted(client, person(n, email=f"{n}@example.com")) for n in ("ann", "joann")]
        (capped,) = await client.erase(client.grant(ERASE, *instructions, task="t1"), ann)
        assert capped.outcome == pb.Erased.OUTCOME_CAP_EXCEEDED
        (erased,) = await client.erase(client.grant(ERASE, *instructions, task="t2"), joann)
        assert erased.outcome == pb.Erased.OUTCOME_ERASED
        fewer = client.grant(ERASE, delete("newsletter"), task="t3")
        assert await refused(client.erase(fewer, ann)) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert shop.read() == content(ANN)
        # Whoever was erased is answered all the same.
        (again,) = await client.erase(client.grant(ERASE, *instructions, task="t2", attempt=2), joann)
        assert again.outcome == pb.Erased.OUTCOME_REPLAYED


@pytest.mark.parametrize("text", ["", '{"collections": {"customers": [{"email": "ann@example.com"'])
async def test_a_broken_store_is_no_empty_store_and_isnt_quoted(client: Client, shop: Shop, text: str) -> None:
    shop.store.write_text(text)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.located(person("a", email="ann@example.com"))
    assert reason(caught.value) == ("DATA_LOSS", "SOURCE_INCONSISTENT")
    assert "ann" not in str(caught.value)


# TLS ----------------------------------------------------------------------------------------------------------------


async def test_outside_loopback_it_starts_with_tls_only(main: Path, shop: Shop) -> None:
    shop.config["listen"] = "0.0.0.0:0"
    code, errors = await check(main, shop)
    assert (code, "tls is required" in errors) == (2, True)


async def test_mutual_tls_with_256_bits(main: Path, keys: Keys, shop: Shop) -> None:
    tls = Authority().files(keys.folder, "connector", "127.0.0.1")
    shop.config |= {
        "listen": "0.0.0.0:0",
        "tls": {"certificate": "connector.pem", "key": "connector.key", "clientCa": "connector-ca.pem"},
    }
    authority = (keys.folder / "connector-ca.pem").read_bytes()
    async with run(main, shop) as running:
        credentials = tls.channel()
        async with grpc.aio.secure_channel(running.target, credentials) as channel:
            assert (await Client(channel, keys, SOURCE).describe()).connector == "example-shop"
        async with grpc.aio.secure_channel(running.target, grpc.ssl_channel_credentials(authority)) as channel:
            assert (await refused(Client(channel, keys, SOURCE).describe()))[0] == "UNAVAILABLE"
        host, port = running.target.split(":")
        for version, ciphers, good in (
            (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", True),
            (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", False),
        ):
            assert await asyncio.to_thread(shakes_hands, (host, int(port)), keys.folder, version, ciphers) is good


def shakes_hands(address: tuple[str, int], folder: Path, version: ssl.TLSVersion, ciphers: str) -> bool:
    context = ssl.create_default_context(cafile=str(folder / "connector-ca.pem"))
    context.maximum_version = version
    context.set_ciphers(ciphers)
    context.load_cert_chain(folder / "connector.pem", folder / "connector.key")
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection(address, 5) as plain:
            with context.wrap_socket(plain, server_hostname=address[0]):
                return True
    except ssl.SSLError:
        return False


# The platform -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def world(postgres: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    name = f"typescript_{secrets.token_hex(6)}"
    postgres.create_database(name)
    tls = Authority("Agency CA").files(tmp_path, "services", "127.0.0.1")
    async with open_world(tmp_path, postgres, name, tls=tls) as opened:
        yield opened
    postgres.drop_database(name)


async def register(world: World, address: str, authority: Authority) -> None:
    """As two people of the partner do it."""
    admin = world.metadata("adam", "ROLE_ADMIN")
    source = governance_pb2.DataSource(
        name=SOURCE,
        display_name="Web shop",
        custody=governance_pb2.DataSource.CUSTODY_PARTNER,
        location=governance_pb2.Location(provider="Acme", site="Dublin", country="IE"),
    )
    request = governance_pb2.CreateDataSourceRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_source=source)
    await world.governance.CreateDataSource(request, metadata=admin)
    identity = governance_pb2.ConnectorIdentity(server_name=NAME, authority=authority.pem)
    change = connectors_pb2.ConnectorChange(source=SOURCE, connector_address=address, connector_identity=identity)
    proposal = await world.connectors.CreateConnectorChange(
        connectors_pb2.CreateConnectorChangeRequest(
            parent=PARTNER, connector_change=change, request_id=str(uuid.uuid4())
        ),
        metadata=admin,
    )
    await world.connectors.ConfirmConnectorChange(
        connectors_pb2.ConfirmConnectorChangeRequest(name=proposal.name, request_id=str(uuid.uuid4())),
        metadata=world.metadata("beth", "ROLE_ADMIN"),
    )
    third_party = governance_pb2.FieldMap(field="gift_for", third_party=True)
    collections = [
        collection_map("customers"),
        collection_map("orders", fields=[third_party]),
        collection_map("newsletter"),
    ]
    revised = data_map()
    revised.sources.append(governance_pb2.SourceMap(source=SOURCE, collections=collections))
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_map=revised),
        metadata=admin,
    )


async def test_the_platform_copies_and_erases_through_it(main: Path, world: World) -> None:
    """Over mutual TLS: the partner's authority names the connector, the operator's the services."""
    shop = Shop.make(world.folder, SOURCE, "grants.jwks", content(ANN, JOANN))
    authority = Authority()
    authority.files(world.folder, "connector", NAME)
    shop.config |= {
        "listen": "0.0.0.0:0",
        "tls": {"certificate": "connector.pem", "key": "connector.key", "clientCa": "services-ca.pem"},
    }
    async with run(main, shop) as running:
        await register(world, running.target, authority)

        done = await world.until("access", (await world.create("access")).name)
        assert state(done) == "COMPLETED"
        with zipfile.ZipFile(io.BytesIO(await world.download("access", done.name))) as archive:
            files = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
        copied = {
            name: [json.loads(line) for line in files[f"data/webshop/{name}.jsonl"].splitlines()]
            for name in COLLECTIONS
        }
        assert copied["customers"] == ANN["customers"]
        assert copied["newsletter"] == ANN["newsletter"]
        withheld = [{k: v for k, v in order.items() if k != "gift_for"} for order in ANN["orders"]]
        assert copied["orders"] == withheld, "somebody else's name is withheld"
        assert b"Uncle Bob" not in b"".join(files.values())

        plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
        planned = {c.collection: c.records for c in plan.plan.collections if c.source == SOURCE}
        assert planned == {"customers": 1, "orders": 2, "newsletter": 1}
        assert shop.read() == content(ANN, JOANN), "a plan touches nothing"
        await world.approve(plan)
        erased = await world.until("erasure", plan.name)
        assert state(erased) == "COMPLETED"
    result = erasure_pb2.ErasureRequest.Outcome.Result.Name
    outcomes = {o.collection: (result(o.result), o.erased) for o in erased.report.outcomes if o.source == SOURCE}
    assert outcomes == {
        "customers": ("RESULT_ERASED", 1),
        "orders": ("RESULT_ERASED", 2),
        "newsletter": ("RESULT_ERASED", 1),
    }
    # The connector's own file: Joann and the products are what they were, and of Ann there is no trace, not even in
    # the journal.
    assert shop.read() == content(JOANN)
    text = shop.store.read_text().lower()
    assert "joann@example.com" in text
    assert not [name for name in ("ann@", '"ann', "uncle bob") if name in text.replace("joann", "")]

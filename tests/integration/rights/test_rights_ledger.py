"""Certificates and the ledger: what was erased is certified once, proved offline, and can't be taken back unnoticed."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from dsr.authority.v1 import authority_pb2
from dsr.authority.v1.authority_pb2_grpc import AuthorityServiceStub
from dsr.credentials import AUTHORITY_AUDIENCE, Credential
from dsr.ledger import Certificate, Checkpoint, LedgerError, VerifierKey, verify_consistency
from dsr.v1 import erasure_pb2, ledger_pb2
from dsr.v1.ledger_pb2_grpc import LedgerServiceStub

from deploy.local.postgres import Cluster
from dsrkit.config import ConfigError
from dsrkit.db import open_pool, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.issuer import PARTNER_ID, make_ledger_key
from dsrkit.tasks import TaskStore
from services.governance.ledger.ledger import Ledger
from services.governance.store import SCHEMA, GovernanceStore
from tests.support.services import PARTNER, World, eventually, reason_of, state

E = erasure_pb2.ErasureRequest


def key(world: World) -> VerifierKey:
    """As a partner has it: from a file, got by another way."""
    return VerifierKey.parse((world.folder / "ledger.vkey").read_text())


def ledgers(world: World) -> Any:
    return LedgerServiceStub(world.channel("governance"))


async def erased(world: World, email: str = "ann@example.com") -> Any:
    plan = await world.until(
        "erasure", (await world.create("erasure", identities=[("email", email)])).name, "PLANNED", "COMPLETED"
    )
    if state(plan) == "PLANNED":
        await world.approve(plan)
    return await world.until("erasure", plan.name)


async def certified(world: World, name: str) -> Any:
    """The request, as soon as it is certified."""
    found: list[Any] = []

    async def there() -> bool:
        found.append(await world.get("erasure", name))
        return bool(found[-1].HasField("certificate"))

    await eventually(there)
    return found[-1]


async def download(world: World, name: str, rpc: str = "Certificate") -> bytes:
    message = getattr(erasure_pb2, f"DownloadErasure{rpc}Request")(name=name)
    call = getattr(world.stub("erasure"), f"DownloadErasure{rpc}")(
        message, metadata=world.metadata("rita", "ROLE_READER")
    )
    return b"".join([part.data async for part in call])


async def now(world: World) -> Any:
    return await ledgers(world).GetLedger(ledger_pb2.GetLedgerRequest(), metadata=world.metadata("rita", "ROLE_READER"))


async def certify(world: World, name: str, digest: bytes, service: str = "erasure") -> Any:
    credential = Credential.load(world.folder / f"{service}.json")
    metadata = (("authorization", f"Bearer {credential.token(AUTHORITY_AUDIENCE)}"),)
    message = authority_pb2.CertifyRequest(request=name, document_sha256=digest)
    return await AuthorityServiceStub(world.channel("governance")).Certify(message, metadata=metadata)


async def owned(world: World, postgres: Cluster) -> asyncpg.Connection:
    """As whoever owns the database, and may do what no service may."""
    return await asyncpg.connect(postgres.dsn(urlsplit(world.dsn("governance")).path.removeprefix("/")))


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@pytest.fixture
async def ledger(world: World) -> AsyncIterator[tuple[Ledger, GovernanceStore]]:
    """The same ledger through a connection of the service's own role."""
    async with open_pool(world.dsn("governance"), SCHEMA) as pool:
        store = GovernanceStore(pool, TaskStore(pool, SCHEMA))
        yield world.ledger(store), store


@pytest.mark.policy(
    "P5", "what was erased is certified: a document, and the proof that the ledger has it, checked offline"
)
async def test_an_erasure_is_certified_and_proved_offline(world: World) -> None:
    assert (await now(world)).size == 0
    done = await certified(world, (await erased(world)).name)
    whole = await download(world, done.name)
    found = Certificate.parse(whole).verify(key(world))
    assert (found.index, found.origin) == (done.certificate.number, done.certificate.ledger)
    assert found.document["name"] == done.name
    assert found.document["state"] == "REQUEST_STATE_COMPLETED"
    assert {o["result"] for o in found.document["report"]["outcomes"]} == {"RESULT_ERASED", "RESULT_RETAINED"}
    assert b"ann@" not in whole
    # It is the report, but for the name of the partner's officer, which stands nowhere in the clear.
    report = json.loads(await download(world, done.name, "Report"))
    assert found.document["report"] == {k: v for k, v in report["report"].items() if k != "partnerDpo"}
    assert (await now(world)).verifier_key == str(key(world))


async def test_the_ledger_only_grows(world: World) -> None:
    first = await certified(world, (await erased(world)).name)
    before = Checkpoint.verify((await now(world)).checkpoint, key(world))
    for email in ("joann@example.com", "ann@example.com"):  # the second finds nobody: certified as well
        await certified(world, (await erased(world, email)).name)
    message = ledger_pb2.ProveLedgerConsistencyRequest(from_size=before.size)
    rita = world.metadata("rita", "ROLE_READER")
    answer = await ledgers(world).ProveLedgerConsistency(message, metadata=rita)
    after = Checkpoint.verify(answer.ledger.checkpoint, key(world))
    assert (before.size, after.size) == (1, 3)
    verify_consistency(before.size, before.root, after.size, after.root, answer.hashes)
    with pytest.raises(LedgerError):
        verify_consistency(before.size, bytes(32), after.size, after.root, answer.hashes)
    # Proofs stay good, and the same, however much was added.
    assert Certificate.parse(await download(world, first.name)).verify(key(world)).size == 1
    for size in (4, -1):
        wrong = ledger_pb2.ProveLedgerConsistencyRequest(from_size=size)
        assert await refused(ledgers(world).ProveLedgerConsistency(wrong, metadata=rita)) == "FIELD_INVALID"
    nothing = await ledgers(world).ProveLedgerConsistency(ledger_pb2.ProveLedgerConsistencyRequest(), metadata=rita)
    assert (list(nothing.hashes), nothing.ledger.size) == ([], 3)


async def test_nothing_is_certified_before_it_is_over(world: World) -> None:
    plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    assert not plan.HasField("certificate")
    assert await refused(download(world, plan.name)) == "STATE_CONFLICT"
    await world.act("erasure", "Cancel", plan.name)
    assert await refused(download(world, plan.name)) == "STATE_CONFLICT"
    assert (await now(world)).size == 0


async def test_one_document_of_a_request_is_certified_once(world: World) -> None:
    name = f"{PARTNER}/erasureRequests/{uuid.uuid4()}"
    answers = await asyncio.gather(*(certify(world, name, b"1" * 32) for _ in range(5)))
    assert {answer.entry.number for answer in answers} == {0}
    assert len({answer.proof for answer in answers}) == 1
    assert await refused(certify(world, name, b"2" * 32)) == "STATE_CONFLICT"
    assert await refused(certify(world, name, b"1" * 31)) == "FIELD_INVALID"
    # Another right's service has no part in it, and no service in what isn't an erasure.
    assert await refused(certify(world, name, b"1" * 32, "access")) in ("ROLE_REQUIRED", "FIELD_INVALID")
    assert await refused(certify(world, name.replace("erasure", "access"), b"1" * 32)) == "FIELD_INVALID"
    assert (await now(world)).size == 1


async def test_entries_made_at_once_leave_no_gap(world: World) -> None:
    names = [f"{PARTNER}/erasureRequests/{uuid.uuid4()}" for _ in range(12)]
    answers = await asyncio.gather(*(certify(world, name, name.encode()[-32:]) for name in names))
    assert sorted(answer.entry.number for answer in answers) == list(range(12))
    assert Checkpoint.verify((await now(world)).checkpoint, key(world)).size == 12


async def test_an_older_database_is_noticed_and_nothing_is_signed(
    world: World, ledger: tuple[Ledger, GovernanceStore], postgres: Cluster
) -> None:
    opened, store = ledger
    moment = datetime.now(UTC)
    for _ in range(3):
        await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    owner = await owned(world, postgres)
    try:
        # As a backup of before the last entry has it.
        await owner.execute("DELETE FROM governance.certified WHERE number = 2")
        await owner.execute("DELETE FROM governance.ledger_node WHERE (level, number) = (0, 2)")
        await owner.execute("DELETE FROM governance.ledger_checkpoint WHERE size = 3")
    finally:
        await owner.close()
    assert await refused(certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)) == "LEDGER_BEHIND"
    assert await refused(now(world)) == "LEDGER_BEHIND"
    with pytest.raises(DsrError, match="restored from an older backup"):
        await opened.checkpoint(moment)
    # And governance doesn't start on it.
    await world.stop("governance")
    with pytest.raises(ConfigError, match=r"3 were signed for.*docs/operating.md"):
        await world.start("governance")
    async with partner_transaction(store.pool, PARTNER) as connection:
        with pytest.raises(DsrError, match="3 were signed for"):
            await opened.certify(connection, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32, moment)
    # Another key is another ledger: what was lost is lost, and everybody who kept a checkpoint can see that.
    make_ledger_key(world.folder / "ledger.json", world.folder / "ledger.vkey")
    await world.start("governance")
    assert (await now(world)).size == 2


async def test_another_history_is_noticed(
    world: World, ledger: tuple[Ledger, GovernanceStore], postgres: Cluster
) -> None:
    await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    owner = await owned(world, postgres)
    try:
        await owner.execute("UPDATE governance.ledger_node SET hash = sha256(hash)")
    finally:
        await owner.close()
    with pytest.raises(DsrError, match="are not those that were signed for"):
        await ledger[0].check()


async def test_the_service_can_add_and_change_nothing(world: World) -> None:
    await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    own = await asyncpg.connect(world.dsn("governance"))
    try:
        await own.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
        for table in ("ledger_node", "ledger_checkpoint", "certified"):
            for what in (f"DELETE FROM governance.{table}", f"TRUNCATE governance.{table}"):  # noqa: S608
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await own.execute(what)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute("UPDATE governance.ledger_node SET hash = hash")
    finally:
        await own.close()


async def test_a_damaged_or_lost_witness_is_noticed(world: World, ledger: tuple[Ledger, GovernanceStore]) -> None:
    await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    (kept,) = (world.folder / "keys" / "governance" / "_ledger").glob("*.checkpoint")
    whole = kept.read_bytes()
    for damaged in (whole.replace(b"1", b"0", 1), b"\xff"):
        kept.write_bytes(damaged)
        with pytest.raises(DsrError, match="was damaged"):
            await ledger[0].check()
    kept.unlink()
    with pytest.raises(DsrError, match="is missing"):
        await ledger[0].checkpoint(datetime.now(UTC))
    kept.write_bytes(whole)
    await ledger[0].check()


async def test_who_signs_at_once_signs_one_history(world: World, ledger: tuple[Ledger, GovernanceStore]) -> None:
    opened, _ = ledger
    await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    seen = opened.witness.seen()
    key = opened.witness.key
    assert opened.witness.see(key.sign(2, b"a" * 32), seen), "somebody signs, with another database"
    assert not opened.witness.see(key.sign(3, b"b" * 32), seen), "whoever looked before that, doesn't"
    assert not opened.witness.see(key.sign(2, b"b" * 32), seen)
    assert opened.witness.see(key.sign(2, b"a" * 32), seen), "the same may be kept twice"


async def test_what_is_signed_while_somebody_looks_is_no_older_database(
    world: World, ledger: tuple[Ledger, GovernanceStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look at the witness and one at the tree, another process adds entries and signs."""
    opened, _ = ledger
    await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
    size, looks = GovernanceStore.need, iter(range(1_000))

    async def slowly(store: GovernanceStore, connection: Any, statement: str, resource: str, *args: Any) -> Any:
        found = await size(store, connection, statement, resource, *args)
        if statement == "ledger.size" and store is opened.store and next(looks) == 0:
            await certify(world, f"{PARTNER}/erasureRequests/{uuid.uuid4()}", b"1" * 32)
        return found

    monkeypatch.setattr(GovernanceStore, "need", slowly)
    signed = await opened.checkpoint(datetime.now(UTC))
    assert signed is not None
    assert signed.size == 2
    await opened.check()


async def test_a_report_waits_for_its_ledger(world: World) -> None:
    """The erasure is over all the same; and what is certified in the end is what was said then."""
    plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    broken = world.folder / "keys" / "governance" / "_ledger"
    broken.mkdir(parents=True)
    name = f"{key(world).id.hex()}.checkpoint"
    (broken / name).write_text("damaged")
    await world.approve(plan)
    done = await world.until("erasure", plan.name)
    assert state(done) == "COMPLETED"

    async def waits() -> bool:
        connection = await asyncpg.connect(world.dsn("erasure"))
        try:
            await connection.execute("SELECT set_config('dsr.partner', $1, false)", PARTNER)
            query = "SELECT waiting_reason FROM erasure.task WHERE step = 'certify' AND state = 'open'"
            return bool(await connection.fetchval(query) == "LEDGER_BEHIND")
        finally:
            await connection.close()

    await eventually(waits)
    said = json.loads(await download(world, plan.name, "Report"))["report"]
    (broken / name).unlink()
    await certified(world, plan.name)
    assert Certificate.parse(await download(world, plan.name)).verify(key(world)).document["report"] == said


def test_where_it_is_kept_no_partner_can_be() -> None:
    """A partner's keys are destroyed with its folder."""
    assert not PARTNER_ID.fullmatch("_ledger")

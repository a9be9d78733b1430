"""What partners are told: by e-mail over a real SMTP server with STARTTLS, by webhooks, and in time."""

import asyncio
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any

import grpc
import httpx
import pytest
from aiosmtpd.smtp import SMTP
from dsr.v1 import governance_pb2, request_pb2
from dsr.v1 import notifications_pb2 as pb
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub
from standardwebhooks import Webhook

from dsrkit.db import open_pool, partner_transaction
from dsrkit.egress import EgressGuard
from dsrkit.tasks import TaskStore
from dsrkit.vault import Vault
from services.governance.law.domain import Law
from services.governance.notifications import deadlines
from services.governance.notifications.outbox import notify
from services.governance.store import SCHEMA, GovernanceStore
from services.governance.tools import Tools
from tests.integration.rights.test_rights_governance import create_webhook, receiver
from tests.integration.rights.test_rights_tls import authority_in, issue
from tests.support.services import PARTNER, World, eventually, reason_of, timestamp


def admin(world: World) -> Any:
    return world.metadata("adam", "ROLE_ADMIN")


def stub(world: World) -> Any:
    return NotificationServiceStub(world.channel("governance"))


class Inbox:
    """An SMTP handler that keeps what it takes; `answers` are given to recipients first, in turn."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Message]] = []
        self.answers: list[str] = []
        self.plaintext = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.plaintext += session.ssl is None
        self.letters.append((envelope.rcpt_tos[0], message_from_bytes(envelope.content)))
        return "250 OK"


@asynccontextmanager
async def mail_server(world: World) -> AsyncIterator[Inbox]:
    """A mail server that takes letters after STARTTLS only; governance is started again with it."""
    authority = authority_in(world.folder / "mail")
    files = issue(authority, "mail")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(inbox, tls_context=context, require_starttls=True, loop=loop), "127.0.0.1", 0
    )
    async with server:
        world.governance_settings = {
            "smtp_address": f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "smtp_sender": "dsr@agency.example",
            "smtp_ca": str(files.authority),
        }
        await world.stop("governance")
        await world.start("governance")
        yield inbox


async def set_contacts(world: World, dpo: str = "dpo@acme.example") -> None:
    message = pb.SetContactsRequest(
        parent=PARTNER,
        contacts=pb.Contacts(primary_email="privacy@acme.example", dpo_email=dpo),
        request_id=str(uuid.uuid4()),
    )
    await stub(world).SetContacts(message, metadata=admin(world))


async def notices(world: World, kind: str = "") -> list[pb.Notice]:
    page = await stub(world).ListNotices(
        pb.ListNoticesRequest(parent=PARTNER, kind=kind, page_size=500), metadata=admin(world)
    )
    return list(page.notices)


@asynccontextmanager
async def tools_at(world: World, now: list[datetime]) -> AsyncIterator[Tools]:
    """Governance's tools, with a clock that shows `now[0]`."""
    async with open_pool(world.dsn("governance"), SCHEMA) as pool, httpx.AsyncClient() as client:
        store = GovernanceStore(pool, TaskStore(pool, SCHEMA))
        vault = Vault(world.folder / "keys" / "governance")
        yield Tools(
            store,
            vault,
            EgressGuard(),
            lambda: now[0],
            "dpo@agency.example",
            "Agency",
            Law.load(),
            client,
            None,
            world.ledger(store),
        )


async def test_contacts_are_kept_sealed_and_told_over_tls_with_ids_only(world: World) -> None:
    async with mail_server(world) as inbox:
        await set_contacts(world)
        found = await stub(world).GetContacts(pb.GetContactsRequest(parent=PARTNER), metadata=admin(world))
        assert (found.primary_email, found.dpo_email) == ("privacy@acme.example", "dpo@acme.example")
        request = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
        await eventually(lambda: {to for to, _ in inbox.letters} == {"privacy@acme.example", "dpo@acme.example"})
        assert inbox.plaintext == 0
        for _, letter in inbox.letters:
            assert request.name in str(letter.get_payload())
            assert "dpo@agency.example" in str(letter.get_payload())
            assert "Your own data protection officer: dpo@acme.example" in str(letter.get_payload())
            assert "ann@" not in letter.as_string()
        assert len(inbox.letters) == 2, "only what waits for somebody is written about"

        async def delivered() -> bool:
            states = [d.state for n in await notices(world) for d in n.deliveries]
            return states == [pb.NoticeDelivery.STATE_DELIVERED] * 2

        await eventually(delivered)
    async with open_pool(world.dsn("governance"), SCHEMA) as pool, partner_transaction(pool, PARTNER) as connection:
        assert b"acme.example" not in await connection.fetchval("SELECT sealed FROM contacts")
        tasks = await connection.fetch("SELECT input::text, result::text FROM task")
        assert "@acme.example" not in str(tasks)


async def test_a_mail_server_that_is_busy_is_tried_again_and_one_that_refuses_is_not(world: World) -> None:
    async with mail_server(world) as inbox:
        await set_contacts(world, dpo="")
        inbox.answers = ["451 later"]
        now = [datetime.now(UTC)]
        async with tools_at(world, now) as tools:
            async with partner_transaction(tools.store.pool, PARTNER) as connection:
                assert await notify(tools.store, connection, now[0], "request.overdue", "a", due="then")
                assert not await notify(tools.store, connection, now[0], "request.overdue", "a", due="then")
            await eventually(lambda: len(inbox.letters) == 1)
            inbox.answers = ["550 no such person"]
            async with partner_transaction(tools.store.pool, PARTNER) as connection:
                await notify(tools.store, connection, now[0], "request.overdue", "b", due="then")

        async def failed() -> bool:
            mailed = [n for n in await notices(world) if n.deliveries]
            found = {n.resource: [d.state for d in n.deliveries] for n in mailed}
            return found == {"a": [pb.NoticeDelivery.STATE_DELIVERED], "b": [pb.NoticeDelivery.STATE_FAILED]}

        await eventually(failed)
        assert len(inbox.letters) == 1


async def test_deadlines_are_warned_of_in_time_and_each_once(world: World) -> None:
    request = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    due = request.clock.due_time.ToDatetime(UTC)

    async def tracked() -> bool:
        return len([n for n in await notices(world) if n.resource == request.name]) == 3

    await eventually(tracked)  # PENDING, LOCATING, PLANNED
    now = [datetime.now(UTC)]
    async with tools_at(world, now) as tools:
        for day in range(-30, 4):
            now[0] = due + timedelta(days=day, minutes=1)
            await asyncio.gather(*(deadlines.warn(tools) for _ in range(3)))
    near = await notices(world, "request.deadline_near")
    assert len(near) == 3
    assert len(await notices(world, "request.overdue")) == 1
    assert [(due - n.create_time.ToDatetime(UTC)).days for n in near] == [1, 6, 13]


@pytest.mark.long
async def test_an_extended_deadline_is_warned_of_anew_and_a_closed_request_is_not(world: World) -> None:
    kept = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    done = await world.until("access", (await world.create("access")).name)
    due = kept.clock.due_time.ToDatetime(UTC)
    extension = request_pb2.Extension(
        reason=request_pb2.Extension.REASON_JUSTIFICATION_A12_COMPLEXITY, subject_told_time=timestamp()
    )
    later = await world.act("erasure", "Extend", kept.name, extension=extension)
    extended = later.clock.due_time.ToDatetime(UTC)
    now = [due]
    async with tools_at(world, now) as tools:

        async def both_known() -> bool:
            async with partner_transaction(tools.store.pool, PARTNER) as connection:
                rows = {r["request"]: r for r in await connection.fetch("SELECT * FROM deadline")}
            return (
                {kept.name, done.name} <= rows.keys()
                and rows[kept.name]["due_time"] == extended
                and not rows[done.name]["open"]
            )

        await eventually(both_known)
        await deadlines.warn(tools)
        assert await notices(world, "request.overdue") == []
        now[0] = extended - timedelta(days=1)
        await deadlines.warn(tools)
        assert Counter(n.resource for n in await notices(world, "request.deadline_near")) == {kept.name: 1}
        now[0] = extended
        await deadlines.warn(tools)
    assert [n.resource for n in await notices(world, "request.overdue")] == [kept.name]
    told = [n for n in await notices(world, "request.state_changed") if n.resource == kept.name]
    assert len(told) == 3, "an extension is no change of state"


async def test_notices_end_after_a_year(world: World) -> None:
    begin = datetime(2028, 2, 29, 12, tzinfo=UTC)
    now = [begin]
    async with tools_at(world, now) as tools:
        async with partner_transaction(tools.store.pool, PARTNER) as connection:
            await notify(tools.store, connection, begin, "request.overdue", "a", due="then")
        now[0] = datetime(2029, 2, 28, 12, tzinfo=UTC)
        await deadlines.purge(tools)
        assert len(await notices(world)) == 1
        now[0] = datetime(2029, 3, 1, tzinfo=UTC)
        await deadlines.purge(tools)
        assert await notices(world) == []


async def test_two_secrets_are_valid_while_a_receiver_changes_over(world: World) -> None:
    async with receiver([]) as (url, got):
        hook = await create_webhook(world, url)
        message = pb.RotateWebhookSecretRequest(name=hook.name, request_id=str(uuid.uuid4()))
        fresh = await stub(world).RotateWebhookSecret(message, metadata=admin(world))
        again = await stub(world).RotateWebhookSecret(message, metadata=admin(world))
        assert again == fresh
        assert fresh.secret != hook.secret
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(world).RotateWebhookSecret(
                pb.RotateWebhookSecretRequest(name=hook.name, request_id=str(uuid.uuid4())), metadata=admin(world)
            )
        assert reason_of(caught.value) == "STATE_CONFLICT"
        await world.create("access")
        await eventually(lambda: got)
        headers, body = got[0]
        for secret in (hook.secret, fresh.secret):
            Webhook(secret).verify(body, headers)
        async with open_pool(world.dsn("governance"), SCHEMA) as pool, partner_transaction(pool, PARTNER) as connection:
            await connection.execute("UPDATE webhook SET previous_expire_time = now()")
        count = len(got)
        await world.create("portability")
        await eventually(lambda: len(got) > count and any("portability" in str(b) for _, b in got))
        headers, body = next((h, b) for h, b in got if b"portability" in b)
        assert len(headers["webhook-signature"].split()) == 1
        Webhook(fresh.secret).verify(body, headers)


async def test_nobody_is_told_of_a_partner_without_contacts(world: World) -> None:
    request = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
    found = await stub(world).GetContacts(pb.GetContactsRequest(parent=PARTNER), metadata=admin(world))
    assert found == pb.Contacts()

    async def listed() -> bool:
        return len([n for n in await notices(world) if n.resource == request.name]) == 3

    await eventually(listed)
    assert not any(n.deliveries for n in await notices(world))
    listing = await world.governance.ListWebhooks(
        governance_pb2.ListWebhooksRequest(parent=PARTNER), metadata=admin(world)
    )
    assert not listing.webhooks

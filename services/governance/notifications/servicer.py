"""NotificationService: contacts, notices, webhook secrets."""

import base64
import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from dsr.v1 import notifications_pb2 as pb
from dsr.v1.notifications_pb2_grpc import NotificationServiceServicer

from dsrkit.db import Connection, partner_snapshot, partner_transaction
from dsrkit.errors import DsrError
from services.governance import messages
from services.governance.notifications import contacts
from services.governance.notifications.domain import Contacts, check_address
from services.governance.notifications.webhook import context
from services.governance.notifications.words import DATA
from services.governance.tools import Tools, scope

_OVERLAP = timedelta(hours=DATA["secret_overlap_hours"])
_CHANNELS = {
    "primary": pb.NoticeDelivery.CHANNEL_PRIMARY_EMAIL,
    "dpo": pb.NoticeDelivery.CHANNEL_DPO_EMAIL,
}


class NotificationServicer(NotificationServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def SetContacts(self, request: pb.SetContactsRequest, context: Any) -> pb.Contacts:
        partner, given = scope(request.parent), request.contacts
        primary = check_address(given.primary_email, "contacts.primary_email")
        dpo = check_address(given.dpo_email, "contacts.dpo_email") if given.dpo_email else ""

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            wanted = Contacts(primary, dpo)
            await contacts.save(self._store, self._tools.vault, connection, partner, wanted, self._tools.clock())
            return partner

        await self._tools.once(partner, request, "SetContacts", make)
        return await self._contacts(partner)

    async def GetContacts(self, request: pb.GetContactsRequest, context: Any) -> pb.Contacts:
        return await self._contacts(scope(request.parent))

    async def _contacts(self, partner: str) -> pb.Contacts:
        async with partner_snapshot(self._store.pool, partner) as connection:
            await self._store.need(connection, "partner", "resource")
            known = await contacts.load(self._store, self._tools.vault, connection, partner)
        if known is None:
            return pb.Contacts()
        message = pb.Contacts(primary_email=known[0].primary_email, dpo_email=known[0].dpo_email)
        message.update_time.FromDatetime(known[1])
        return message

    async def ListNotices(self, request: pb.ListNoticesRequest, context: Any) -> pb.ListNoticesResponse:
        rows, token = await self._tools.page(request, "notifications.notices", request.kind)
        deliveries: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
        async with partner_transaction(self._store.pool, scope(request.parent)) as connection:
            ids = [row["id"] for row in rows]
            for task in await self._store.rows(connection, "notifications.deliveries", ids):
                deliveries[task["owner"]].append(task)
        notices = [_notice(row, deliveries[row["id"]]) for row in rows]
        return pb.ListNoticesResponse(notices=notices, next_page_token=token)

    async def RotateWebhookSecret(self, request: pb.RotateWebhookSecretRequest, _: Any) -> pb.WebhookSecret:
        partner = scope(request.name, "name")
        identifier = messages.child_uuid(request.name, "webhooks", "resource")

        async def make(connection: Connection, _: UUID) -> str:
            row = await self._store.need(connection, "notifications.lock_webhook", "resource", identifier)
            now, expires = self._tools.clock(), row["previous_expire_time"]
            if expires is not None and now < expires:
                text = "The secret before is still valid; a third would leave receivers behind. Rotate after that."
                raise DsrError("STATE_CONFLICT", text, state="ROTATING", allowed=expires.isoformat())
            key = await self._tools.vault.get(partner, f"webhook-{identifier}")
            secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
            sealed = key.seal(secret.encode(), context(partner, identifier))
            await self._store.row(connection, "notifications.rotate_secret", identifier, sealed, now + _OVERLAP)
            return str(identifier)

        await self._tools.once(partner, request, "RotateWebhookSecret", make)
        async with partner_transaction(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "webhook", "resource", identifier)
        key = await self._tools.vault.get(partner, f"webhook-{identifier}")
        message = pb.WebhookSecret(secret=key.open(row["secret"], context(partner, identifier)).decode())
        message.previous_secret_expire_time.FromDatetime(row["previous_expire_time"])
        return message


def _notice(row: asyncpg.Record, tasks: Sequence[asyncpg.Record]) -> pb.Notice:
    message = pb.Notice(name=f"{row['partner']}/notices/{row['id']}", kind=row["kind"], resource=row["resource"])
    message.create_time.FromDatetime(row["create_time"])
    for task in tasks:
        outcome = (task["result"] or {}).get("outcome", "")
        if outcome in ("NO_CONTACT", "NO_WEBHOOK"):
            continue  # there was nobody to tell this way
        states = pb.NoticeDelivery
        state = states.STATE_DELIVERED if outcome == "DELIVERED" else states.STATE_FAILED
        delivery = message.deliveries.add(
            channel=_CHANNELS.get(task["input"].get("channel", ""), states.CHANNEL_WEBHOOK),
            state=states.STATE_PENDING if task["state"] == "open" else state,
        )
        delivery.update_time.FromDatetime(task["update_time"])
    return message

"""Durable work of governance: delivers state changes to webhooks (Standard Webhooks 1.0.0, ids only)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import orjson
from standardwebhooks import Webhook

from dsrkit import log
from dsrkit.db import Connection, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.tasks import Done, Task
from dsrkit.vault import KeyGone, Vault
from services.governance.egress import EgressGuard
from services.governance.store import GovernanceStore

_PATIENCE = timedelta(days=3)
_TIMEOUT = httpx.Timeout(15.0)


class Deliver:
    """Step `deliver`."""

    def __init__(self, store: GovernanceStore, vault: Vault, egress: EgressGuard, client: httpx.AsyncClient) -> None:
        self._store = store
        self._vault = vault
        self._egress = egress
        self._client = client

    async def deliver(self, task: Task) -> Done:
        """Posts one message. 2xx is success, 410 disables, redirects aren't followed; given up after three days."""
        identifier = UUID(task.input["webhook"])
        async with partner_transaction(self._store.pool, task.partner) as connection:
            row = await self._store.row(connection, "webhook", identifier)
        if row is None or not row["enabled"]:
            return Done(result={"outcome": "NO_WEBHOOK"})
        try:
            key = await self._vault.get(task.partner, f"webhook-{identifier}")
        except KeyGone:
            return Done(result={"outcome": "NO_WEBHOOK"})
        secret = key.open(row["secret"], f"{task.partner}|webhook|{identifier}").decode()
        now = datetime.now(UTC)
        data = {name: task.input[name] for name in ("request", "state")}
        body = orjson.dumps({"type": "request.state_changed", "timestamp": task.input["time"], "data": data})
        headers = {
            "content-type": "application/json",
            "webhook-id": f"msg_{task.id}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(f"msg_{task.id}", now, body.decode()),
        }
        status = await self._post(httpx.URL(row["url"]), body, headers)
        if 200 <= status < 300:
            return Done(result={"outcome": "DELIVERED"})
        if status == 410 or now - task.create_time > _PATIENCE:
            async with partner_transaction(self._store.pool, task.partner) as connection:
                await self._store.row(connection, "disable_webhook", identifier)
            log.get_logger().warning("webhook.disabled", webhook=str(identifier), status=status)
            return Done(result={"outcome": "DISABLED"})
        pause = timedelta(minutes=5) if status in (429, 502, 504) else None
        raise DsrError("SOURCE_UNAVAILABLE", "The webhook did not take the message.", retry_after=pause)

    async def _post(self, url: httpx.URL, body: bytes, headers: dict[str, str]) -> int:
        """Dials the address that the guard permitted, not the name, which may point elsewhere a moment later."""
        address = await self._egress.resolve(url.host, url.port or 443, "webhook.url")
        try:
            response = await self._client.post(
                url.copy_with(host=address),
                content=body,
                headers={**headers, "host": url.netloc.decode()},
                extensions={"sni_hostname": url.host},
                timeout=_TIMEOUT,
            )
        except httpx.HTTPError:
            return 0
        return response.status_code


async def lock(connection: Connection, task: Task) -> None:
    """Deliveries stand alone: there is nothing to lock."""


async def settle(connection: Connection, task: Task, done: Done) -> None:
    """Nothing follows a delivery."""


async def waiting(connection: Connection, task: Task, reason: str) -> None:
    """Nobody is told that a delivery waits."""

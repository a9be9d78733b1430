"""Delivers notices to webhooks (Standard Webhooks 1.0.0, ids only)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import orjson
from standardwebhooks import Webhook

from dsrkit import log
from dsrkit.db import partner_snapshot, partner_transaction
from dsrkit.errors import DsrError
from dsrkit.tasks import Done, Task
from dsrkit.vault import KeyGone, RequestKey
from dsrkit.watermark import watermark
from services.governance.notifications.words import DATA
from services.governance.tools import Tools

PATIENCE = timedelta(days=DATA["patience_days"])
_TIMEOUT = httpx.Timeout(15.0)


class Deliver:
    """Step `deliver`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def deliver(self, task: Task) -> Done:
        """Posts one message. 2xx is success, 410 disables, redirects aren't followed; given up after three days."""
        identifier, store = UUID(task.input["webhook"]), self._tools.store
        async with partner_snapshot(store.pool, task.partner) as connection:
            row = await store.row(connection, "webhook", identifier)
            mark = watermark(await store.row(connection, "sandbox.sandbox") is not None)
        if row is None or not row["enabled"]:
            return Done(result={"outcome": "NO_WEBHOOK"})
        try:
            key = await self._tools.vault.get(task.partner, f"webhook-{identifier}")
        except KeyGone:
            return Done(result={"outcome": "NO_WEBHOOK"})
        data = {"resource": task.input["resource"], **task.input["facts"], **({"sandbox": mark} if mark else {})}
        body = orjson.dumps({"type": task.input["kind"], "timestamp": task.input["time"], "data": data})
        sent = datetime.now(UTC)  # of this attempt: receivers compare it with their own clocks
        signatures = [
            Webhook(secret).sign(f"msg_{task.id}", sent, body.decode())
            for secret in secrets_of(row, key, self._tools.clock())
        ]
        headers = {
            "content-type": "application/json",
            "webhook-id": f"msg_{task.id}",
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        status = await self._post(httpx.URL(row["url"]), body, headers)
        if 200 <= status < 300:
            return Done(result={"outcome": "DELIVERED"})
        if status == 410 or overdue(self._tools, task):
            async with partner_transaction(store.pool, task.partner) as connection:
                await store.row(connection, "disable_webhook", identifier)
            log.get_logger().warning("webhook.disabled", webhook=str(identifier), status=status)
            return Done(result={"outcome": "DISABLED"})
        pause = timedelta(minutes=5) if status in (429, 502, 504) else None
        raise DsrError("SOURCE_UNAVAILABLE", "The webhook did not take the message.", retry_after=pause)

    async def _post(self, url: httpx.URL, body: bytes, headers: dict[str, str]) -> int:
        """Dials the address that the guard permitted, not the name, which may point elsewhere a moment later."""
        address = (await self._tools.egress.resolve(url.host, url.port or 443, "webhook.url"))[0]
        try:
            response = await self._tools.http.post(
                url.copy_with(host=str(address)),
                content=body,
                headers={**headers, "host": url.netloc.decode()},
                extensions={"sni_hostname": url.host},
                timeout=_TIMEOUT,
            )
        except httpx.HTTPError:
            return 0
        return response.status_code


def overdue(tools: Tools, task: Task) -> bool:
    """Whether a notice has been tried for long enough."""
    return tools.clock() - datetime.fromisoformat(task.input["time"]) > PATIENCE


def context(partner: str, webhook: UUID) -> str:
    """What a sealed secret is bound to."""
    return f"{partner}|webhook|{webhook}"


def secrets_of(row: asyncpg.Record, key: RequestKey, now: datetime) -> list[str]:
    """The secrets to sign with: the current one, and during an overlap the one before."""
    bound = context(row["partner"], row["id"])
    sealed = [row["secret"]]
    if row["previous_secret"] is not None and now < row["previous_expire_time"]:
        sealed.append(row["previous_secret"])
    return [key.open(secret, bound).decode() for secret in sealed]

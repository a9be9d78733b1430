"""The one outbox for everything that somebody waits for: a notice and its deliveries, in the caller's transaction."""

from datetime import datetime
from uuid import UUID, uuid5

from dsrkit.db import Connection
from dsrkit.tasks import NewTask
from services.governance.notifications.domain import DPO, PRIMARY, by_email
from services.governance.notifications.words import KINDS
from services.governance.store import GovernanceStore

_NAMESPACE = UUID("6f0c7f0e-5b0e-4d3c-9d54-2f5a1f2f6a11")


async def notify(
    store: GovernanceStore,
    connection: Connection,
    now: datetime,
    kind: str,
    resource: str,
    occasion: str = "",
    notice: UUID | None = None,
    **facts: str,
) -> bool:
    """Tells the partner of the transaction, once per kind, resource and `occasion`; False when it was told before.

    `kind` stands in notices.yaml. `facts` go into the message: ids, states and numbers only, never personal data.
    `notice` is for whoever has an id of its own that is the same for every repetition.
    """
    words = KINDS[kind]
    identifier = notice or uuid5(_NAMESPACE, f"{resource}\0{kind}\0{occasion}")
    added = await store.row(connection, "notifications.add_notice", identifier, kind, resource, facts, now)
    if added is None:
        return False
    shared = {"kind": kind, "resource": resource, "facts": facts, "time": now.isoformat()}
    hooks = [str(row["id"]) for row in await store.rows(connection, "enabled_webhooks")]
    tasks = [NewTask("deliver", hook, input={"webhook": hook, **shared}) for hook in hooks]
    if by_email(words, facts) and await store.row(connection, "notifications.contacts") is not None:
        # Which addresses there are is known only to who may open them; the step finds out.
        tasks += [NewTask("email", channel, input={"channel": channel, **shared}) for channel in (PRIMARY, DPO)]
    await store.tasks.insert(connection, identifier, tasks)
    return True

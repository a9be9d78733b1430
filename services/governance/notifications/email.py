"""Delivers notices by e-mail."""

from datetime import timedelta
from email.message import EmailMessage

from dsrkit import log
from dsrkit.db import partner_snapshot
from dsrkit.errors import DsrError
from dsrkit.tasks import Done, Task
from dsrkit.watermark import watermark
from services.governance.notifications import contacts
from services.governance.notifications.domain import Contacts
from services.governance.notifications.webhook import overdue
from services.governance.notifications.words import letter
from services.governance.tools import Tools


class Email:
    """Step `email`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def send(self, task: Task) -> Done:
        """Hands one letter to the operator's mail server; given up when refused for good, or after three days.

        A crash between the server's yes and ours sends it twice, under one Message-ID.
        """
        tools, channel = self._tools, task.input["channel"]
        async with partner_snapshot(tools.store.pool, task.partner) as connection:
            known = await contacts.load(tools.store, tools.vault, connection, task.partner)
            mark = watermark(await tools.store.row(connection, "sandbox.sandbox") is not None)
        if known is None or channel not in known[0].channels():
            return Done(result={"outcome": "NO_CONTACT"})
        try:
            taken = await self._hand_over(self._letter(task, known[0], mark))
        except DsrError:
            if not overdue(tools, task):
                raise
            taken = False
        if not taken:
            log.get_logger().error("email.failed", partner=task.partner, notice=str(task.owner))
        return Done(result={"outcome": "DELIVERED" if taken else "REFUSED"})

    async def _hand_over(self, message: EmailMessage) -> bool:
        if self._tools.mail is None:
            text = "No mail server is configured (DSR_SMTP_ADDRESS)."
            raise DsrError("SOURCE_UNAVAILABLE", text, retry_after=timedelta(minutes=5))
        return await self._tools.mail.send(message)

    def _letter(self, task: Task, known: Contacts, mark: str) -> EmailMessage:
        told = (task.input["kind"], task.input["resource"], task.input["facts"])
        who = (self._tools.operator, self._tools.dpo_contact)
        subject, text = letter(*told, *who, mark, known.dpo_email)
        message = EmailMessage()
        message["To"] = known.address(task.input["channel"])
        message["Subject"] = subject
        message["Message-ID"] = f"<{task.id}@dsr.invalid>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday reply answers it
        message.set_content(text)
        return message

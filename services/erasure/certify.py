"""The report goes into the operator's ledger, after the request is over: whatever holds that up holds up no erasure."""

from datetime import UTC
from hashlib import sha256

from dsrkit.db import partner_transaction
from dsrkit.requests.model import Request
from dsrkit.requests.runtime import Toolbox
from dsrkit.tasks import Done, Task
from services.erasure.view import document


class Certify:
    """Step `certify`."""

    def __init__(self, tools: Toolbox) -> None:
        self._store = tools.parts.store
        self._authority = tools.parts.authority

    async def certify(self, task: Task) -> Done:
        """Keeps the document before anybody hears of it, so that every attempt certifies the same one."""
        request = await self._keep(task, None)
        said = request.facts["certificate"]["document"]
        answer = await self._authority.certify(request, sha256(said.encode()).digest())
        entry = answer.entry
        certified = {
            "document": said,
            "proof": answer.proof,
            "number": entry.number,
            "ledger": entry.ledger,
            "certify_time": entry.certify_time.ToDatetime(UTC).isoformat(),
        }
        await self._keep(task, certified)
        return Done()

    async def _keep(self, task: Task, certified: dict[str, object] | None) -> Request:
        async with partner_transaction(self._store.pool, task.partner) as connection:
            request = await self._store.lock(connection, task.owner)
            if certified is None:
                if "certificate" in request.facts:
                    return request
                certified = {"document": document(request).decode()}
            return await self._store.save(connection, request.with_facts(certificate=certified))

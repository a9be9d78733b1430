"""Each call goes by the time of the partner it names."""

import re
from typing import Any

import grpc

from dsrkit.clock import ON_TIME, Ahead, be_ahead
from dsrkit.interceptors import Continuation, Handler, wrap

_PARTNER = re.compile(r"(partners/[a-z0-9][a-z0-9-]{1,38}[a-z0-9])(?:/|$)")


class ClockInterceptor(grpc.aio.ServerInterceptor):
    """Stands behind the check of who may name whom."""

    def __init__(self, of_partner: Ahead) -> None:
        self._of_partner = of_partner

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler | None:
        handler = await continuation(details)
        if handler is None:
            return handler

        async def before(request: Any, _: Any) -> None:
            partner = _named(request)
            be_ahead(await self._of_partner(partner) if partner else ON_TIME)

        return wrap(handler, before=before)


def _named(request: Any) -> str:
    """The partner in the first field that names one; empty: none does."""
    for _, value in request.ListFields():
        found = _PARTNER.match(value) if isinstance(value, str) else None
        if found is not None:
            return found[1]
    return ""

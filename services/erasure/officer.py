"""The partner's own data protection officer in an erasure's report: somebody's address, so it is kept encrypted.

The request's key ends with the work and the report doesn't: the address has a key of the partner's, which ends with the
contract.
"""

import base64

from dsrkit.requests.flow import context
from dsrkit.requests.model import Request
from dsrkit.vault import KeyGone, Vault

_KEY = "partner-dpo"
_PURPOSE = "partner_dpo"


async def seal(vault: Vault, request: Request, address: str) -> str:
    """The address, to be stored; empty as it is."""
    if not address:
        return ""
    key = await vault.create(request.partner, _KEY)
    return base64.b64encode(key.seal(address.encode(), context(request, _PURPOSE))).decode()


async def named(vault: Vault, request: Request) -> str:
    """The address in a request's report; empty when there is none, or its key was destroyed."""
    sealed = request.facts.get("report", {}).get("partner_dpo", "")
    if not sealed:
        return ""
    try:
        key = await vault.get(request.partner, _KEY)
        return key.open(base64.b64decode(sealed), context(request, _PURPOSE)).decode()
    except KeyGone:
        return ""

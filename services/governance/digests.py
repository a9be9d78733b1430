"""Keyed digests of identities: equal for equal names of one partner, meaningless without the partner's key."""

import unicodedata
from collections.abc import Sequence

from dsrkit.vault import Vault


async def identity_digests(vault: Vault, partner: str, identities: Sequence[tuple[str, str]]) -> list[bytes]:
    """One digest per (type, value)."""
    return [await vault.digest(partner, f"identity\0{kind}\0{value}".encode()) for kind, value in identities]


async def hold_digests(vault: Vault, partner: str, identities: Sequence[tuple[str, str]]) -> list[bytes]:
    """One digest per (type, value) in any spelling: a hold that covers a near-namesake keeps, one that misses loses."""
    return [
        await vault.digest(partner, f"hold\0{kind}\0{unicodedata.normalize('NFKC', value).casefold().strip()}".encode())
        for kind, value in identities
    ]

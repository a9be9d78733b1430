"""Keyed digests of identities: equal for equal names of one partner, meaningless without the partner's key."""

from collections.abc import Sequence

from dsrkit.vault import Vault


async def identity_digests(vault: Vault, partner: str, identities: Sequence[tuple[str, str]]) -> list[bytes]:
    """One digest per (type, value)."""
    return [await vault.digest(partner, f"identity\0{kind}\0{value}".encode()) for kind, value in identities]

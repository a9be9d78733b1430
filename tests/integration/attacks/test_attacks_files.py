"""Keys that outlive their destruction, and readers of files that are no longer there."""

import asyncio
import threading
from pathlib import Path

import pyrage
import pytest

from dsrkit.sealed import read_sealed, write_sealed
from dsrkit.vault import KeyGone, Vault

PARTNER, REQUEST = "partners/acme", "0b9c8f3e-3f6e-4a53-9a53-8a1b7c1f2d3e"


async def test_a_destroyed_key_leaves_no_second_name_behind(tmp_path: Path) -> None:
    """A process that was killed between link and unlink leaves the wrapped key under its temporary name too."""
    vault = Vault(tmp_path)
    await vault.create(PARTNER, REQUEST)
    kept = tmp_path / "acme" / f"{REQUEST}.key"
    wrapped = kept.read_bytes()
    (tmp_path / "acme" / ".new" / f"{REQUEST}.key.0123456789ab").hardlink_to(kept)
    await vault.destroy(PARTNER, REQUEST)
    with pytest.raises(KeyGone):
        await vault.get(PARTNER, REQUEST)
    files = [f for f in tmp_path.rglob("*") if f.is_file()]  # noqa: ASYNC240 - a test, and a small folder
    assert not [f for f in files if f.read_bytes() == wrapped]


async def test_a_key_of_another_partner_or_request_opens_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    mine = await vault.create(PARTNER, REQUEST)
    sealed = mine.seal(b"x", f"{PARTNER}|{REQUEST}|dossier")
    await vault.create("partners/globex", REQUEST)
    (tmp_path / "globex" / f"{REQUEST}.key").write_bytes((tmp_path / "acme" / f"{REQUEST}.key").read_bytes())
    with pytest.raises(KeyGone):
        await vault.get("partners/globex", REQUEST)
    with pytest.raises(KeyGone):
        mine.open(sealed, f"{PARTNER}|{REQUEST}|found")


async def test_many_who_make_a_key_at_once_get_the_same_one(tmp_path: Path) -> None:
    keys = await asyncio.gather(*(Vault(tmp_path).create(PARTNER, REQUEST) for _ in range(8)))
    assert len({key.secret for key in keys}) == 1


def test_reading_what_is_gone_is_an_error_and_not_a_thread_that_waits_for_ever(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            list(read_sealed(tmp_path / "gone.age", identity))
        except BaseException as error:
            outcome.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(5)
    assert not reader.is_alive(), "the reader hangs"
    assert isinstance(outcome[0], OSError)


def test_a_torn_file_is_an_error(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "whole.age"
    write_sealed(path, identity.to_public(), [b"x" * 300_000])
    path.write_bytes(path.read_bytes()[:-70_000])
    with pytest.raises(OSError, match="could not be read"):
        list(read_sealed(path, identity))


@pytest.mark.parametrize("offset", [0, 1, 262_143, 262_144, 262_145, 600_000, 700_000])
def test_a_range_is_exact_and_leaves_no_thread(tmp_path: Path, offset: int) -> None:
    identity = pyrage.x25519.Identity.generate()
    data = bytes(range(256)) * 2500
    write_sealed(tmp_path / "f.age", identity.to_public(), [data])
    before = threading.active_count()
    pieces = read_sealed(tmp_path / "f.age", identity, offset)
    first = next(pieces, b"")
    pieces.close()  # type: ignore[attr-defined]
    assert data[offset:].startswith(first)
    assert b"".join(read_sealed(tmp_path / "f.age", identity, offset)) == data[offset:]
    assert threading.active_count() == before

"""Keys and ciphertexts: one key per request, wrapped by its partner's key, destroyed when its time has come.

Wrapped keys live in a folder of their own, apart from everything that is backed up: whoever restores an old database
or an old bundle must not find the key again. A key is durable before the first ciphertext under it exists.
"""

import asyncio
import base64
import hmac
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dsrkit.files import sync_folder

_NEW = ".new"
"""Folder beside the keys, for those being written."""


class KeyGone(Exception):
    """The key was destroyed, or never was: what it encrypted can't be read any more."""


@dataclass(frozen=True)
class RequestKey:
    """The key of one request: for small values (AES-256-GCM), and an age identity for files."""

    secret: bytes
    identity: pyrage.x25519.Identity

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Encrypts a small value; `context` (partner, request, purpose) must be given again to open it."""
        nonce = secrets.token_bytes(12)
        return nonce + AESGCM(self.secret).encrypt(nonce, plaintext, context.encode())

    def open(self, ciphertext: bytes, context: str) -> bytes:
        """Decrypts what `seal` made in the same context. Raises KeyGone when key or context is another."""
        try:
            return AESGCM(self.secret).decrypt(ciphertext[:12], ciphertext[12:], context.encode())
        except InvalidTag:
            raise KeyGone from None


@dataclass(frozen=True)
class Vault:
    """The folder of wrapped keys, `{partner}/{request}.key`, and of the partners' keys, `{partner}/partner.kek`."""

    folder: Path

    async def create(self, partner: str, request: str) -> RequestKey:
        """Makes the key of a request; the same one when it was made before."""
        return await asyncio.to_thread(self._create, partner, request)

    async def get(self, partner: str, request: str) -> RequestKey:
        """The key of a request. Raises KeyGone."""
        return await asyncio.to_thread(self._get, partner, request)

    async def destroy(self, partner: str, request: str) -> None:
        """Destroys the key of a request. Idempotent."""
        await asyncio.to_thread(self._destroy, partner, request)

    async def destroy_partner(self, partner: str) -> None:
        """Destroys every key of a partner, its own first, so that the others can't be unwrapped. Idempotent."""
        await asyncio.to_thread(self._destroy_partner, partner)

    async def digest(self, partner: str, data: bytes) -> bytes:
        """A keyed digest that says nothing of `data` to whoever lacks the partner's key."""
        key = await asyncio.to_thread(self._partner_key, partner)
        return hmac.digest(hmac.digest(key, b"digest", "sha256"), data, "sha256")

    def _path(self, partner: str, request: str) -> Path:
        return self.folder / partner.split("/")[-1] / f"{request.split('/')[-1]}.key"

    def _create(self, partner: str, request: str) -> RequestKey:
        path = self._path(partner, request)
        if not path.exists():
            identity = pyrage.x25519.Identity.generate()
            payload = secrets.token_bytes(32) + str(identity).encode()
            _write_durably(path, _wrap(self._partner_key(partner), payload, f"{partner}|{request}"))
        return self._get(partner, request)

    def _get(self, partner: str, request: str) -> RequestKey:
        try:
            wrapped = self._path(partner, request).read_bytes()
            payload = _unwrap(self._partner_key(partner), wrapped, f"{partner}|{request}")
        except (FileNotFoundError, InvalidTag):
            raise KeyGone from None
        return RequestKey(payload[:32], pyrage.x25519.Identity.from_str(payload[32:].decode()))

    def _destroy(self, partner: str, request: str) -> None:
        path = self._path(partner, request)
        # A process killed while it made the key may have left it under a second name.
        for folder, pattern in ((path.parent / _NEW, f"{path.name}.*"), (path.parent, path.name)):
            if folder.exists():
                for name in folder.glob(pattern):
                    name.unlink(missing_ok=True)
                sync_folder(folder)

    def _destroy_partner(self, partner: str) -> None:
        folder = self.folder / partner.split("/")[-1]
        if folder.exists():
            (folder / "partner.kek").unlink(missing_ok=True)
            sync_folder(folder)
            shutil.rmtree(folder)
            sync_folder(self.folder)

    def _partner_key(self, partner: str) -> bytes:
        path = self.folder / partner.split("/")[-1] / "partner.kek"
        if not path.exists():
            _write_durably(path, base64.b64encode(secrets.token_bytes(32)))
        return base64.b64decode(path.read_bytes())


def _wrap(key: bytes, payload: bytes, context: str) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(key).encrypt(nonce, payload, context.encode())


def _unwrap(key: bytes, wrapped: bytes, context: str) -> bytes:
    return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], context.encode())


def _write_durably(path: Path, content: bytes) -> None:
    """Writes a new file so that it is there whole or not at all; whoever comes second keeps the first one's."""
    (path.parent / _NEW).mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.parent / _NEW / f"{path.name}.{secrets.token_hex(6)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # the same key was made a moment ago by another attempt, and theirs is the one that counts
    finally:
        temporary.unlink()
    sync_folder(path.parent)

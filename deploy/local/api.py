"""The platform's public API over HTTP, as a partner's own program would call it."""

import base64
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from dsr.credentials import PLATFORM_AUDIENCE, Credential

TERMINAL = frozenset({"COMPLETED", "PARTIALLY_ERASED", "REFUSED", "CANCELLED"})


class ApiError(Exception):
    """What the gateway answered instead: an RFC 9457 document."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem.get('status')} {problem.get('reason')}: {problem.get('detail')}")
        self.reason = str(problem.get("reason"))
        self.metadata: Mapping[str, str] = problem.get("metadata", {})


@dataclass(frozen=True)
class Actor:
    """Who calls: a key to sign tokens with, an opaque id, and the roles claimed."""

    credential: Credential
    subject: str
    roles: tuple[str, ...]

    def headers(self) -> dict[str, str]:
        """A fresh token each time: some calls demand one that was never used."""
        token = self.credential.token(PLATFORM_AUDIENCE, subject=self.subject, roles=self.roles, actor_type="person")
        return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Event:
    """Something that happened to a request."""

    number: int
    """Give it to `watch` to resume after it."""
    seconds: float
    """Since the watch began."""
    state: str
    """Without its prefix: `LOCATING`."""
    type: str
    source: str
    step: str
    records: int


@dataclass(frozen=True)
class Api:
    """Calls the gateway."""

    client: httpx.AsyncClient

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["Api"]:
        """A client of the gateway at `url`. Proxies of the environment are not asked: it is on this machine."""
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield cls(client)

    async def get(self, actor: Actor, name: str) -> dict[str, Any]:
        """A resource by its name."""
        return _answer(await self.client.get(f"/v1/{name}", headers=actor.headers()))

    async def create(self, actor: Actor, collection: str, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a resource: `partners/acme/accessRequests`."""
        query = {"requestId": str(uuid.uuid4())}
        answer = await self.client.post(f"/v1/{collection}", params=query, json=resource, headers=actor.headers())
        return _answer(answer)

    async def act(self, actor: Actor, name: str, verb: str, **body: Any) -> dict[str, Any]:
        """Calls a custom method: `…/erasureRequests/{id}:approve`."""
        body = {**body, "requestId": str(uuid.uuid4())}
        return _answer(await self.client.post(f"/v1/{name}:{verb}", json=body, headers=actor.headers()))

    async def watch(self, actor: Actor, name: str, after: int = 0) -> AsyncIterator[Event]:
        """Server-sent events after number `after`, until the request is terminal. ApiError when they end before."""
        begin = time.monotonic()
        headers = {**actor.headers(), "last-event-id": str(after)}
        async with self.client.stream("GET", f"/v1/{name}:watch", headers=headers) as answer:
            if answer.status_code != 200:
                await answer.aread()
                _answer(answer)
            kind = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data" and kind == "problem":
                    raise ApiError(json.loads(value))
                elif field == "data":
                    yield _event(json.loads(value)["event"], time.monotonic() - begin)

    async def download(self, actor: Actor, name: str, folder: Path, verb: str = "download") -> Path:
        """Downloads what `name:download` gives into the folder, and checks its SHA-256 against the answer's."""
        async with self.client.stream("GET", f"/v1/{name}:{verb}", headers=actor.headers()) as answer:
            if answer.status_code != 200:
                await answer.aread()
                _answer(answer)
            filename = answer.headers["content-disposition"].partition('filename="')[2].partition('"')[0]
            digest, path = hashlib.sha256(), folder / Path(filename).name
            with path.open("wb") as file:
                async for piece in answer.aiter_raw():
                    digest.update(piece)
                    file.write(piece)
        if f":{base64.b64encode(digest.digest()).decode()}:" not in answer.headers["repr-digest"]:
            raise ValueError(f"{path} is not what was sent: its SHA-256 differs")
        return path


def _answer(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.status_code >= 300:
        raise ApiError(body)
    return body


def _event(event: Mapping[str, Any], seconds: float) -> Event:
    progress = event.get("progress") or {}
    return Event(
        number=int(event["event"]),
        seconds=seconds,
        state=event["state"].removeprefix("REQUEST_STATE_"),
        type=event["type"],
        source=progress.get("source", "").rpartition("/")[2],
        step=progress.get("step", ""),
        records=int(progress.get("records", 0)),
    )

"""The swift connector on a real OpenStack Swift. What is left is read from the container itself."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.swift.store import SwiftStore
from dsrkit.errors import DsrError
from tests.servers.objects import NEAR, Objects, content, deleted, outcome, person

pytestmark = pytest.mark.servers

NUMBER = {"customer_number": {"unique": True}}
AVATARS = {"avatars": {"objects": "avatars/{customer_number}.png", "identity": NUMBER}}
EVENTS = {
    "events": {
        "lake": "events/**/*.jsonl",
        "format": "jsonl",
        "identity": {
            "email": {"field": "user.email"},
            "customer_number": {"field": "user.id", "value": "either", "unique": True},
        },
    }
}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@dataclass
class Container:
    """One container, reached without the connector."""

    client: httpx.AsyncClient
    name: str
    server: Mapping[str, str]
    folder: Path

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        response = await self.client.request(method, path, **more)
        response.raise_for_status()
        return response

    async def put(self, key: str, body: bytes = b"", query: str = "", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.call("PUT", f"{self.name}/{key}{query}", content=body, headers=named)

    async def get(self, key: str) -> bytes:
        return (await self.call("GET", f"{self.name}/{key}")).content

    async def keys(self, container: str = "", versions: str = "") -> list[str]:
        answer = await self.call("GET", f"{container or self.name}?format=json{versions}")
        return [entry["name"] for entry in answer.json()]

    async def bytes_of_all(self) -> bytes:
        """Every byte of every version."""
        found = b""
        for entry in (await self.call("GET", f"{self.name}?format=json&versions=true")).json():
            if entry["content_type"] != "application/x-deleted;swift_versions_deleted=1":
                version = await self.call("GET", f"{self.name}/{entry['name']}?version-id={entry['version_id']}")
                found += version.content
        return found

    def source(self, collections: Mapping[str, Any], state: str = "state", **more: Any) -> Objects:
        credentials = self.folder / "credentials.json"
        credentials.write_text(json.dumps({"user": self.server["user"], "key": self.server.get("key", "")}))
        options = {
            "container": self.name,
            "auth": "1",
            "auth_url": self.server["auth_url"],
            "credentials_file": str(credentials),
            "collections": collections,
            **more,
        }
        return Objects("swift", options, self.folder / state)


async def make(swift: Mapping[str, str], folder: Path, **headers: str) -> AsyncIterator[Container]:
    async with httpx.AsyncClient(timeout=30) as client:
        signed = await client.get(swift["auth_url"], headers={"X-Auth-User": swift["user"], "X-Auth-Key": swift["key"]})
        client.headers["X-Auth-Token"] = signed.headers["X-Auth-Token"]
        client.base_url = httpx.URL(signed.headers["X-Storage-Url"] + "/")
        container = Container(client, f"test-{secrets.token_hex(6)}", swift, folder)
        for name in (container.name, f"{container.name}-parts"):
            named = {header.replace("_", "-"): value for header, value in headers.items()}
            await container.call("PUT", name, headers=named if name == container.name else {})
        yield container


@pytest.fixture
async def plain(swift: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Container]:
    async for container in make(swift, tmp_path):
        yield container


@pytest.fixture
async def versioned(swift: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Container]:
    async for container in make(swift, tmp_path, X_Versions_Enabled="true"):
        yield container


async def test_objects_go_with_history_and_nobody_elses(versioned: Container) -> None:
    for number in ("7", "70", "007"):
        await versioned.put(f"avatars/{number}.png", b"one")
        await versioned.put(f"avatars/{number}.png", number.encode())
    await versioned.call("DELETE", f"{versioned.name}/avatars/7.png")
    source = versioned.source(AVATARS)
    copied = await source.export(person(customer_number="7"))
    assert sorted(content(r) for r in copied["avatars"] if r["content"]) == [b"7", b"one"]
    assert outcome(await source.erase(person(customer_number="7"))) == "ERASED"
    left = await versioned.keys(versions="&versions=true")
    assert sorted(left) == sorted(["avatars/70.png", "avatars/007.png"] * 2)
    assert await source.verify(person(customer_number="7")) == {}
    await source.backend.close()


async def test_records_go_out_of_every_version_and_headers_stay(versioned: Container) -> None:
    rows = [{"user": {"email": email, "id": n}} for n, email in enumerate(NEAR)]
    await versioned.put("events/a.jsonl", lines(*rows))
    await versioned.put(
        "events/a.jsonl",
        lines(*rows),
        Content_Type="application/x-ndjson",
        X_Object_Meta_Owner="crm",
        X_Delete_At=(expiry := str(int(time.time()) + 86_400)),
    )
    source = versioned.source(EVENTS)
    assert deleted(await source.erase(person(email=NEAR[0]))) == {"events": 1}
    assert await versioned.get("events/a.jsonl") == lines(*rows[1:])
    head = (await versioned.call("HEAD", f"{versioned.name}/events/a.jsonl")).headers
    kept = (head["content-type"], head["x-object-meta-owner"])
    assert kept == ("application/x-ndjson", "crm")
    # A version doesn't expire; the link that the object's name is does.
    link = (await versioned.call("HEAD", f"{versioned.name}/events/a.jsonl?symlink=get")).headers
    assert link["x-delete-at"] == expiry
    assert b'"ann@example.com"' not in await versioned.bytes_of_all()
    await source.backend.close()


async def test_a_writer_in_between_loses_nothing(versioned: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    seven, eight, nine = ({"user": {"id": n}} for n in (7, 8, 9))
    await versioned.put("events/a.jsonl", lines(seven, eight))
    source = versioned.source(EVENTS)
    check, writes = SwiftStore.check_current, 0

    async def overtaken(self: Any, version: Any) -> None:
        nonlocal writes
        await check(self, version)
        if writes < 2:
            writes += 1
            await versioned.put("events/a.jsonl", lines(seven, eight, *[nine] * writes))

    monkeypatch.setattr(SwiftStore, "check_current", overtaken)
    assert deleted(await source.erase(person(customer_number="7"))) == {"events": 1}
    assert await versioned.get("events/a.jsonl") == lines(eight, nine, nine)
    assert b'"id": 7' not in await versioned.bytes_of_all()
    await source.backend.close()


@pytest.mark.parametrize("how", ["X-History-Location", "X-Versions-Location"])
async def test_history_in_a_container_of_its_own_goes_too(plain: Container, how: str) -> None:
    """Older Swifts move what is overwritten, and with the first of the two what is deleted, to another container."""
    history = f"{plain.name}-history"
    await plain.call("PUT", history)
    await plain.call("POST", plain.name, headers={how: history})
    expiry = str(int(time.time()) + 86_400)
    for n in ("7", "70"):
        await plain.put(f"avatars/{n}.png", b"one")
        await plain.put(f"avatars/{n}.png", b"two")
    await plain.put("avatars/8.png", b"8")
    await plain.call("DELETE", f"{plain.name}/avatars/8.png")
    seven, eight = lines({"user": {"id": 7}}), lines({"user": {"id": 8}})
    await plain.put("events/a.jsonl", eight)
    await plain.put("events/a.jsonl", seven + eight)
    await plain.put("events/a.jsonl", seven + eight + eight, X_Delete_At=expiry)
    source = plain.source({**AVATARS, **EVENTS})
    copied = await source.export(person(customer_number="7"))
    assert sorted(content(record) for record in copied["avatars"]) == [b"one", b"two"]
    assert deleted(await source.erase(person(customer_number="7"))) == {"avatars": 2, "events": 1}
    # Deleted earlier: with X-History-Location the object and the mark of its deletion are still there.
    gone = {"avatars": 2, "events": 2} if how == "X-History-Location" else {"events": 2}
    assert deleted(await source.erase(person(customer_number="8"), task="eight")) == gone
    assert sorted(await plain.keys()) == ["avatars/70.png", "events/a.jsonl"]
    assert [name.rpartition("/")[0] for name in await plain.keys(history)] == ["00eavatars/70.png"]
    assert await plain.get("events/a.jsonl") == b""
    assert (await plain.call("HEAD", f"{plain.name}/events/a.jsonl")).headers["x-delete-at"] == expiry
    assert await source.verify(person(customer_number="7")) == {}
    await source.backend.close()


@pytest.fixture
async def keystone(swift: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Container]:
    """A container of a project that Keystone has just been told of, with a user and an application credential."""
    url, name = swift["keystone_url"], f"shop-{secrets.token_hex(4)}"
    async with httpx.AsyncClient(timeout=30) as client:

        async def make(kind: str, **body: Any) -> Any:
            answer = await client.post(f"{url}/{kind}s", json={kind: body}, headers=admin)
            answer.raise_for_status()
            return answer.json()[kind]

        async def token(user: str, key: str, project: str) -> Mapping[str, str]:
            domain = {"name": "Default"}
            password = {"user": {"name": user, "password": key, "domain": domain}}
            identity = {"methods": ["password"], "password": password}
            body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}}
            answer = await client.post(f"{url}/auth/tokens", json=body)
            answer.raise_for_status()
            return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

        admin = await token(swift["keystone_user"], swift["keystone_key"], "admin")
        service = await make("service", type="object-store", name=name)
        for region, address in ((f"not-{name}", "http://127.0.0.1:1"), (name, swift["keystone_store"])):
            await make("endpoint", service_id=service["id"], interface="public", region=region, url=address)
        project = await make("project", name=name, domain_id="default")
        user = await make("user", name=name, password="secret", domain_id="default")
        roles = (await client.get(f"{url}/roles?name=member", headers=admin)).json()["roles"]
        grant = f"{url}/projects/{project['id']}/users/{user['id']}/roles/{roles[0]['id']}"
        (await client.put(grant, headers=admin)).raise_for_status()
        client.headers.update(await token(name, "secret", name))
        body = {"application_credential": {"name": name}}
        answer = await client.post(f"{url}/users/{user['id']}/application_credentials", json=body)
        answer.raise_for_status()
        secret = answer.json()["application_credential"]
        client.base_url = httpx.URL(swift["keystone_store"] % {"tenant_id": project["id"]} + "/")
        told = {"auth": "3", "auth_url": url, "region": name, "application": secret, "user": name}
        container = Container(client, f"test-{secrets.token_hex(6)}", told, tmp_path)
        await container.call("PUT", container.name, headers={"X-Versions-Enabled": "true"})
        yield container


async def test_keystone_signs_in_and_a_token_that_ended_is_renewed(keystone: Container) -> None:
    told: Mapping[str, Any] = keystone.server
    credentials = keystone.folder / "keystone.json"
    more = {"auth": "3", "auth_url": told["auth_url"], "region": told["region"], "credentials_file": str(credentials)}
    application = {f"application_credential_{name}": told["application"][name] for name in ("id", "secret")}
    password = {"user": told["user"], "key": "secret", "project": told["user"]}
    await keystone.put("events/a.jsonl", lines(*({"user": {"id": n}} for n in (7, 8, 9))))
    for number, secret in (("7", password), ("8", application)):
        credentials.write_text(json.dumps(secret))
        source = keystone.source(EVENTS, **more)
        store: Any = source.backend
        http = store._store.http
        assert await source.counts(customer_number=number) == {"events": 1}
        http._token = "ended"
        assert deleted(await source.erase(person(customer_number=number), task=number)) == {"events": 1}
        assert http._token != "ended"
        await source.backend.close()
    assert await keystone.get("events/a.jsonl") == lines({"user": {"id": 9}})
    credentials.write_text(json.dumps({**password, "key": "wrong"}))
    refused = keystone.source(EVENTS, **more)
    with pytest.raises(DsrError) as error:
        await refused.counts(customer_number="7")
    assert (error.value.reason, error.value.metadata["why"]) == ("SOURCE_REJECTED", "CREDENTIALS")
    await refused.backend.close()


async def test_large_objects_go_with_all_their_segments(plain: Container) -> None:
    parts = f"{plain.name}-parts"
    for number in ("7", "70"):
        key = f"avatars/{number}.png"
        manifest = []
        for index in (1, 2):
            await plain.call("PUT", f"{parts}/{key}/{index}", content=b"part")
            manifest.append({"path": f"/{parts}/{key}/{index}"})
        if number == "7":
            await plain.put(key, json.dumps(manifest).encode(), "?multipart-manifest=put")
        else:
            await plain.put(key, X_Object_Manifest=f"{parts}/{key}/")
    source = plain.source(AVATARS)
    copied = await source.export(person(customer_number="7"))
    assert [content(record) for record in copied["avatars"]] == [b"partpart"]
    assert deleted(await source.erase(person(customer_number="7"))) == {"avatars": 1}
    assert await plain.keys(parts) == ["avatars/70.png/1", "avatars/70.png/2"]
    assert await plain.get("avatars/70.png") == b"partpart"
    assert deleted(await source.erase(person(customer_number="70"), task="next")) == {"avatars": 1}
    assert (await plain.keys(), await plain.keys(parts)) == ([], [])
    await source.backend.close()


async def test_segments_that_are_somebody_elses_block(plain: Container) -> None:
    await plain.put("avatars/70.png", b"70")
    manifest = json.dumps([{"path": f"/{plain.name}/avatars/70.png"}]).encode()
    await plain.put("avatars/7.png", manifest, "?multipart-manifest=put")
    source = plain.source(AVATARS)
    assert await source.findings(customer_number="7") == {"FOREIGN_SEGMENTS": True}
    assert outcome(await source.erase(person(customer_number="7"))) == "BLOCKED"
    assert await plain.get("avatars/70.png") == b"70"
    await source.backend.close()


async def test_without_history_a_lake_is_rewritten_only_if_that_is_allowed(plain: Container) -> None:
    body = lines({"user": {"id": 7}}, {"user": {"id": 8}})
    expiry = str(int(time.time()) + 86_400)
    await plain.put("events/a.jsonl", body, X_Delete_At=expiry)
    source = plain.source(EVENTS)
    assert await source.findings(customer_number="7") == {"UNGUARDED": True}
    assert outcome(await source.erase(person(customer_number="7"))) == "BLOCKED"
    assert await plain.get("events/a.jsonl") == body
    await source.backend.close()
    allowed = plain.source(EVENTS, unguarded_rewrites="allow")
    assert outcome(await allowed.erase(person(customer_number="7"), task="allowed")) == "ERASED"
    assert await plain.get("events/a.jsonl") == lines({"user": {"id": 8}})
    assert (await plain.call("HEAD", f"{plain.name}/events/a.jsonl")).headers["x-delete-at"] == expiry
    await allowed.backend.close()

"""Return and Destroy of a whole container, on a real Swift: every version of what is declared, and nothing else."""

import asyncio
import json
import sys
from typing import Any

import pytest

from connectors.swift.http import Http
from connectors.swift.store import SwiftStore
from dsrkit.errors import DsrError
from tests.servers.objects import caps_of, content, ended, outcome, person
from tests.servers.test_servers_swift import Container, plain
from tests.support.services import eventually

__all__ = ["plain"]  # fixture
pytestmark = pytest.mark.servers

NUMBER = {"customer_number": {"unique": True}}
ACME: dict[str, Any] = {
    "avatars": {"objects": "acme/avatars/{customer_number}.png", "identity": NUMBER},
    "events": {"lake": "acme/events/*", "format": "jsonl", "identity": {"customer_number": {"field": "id"}}},
    "assets": {"objects": "acme/assets/**/*", "no_personal_data": True},
}
THEIRS = ["acm/avatars/7.png", "acme-2/avatars/7.png", "acme2/assets/a", "beta/acme/avatars/7.png"]


async def fill(store: Container) -> None:
    for body in (b"one", b"two"):
        await store.put("acme/avatars/7.png", body, Content_Type="image/png", X_Object_Meta_Owner="crm")
    await store.put("acme/events/a.jsonl", b'{"id": "7"}\n')
    await store.put("acme/assets/empty")
    await store.put("acme/assets/gone", b"gone")
    await store.call("DELETE", f"{store.name}/acme/assets/gone")
    for key in THEIRS:
        await store.put(key, b"theirs")


@pytest.mark.parametrize("how", ["plain", "X-Versions-Enabled", "X-History-Location", "X-Versions-Location"])
@pytest.mark.policy("P14", "of a shared container the partner's objects are returned and destroyed, nobody else's")
async def test_a_shared_container_is_returned_and_destroyed_by_what_is_declared(plain: Container, how: str) -> None:
    history = f"{plain.name}-history"
    if how != "plain":
        await plain.call("PUT", history)
        setting = "true" if how == "X-Versions-Enabled" else history
        await plain.call("POST", plain.name, headers={how: setting})
    await fill(plain)
    source = plain.source(ACME)
    returned = await source.returned()
    told = {n: [(r["path"], r["state"], r["content"] and content(r)) for r in rs] for n, rs in returned.items()}
    old = [] if how == "plain" else [("acme/avatars/7.png", "NONCURRENT", b"one")]
    assert told["avatars"] == [("acme/avatars/7.png", "CURRENT", b"two"), *old]
    assert told["events"] == [("acme/events/a.jsonl", "CURRENT", b'{"id": "7"}\n')]
    gone: Any = [("acme/assets/gone", "DELETE_MARKER", None), ("acme/assets/gone", "NONCURRENT", b"gone")]
    gone = gone if how in ("X-Versions-Enabled", "X-History-Location") else []
    assert sorted(told["assets"], key=repr) == sorted([("acme/assets/empty", "CURRENT", ""), *gone], key=repr)
    avatar = returned["avatars"][0]
    assert (avatar["metadata"]["owner"], avatar["media_type"], avatar["customer_number"]) == ("crm", "image/png", "7")
    caps = caps_of(returned)
    assert ended(await source.destroy({**caps, "avatars": 0}))[0] == "CAP_EXCEEDED"
    done: Any = ("DESTROYED", {name: (number, 0) for name, number in caps.items()}, [])
    assert ended(await source.destroy(caps)) == done
    versions = "&versions=true" if how == "X-Versions-Enabled" else ""
    assert await plain.keys(versions=versions) == THEIRS
    if how.endswith("Location"):
        assert await plain.keys(history) == []
    assert ended(await source.destroy(caps, attempt=2)) == done
    assert not any((await source.returned("again")).values())
    await source.backend.close()


async def large(store: Container, key: str, parts: str, *, dynamic: bool) -> None:
    """A large object of two segments below `parts`, in the container of segments."""
    places = [f"{store.name}-parts/{parts}/{index}" for index in (1, 2)]
    for place in places:
        await store.call("PUT", place, content=b"part")
    if dynamic:
        await store.put(key, X_Object_Manifest=f"{store.name}-parts/{parts}/")
    else:
        manifest = json.dumps([{"path": f"/{place}"} for place in places])
        await store.put(key, manifest.encode(), "?multipart-manifest=put")


async def test_large_objects_are_their_content_and_go_with_their_segments(plain: Container) -> None:
    for key, dynamic in (("acme/assets/slo", False), ("acme/assets/dlo", True), ("beta/assets/slo", False)):
        await large(plain, key, key, dynamic=dynamic)
    # A large object of large objects.
    await large(plain, "inner", "acme/assets/nested/inner", dynamic=False)
    inner = f"{plain.name}-parts/acme/assets/nested/0"
    places = [f"/{plain.name}-parts/acme/assets/nested/inner/{index}" for index in (1, 2)]
    manifest = json.dumps([{"path": place} for place in places])
    await plain.call("PUT", f"{inner}?multipart-manifest=put", content=manifest.encode())
    outer = json.dumps([{"path": f"/{inner}"}]).encode()
    await plain.put("acme/assets/nested", outer, "?multipart-manifest=put")
    source = plain.source({"assets": ACME["assets"]})
    returned = await source.returned()
    assert [(r["path"][12:], content(r)) for r in returned["assets"]] == [
        (name, b"partpart") for name in ("dlo", "nested", "slo")
    ]
    assert ended(await source.destroy(caps_of(returned)))[:2] == ("DESTROYED", {"assets": (3, 0)})
    assert await plain.keys() == ["beta/assets/slo", "inner"]
    assert await plain.keys(f"{plain.name}-parts") == [f"beta/assets/slo/{index}" for index in (1, 2)]
    await source.backend.close()


@pytest.mark.policy("P14", "what leads to somebody else's object is neither returned nor destroyed")
async def test_segments_and_links_that_are_anothers_are_refused(plain: Container) -> None:
    await large(plain, "acme/assets/a", "beta/acme/assets/a", dynamic=True)
    await plain.put("acme/assets/b", b"b")
    source = plain.source({"assets": ACME["assets"]})
    with pytest.raises(DsrError) as caught:
        await source.returned()
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_REJECTED", "FOREIGN_SEGMENTS")
    assert ended(await source.destroy({"assets": 2}))[::2] == ("BLOCKED", ["FOREIGN_SEGMENTS", "NOT_RETURNED"])
    await plain.call("DELETE", f"{plain.name}/acme/assets/a")
    await plain.put("beta/avatars/7.png", b"theirs")
    await plain.put("acme/assets/a", X_Symlink_Target=f"{plain.name}/beta/avatars/7.png")
    with pytest.raises(DsrError) as caught:
        await source.returned()
    assert (caught.value.reason, caught.value.metadata["why"]) == ("SOURCE_REJECTED", "SYMBOLIC_LINK")
    assert ended(await source.destroy({"assets": 2}))[::2] == ("BLOCKED", ["SYMBOLIC_LINK", "NOT_RETURNED"])
    assert await plain.keys() == ["acme/assets/a", "acme/assets/b", "beta/avatars/7.png"]
    assert len(await plain.keys(f"{plain.name}-parts")) == 2
    await source.backend.close()


async def test_what_came_or_changed_since_the_return_is_not_destroyed(
    plain: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(plain)
    source = plain.source(ACME)
    caps = caps_of(await source.returned())
    await plain.put("acme/avatars/7.png", b"since")
    assert ended(await source.destroy(caps))[::2] == ("BLOCKED", ["NOT_RETURNED"])
    caps = caps_of(await source.returned("again"))
    clear = SwiftStore.clear

    async def written_before(self: Any, versions: Any) -> None:
        await plain.put("acme/avatars/7.png", b"meanwhile")
        await clear(self, versions)

    with monkeypatch.context() as patch:
        patch.setattr(SwiftStore, "clear", written_before)
        with pytest.raises(DsrError) as caught:
            await source.destroy(caps, attempt=2)
    assert caught.value.reason == "SOURCE_BUSY"
    assert await plain.keys() == sorted([*THEIRS, "acme/avatars/7.png"])
    assert await plain.get("acme/avatars/7.png") == b"meanwhile"
    await source.backend.close()


async def test_a_large_object_whose_segments_change_while_it_is_read_is_not_torn(
    plain: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    await large(plain, "acme/assets/a", "acme/assets/a", dynamic=True)
    source = plain.source({"assets": ACME["assets"]})
    head, heads = SwiftStore.head, 0

    async def changed_before(self: Any, version: Any) -> Any:
        nonlocal heads
        heads += 1
        if heads == 4:  # sized twice, facts, and this one after the content
            await plain.call("PUT", f"{plain.name}-parts/acme/assets/a/2", content=b"PART")
        return await head(self, version)

    monkeypatch.setattr(SwiftStore, "head", changed_before)
    with pytest.raises(DsrError) as caught:
        await source.returned()
    assert caught.value.reason == "SOURCE_BUSY"
    (record,) = (await source.returned("again"))["assets"]
    assert content(record) == b"partPART"
    await source.backend.close()


async def test_what_has_expired_is_told_and_goes_out_of_the_listing(plain: Container) -> None:
    await plain.put("acme/assets/a", b"a", X_Delete_After="1")
    await plain.put("acme/assets/b", b"b")

    async def expired() -> bool:
        return (await plain.client.head(f"{plain.name}/acme/assets/a")).status_code == 404

    await eventually(expired)
    source = plain.source({"assets": ACME["assets"]})
    returned = await source.returned()
    told = [(record["path"], record["state"], record["content"]) for record in returned["assets"]]
    assert told == [("acme/assets/a", "EXPIRED", None), ("acme/assets/b", "CURRENT", "Yg==")]
    assert ended(await source.destroy(caps_of(returned)))[:2] == ("DESTROYED", {"assets": (2, 0)})
    assert await plain.keys() == []
    await source.backend.close()


@pytest.mark.parametrize("there", [True, False])
async def test_without_history_many_go_in_one_request(
    plain: Container, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of all sorts; and where the store has no such request, they go one by one."""
    names = ["a%20b", "%C3%A9%0A1", "100%25", "a%3Fversion-id=1"]
    for name in names:
        await plain.put(f"acme/assets/{name}", b"x")
    source = plain.source({"assets": ACME["assets"]})
    await source.returned()
    request, asked = Http.request, []

    async def counted(self: Any, method: str, *rest: Any, **more: Any) -> Any:
        if method == "POST" and not there:
            more["params"] = {}
        asked.append(method)
        return await request(self, method, *rest, **more)

    monkeypatch.setattr(Http, "request", counted)
    assert ended(await source.destroy({"assets": 4}))[:2] == ("DESTROYED", {"assets": (4, 0)})
    assert asked.count("DELETE") == (0 if there else 4)
    assert (await plain.keys(), asked.count("POST")) == ([], 1)
    await source.backend.close()


async def test_killed_between_a_deletion_and_the_mark_that_it_left_it_goes_on(
    plain: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older Swifts move what is deleted to another container, with a mark."""
    history = f"{plain.name}-history"
    await plain.call("PUT", history)
    await plain.call("POST", plain.name, headers={"X-History-Location": history})
    await plain.put("acme/assets/a", b"a")
    source = plain.source({"assets": ACME["assets"]})
    caps = caps_of(await source.returned())
    request = Http.request

    async def killed_after(self: Any, method: str, *rest: Any, **more: Any) -> Any:
        answer = await request(self, method, *rest, **more)
        if method == "DELETE":
            raise DsrError("SOURCE_UNAVAILABLE", "killed", source="x")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Http, "request", killed_after)
        with pytest.raises(DsrError, match="killed"):
            await source.destroy(caps)
    assert (await plain.keys(), len(await plain.keys(history))) == ([], 2)
    assert ended(await source.destroy(caps, attempt=2))[:2] == ("DESTROYED", {"assets": (1, 0)})
    assert await plain.keys(history) == []
    await source.backend.close()


async def test_a_link_in_an_objects_place_keeps_a_person_from_being_erased(plain: Container) -> None:
    await plain.put("other", b"x")
    await plain.put("acme/avatars/7.png", X_Symlink_Target=f"{plain.name}/other")
    source = plain.source(ACME)
    assert await source.findings(customer_number="7") == {"SYMBOLIC_LINK": True}
    assert outcome(await source.erase(person(customer_number="7"))) == "BLOCKED"
    assert await plain.keys() == ["acme/avatars/7.png", "other"]
    await source.backend.close()


@pytest.mark.parametrize("kind", ["plain", "versioned"])
async def test_killed_in_the_middle_it_goes_on(plain: Container, kind: str) -> None:
    if kind == "versioned":
        await plain.call("POST", plain.name, headers={"X-Versions-Enabled": "true"})
    for number in range(12):
        for body in (b"one", b"two"):
            await plain.put(f"acme/assets/{number}", body)
    source = plain.source(ACME)
    caps = caps_of(await source.returned())
    command = [sys.executable, "-m", "tests.servers.kill_whole", source.saved(), str(caps["assets"]), "4", "middle"]
    process = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(process.wait(), 60) == -9
    versions = "&versions=true" if kind == "versioned" else ""
    assert 0 < len(await plain.keys(versions=versions)) < caps["assets"]
    assert ended(await source.destroy(caps, attempt=2))[1]["assets"] == (caps["assets"], 0)
    assert ended(await source.destroy(caps, attempt=3))[1]["assets"] == (caps["assets"], 0)
    assert await plain.keys(versions=versions) == []
    await source.backend.close()

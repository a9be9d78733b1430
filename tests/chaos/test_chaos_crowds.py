"""A hundred submissions at once: of one call, and of different calls for one person."""

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import httpx
import pytest

from deploy.local.api import ApiError
from tests.chaos.points import erased, journalled_once
from tests.support.e2e import PARTNER, TERMINAL, World, body, until
from tests.support.e2e_people import Person

CROWD = 100


async def submit(world: World, person: Person, request_ids: list[str], **more: Any) -> list[httpx.Response]:
    """Sends all of them at once."""
    resource = body(person.identity, ground="GROUND_CONSENT_WITHDRAWN", **more)

    async def send(request_id: str) -> httpx.Response:
        path, query = f"/v1/{PARTNER}/erasureRequests", {"requestId": request_id}
        return await world.api.client.post(path, params=query, json=resource, headers=world.clerk.headers())

    return await asyncio.gather(*(send(each) for each in request_ids))


@pytest.mark.long
async def test_one_call_sent_a_hundred_times_is_one_request(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    answers = await submit(world, person, [str(uuid.uuid4())] * CROWD)
    assert {a.status_code for a in answers} == {200}
    (name,) = {a.json()["name"] for a in answers}
    await world.approve(name)
    await erased(world, name, person, before)
    changed = await world.api.client.post(
        f"/v1/{PARTNER}/erasureRequests",
        params={"requestId": answers[0].request.url.params["requestId"]},
        json=body({"type": "email", "value": "another@shopper.example"}, ground="GROUND_CONSENT_WITHDRAWN"),
        headers=world.clerk.headers(),
    )
    assert (changed.status_code, changed.json()["reason"]) == (409, "REQUEST_ID_REUSED")


@pytest.mark.long
async def test_a_hundred_requests_for_one_person_erase_once(world: World) -> None:
    person = await world.person()
    before = await world.look(person)
    answers = await submit(world, person, [str(uuid.uuid4()) for _ in range(CROWD)])
    assert {a.status_code for a in answers} == {200}
    names = {a.json()["name"] for a in answers}
    assert len(names) == CROWD

    async def planned() -> list[str]:
        return [name for name in names if await world.state(name) == "PLANNED"]

    (first,) = await until(planned, "the oldest is planned")

    async def others_wait() -> bool:
        waiting = [task["waiting_reason"] for name in names - {first} for task in await world.tasks(name)]
        return waiting == ["ERASURE_IN_PROGRESS"] * (CROWD - 1)

    await until(others_wait, "all others wait for it")
    await world.approve(first)
    await erased(world, first, person, before)

    async def followed() -> list[str]:
        return [name for name in names - {first} if await world.state(name) == "COMPLETED"]

    # Whose turn is next finds nobody any more: an honest, empty end, by itself.
    for name in await until(followed, "another is completed"):
        report = (await world.api.get(world.clerk, name))["report"]
        assert not any(int(o["erased"]) for o in report["outcomes"])
    for name in names:
        if await world.state(name) not in TERMINAL:
            with suppress(ApiError):  # it may have ended by itself meanwhile
                await world.api.act(world.clerk, name, "cancel")
    await journalled_once(world, first)
    assert (await world.look(person)).same_but_for_the_person(before)

"""The story's last chapter: what an integrator finds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dsr.credentials import Credential
from google.protobuf import json_format

from deploy.local import sandbox
from deploy.local.api import TERMINAL, Actor, Api, ApiError
from deploy.local.platform import Platform
from deploy.local.stage import Stage

HOST = "files"
"""The connector host that serves it."""


async def tell(stage: Stage, api: Api, platform: Platform, operator: Actor) -> None:
    """A partner that can be mixed with nothing live, and a grace period of a day that passes at once."""
    mine = Credential.load(platform.credential("acme-sandbox"))
    admin, clerk = Actor(mine, "admin-1", ("ROLE_ADMIN",)), Actor(mine, "clerk-7", ("ROLE_REQUESTER",))
    with stage.chapter("A sandbox for integrators: made-up people, and a clock to advance") as chapter:
        await api.create(operator, "partners", sandbox.partner())
        source = sandbox.data_source(platform.address(HOST))
        live = {**source, "name": f"{sandbox.PARTNER}/dataSources/real", "sandbox": False}
        stage.expect("it gets no live source", await _refused(api, admin, live) == "SANDBOX_MISMATCH")
        await api.create(admin, f"{sandbox.PARTNER}/dataSources", source)
        await api.create(admin, f"{sandbox.PARTNER}/dataMaps", json_format.MessageToDict(sandbox.data_map()))
        request = await api.create(clerk, f"{sandbox.PARTNER}/erasureRequests", _erasure("fay@sandbox.example"))
        planned = await stage.follow(api.watch(clerk, request["name"]), TERMINAL | {"PLANNED"})
        plan = (await api.get(clerk, request["name"]))["plan"]
        manager = Actor(mine, "manager-2", ("ROLE_APPROVER",))
        await api.act(manager, request["name"], "approve", planDigest=plan["digest"])
        tomorrow = (datetime.now(UTC) + timedelta(days=1, minutes=1)).isoformat().replace("+00:00", "Z")
        await api.act(admin, f"{sandbox.PARTNER}/sandbox", "advanceClock", time=tomorrow)
        last = await stage.follow(api.watch(clerk, request["name"], planned.number), TERMINAL)
        report = (await api.get(clerk, request["name"]))["report"]
        stage.say(report["sandbox"])
        stage.expect(
            "a day's grace was over at once, and its report says that it proves nothing", bool(report["sandbox"])
        )
        chapter.outcome = last.state


async def _refused(api: Api, admin: Actor, source: dict[str, Any]) -> str:
    try:
        await api.create(admin, f"{sandbox.PARTNER}/dataSources", source)
    except ApiError as error:
        return error.reason
    return ""


def _erasure(address: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "subject": {
            "identities": [{"type": "email", "value": address}],
            "capacity": "REQUESTER_CAPACITY_SELF",
            "verification": {"method": "METHOD_ACCOUNT_LOGIN", "verifier": "desk-3", "verifyTime": now},
        },
        "clock": {"receivedTime": now},
        "ground": "GROUND_CONSENT_WITHDRAWN",
    }

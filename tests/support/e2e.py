"""The whole platform as processes of its own, with two databases that can be killed apart, and a shop with people."""

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil
import yaml
from dsr.credentials import Credential
from google.protobuf import json_format

from deploy.local.api import Actor, Api
from deploy.local.platform import Platform, open_platform
from deploy.local.postgres import Cluster, free_port
from deploy.local.shop import sources
from deploy.local.shop.files import checksum
from deploy.local.shop.setting import Setting, set_up_shop
from deploy.local.shop.witness import Checksum
from tests.support.e2e_people import LEFT, Person, add_person, shrink
from tests.support.otlp import Collector, open_collector
from tests.support.scratch import scratch

T = TypeVar("T")
PARTNER = sources.PARTNER
DATABASE = "dsr"
TERMINAL = ("COMPLETED", "PARTIALLY_ERASED", "REFUSED", "CANCELLED")
HEARTBEAT_SECONDS = 2
PATIENCE = 60.0
"""Seconds within which anything must have happened."""


@dataclass
class World:
    """What a test sees of it, and what it may do to it."""

    folder: Path
    platform: Platform
    platform_db: Cluster
    source_db: Cluster
    setting: Setting
    api: Api
    operator: Actor
    admin: Actor
    clerk: Actor
    manager: Actor
    people: list[Person] = field(default_factory=list)
    collector: Collector | None = None
    """What all processes tell of themselves."""

    # People, and what is there of them

    async def person(self, tag: str = "", page_views: int = 40) -> Person:
        """A new one."""
        async with self.shop() as connection:
            number = len(self.people) + 1
            added = await add_person(connection, self.setting.files, number, tag=tag, page_views=page_views)
        self.people.append(added)
        return added

    @asynccontextmanager
    async def shop(self) -> AsyncIterator[asyncpg.Connection]:
        """The shop's database, past the platform."""
        connection = await asyncpg.connect(self.setting.dsn)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[asyncpg.Connection]:
        """The platform's own database, as its superuser."""
        connection = await asyncpg.connect(self.platform_db.dsn(DATABASE))
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    async def look(self, person: Person) -> "Look":
        """Everything there is, of the person and of all others."""
        async with self.shop() as connection:
            witness = await person.witness(connection)
            counts, others = await witness.counts(), await witness.others()
        everything = checksum(self.setting.files)
        files = checksum(self.setting.files, without=person.customer_number)
        return Look(counts, others, len(everything) - len(files), files)

    async def look_past(self, people: Sequence[Person]) -> Mapping[str, Checksum]:
        """Every table without any of these people."""
        nobody = replace(people[0], id=-1, customer_number="", email="", review_ids="{}")
        everybody = (await self.look(nobody)).others
        left = dict(everybody)
        for person in people:
            others = (await self.look(person)).others
            left = {table: left[table] - (everybody[table] - others[table]) for table in left}
        return left

    # Requests

    async def copy(self, person: Person, collection: str = "accessRequests", **more: Any) -> str:
        """Asks for a copy. The request's name."""
        created = await self.api.create(self.clerk, f"{PARTNER}/{collection}", body(person.identity, **more))
        return str(created["name"])

    async def erasure(self, person: Person, **more: Any) -> str:
        """Asks for an erasure. The request's name."""
        resource = body(person.identity, ground="GROUND_CONSENT_WITHDRAWN", **more)
        created = await self.api.create(self.clerk, f"{PARTNER}/erasureRequests", resource)
        return str(created["name"])

    async def approve(self, name: str) -> None:
        """Approves the plan, as soon as there is one."""
        await self.in_state(name, "PLANNED")
        plan = (await self.api.get(self.clerk, name))["plan"]
        await self.api.act(self.manager, name, "approve", planDigest=plan["digest"])

    async def state(self, name: str) -> str:
        """The request's state, asked of the database: services may be down."""
        schema, identifier = place(name)
        async with self.store() as connection:
            found = await connection.fetchval(f"SELECT state FROM {schema}.request WHERE id = $1", identifier)  # noqa: S608
        return str(found)

    async def in_state(self, name: str, *states: str, patience: float = PATIENCE) -> str:
        """Waits until the request is in one of these states."""

        async def reached() -> str | None:
            found = await self.state(name)
            if found in TERMINAL and found not in states:
                raise AssertionError(f"{name} is {found}, not {' or '.join(states)}")
            return found if found in states else None

        return await until(reached, f"{name} is {' or '.join(states)}", patience)

    async def waiting(self, name: str) -> set[str]:
        """Why sources of the request wait, as the resource says."""
        resource = await self.api.get(self.clerk, name)
        reasons = {source.get("waitingReason", "") for source in resource.get("sources", ())}
        return {reason.removeprefix("ERROR_REASON_") for reason in reasons} - {"", "UNSPECIFIED"}

    async def tasks(self, name: str) -> list[asyncpg.Record]:
        """All tasks of a request."""
        schema, identifier = place(name)
        async with self.store() as connection:
            query = f"SELECT * FROM {schema}.task WHERE owner = $1 ORDER BY create_time, id"  # noqa: S608
            return list(await connection.fetch(query, identifier))

    async def closed(self, name: str) -> None:
        """Waits until the last step after the end is done."""

        async def done() -> bool:
            return any(t["step"] == "close" and t["state"] == "done" for t in await self.tasks(name))

        await until(done, f"{name} is closed")

    # Processes

    def second_worker(self, name: str) -> str:
        """Adds a process that works beside service `name` and serves nobody. Its name; `start` it."""
        first = self.platform.programs[name]
        address = f"127.0.0.1:{free_port()}"
        second = replace(
            first,
            name=f"{name}-2",
            address=address,
            env={**first.env, "DSR_LISTEN": address, "DSR_ROLE": "worker"},
        )
        self.platform.programs = {**self.platform.programs, second.name: second}
        return second.name

    async def kill(self, name: str) -> None:
        """Kills a process with SIGKILL."""
        await asyncio.to_thread(self.platform.kill, name)

    async def restart(self, name: str) -> None:
        """Starts a process again, and waits until the gateway reaches everything."""
        await self.platform.restart(name)
        await self.platform.ready("gateway")

    async def mend(self) -> None:
        """Starts again whatever doesn't run."""
        ended = [name for name in self.platform.programs if not psutil.pid_exists(self.platform.pid(name))]
        await asyncio.gather(*(self.platform.restart(name) for name in ended))
        await self.platform.ready("gateway")

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        path = self.platform.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Look:
    """What the sources hold at a moment."""

    counts: Mapping[str, int]
    others: Mapping[str, Checksum]
    own_files: int
    other_files: Mapping[str, str]

    def same_but_for_the_person(self, other: "Look") -> bool:
        """Whether every row and file of everybody else is as it was."""
        return self.others == other.others and self.other_files == other.other_files


def erased_once(before: Look, after: Look, resource: Mapping[str, Any]) -> None:
    """Asserts that an erasure took the person, all of the person and nothing else, and says so."""
    assert after.same_but_for_the_person(before)
    taken(before, after, resource)


def taken(before: Look, after: Look, resource: Mapping[str, Any]) -> None:
    """Asserts that an erasure took all of the person, and says so."""
    assert after.counts == LEFT
    assert after.own_files == 0
    assert resource["state"] == "REQUEST_STATE_COMPLETED"
    shop = [o for o in resource["report"]["outcomes"] if o["source"] == sources.SHOP]
    told = {o["collection"]: int(o["erased"]) + int(o["anonymised"]) + int(o["retained"]) for o in shop}
    assert {name: records for name, records in told.items() if records} == before.counts
    files = [o for o in resource["report"]["outcomes"] if o["source"] == sources.FILES]
    assert sum(int(o["erased"]) for o in files) == before.own_files
    assert not any(int(o["remaining"]) for o in resource["report"]["outcomes"])


async def until(condition: Callable[[], Awaitable[T | None]], what: str, patience: float = PATIENCE) -> T:
    """Asks again and again until the answer is true, and returns it. AssertionError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (answer := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"in {patience:.0f} s it never came about that {what}")
        await asyncio.sleep(0.02)
    return answer


def place(name: str) -> tuple[str, uuid.UUID]:
    """Schema and id of a request."""
    _, _, collection, identifier = name.split("/")
    return collection.removesuffix("Requests"), uuid.UUID(identifier)


def body(identity: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A request, as JSON."""
    now = datetime.now(UTC)
    return {
        "subject": {
            "identities": [identity],
            "capacity": "REQUESTER_CAPACITY_SELF",
            "verification": {
                "method": "METHOD_ACCOUNT_LOGIN",
                "verifier": "desk-3",
                "verifyTime": (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        },
        "clock": {"receivedTime": (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")},
        **more,
    }


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dsr-test-") as name:
        Path(name).chmod(0o755)  # for root PostgreSQL runs as nobody, who must reach its data
        yield Path(name)


@contextmanager
def _clusters(fsync: bool) -> Iterator[tuple[Cluster, Cluster]]:
    with (
        scratch("dsr-test-") as folder,
        Cluster.start(folder / "platform-db", fsync=fsync) as own,
        Cluster.start(folder / "shop-db", fsync=fsync) as shop,
    ):
        yield own, shop


@asynccontextmanager
async def open_world(*, durable: bool, small: bool, watched: bool = False) -> AsyncIterator[World]:
    """Starts everything and connects the shop. `durable`: the databases survive being killed; `watched`: all processes
    export traces and metrics."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        own, shop = stack.enter_context(_clusters(durable))
        setting = await set_up_shop(folder / "shop", shop)
        if small:
            connection = await asyncpg.connect(setting.dsn)
            await shrink(connection)
            await connection.close()
        hosts = {**setting.hosts, "shop": lambda keys: _raise_cap(setting.hosts["shop"](keys))}
        collector = await stack.enter_async_context(open_collector()) if watched else None
        told = {"DSR_OTLP_ENDPOINT": collector.endpoint, "DSR_OTLP_INTERVAL_SECONDS": "1"} if collector else {}
        rights = {"DSR_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS)}
        extra = {name: told for name in ("governance", "gateway", *hosts)}
        platform = await stack.enter_async_context(
            open_platform(
                folder / "platform",
                own,
                hosts,
                database=DATABASE,
                logs=folder / "logs",
                extra_env={**extra, **{name: {**rights, **told} for name in ("access", "portability", "erasure")}},
            )
        )
        api = await stack.enter_async_context(Api.open(platform.url))
        acme = Credential.load(platform.credential("acme"))
        world = World(
            folder=folder,
            platform=platform,
            platform_db=own,
            source_db=shop,
            setting=setting,
            api=api,
            operator=Actor(Credential.load(platform.credential("operator")), "operator-1", ("ROLE_OPERATOR",)),
            admin=Actor(acme, "admin-1", ("ROLE_ADMIN",)),
            clerk=Actor(acme, "clerk-7", ("ROLE_REQUESTER",)),
            collector=collector,
            manager=Actor(acme, "manager-2", ("ROLE_APPROVER", "ROLE_READER")),
        )
        await _connect(world)
        yield world


async def _connect(world: World) -> None:
    approver = f"{world.manager.credential.issuer}#{world.manager.subject}"
    partner = {
        **sources.partner(),
        "erasureGracePeriod": "0s",
        "contractApprovers": [approver],
        "dailyRequestCap": 5000,
    }
    await world.api.create(world.operator, "partners", partner)
    for name, host in ((sources.SHOP, "shop"), (sources.FILES, "files")):
        await world.api.create(
            world.admin, f"{PARTNER}/dataSources", sources.data_source(name, world.platform.address(host))
        )
    await world.api.create(world.admin, f"{PARTNER}/dataMaps", json_format.MessageToDict(sources.data_map()))


def _raise_cap(config: Path) -> Path:
    """Lets one person have a hundred thousand rows."""
    content = yaml.safe_load(config.read_text())
    content["sources"][sources.SHOP]["options"]["max_records_per_subject"] = 100_000
    config.write_text(yaml.safe_dump(content))
    return config

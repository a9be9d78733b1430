"""A partner's own connector: who decides where it is, and that nothing goes anywhere else."""

import asyncio
import io
import secrets
import tempfile
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.connector.v1.connector_pb2_grpc import add_ConnectorServiceServicer_to_server
from dsr.v1 import connectors_pb2, governance_pb2

from connectors.config import GrantKeys
from connectors.host import SERVICE_NAME, ConnectorHost
from deploy.local.postgres import Cluster
from dsrkit.auth import Authenticator, TrustStore
from dsrkit.errors import from_rpc_error
from dsrkit.grants import GrantVerifier
from dsrkit.server import open_server
from tests.support.memory import MemoryBackend, Table
from tests.support.pki import Authority, Pair
from tests.support.services import CRM, PARTNER, World, collection_map, data_map, open_world, reason_of, state

SOURCE, NAME = f"{PARTNER}/dataSources/club", "connector.acme.example"
ACME = Authority()
C = connectors_pb2.ConnectorChange


@dataclass
class Club:
    """The partner's own backend, and the world it is registered in."""

    world: World
    backend: MemoryBackend = field(
        default_factory=lambda: MemoryBackend(
            SOURCE,
            {"members": Table({"email": ("email", False)}, [{"id": "1", "email": "ann@example.com", "since": "2020"}])},
        )
    )

    @asynccontextmanager
    async def host(self, pair: Pair) -> AsyncIterator[str]:
        """Our own host, run by the partner under a certificate of its own."""
        grants = GrantVerifier(GrantKeys(self.world.folder / "grants.jwks"))
        host = ConnectorHost({SOURCE: self.backend}, grants, lambda: datetime.now(UTC))
        async with open_server(
            listen="127.0.0.1:0",
            registrations=[lambda server: add_ConnectorServiceServicer_to_server(host, server)],
            service_names=[SERVICE_NAME],
            authenticator=Authenticator(TrustStore(self.world.folder / "trust.json"), [SOURCE]),
            tls=grpc.ssl_server_credentials([(pair.key, pair.certificate)]),
        ) as running:
            yield f"127.0.0.1:{running.port}"

    async def propose(self, address: str, who: str = "adam", request_id: str = "", **fields: Any) -> C:
        identity = governance_pb2.ConnectorIdentity(server_name=NAME, authority=ACME.pem)
        change = C(**{"source": SOURCE, "connector_identity": identity, **fields}, connector_address=address)
        message = connectors_pb2.CreateConnectorChangeRequest(
            parent=PARTNER, connector_change=change, request_id=request_id or str(uuid.uuid4())
        )
        return await self._call("Create", message, who)

    async def confirm(self, name: str, who: str = "beth", request_id: str = "", **claims: Any) -> C:
        message = connectors_pb2.ConfirmConnectorChangeRequest(name=name, request_id=request_id or str(uuid.uuid4()))
        return await self._call("Confirm", message, who, **claims)

    async def withdraw(self, name: str) -> C:
        message = connectors_pb2.WithdrawConnectorChangeRequest(name=name, request_id=str(uuid.uuid4()))
        return await self._call("Withdraw", message, "adam")

    async def _call(self, verb: str, message: Any, who: str, **claims: Any) -> C:
        method = getattr(self.world.connectors, f"{verb}ConnectorChange")
        changed: C = await method(message, metadata=self.world.metadata(who, "ROLE_ADMIN", **claims))
        return changed

    async def source(self) -> governance_pb2.DataSource:
        found: governance_pb2.DataSource = await self.world.governance.GetDataSource(
            governance_pb2.GetDataSourceRequest(name=SOURCE), metadata=self.world.metadata("adam", "ROLE_ADMIN")
        )
        return found


@pytest.fixture(scope="module")
async def club(postgres: Cluster, template: str) -> AsyncIterator[Club]:
    name = f"connectors_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-connectors-") as folder:
        async with open_world(Path(folder), postgres, name) as world:
            await _register(world)
            yield Club(world)
    postgres.drop_database(name)


def _declared(**fields: Any) -> governance_pb2.CreateDataSourceRequest:
    source = governance_pb2.DataSource(
        name=SOURCE,
        display_name="Club",
        custody=governance_pb2.DataSource.CUSTODY_PARTNER,
        location=governance_pb2.Location(provider="Acme", site="Dublin", country="IE"),
        **fields,
    )
    return governance_pb2.CreateDataSourceRequest(parent=PARTNER, data_source=source, request_id=str(uuid.uuid4()))


async def _register(world: World) -> None:
    admin = world.metadata("adam", "ROLE_ADMIN")
    identity = governance_pb2.ConnectorIdentity(server_name=NAME, authority=ACME.pem)
    assert await refused(world.governance.CreateDataSource(_declared(connector_identity=identity), metadata=admin)) == (
        "FIELD_INVALID",
        "data_source.connector_identity",
    )
    await world.governance.CreateDataSource(_declared(), metadata=admin)
    revised = data_map()
    revised.sources.append(governance_pb2.SourceMap(source=SOURCE, collections=[collection_map("members")]))
    await world.governance.CreateDataMap(
        governance_pb2.CreateDataMapRequest(parent=PARTNER, request_id=str(uuid.uuid4()), data_map=revised),
        metadata=admin,
    )


async def refused(call: Any) -> tuple[str, str]:
    """Reason, and field or why."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = from_rpc_error(caught.value)
    assert info is not None
    return reason_of(caught.value), info.metadata.get("field") or info.metadata.get("why") or ""


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[str, list[Any]]]:
    """A port that nobody may as much as connect to."""
    met: list[Any] = []

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", met


async def copied(club: Club) -> bytes:
    """What an access request brings from the club."""
    done = await club.world.until("access", (await club.world.create("access")).name)
    assert state(done) == "COMPLETED"
    with zipfile.ZipFile(io.BytesIO(await club.world.download("access", done.name))) as archive:
        return b"".join(archive.read(n) for n in archive.namelist() if n.endswith("data/club/members.jsonl"))


@pytest.mark.policy("P16", "another person confirms where a data source's connector is, before anything is dialled")
async def test_two_people_decide_where_a_connector_is(club: Club) -> None:
    world = club.world
    async with club.host(ACME.issue(NAME)) as address:
        waiting = await world.create("access")
        await world.until_waiting("access", waiting.name, "CONNECTOR_UNCONFIRMED")
        proposal = await club.propose(address)
        assert (proposal.state, proposal.proposer) == (C.STATE_PROPOSED, "urn:dsr:partner:acme#adam")
        assert [len(one) for one in proposal.connector_identity.fingerprints] == [64]
        assert await refused(club.propose(address, "carl")) == ("STATE_CONFLICT", "")
        assert await refused(club.confirm(proposal.name, "adam")) == ("FOUR_EYES", "SAME_PERSON")
        behind: dict[str, Any] = {"act": {"sub": "adam"}}
        assert await refused(club.confirm(proposal.name, "beth", **behind)) == ("FOUR_EYES", "SAME_PERSON")
        assert (await refused(club.confirm(proposal.name, actor_type="service")))[0] == "PERSON_REQUIRED"
        assert (await refused(club.confirm(proposal.name, auth_time=1)))[0] == "PERSON_REQUIRED"
        assert not (await club.source()).connector_address
        assert club.backend.calls == [], "nothing goes to an address that one person named"

        call = str(uuid.uuid4())
        confirmed = await club.confirm(proposal.name, request_id=call)
        assert (confirmed.state, confirmed.confirmer) == (C.STATE_CONFIRMED, "urn:dsr:partner:acme#beth")
        assert await club.confirm(proposal.name, request_id=call) == confirmed
        assert await club.confirm(proposal.name, "carl") == confirmed
        source = await club.source()
        assert (source.connector_address, source.connector_identity) == (address, confirmed.connector_identity)
        assert source.custody == governance_pb2.DataSource.CUSTODY_PARTNER
        assert state(await world.until("access", waiting.name)) == "COMPLETED"
        assert b'"since": "2020"' in await copied(club)
        assert (await refused(club.withdraw(proposal.name)))[0] == "STATE_CONFLICT"


@pytest.mark.policy("P16", "one person alone can't lead the platform to another connector")
async def test_what_one_person_proposes_is_neither_dialled_nor_trusted(club: Club) -> None:
    async with club.host(ACME.issue(NAME)) as address, trap() as (elsewhere, met):
        await club.confirm((await club.propose(address)).name)
        theirs = governance_pb2.ConnectorIdentity(server_name=NAME, authority=Authority().pem)
        proposal = await club.propose(elsewhere, connector_identity=theirs)
        assert b'"since": "2020"' in await copied(club)
        assert met == []
        withdrawn = await club.withdraw(proposal.name)
        assert withdrawn.state == C.STATE_WITHDRAWN
        assert (await refused(club.confirm(proposal.name)))[0] == "STATE_CONFLICT"
        assert (await club.source()).connector_address == address
    listed = await club.world.connectors.ListConnectorChanges(
        connectors_pb2.ListConnectorChangesRequest(parent=PARTNER), metadata=club.world.metadata("rita", "ROLE_READER")
    )
    assert withdrawn in listed.connector_changes


@pytest.mark.long
async def test_whoever_takes_over_the_address_is_told_nothing(club: Club) -> None:
    """A request waits, saying why, and goes on once the right one is back; an erasure goes all the way there."""
    world, heard = club.world, len(club.backend.calls)
    async with club.host(ACME.issue("intruder.acme.example")) as address:
        await club.confirm((await club.propose(address)).name)
        waiting = await world.create("access")
        await world.until_waiting("access", waiting.name, "CONNECTOR_UNTRUSTED")
        assert len(club.backend.calls) == heard
    async with club.host(ACME.issue(NAME)) as moved:
        await club.confirm((await club.propose(moved)).name)
        assert state(await world.until("access", waiting.name)) == "COMPLETED"
        plan = await world.until("erasure", (await world.create("erasure")).name, "PLANNED")
        await world.approve(plan)
        assert state(await world.until("erasure", plan.name)) == "COMPLETED"
    assert club.backend.tables["members"].rows == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.propose("127.0.0.1"), ("FIELD_INVALID", "connector_change.connector_address")),
        (lambda c: c.propose("169.254.169.254:80"), ("ADDRESS_FORBIDDEN", "connector_change.connector_address")),
        (lambda c: c.propose("10.1.2.3:443"), ("ADDRESS_FORBIDDEN", "connector_change.connector_address")),
        (lambda c: c.propose("127.0.0.1:9", source=CRM + "x"), ("FIELD_INVALID", "connector_change.source")),
        (
            lambda c: c.propose("127.0.0.1:9", connector_identity={"server_name": "x", "authority": ACME.pem}),
            ("FIELD_INVALID", "connector_change.connector_identity.server_name"),
        ),
        (
            lambda c: c.propose("127.0.0.1:9", connector_identity={"server_name": NAME, "authority": "x"}),
            ("FIELD_INVALID", "connector_change.connector_identity.authority"),
        ),
        (
            lambda c: c.propose("127.0.0.1:9", connector_identity={"server_name": NAME}),
            ("FIELD_REQUIRED", "connector_change.connector_identity.authority"),
        ),
        (lambda c: c.confirm(f"{PARTNER}/connectorChanges/{uuid.UUID(int=7)}"), ("NOT_FOUND", "")),
        (lambda c: c.confirm(f"{PARTNER}/connectorChanges/nonsense"), ("NOT_FOUND", "")),
    ],
)
async def test_what_cant_be_a_connector(club: Club, change: Callable[[Club], Any], expected: tuple[str, str]) -> None:
    before = await club.source()
    assert await refused(change(club)) == expected
    assert await club.source() == before

"""The partner's own data protection officer beside the operator's (policy P18), in documents of every kind."""

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from dsr.v1 import breach_pb2, erasure_pb2, refusal_pb2, subject_pb2
from dsr.v1 import notifications_pb2 as pb
from dsr.v1.notifications_pb2_grpc import NotificationServiceStub

from deploy.local.postgres import Cluster
from tests.integration.rights.test_rights_breach import download as download_breach
from tests.integration.rights.test_rights_breach import report as report_breach
from tests.integration.rights.test_rights_copies import files
from tests.integration.rights.test_rights_corrections import rectify
from tests.integration.rights.test_rights_termination import begin as begin_termination
from tests.support.services import PARTNER, World

OFFICER, OPERATORS = "officer@acme.example", "dpo@agency.example"
EVERYTHING = r"""
SELECT format('SELECT row_to_json(t) FROM %I.%I AS t', schemaname, tablename) FROM pg_tables
WHERE schemaname IN ('governance', 'access', 'portability', 'erasure') \gexec
"""


async def name_officer(world: World, address: str) -> None:
    stub: Any = NotificationServiceStub(world.channel("governance"))
    given = pb.Contacts(primary_email="privacy@acme.example", dpo_email=address)
    message = pb.SetContactsRequest(parent=PARTNER, contacts=given, request_id=str(uuid.uuid4()))
    await stub.SetContacts(message, metadata=world.metadata("adam", "ROLE_ADMIN"))


async def package(world: World, right: str) -> dict[str, bytes]:
    done = await world.until(right, (await world.create(right)).name, "COMPLETED")
    return files(await world.download(right, done.name))


async def erasure(world: World) -> erasure_pb2.ErasureRequest:
    """Of somebody of whom no copy is being made: it would wait for that."""
    created = await world.create("erasure", identities=[("email", "joann@example.com")])
    await world.approve(await world.until("erasure", created.name, "PLANNED"))
    done: erasure_pb2.ErasureRequest = await world.until("erasure", created.name, "COMPLETED")
    return done


async def refusal(world: World) -> refusal_pb2.RefusalRecord:
    weak = world.create_message("access")
    weak.access_request.subject.verification.method = subject_pb2.IdentityVerification.METHOD_CONTACT_CONFIRMED
    refused = await world.stub("access").CreateAccessRequest(weak, metadata=world.metadata())
    message = refusal_pb2.GetRefusalRequest(name=refused.refusal.name)
    found: refusal_pb2.RefusalRecord = await world.refusals.GetRefusal(message, metadata=world.metadata())
    return found


@pytest.mark.policy("P18", "copies, reports, refusals, breaches and terminations name the partner's own officer too")
async def test_every_document_names_the_partners_own_officer(world: World, postgres: Cluster) -> None:
    await name_officer(world, OFFICER)
    access, portability, erased = await asyncio.gather(
        package(world, "access"), package(world, "portability"), erasure(world)
    )
    assert json.loads(access["data/processing.json"])["controller"]["data_protection_officer"] == OFFICER
    assert json.loads(portability["data/scope.json"])["controller"]["data_protection_officer"] == OFFICER
    for page in (access["index.html"], portability["README.txt"]):
        assert OFFICER in page.decode()
        assert OPERATORS in page.decode()

    record = await refusal(world)
    assert (record.contact, record.partner_dpo) == (OPERATORS, OFFICER)
    assert OFFICER not in str(record.refusal), "what the rights services keep as it is names the operator's only"
    listing = refusal_pb2.ListRefusalsRequest(parent=PARTNER)
    page = await world.refusals.ListRefusals(listing, metadata=world.metadata())
    assert [r.partner_dpo for r in page.refusals] == [OFFICER]

    breach = await report_breach(world)
    assert breach.partner_dpo == OFFICER
    assert OFFICER in (await download_breach(world, breach.name)).decode()
    assert (await rectify(world)).partner_dpo == OFFICER

    assert (erased.report.dpo_contact, erased.report.partner_dpo) == (OPERATORS, OFFICER)
    assert (await begin_termination(world)).partner_dpo == OFFICER

    database = urlsplit(world.dsn("governance")).path.removeprefix("/")
    kept = postgres.execute(EVERYTHING, database)
    assert erased.name in kept
    assert OFFICER not in kept
    assert OFFICER.encode().hex() not in kept
    # A report keeps the officer of its day; what is asked of governance knows today's.
    await name_officer(world, "")
    assert (await world.get("erasure", erased.name)).report.partner_dpo == OFFICER
    again = breach_pb2.GetBreachRequest(name=breach.name)
    assert not (await world.breaches.GetBreach(again, metadata=world.metadata("adam", "ROLE_ADMIN"))).partner_dpo

"""GovernanceService: what partners keep and read."""

import base64
import secrets
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyrage
from dsr.v1 import governance_pb2 as pb
from dsr.v1 import options_pb2, request_pb2
from dsr.v1.governance_pb2_grpc import GovernanceServiceServicer

from dsrkit.auth import ACTOR_FORM, current_caller, is_actor
from dsrkit.db import Connection, partner_transaction
from dsrkit.egress import host_and_port
from dsrkit.errors import DsrError, invalid, not_found
from dsrkit.pages import page_size, read_token, write_token
from dsrkit.requests.view import known_enum, parse_partner
from services.governance import messages, roles
from services.governance.digests import hold_digests
from services.governance.domain import check_hold, check_map
from services.governance.gate import misplaced, unregistered
from services.governance.gatekeeper import ground
from services.governance.law.domain import Law
from services.governance.locations import agreements
from services.governance.locations.domain import place_of
from services.governance.refusals import book
from services.governance.sandbox.domain import check_same_sort
from services.governance.tools import Tools, refused, scope

_LONGEST = {"erasure_grace_period": timedelta(days=90), "bundle_lifetime": timedelta(days=30)}
_MAX_NAME = 200


class GovernanceServicer(GovernanceServiceServicer):
    """Proto to domain and back, nothing else."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store
        self._vault = tools.vault
        self._egress = tools.egress

    async def CreatePartner(self, request: pb.CreatePartnerRequest, context: Any) -> pb.Partner:
        wanted = request.partner
        parts = wanted.name.split("/")
        if len(parts) != 2 or parts[0] != "partners" or not messages.ID.fullmatch(parts[1]):
            raise invalid("partner.name", "must be partners/{id}; ids: 3 to 40 of a-z, 0-9 and hyphen")
        _check_partner(wanted, self._tools.law)

        async def make(connection: Connection, base: UUID) -> str:
            kept = pb.Partner()
            kept.CopyFrom(wanted)
            kept.ClearField("contract_locations")  # they live on as agreements
            body = messages.to_json(kept)
            if await self._store.row(connection, "create_partner", body) is None:
                raise DsrError("ALREADY_EXISTS", "There is a partner of this name.", resource_type="partner")
            if wanted.sandbox:
                await self._store.row(connection, "sandbox.create")
            for number, person in enumerate(wanted.contract_approvers):
                args: tuple[Any, ...] = (uuid5(base, str(number)), person, "ROLE_APPROVER", "CONFIRMED", "contract", [])
                await self._store.need(connection, "create_role_grant", "role grant", *args)
            now, places = self._tools.clock(), wanted.contract_locations
            await agreements.begin(self._store, connection, base, wanted.name, places, now)
            return wanted.name

        await self._tools.once(wanted.name, request, "CreatePartner", make)
        return await self._partner(wanted.name)

    async def GetPartner(self, request: pb.GetPartnerRequest, context: Any) -> pb.Partner:
        if len(request.name.split("/")) != 2:
            raise not_found("resource")
        return await self._partner(scope(request.name, "name"))

    async def SetPartnerStanding(self, request: pb.SetPartnerStandingRequest, context: Any) -> pb.Partner:
        known_enum(request.standing, pb.Partner.Standing, "standing")
        name = scope(request.name, "name")
        standing = pb.Partner.Standing.Name(request.standing).removeprefix("STANDING_")
        async with partner_transaction(self._store.pool, name) as connection:
            if standing == "GOOD" and await self._store.row(connection, "termination.confirmed") is not None:
                text = "The partner's contract has ended, and its data is being destroyed."
                raise DsrError("STATE_CONFLICT", text, state="SUSPENDED", allowed="a partner without termination")
            await self._store.row(connection, "termination.standing_decided", standing)
            row = await self._store.need(connection, "set_standing", "resource", standing)
            await self._tools.record(connection)
            return messages.partner(row)

    async def _partner(self, name: str) -> pb.Partner:
        async with partner_transaction(self._store.pool, name) as connection:
            return messages.partner(await self._store.need(connection, "partner", "resource"))

    async def CreateDataSource(self, request: pb.CreateDataSourceRequest, context: Any) -> pb.DataSource:
        wanted, partner = request.data_source, scope(request.parent)
        messages.child_id(wanted.name, "dataSources", "data_source.name")
        if parse_partner(wanted.name, "data_source.name") != partner:
            raise invalid("data_source.name", "must be a data source of this partner")
        known_enum(wanted.custody, pb.DataSource.Custody, "data_source.custody")
        _check_country(wanted.location.country, "data_source.location.country")
        _check_name(wanted.display_name, "data_source.display_name")
        if wanted.HasField("connector_identity"):
            raise invalid("data_source.connector_identity", "comes by a connector change that a second person confirms")
        if wanted.connector_address:
            field = "data_source.connector_address"
            await self._egress.resolve(*host_and_port(wanted.connector_address, field), field)
        tools = self._tools

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            if await self._store.row(connection, "termination.confirmed") is not None:
                text = (
                    "The receipt of all of the partner's data was confirmed; what comes after it is returned to nobody."
                )
                raise DsrError("STATE_CONFLICT", text, state="DESTROYING", allowed="a partner whose contract goes on")
            check_same_sort(messages.partner(await self._store.need(connection, "partner", "resource")), wanted)
            known = await ground(tools, connection)
            refusal = unregistered(wanted, known) or misplaced(wanted, known)
            if refusal is not None:
                raise _Refused(refusal)
            body = messages.to_json(wanted)
            if await self._store.row(connection, "create_data_source", wanted.name, body) is None:
                raise DsrError("ALREADY_EXISTS", "There is a data source of this name.", resource_type="data source")
            return wanted.name

        try:
            name = await self._tools.once(partner, request, "CreateDataSource", make)
        except _Refused as error:
            async with partner_transaction(self._store.pool, partner) as connection:
                args = (error.refusal, "CreateDataSource", "", current_caller().principal, tools.clock())
                await book.enter(self._store, connection, partner, *args)
            raise refused(error.refusal) from None
        return await self._data_source(partner, name)

    async def GetDataSource(self, request: pb.GetDataSourceRequest, context: Any) -> pb.DataSource:
        return await self._data_source(scope(request.name, "name"), request.name)

    async def _data_source(self, partner: str, name: str) -> pb.DataSource:
        async with partner_transaction(self._store.pool, partner) as connection:
            return messages.data_source(await self._store.need(connection, "data_source", "resource", name))

    async def ListDataSources(self, request: pb.ListDataSourcesRequest, context: Any) -> pb.ListDataSourcesResponse:
        partner, size = scope(request.parent), page_size(request.page_size)
        after = read_token(request.page_token, 1)[0] if request.page_token else ""
        async with partner_transaction(self._store.pool, partner) as connection:
            rows = await self._store.rows(connection, "data_sources", after, size + 1)
        response = pb.ListDataSourcesResponse(data_sources=[messages.data_source(row) for row in rows[:size]])
        if len(rows) > size:
            response.next_page_token = write_token(rows[size - 1]["name"])
        return response

    async def CreateDataMap(self, request: pb.CreateDataMapRequest, context: Any) -> pb.DataMap:
        partner = scope(request.parent)
        wrong = check_map(request.data_map)
        if wrong:
            raise invalid(*wrong)

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "lock_partner", "resource")
            for index, source in enumerate(request.data_map.sources):
                if await self._store.row(connection, "data_source", source.source) is None:
                    raise invalid(f"data_map.sources[{index}].source", "is not a data source of this partner")
            body = messages.to_json(request.data_map)
            row = await self._store.need(connection, "create_data_map", "resource", body)
            return f"{partner}/dataMaps/{row['revision']}"

        name = await self._tools.once(partner, request, "CreateDataMap", make)
        return await self._data_map(partner, name)

    async def GetDataMap(self, request: pb.GetDataMapRequest, context: Any) -> pb.DataMap:
        return await self._data_map(scope(request.name, "name"), request.name)

    async def _data_map(self, partner: str, name: str) -> pb.DataMap:
        parts = name.split("/")
        if len(parts) != 4 or parts[2] != "dataMaps" or not (parts[3] == "current" or parts[3].isdecimal()):
            raise not_found("resource")
        revision = 0 if parts[3] == "current" else int(parts[3][:18]) or -1
        async with partner_transaction(self._store.pool, partner) as connection:
            return messages.data_map(await self._store.need(connection, "data_map", "resource", revision))

    async def PlaceHold(self, request: pb.PlaceHoldRequest, context: Any) -> pb.Hold:
        wanted, partner = request.hold, scope(request.parent)
        review_time = wanted.review_time.ToDatetime(UTC)
        if review_time <= self._tools.clock():
            raise invalid("hold.review_time", "must be in the future")
        subject = None
        if wanted.HasField("subject"):
            pair = (wanted.subject.type, wanted.subject.value)
            subject = (await hold_digests(self._vault, partner, [pair]))[0]

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "data_source", "data source", wanted.source)
            current = await self._store.row(connection, "data_map", 0)
            wrong = check_hold(wanted, messages.data_map(current) if current else pb.DataMap())
            if wrong:
                raise invalid(*wrong)
            args = (base, wanted.source, wanted.collection, subject, wanted.reason, wanted.legal_reference, review_time)
            await self._store.need(connection, "create_hold", "resource", *args)
            return str(base)

        identifier = await self._tools.once(partner, request, "PlaceHold", make)
        async with partner_transaction(self._store.pool, partner) as connection:
            return messages.hold(await self._store.need(connection, "hold", "resource", UUID(identifier)))

    async def ReleaseHold(self, request: pb.ReleaseHoldRequest, context: Any) -> pb.Hold:
        partner, identifier = scope(request.name, "name"), messages.child_uuid(request.name, "holds", "resource")

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "release_hold", "resource", identifier)
            return str(identifier)

        await self._tools.once(partner, request, "ReleaseHold", make)
        async with partner_transaction(self._store.pool, partner) as connection:
            return messages.hold(await self._store.need(connection, "hold", "resource", identifier))

    async def ListHolds(self, request: pb.ListHoldsRequest, context: Any) -> pb.ListHoldsResponse:
        rows, token = await self._tools.page(request, "holds")
        return pb.ListHoldsResponse(holds=[messages.hold(row) for row in rows], next_page_token=token)

    async def GrantRole(self, request: pb.GrantRoleRequest, context: Any) -> pb.RoleGrant:
        wanted, partner, caller = request.role_grant, scope(request.parent), current_caller()
        if wanted.role != options_pb2.ROLE_APPROVER:
            raise invalid("role_grant.role", "must be ROLE_APPROVER")
        roles.check(wanted, caller)

        async def make(connection: Connection, base: UUID) -> str:
            return await roles.propose(self._store, connection, caller, base, wanted)

        return await self._role_grant(partner, UUID(await self._tools.once(partner, request, "GrantRole", make)))

    async def _role_grant(self, partner: str, identifier: UUID) -> pb.RoleGrant:
        async with partner_transaction(self._store.pool, partner) as connection:
            return messages.role_grant(await self._store.need(connection, "role_grant", "resource", identifier))

    async def ConfirmRoleGrant(self, request: pb.ConfirmRoleGrantRequest, context: Any) -> pb.RoleGrant:
        partner, caller = scope(request.name, "name"), current_caller()
        identifier = messages.child_uuid(request.name, "roleGrants", "resource")

        async def make(connection: Connection, _: UUID) -> str:
            return await roles.confirm(self._store, connection, caller, identifier)

        return await self._role_grant(partner, UUID(await self._tools.once(partner, request, "ConfirmRoleGrant", make)))

    async def RevokeRoleGrant(self, request: pb.RevokeRoleGrantRequest, context: Any) -> pb.RoleGrant:
        partner, identifier = scope(request.name, "name"), messages.child_uuid(request.name, "roleGrants", "resource")

        async def make(connection: Connection, _: UUID) -> str:
            await self._store.need(connection, "set_role_grant", "resource", identifier, "REVOKED", None)
            return str(identifier)

        return await self._role_grant(partner, UUID(await self._tools.once(partner, request, "RevokeRoleGrant", make)))

    async def ListRoleGrants(self, request: pb.ListRoleGrantsRequest, context: Any) -> pb.ListRoleGrantsResponse:
        rows, token = await self._tools.page(request, "role_grants")
        return pb.ListRoleGrantsResponse(role_grants=[messages.role_grant(row) for row in rows], next_page_token=token)

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Any) -> pb.Webhook:
        partner = scope(request.parent)
        await self._egress.check_url(request.webhook.url, "webhook.url")
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"

        async def make(connection: Connection, base: UUID) -> str:
            await self._store.need(connection, "partner", "resource")
            key = await self._vault.create(partner, f"webhook-{base}")
            sealed = key.seal(secret.encode(), f"{partner}|webhook|{base}")
            await self._store.need(connection, "create_webhook", "resource", base, request.webhook.url, sealed)
            return str(base)

        identifier = UUID(await self._tools.once(partner, request, "CreateWebhook", make))
        async with partner_transaction(self._store.pool, partner) as connection:
            row = await self._store.need(connection, "webhook", "resource", identifier)
        key = await self._vault.get(partner, f"webhook-{identifier}")
        return messages.webhook(row, key.open(row["secret"], f"{partner}|webhook|{identifier}").decode())

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Any) -> pb.DeleteWebhookResponse:
        partner = scope(request.name, "name")
        identifier = messages.child_uuid(request.name, "webhooks", "resource")
        async with partner_transaction(self._store.pool, partner) as connection:
            await self._store.need(connection, "delete_webhook", "resource", identifier)
            await self._tools.record(connection)
        await self._vault.destroy(partner, f"webhook-{identifier}")
        return pb.DeleteWebhookResponse()

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Any) -> pb.ListWebhooksResponse:
        rows, token = await self._tools.page(request, "webhooks")
        return pb.ListWebhooksResponse(webhooks=[messages.webhook(row) for row in rows], next_page_token=token)

    async def ListProcessingRecords(
        self, request: pb.ListProcessingRecordsRequest, context: Any
    ) -> pb.ListProcessingRecordsResponse:
        since = request.after_time.ToDatetime(UTC) if request.HasField("after_time") else None
        until = request.before_time.ToDatetime(UTC) if request.HasField("before_time") else None
        filters = (request.source, request.operation, request.request, since, until)
        rows, token = await self._tools.page(request, "records", *filters, time_field="record_time")
        return pb.ListProcessingRecordsResponse(
            processing_records=[messages.record(row) for row in rows], next_page_token=token
        )


class _Refused(Exception):
    """Undoes what was begun, so that the refusal alone is kept."""

    def __init__(self, refusal: request_pb2.Refusal) -> None:
        super().__init__(refusal.rule)
        self.refusal = refusal


def _check_partner(partner: pb.Partner, law: Law) -> None:
    _check_country(partner.country, "partner.country")
    _check_name(partner.display_name, "partner.display_name")
    try:
        ZoneInfo(partner.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, or a name too long
        raise invalid("partner.time_zone", "must be an IANA time zone such as Europe/Dublin") from None
    for field, most in _LONGEST.items():
        if partner.HasField(field) and not timedelta() <= getattr(partner, field).ToTimedelta() <= most:  # type: ignore[arg-type]
            raise invalid(f"partner.{field}", f"must be from 0 to {most.days} days")
    if partner.bundle_recipient:
        try:
            pyrage.x25519.Recipient.from_str(partner.bundle_recipient)
        except pyrage.RecipientError:
            raise invalid("partner.bundle_recipient", "must be an age recipient (age1…)") from None
    if partner.daily_request_cap < 0:
        raise invalid("partner.daily_request_cap", "must not be negative")
    for index, location in enumerate(partner.contract_locations):
        if place_of(location) not in law.places:
            raise invalid(f"partner.contract_locations[{index}]", "is none of the places that the policy names")
        if location in partner.contract_locations[:index]:
            raise invalid(f"partner.contract_locations[{index}]", "stands twice")
    for index, person in enumerate(partner.contract_approvers):
        if not is_actor(person):
            raise invalid(f"partner.contract_approvers[{index}]", ACTOR_FORM)


def _check_name(name: str, field: str) -> None:
    if len(name) > _MAX_NAME:
        raise invalid(field, f"must have at most {_MAX_NAME} characters")


def _check_country(country: str, field: str) -> None:
    if len(country) != 2 or not country.isascii() or not country.isalpha() or not country.isupper():
        raise invalid(field, "must be ISO 3166-1 alpha-2, such as IE")

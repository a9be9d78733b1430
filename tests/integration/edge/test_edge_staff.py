"""The operator's people come through the edge as partners do: with a certificate and a token of their own."""

from typing import Any

import grpc
import pytest
from dsr.client import connect
from dsr.credentials import Credential
from dsr.errors import DsrRpcError
from dsr.v1 import governance_pb2, options_pb2, policy_pb2, staff_pb2

from tests.gateway_fake import REQUEST_ID
from tests.integration.edge.conftest import Edge

SUSAN = "urn:dsr:operator#susan"


def client(edge: Edge, credential: str, certificate: str) -> Any:
    """As `dsr --credential --certificate --key --ca` connects."""
    files = edge.certificate(certificate)
    assert files.authority is not None
    return connect(
        f"localhost:{edge.port}",
        credential=Credential.load(edge.folder / f"{credential}.json"),
        actor="olga",
        root_certificates=files.authority.read_bytes(),
        certificate=(files.certificate.read_bytes(), files.key.read_bytes()),
    )


@pytest.mark.policy(
    "P16", "staff comes through the edge with its own certificate and token, each refused without the other"
)
async def test_staff_comes_through_with_its_own_certificate(edge: Edge) -> None:
    wanted = governance_pb2.RoleGrant(grantee=SUSAN, role=options_pb2.ROLE_SUPPORT)
    async with client(edge, "operator", "operator") as platform:
        await platform.policies.ListPolicyVersions(policy_pb2.ListPolicyVersionsRequest())
        await platform.staff.GrantStaffRole(staff_pb2.GrantStaffRoleRequest(role_grant=wanted, request_id=REQUEST_ID))
        await platform.governance.SetPartnerStanding(
            governance_pb2.SetPartnerStandingRequest(
                name="partners/other", standing=governance_pb2.Partner.STANDING_SUSPENDED
            )
        )
    token = edge.token("operator", subject="olga", roles=["ROLE_OPERATOR"])
    async with edge.http(edge.certificate("operator"), token) as http:
        for url in ("/v1/policyVersions", "/v1/staffGrants", "/v1/partners:openObjections"):
            assert (await http.get(url)).status_code == 200
    heard = [call.rpc for call in edge.platform.calls]
    assert heard[:3] == ["ListPolicyVersions", "GrantStaffRole", "SetPartnerStanding"]
    assert heard[3:] == ["ListPolicyVersions", "ListStaffGrants", "ListOpenObjections"]
    assert {call.originating_ip for call in edge.platform.calls} == {"127.0.0.1"}


@pytest.mark.parametrize(("credential", "certificate"), [("operator", "acme"), ("acme", "operator")])
async def test_neither_certificate_nor_token_of_staff_is_enough(edge: Edge, credential: str, certificate: str) -> None:
    async with client(edge, credential, certificate) as platform:
        with pytest.raises(DsrRpcError) as caught:
            await platform.governance.GetPartner(governance_pb2.GetPartnerRequest(name="partners/acme"))
    assert (caught.value.reason, caught.value.code()) == ("CERTIFICATE_MISMATCH", grpc.StatusCode.PERMISSION_DENIED)
    async with edge.http(edge.certificate(certificate), edge.token(credential)) as http:
        assert (await http.get("/v1/partners/acme")).json()["reason"] == "CERTIFICATE_MISMATCH"
    assert not edge.platform.calls

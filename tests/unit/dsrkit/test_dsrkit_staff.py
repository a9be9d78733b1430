"""What the operator's staff may do, RPC by RPC, as the contract declares it."""

import json
from pathlib import Path

import pytest
from dsr.services import descriptors
from dsr.v1 import governance_pb2, options_pb2

from dsrkit.auth import STAFF, Caller, TrustStore
from dsrkit.errors import DsrError
from dsrkit.interceptors import check_policy, policy_of
from dsrkit.issuer import TrustFile

MAY = {
    "ROLE_OPERATOR": {
        "CreatePartner",
        "SetPartnerStanding",
        "RecordReturn",
        "RecordDestruction",
        "ProposeLocation",
        "WithdrawLocationAgreement",
        "CompleteLocationChange",
        "DeclareBreach",
        "AdvanceBreach",
        "AnswerObjection",
        "ListOpenObjections",
        "ListPolicyVersions",
        "GrantStaffRole",
        "ConfirmStaffRole",
        "RevokeStaffRole",
        "ListStaffGrants",
    },
    "ROLE_SUPPORT": {
        *(
            f"{verb}{noun}Request{s}"
            for noun in ("Access", "Portability", "Erasure", "Correction")
            for verb, s in (("Get", ""), ("List", "s"))
        ),
        "GetPartner",
    },
    "ROLE_PRIVACY_OFFICER": {
        "GetPartner",
        "ListProcessingRecords",
        "DownloadProcessingRegister",
        "ProposePolicyVersion",
        "ListPolicyVersions",
        "ListPolicyAgreements",
        "GetPolicyAgreement",
        "GetRecipientTask",
        "ListRecipientTasks",
        "CompleteRecipientTask",
    },
    "ROLE_ENGINEER": {
        "GetPartner",
        "GetDataSource",
        "ListDataSources",
        "GetDataMap",
        # snapshots and restores of what the operator keeps
        "RegisterSnapshots",
        "GetSnapshot",
        "ListSnapshots",
        "MarkSnapshotDestroyed",
        "AnnounceRestore",
        "GetRestore",
        "ListRestores",
        "ConfirmReplay",
        "FinishRestore",
        "GetLedger",
        "ProveLedgerConsistency",
    },
    "ROLE_DPO": {
        "GetPartner",
        "ListProcessingRecords",
        "DownloadProcessingRegister",
        "PublishPolicyVersion",
        "ListPolicyVersions",
        "ListPolicyAgreements",
        "GetPolicyAgreement",
        "ListStaffGrants",
        "GetLedger",
        "ProveLedgerConsistency",
    },
}


@pytest.mark.policy("P16", "what each staff role may call is a list: reads, and what the policy gives it to do")
@pytest.mark.parametrize("role", sorted(STAFF))
def test_staff_roles_have_least_privilege(role: str) -> None:
    allowed = {
        method.name
        for services in descriptors().values()
        for service in services
        for method in service.methods
        if options_pb2.Role.Value(role) in policy_of(method).any_of
    }
    assert allowed == MAY[role]


def caller(roles: set[str], partner: str | None) -> Caller:
    return Caller("i", "s", partner, frozenset(roles), "dsr", "person", None, "t", ("i#s",), 0.0)


@pytest.mark.parametrize(
    ("roles", "partner", "named", "outcome"),
    [
        ({"ROLE_SUPPORT"}, None, "partners/acme", {"ROLE_SUPPORT"}),
        ({"ROLE_SUPPORT", "ROLE_OPERATOR"}, None, "partners/acme", {"ROLE_SUPPORT"}),
        ({"ROLE_OPERATOR"}, None, "partners/acme", "ROLE_REQUIRED"),
        ({"ROLE_DPO"}, None, "partners/acme", "ROLE_REQUIRED"),
        ({"ROLE_READER"}, "partners/acme", "partners/acme", set()),
        ({"ROLE_READER"}, "partners/acme", "partners/globex", "NOT_FOUND"),
        ({"ROLE_READER"}, None, "partners/acme", "NOT_FOUND"),
    ],
)
def test_staff_reach_every_partner_and_need_a_grant(
    roles: set[str], partner: str | None, named: str, outcome: set[str] | str
) -> None:
    policy = options_pb2.AuthorizationPolicy(
        any_of=[options_pb2.ROLE_READER, options_pb2.ROLE_SUPPORT], partner_field="name"
    )
    try:
        found: object = set(check_policy(policy, caller(roles, partner), governance_pb2.GetPartnerRequest(name=named)))
    except DsrError as error:
        found = error.reason
    assert found == outcome


@pytest.mark.policy("P16", "a partner's issuer can't speak for the operator's staff")
def test_an_issuer_of_a_partner_gives_no_staff_role(tmp_path: Path) -> None:
    trust = TrustFile(tmp_path / "trust.json")
    trust.add_partner("acme", tmp_path / "acme.json")
    assert TrustStore(trust.path).issuer("urn:dsr:partner:acme")
    data = json.loads(trust.path.read_text())
    data["issuers"][0]["roles"].append("ROLE_SUPPORT")
    trust.path.write_text(json.dumps(data))
    with pytest.raises(DsrError) as refused:
        TrustStore(trust.path).issuer("urn:dsr:partner:acme")
    assert refused.value.reason == "INTERNAL"

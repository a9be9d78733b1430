"""What commands made from RPCs (see `dsr.cli.calls`) say beyond the contract.

An example is one command line that works; a test runs each against the real services. `{collection}` in it is the name
of such a resource, `{day}` a day to come.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dsr.cli import panels


@dataclass(frozen=True)
class Noun:
    """A group of commands."""

    about: str
    collections: Sequence[str]
    """The resources it is about, as addresses call them."""
    panel: str


@dataclass(frozen=True)
class Command:
    """One command."""

    example: str = ""
    """What follows noun and verb."""
    file: str = ""
    """What stands in the file of the example."""
    words: str = ""
    """Noun and verb, where the RPC's own don't do."""
    ask: str = ""
    """Asked before what can't be taken back."""
    columns: Sequence[str] = ()
    """Of a list."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Options by the path of their field."""

    def shown(self) -> str:
        """The example as it stands in the help."""
        return self.example.format_map(defaultdict(lambda: "ID", day="2027-03-01"))


NOUNS: Mapping[str, Noun] = {
    "correction": Noun(
        "Rectification, restriction and objection (Art. 16, 18, 21).", ("correctionRequests",), panels.REQUESTS
    ),
    "refusal": Noun("What was refused, by whom and why; objections to it.", ("refusals",), panels.REQUESTS),
    "recipient": Noun("Tasks to tell those who were given the data (Art. 19).", ("recipientTasks",), panels.REQUESTS),
    "source": Noun("The places where a partner's data lives.", ("dataSources",), panels.DATA),
    "datamap": Noun("What each field of a partner's data is for.", ("dataMaps",), panels.DATA),
    "connector": Noun(
        "Where a data source's connector is: one person proposes, another confirms.", ("connectorChanges",), panels.DATA
    ),
    "hold": Noun("Legal holds: what may not be erased for now, and why.", ("holds", "holdSuggestions"), panels.DATA),
    "retention": Noun("Rules by which inactive people are erased.", ("retentionRules",), panels.DATA),
    "sweep": Noun("Runs of a retention rule: counted, approved, erased.", ("retentionSweeps",), panels.DATA),
    "snapshot": Noun("Snapshots of data sources: which there are, and until when.", ("snapshots",), panels.DATA),
    "restore": Noun("Restores from a snapshot, and the erasures to repeat after them.", ("restores",), panels.DATA),
    "place": Noun(
        "Where data may be kept: proposed by the operator, agreed by the partner.", ("locationAgreements",), panels.LAW
    ),
    "safeguard": Noun("What a transfer outside the EEA rests on (Art. 45 to 49).", ("transferSafeguards",), panels.LAW),
    "attestation": Noun(
        "The partner's word that a transfer is lawful and was told.", ("transferAttestations",), panels.LAW
    ),
    "subprocessor": Noun("Sub-processors, and objections to them.", ("subProcessors",), panels.LAW),
    "policy": Noun(
        "Versions of the operator's policy, and the partner's answers.",
        ("policyVersions", "policyAgreements"),
        panels.LAW,
    ),
    "breach": Noun("Breaches of personal data: reports, phases, decisions (Art. 33, 34).", ("breaches",), panels.LAW),
    "record": Noun("Records of processing (Art. 30(2)).", ("processingRecords", "processingRegister"), panels.LAW),
    "ledger": Noun("What the operator certified, and the proof that it stays.", ("ledger",), panels.LAW),
    "contacts": Noun("Whom the partner wants to be told by e-mail.", ("contacts",), panels.PEOPLE),
    "webhook": Noun("Addresses that signed messages are sent to.", ("webhooks",), panels.PEOPLE),
    "notice": Noun("What the partner was told, and whether it arrived.", ("notices",), panels.PEOPLE),
    "role": Noun("Roles of the partner's people that need two others.", ("roleGrants",), panels.PEOPLE),
    "staff": Noun("Roles of the operator's people, by four eyes.", ("staffGrants",), panels.PEOPLE),
    "operator": Noun("Who the operator is, and its data protection officer.", ("operator",), panels.PEOPLE),
    "contract": Noun("The partner's contract with the operator, and its standing.", ("partners",), panels.PEOPLE),
    "sandbox": Noun("A sandbox with made-up people, of a partner that is one.", ("sandbox",), panels.PEOPLE),
    "termination": Noun(
        "The end of a contract: everything returned, then destroyed.", ("terminations",), panels.PEOPLE
    ),
}

_ROLE_COLUMNS = ("name", "grantee", "role", "state", "proposer", "confirmer", "create_time")
_DIGEST = "0" * 64
_PLACE = "--provider 'Amazon Web Services' --site Dublin --country IE"

COMMANDS: Mapping[str, Command] = {
    # corrections, refusals, recipients
    "CreateCorrectionRequest": Command(
        "person.yaml --kind restriction --ground accuracy-contested --received-at now "
        "--capacity self --verification account-login --verified-by clerk-7 --verified-at now",
        file="subject:\n  identities:\n  - {type: email, value: jane@example.org}",
    ),
    "GetCorrectionRequest": Command("{correctionRequests}"),
    "ListCorrectionRequests": Command(
        "--state open --due-before {day}", columns=("name", "kind", "state", "clock.due_time", "creator")
    ),
    "CancelCorrectionRequest": Command("{correctionRequests}"),
    "ExtendCorrectionRequestDeadline": Command(
        "{correctionRequests} --reason complexity --subject-told-at now", words="correction extend"
    ),
    "CompleteCorrectionTask": Command("{correctionRequests} --source shop --evidence TICKET-7"),
    "ApproveCorrectionTask": Command(f"{{correctionRequests}} --source shop --plan-digest {_DIGEST}"),
    "LiftRestriction": Command("{correctionRequests} --subject-told-at now"),
    "ResolveCorrectionRequestIdentities": Command(words="correction resolve"),
    "CreateSubjectRefusal": Command(
        "--right A15 --reason eu-gdpr:JustificationA12ManifestlyUnfounded --received-at 2026-01-31T12:00Z "
        "--subject-told-at now --remedy complaint --remedy judicial",
    ),
    "GetRefusal": Command("{refusals}"),
    "ListRefusals": Command(
        "--kind subject",
        columns=("name", "refusal.rule", "operation", "request", "state", "last_time", "times"),
    ),
    "ObjectToRefusal": Command("{refusals} --reference LETTER-12"),
    "AnswerObjection": Command("{refusals} --answer upheld --reference OPINION-3"),
    "ListOpenObjections": Command(words="refusal open-objections"),
    "GetRecipientTask": Command("{recipientTasks}"),
    "ListRecipientTasks": Command(
        "--filter open", columns=("name", "recipient", "kind", "request", "mode", "owner", "due_time", "done")
    ),
    "CompleteRecipientTask": Command("{recipientTasks} --evidence TICKET-8"),
    # ledger
    "GetLedger": Command(),
    "ProveLedgerConsistency": Command("--from-size 1", words="ledger prove"),
    # sources, holds, retention, snapshots
    "CreateDataSource": Command(
        f"--id webshop --title 'Web shop' --custody partner {_PLACE}",
        rename={
            "data_source.name": "id",
            "data_source.display_name": "title",
            "data_source.connector_address": "address",
        },
    ),
    "GetDataSource": Command("shop"),
    "ListDataSources": Command(columns=("name", "display_name", "custody", "location", "connector_address")),
    "CreateDataMap": Command(words="datamap put"),
    "CreateConnectorChange": Command(words="connector propose"),
    "ConfirmConnectorChange": Command("{connectorChanges}"),
    "WithdrawConnectorChange": Command("{connectorChanges}"),
    "GetConnectorChange": Command("{connectorChanges}"),
    "ListConnectorChanges": Command(
        columns=("name", "source", "state", "connector_address", "proposer", "confirmer", "create_time")
    ),
    "ReleaseHold": Command("{holds}"),
    "ListHolds": Command(
        columns=("name", "source", "collection", "reason", "legal_reference", "review_time", "release_time")
    ),
    "ListHoldSuggestions": Command(
        words="hold suggestions", columns=("source", "collection", "legal_reference", "years", "summary", "adopted")
    ),
    "CreateRetentionRule": Command("--source crm --collection people --field seen --identity-type email --months 36"),
    "GetRetentionRule": Command("{retentionRules}"),
    "ListRetentionRules": Command(
        columns=("name", "source", "collection", "field", "months", "next_sweep_time", "end_time")
    ),
    "EndRetentionRule": Command("{retentionRules}"),
    "InstructRetention": Command(
        "{retentionRules} --collection people --purpose 'inactive accounts'",
        ask="Let every sweep of this rule erase these collections without another approval?",
    ),
    "RevokeRetentionInstruction": Command("{retentionRules}"),
    "CreateRetentionSweep": Command("--rule {retentionRules}"),
    "GetRetentionSweep": Command("{retentionSweeps}"),
    "ListRetentionSweeps": Command(
        columns=("name", "rule", "state", "people", "cutoff_time", "create_time", "complete_time")
    ),
    "ApproveRetentionSweep": Command("{retentionSweeps}", ask="Erase these people? It can't be undone."),
    "CancelRetentionSweep": Command("{retentionSweeps}"),
    "RegisterSnapshots": Command(
        "snapshots.yaml",
        file="snapshots:\n- source: partners/acme/dataSources/crm\n  label: crm-2026-01-31\n"
        "  location: {provider: Amazon Web Services, site: Dublin, country: IE}\n  snapshotTime: 2026-01-31T02:00:00Z",
        columns=("name", "source", "label", "state", "snapshot_time", "expire_time"),
    ),
    "GetSnapshot": Command("{snapshots}"),
    "ListSnapshots": Command(
        "--source crm --existing", columns=("name", "source", "label", "state", "snapshot_time", "expire_time")
    ),
    "MarkSnapshotDestroyed": Command(
        "{snapshots} --evidence TICKET-9", ask="Record for good that this snapshot is gone?"
    ),
    "AnnounceRestore": Command("--snapshot {snapshots}"),
    "GetRestore": Command("{restores}"),
    "ListRestores": Command(columns=("name", "source", "snapshot", "state", "create_time", "finish_time")),
    "ConfirmReplay": Command("{restores} --erasure {erasureRequests} --evidence TICKET-10"),
    "FinishRestore": Command("{restores}"),
    # sandboxes
    "GetSandbox": Command(),
    "AdvanceSandboxClock": Command("--at {day}", rename={"time": "at"}),
    "ResetSandbox": Command(ask="Set the data of the sandbox's sources back to their seed?"),
    # places, transfers, sub-processors, policy
    "ProposeLocation": Command(f"--use backups {_PLACE} --effective-at {{day}} --partner acme"),
    "GetLocationAgreement": Command("{locationAgreements}"),
    "ListLocationAgreements": Command(
        columns=("name", "use", "source", "location", "state", "effective_time", "end_time")
    ),
    "AcceptLocationAgreement": Command("{locationAgreements}"),
    "RejectLocationAgreement": Command("{locationAgreements}"),
    "WithdrawLocationAgreement": Command("{locationAgreements} --partner acme"),
    "CompleteLocationChange": Command("{locationAgreements} --partner acme"),
    "CreateTransferSafeguard": Command(
        "--recipient partners/acme --country US --instrument standard-clauses --document-reference DMS-17 "
        f"--document-sha256 {_DIGEST} --begin-at now"
    ),
    "GetTransferSafeguard": Command("{transferSafeguards}"),
    "ListTransferSafeguards": Command(
        columns=("name", "recipient", "country", "instrument", "document_reference", "begin_time", "end_time")
    ),
    "EndTransferSafeguard": Command("{transferSafeguards}"),
    "CreateTransferAttestation": Command(
        f"--country GB --compliant --subjects-told-at now --notice-reference NOTICE-4 --notice-sha256 {_DIGEST}"
    ),
    "GetTransferAttestation": Command("{transferAttestations}"),
    "ListTransferAttestations": Command(
        columns=("name", "country", "compliant", "notice_reference", "attester", "create_time", "end_time")
    ),
    "EndTransferAttestation": Command("{transferAttestations}"),
    "ListSubProcessors": Command(columns=("name", "display_name", "country", "state", "purpose", "effective_time")),
    "ObjectToSubProcessor": Command("slack --reference LETTER-5"),
    "WithdrawSubProcessorObjection": Command("slack"),
    "ProposePolicyVersion": Command(
        f"--text-url https://agency.example/policy --text-sha256 {_DIGEST} --changes 'Adds a data centre in Dublin.' "
        "--effective-at {day} --answer-deadline {day}"
    ),
    "PublishPolicyVersion": Command("{policyVersions}", ask="Publish this version, and tell every partner?"),
    "ListPolicyVersions": Command(
        words="policy versions", columns=("name", "state", "effective_time", "answer_deadline", "proposer", "publisher")
    ),
    "ListPolicyAgreements": Command(
        columns=("name", "state", "in_force", "policy_version.effective_time", "answer_deadline", "answerer")
    ),
    "GetPolicyAgreement": Command("{policyAgreements}"),
    "AcceptPolicyVersion": Command(
        f"{{policyAgreements}} --text-sha256 {_DIGEST}", ask="Accept this version? It can't be taken back."
    ),
    "RejectPolicyVersion": Command("{policyAgreements}"),
    # breaches and records
    "ReportBreach": Command(
        "breach.yaml --nature confidentiality --data-source crm --begin-at 2026-01-31T09:00Z",
        file="description: A backup of the register was readable for a night.",
    ),
    "DeclareBreach": Command(
        "breach.yaml --nature availability --provider 'Amazon Web Services' --site Dublin --country IE --confirmed",
        file="breach: {description: A disk array is lost.}",
        words="breach declare",
        ask="Open a record for every partner concerned, and tell them?",
        columns=("name", "phase", "natures", "notice_time"),
        rename={"partners": "concerned"},
    ),
    "AdvanceBreach": Command(
        "{breaches} progress.yaml --phase confirmed --partner acme",
        file="note: The backup was read twice.\nestimates:\n- {source: partners/acme/dataSources/crm, subjects: 120}",
    ),
    "RecordBreachDecision": Command("{breaches} --audience authority --kind told --decide-at now --reference DPC-7"),
    "GetBreach": Command("{breaches}"),
    "ListBreaches": Command(columns=("name", "phase", "natures", "aware_time", "authority_due_time", "close_time")),
    "DownloadBreachReport": Command("{breaches} --to breach.html", rename={"json": "as-json"}),
    "ListProcessingRecords": Command(
        "--source crm --after 2026-01-01",
        columns=("record_time", "actor", "operation", "source", "outcome", "records", "request"),
    ),
    "DownloadProcessingRegister": Command("--format html --to register.html", words="record export"),
    # people
    "SetContacts": Command("contacts.yaml", file="primaryEmail: privacy@acme.example\ndpoEmail: dpo@acme.example"),
    "GetContacts": Command(),
    "CreateWebhook": Command("--url https://acme.example/dsr"),
    "ListWebhooks": Command(columns=("name", "url", "enabled", "create_time")),
    "RotateWebhookSecret": Command("{webhooks}"),
    "DeleteWebhook": Command("{webhooks}", ask="Send nothing more to this address?"),
    "ListNotices": Command(
        "--kind request.deadline_near",
        columns=("name", "kind", "resource", "create_time", "deliveries.channel", "deliveries.state"),
    ),
    "GrantRole": Command("--grantee urn:dsr:partner:acme#zoe --role approver"),
    "ConfirmRoleGrant": Command("{roleGrants}"),
    "RevokeRoleGrant": Command("{roleGrants}"),
    "ListRoleGrants": Command(columns=_ROLE_COLUMNS),
    "GrantStaffRole": Command("--grantee urn:dsr:operator#susan --role support"),
    "ConfirmStaffRole": Command("{staffGrants}"),
    "RevokeStaffRole": Command("{staffGrants}"),
    "ListStaffGrants": Command(columns=_ROLE_COLUMNS),
    "GetOperator": Command(),
    "CreatePartner": Command(
        "initech.yaml --id initech --title Initech --country IE --time-zone Europe/Dublin "
        "--privacy-contact privacy@initech.example --contract-approver urn:dsr:partner:initech#bob",
        file="contractLocations:\n- {provider: Amazon Web Services, site: Dublin, country: IE}",
        rename={"partner.name": "id", "partner.display_name": "title"},
    ),
    "GetPartner": Command(),
    "SetPartnerStanding": Command("--standing suspended --partner initech"),
    "CreateTermination": Command(),
    "GetTermination": Command("{terminations}"),
    "RecordReturn": Command(
        "{terminations} packages.yaml --source crm --partner acme",
        file=f"packages:\n- {{label: crm.tar, sizeBytes: 1024, sha256: '{_DIGEST}'}}",
    ),
    "ConfirmReceipt": Command(
        f"{{terminations}} --manifest-digest {_DIGEST}",
        ask="Destroy every copy that the operator keeps? It can't be undone.",
    ),
    "CancelTermination": Command("{terminations}"),
    "DownloadTerminationCertificate": Command("{terminations} --to certificates/", words="termination certificate"),
    "RecordDestruction": Command(
        "{terminations} --source crm --evidence TICKET-11 --partner acme",
        ask="Record for good that this data source is destroyed?",
    ),
}

BY_HAND: Mapping[str, str] = {
    "create": "request.yaml --received-at now",
    "get": "ID",
    "list": "--state awaiting-controller --due-before 2027-03-01",
    "watch": "ID",
    "cancel": "ID",
    "extend": "ID --reason complexity --subject-told-at now",
    "resolve": "ID --accept CANDIDATE --reject CANDIDATE",
    "download": "ID --to copies/",
    "plan": "ID",
    "certificate": "ID --to certificates/",
    "verify": "certificates/erasure-ID.certificate --ledger-key ledger.vkey",
    "check": "ledger.checkpoint --ledger-key ledger.vkey",
    "approve": "ID --digest DIGEST",
    "datamap get": "current",
    "put": "map.yaml",
    "propose": "shop --address connector.acme.example:7443 --server-name connector.acme.example --authority ca.pem",
    "place": "--source shop --collection orders --reason eu-gdpr:JustificationA17LegalClaims "
    "--legal-reference 'HGB 257' --review-at 2027-03-01 --identity -",
    "scan": f"backups/ --source shop {_PLACE}",
}
"""Examples of the commands that are written by hand, by verb, or by noun and verb."""

"""Between rows and messages."""

import asyncpg
from dsr.v1 import transfer_pb2 as pb

from services.governance.transfers.domain import ARTICLES


def safeguard(row: asyncpg.Record) -> pb.TransferSafeguard:
    """A safeguard."""
    found = pb.TransferSafeguard(
        name=f"{row['partner']}/transferSafeguards/{row['id']}",
        recipient=row["recipient"],
        country=row["country"],
        instrument=row["instrument"],
        document_reference=row["document_reference"],
        document_sha256=row["document_sha256"],
        creator=row["creator"],
        article=ARTICLES[row["instrument"]],
    )
    for field in ("begin_time", "end_time", "create_time"):
        if row[field]:
            getattr(found, field).FromDatetime(row[field])
    return found


def attestation(row: asyncpg.Record) -> pb.TransferAttestation:
    """An attestation."""
    found = pb.TransferAttestation(
        name=f"{row['partner']}/transferAttestations/{row['id']}",
        country=row["country"],
        compliant=True,
        notice_reference=row["notice_reference"],
        notice_sha256=row["notice_sha256"],
        attester=row["attester"],
    )
    for field in ("subjects_told_time", "create_time", "end_time"):
        if row[field]:
            getattr(found, field).FromDatetime(row[field])
    return found

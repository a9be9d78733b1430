"""The operator's ledger, checked without the operator: what a certificate proves, and that nothing was taken back.

`Certificate` checks a certificate with the ledger's public key alone. `verify_consistency` checks that a ledger has
only grown between two checkpoints. The format is described in docs/ledger.md; hashing is RFC 9162, section 2.1,
checkpoints and proofs are C2SP tlog-checkpoint, signed-note and tlog-proof.
"""

from dsr.ledger.certificate import Certificate, Verified
from dsr.ledger.merkle import LedgerError, leaf_hash, node_hash, root_of_inclusion, verify_consistency
from dsr.ledger.note import Checkpoint, SigningKey, VerifierKey

__all__ = [
    "Certificate",
    "Checkpoint",
    "LedgerError",
    "SigningKey",
    "Verified",
    "VerifierKey",
    "leaf_hash",
    "node_hash",
    "root_of_inclusion",
    "verify_consistency",
]

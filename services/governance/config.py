"""What governance is told by its environment."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """One line per variable."""

    listen: str
    """`DSR_LISTEN`: `host:port`; port 0 takes a free one."""
    database_url: str
    """`DSR_DATABASE_URL`: of the service's own role."""
    trust: Path
    """`DSR_TRUST`: the trust file."""
    signing_key: Path
    """`DSR_SIGNING_KEY`: credential file of the key that signs grants."""
    ledger_key: Path
    """`DSR_LEDGER_KEY`: credential file of the key that signs the ledger's checkpoints. It is never rotated: another
    key is another ledger."""
    keys_dir: Path
    """`DSR_KEYS_DIR`: wrapped keys; apart from everything that is backed up."""
    dpo_contact: str
    """`DSR_DPO_CONTACT`: the operator's data protection officer, named in every refusal (policy P18)."""
    operator: str = "the operator of this platform"
    """`DSR_OPERATOR`: the operator's name, in reports."""
    operators: str = ""
    """`DSR_OPERATORS`: the first two people or more with ROLE_OPERATOR, as `issuer#subject`, comma-separated. It counts
    while fewer than two hold it; then they grant it to others (policy P16)."""
    smtp_address: str = ""
    """`DSR_SMTP_ADDRESS`: `host:port` of the operator's mail server; empty: notices by e-mail wait for one."""
    smtp_sender: str = ""
    """`DSR_SMTP_SENDER`: the address that notices come from."""
    smtp_security: str = "starttls"
    """`DSR_SMTP_SECURITY`: `starttls`, `tls`, or `none` (loopback only)."""
    smtp_ca: str = ""
    """`DSR_SMTP_CA`: PEM certificates the mail server's is checked against; empty: the system's."""
    smtp_user: str = ""
    """`DSR_SMTP_USER`: with the password in `DSR_SMTP_PASSWORD`; empty: none is asked for."""
    smtp_password: str = field(default="", repr=False)
    role: str = "all"
    """`DSR_ROLE`: `api`, `worker` or `all`."""
    private_egress: str = ""
    """`DSR_PRIVATE_EGRESS`: networks (CIDR, comma-separated) that may be dialled although they are private."""
    tls_certificate: str = ""
    """`DSR_TLS_CERTIFICATE`: PEM chain shown to others, with `DSR_TLS_KEY` and `DSR_TLS_CA`; none: loopback only."""
    tls_key: str = ""
    tls_ca: str = ""
    """`DSR_TLS_CA`: PEM certificates that others' are checked against (mutual TLS)."""
    otlp_endpoint: str = ""
    """`DSR_OTLP_ENDPOINT`: `host:port` of an OpenTelemetry collector, over TLS with this process's certificate; empty:
    none. Plaintext on loopback only."""
    otlp_interval_seconds: float = 15.0
    """`DSR_OTLP_INTERVAL_SECONDS`: between two exports of metrics."""
    health_listen: str = ""
    """`DSR_HEALTH_LISTEN`: `host:port` that answers health checks in plaintext, for probes; empty: none."""
    drain_notice_seconds: float = 0.0
    """`DSR_DRAIN_NOTICE_SECONDS`: after SIGTERM, how long health says no before calls are refused."""

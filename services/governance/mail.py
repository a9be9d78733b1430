"""The operator's mail server, spoken to over TLS (policy P9)."""

import ssl
from dataclasses import dataclass
from email.message import EmailMessage

import aiosmtplib

from dsrkit.config import ConfigError
from dsrkit.errors import DsrError
from dsrkit.server import is_loopback

_TIMEOUT = 20.0
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:!AES128"


@dataclass(frozen=True)
class Mail:
    """Where letters are handed over, and how."""

    host: str
    port: int
    sender: str
    security: str
    """`starttls`, `tls`, or `none`, which is for loopback only."""
    context: ssl.SSLContext
    user: str = ""
    password: str = ""

    @classmethod
    def of(
        cls, address: str, sender: str, security: str, authority: str = "", user: str = "", password: str = ""
    ) -> "Mail | None":
        """From configuration; None when no address is given. ConfigError."""
        if not address:
            return None
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError("DSR_SMTP_ADDRESS must be host:port")
        if "@" not in sender:
            raise ConfigError("DSR_SMTP_SENDER must be an e-mail address; letters need one to come from")
        if security not in ("starttls", "tls", "none"):
            raise ConfigError("DSR_SMTP_SECURITY must be starttls, tls or none")
        if security == "none" and not is_loopback(address):
            raise ConfigError("DSR_SMTP_SECURITY=none is refused outside loopback; use starttls or tls")
        context = ssl.create_default_context(cafile=authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_SUITES)
        return cls(host.strip("[]"), int(port), sender, security, context, user, password)

    async def send(self, message: EmailMessage) -> bool:
        """True when the server took it, False when it refuses the recipient for good; else SOURCE_UNAVAILABLE."""
        message["From"] = self.sender
        try:
            await aiosmtplib.send(
                message,
                hostname=self.host,
                port=self.port,
                username=self.user or None,
                password=self.password or None,
                use_tls=self.security == "tls",
                start_tls=self.security == "starttls",
                tls_context=None if self.security == "none" else self.context,
                timeout=_TIMEOUT,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(one.code >= 500 for one in error.recipients):
                return False
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            pass  # its text may quote the letter or an address; that it failed is all that goes on
        else:
            return True
        raise DsrError("SOURCE_UNAVAILABLE", "The mail server did not take the letter.")

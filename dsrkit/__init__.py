"""What the services share and no more. Knows no service."""

import os
import ssl

from cryptography.hazmat.backends.openssl import backend

# 256-bit suites only for TLS 1.2 (policy P9). gRPC reads this once, when it first uses TLS, so it stands here.
os.environ.setdefault(
    "GRPC_SSL_CIPHER_SUITES",
    ":".join(
        f"ECDHE-{kind}-{cipher}" for cipher in ("AES256-GCM-SHA384", "CHACHA20-POLY1305") for kind in ("ECDSA", "RSA")
    ),
)

# TLS 1.3 (decision 0032): gRPC has no setting for its suites, but its BoringSSL prefers ChaCha20-Poly1305, with 256-bit
# keys, to AES-128 where the processor can't do AES-GCM fast. It is told so. It looks at its first handshake; the two
# other OpenSSLs of a process looked when they were loaded, so they are loaded before and stay fast.
LOADED_BEFORE = (ssl.OPENSSL_VERSION, backend.openssl_version_text())
_MASK = "OPENSSL_ia32cap"
os.environ.setdefault(_MASK, "~0x200000000")

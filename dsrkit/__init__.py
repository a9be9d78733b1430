"""What the services share and no more. Knows no service."""

import os

# 256-bit suites only for TLS 1.2 (policy P9). gRPC reads this once, while it is being imported, so it stands here.
os.environ.setdefault(
    "GRPC_SSL_CIPHER_SUITES",
    ":".join(
        f"ECDHE-{kind}-{cipher}" for cipher in ("AES256-GCM-SHA384", "CHACHA20-POLY1305") for kind in ("ECDSA", "RSA")
    ),
)

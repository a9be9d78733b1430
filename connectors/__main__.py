"""`python -m connectors --config sources.yaml`: serves the sources that the file names.

Environment: DSR_TRUST, DSR_STATE_DIR, DSR_CONNECTORS_CONFIG (or --config), DSR_LISTEN, DSR_TLS_CERTIFICATE,
DSR_TLS_KEY, DSR_TLS_CLIENT_CA, DSR_OTLP_ENDPOINT. Any other DSR_* variable is an error.
"""

import os
import sys

# 256-bit suites only (policy P9). gRPC reads this once, while it is being imported.
os.environ["GRPC_SSL_CIPHER_SUITES"] = ":".join(
    f"ECDHE-{kind}-{cipher}" for cipher in ("AES256-GCM-SHA384", "CHACHA20-POLY1305") for kind in ("ECDSA", "RSA")
)

from connectors.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

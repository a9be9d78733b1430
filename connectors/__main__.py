"""`python -m connectors --config sources.yaml`: serves the sources that the file names.

Environment: DSR_TRUST, DSR_STATE_DIR, DSR_CONNECTORS_CONFIG (or --config), DSR_LISTEN, DSR_TLS_CERTIFICATE,
DSR_TLS_KEY, DSR_TLS_CLIENT_CA, DSR_OTLP_ENDPOINT, DSR_HEALTH_LISTEN, DSR_DRAIN_NOTICE_SECONDS. Any other DSR_* variable
is an error.
"""

import os
import sys

from connectors.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

"""What HTTP clients of tests have in common."""

import ssl

PLAINTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""As `verify` of clients that speak plaintext: it trusts nobody, and reads no file. By default each client reads all of
the world's certificates, which takes longer than most of these tests."""

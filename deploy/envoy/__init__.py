"""Envoy as another way to HTTP and JSON: its own transcoder on the same annotations.

The gateway in this repository is stricter (unknown fields, one shape of errors, no client header reaches a service) and
has streams a browser can use. Where both answer, they answer alike; a test holds them to it.
"""

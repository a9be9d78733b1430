"""Does a connector keep the contract? `python -m dsr.conformance --help`; rules: docs/connector-spec.md.

Works against any implementation in any language, over the wire only.
"""

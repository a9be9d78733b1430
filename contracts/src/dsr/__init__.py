"""Contracts of the data-subject-rights platform: generated code, client, command and conformance suite."""

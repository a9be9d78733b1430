"""Governance: what may be done, and with which instructions. Its API process calls nobody."""

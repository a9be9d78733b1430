"""How a test tells the table of the contract (tests/conformance/table.py) what came of a rule."""

from collections.abc import Callable

from dsr.conformance.check import Result

CONTRACT = "contract"
"""Property of a test: (connector, rule, verdict)."""

Told = Callable[[str, Result], None]
"""The fixture `told`: connector, and what came of a rule."""

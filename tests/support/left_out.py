"""What a run of all tests doesn't run, in one line at its end: nobody shall take its silence for a result."""

LEFT_OUT = {
    "tests against real servers in tests/servers": "make servers conformance test-servers",
    "long ones": "make trials",
    "the platform in pods": "make images deploy-test",
}
"""To how it is run."""


def left_out(*, whole: bool, marks: str) -> str:
    """The line, for a run of everything with these marks (`-m`); nothing for who chose tests."""
    if not whole:
        return ""
    parts = [f"{what} ({how})" for what, how in LEFT_OUT.items() if what != "long ones" or marks == "not long"]
    return f"Left out: {', '.join(parts)}."

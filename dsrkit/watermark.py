"""What every document of a sandbox says of itself."""

WATERMARK = "From a sandbox: the people are made up, and this proves nothing."


def watermark(sandbox: bool) -> str:
    """The sentence, or nothing for a live partner."""
    return WATERMARK if sandbox else ""

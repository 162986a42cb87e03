"""Makes a provider's text storable in the database."""

from __future__ import annotations


def storable(text: str) -> str:
    """Remove NUL, join the halves of a character that arrived in two pieces, and replace lone halves."""
    return text.replace("\x00", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

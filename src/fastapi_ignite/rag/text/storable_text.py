"""What a provider says, as a database takes it."""

from __future__ import annotations


def storable(said: str) -> str:
    """Without NUL; halves of a character that arrived in two pieces are joined, and lone ones replaced."""
    return said.replace("\x00", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

"""Shows a comment in the text of a document, in the same way in all formats."""

from __future__ import annotations


def comment_text(text: str, author: str = "", *, place: str = "") -> str:
    """Return `Comment by Ada: text`, or nothing for an empty comment. `place` is a cell, where the format names one."""
    text, author = text.strip(), author.strip()
    if not text:
        return ""
    return f"Comment{f' on {place}' if place else ''}{f' by {author}' if author else ''}: {text}"

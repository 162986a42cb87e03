"""The readable text of an HTML page: no scripts, no styles, no addresses of links, no site navigation."""

from __future__ import annotations

import re
from typing import Final

from fastapi_ignite.rag.extraction.markup import tokens

# fmt: off
_UNREAD: Final = frozenset({
    "script", "style", "template", "noscript", "svg", "canvas", "iframe", "object", "audio", "video", "select",
    "button", "datalist", "head",
})
_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary",
    "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
})
_PARAGRAPHS: Final = frozenset({
    "article", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "section", "table", "title",
    "ul", "dl",
})
# fmt: on
_CELLS: Final = frozenset({"td", "th"})
_BLANKS: Final = re.compile(r"[ \t\n\f\v]+")


def readable_text(html: str) -> str:
    """Blocks as lines, paragraphs set off by a blank line, the cells of a table row on one line.

    `<nav>` is left out, save inside `<aside>`: there it lists related pages, which is content. A page whose markup is
    so broken that a part to leave out is never closed is read whole rather than lost.
    """
    page = _Page(_UNREAD | {"nav"})
    page.read(html)
    if page.left_open:
        page = _Page(frozenset({"script", "style"}))
        page.read(html)
    return page.text()


class _Page:
    """Separators wait until text follows, so that empty elements and the edges of table cells leave none behind."""

    def __init__(self, unread: frozenset[str]) -> None:
        self._unread = unread
        self._skipping = ""
        self._skipped_depth = 0
        self._asides = 0
        self._preformatted = 0
        self._in_blank_cell = False
        self._separator = ""
        self._parts: list[str] = []

    @property
    def left_open(self) -> bool:
        return bool(self._skipping)

    def text(self) -> str:
        lines = [line.rstrip(" ") if line.strip() else "" for line in "".join(self._parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")

    def read(self, html: str) -> None:
        for token in tokens(html):
            if isinstance(token, str):
                self._add_text(token)
            elif token.is_start:
                self._open(token.name)
            else:
                self._close(token.name)

    def _open(self, tag: str) -> None:
        if self._skipping == "head" and tag in {"title", "body"}:
            self._skipping = ""
        if self._skipping:
            self._skipped_depth += tag == self._skipping
        elif tag in self._unread and not (tag == "nav" and self._asides):
            self._skipping, self._skipped_depth = tag, 1
        else:
            self._asides += tag == "aside"
            self._preformatted += tag == "pre"
            self._separate(tag)
            self._in_blank_cell = tag in _CELLS or (self._in_blank_cell and tag != "tr")

    def _close(self, tag: str) -> None:
        if self._skipping:
            self._skipped_depth -= tag == self._skipping
            if self._skipped_depth == 0:
                self._skipping = ""
            return
        self._asides = max(0, self._asides - (tag == "aside"))
        self._preformatted = max(0, self._preformatted - (tag == "pre"))
        if tag in _CELLS:
            self._separator = " "
            self._in_blank_cell = False
        else:
            self._separate(tag)
        if tag == "title" and "head" in self._unread:
            self._skipping, self._skipped_depth = "head", 1

    def _add_text(self, data: str) -> None:
        if self._skipping:
            return
        words = data if self._preformatted else _BLANKS.sub(" ", data)
        if not self._preformatted and (self._separator or not self._parts or self._parts[-1].endswith((" ", "\n"))):
            words = words.lstrip(" ")
        if words:
            self._parts += (self._separator if self._parts else "", words)
            self._separator = ""
            self._in_blank_cell = False

    def _separate(self, tag: str) -> None:
        if tag == "br":
            # more line ends in a row than two become two in the end: not kept, a million of them cost nothing
            if not self._separator.endswith("\n\n"):
                self._separator += "\n"
        elif self._in_blank_cell and tag != "tr":
            return
        elif tag in _PARAGRAPHS:
            self._separator = "\n\n"
        elif tag in _BLOCKS and "\n" not in self._separator:
            self._separator = "\n"
        elif tag in _CELLS and not self._separator:
            self._separator = " "

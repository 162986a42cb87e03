"""Cuts HTML into tags and text in time linear in its length, whatever it holds.

A tree is not built: by the HTML standard its construction alone is quadratic (docs/adr has the figures). The rules are
those of the standard's tokenizer with one difference: what is never closed is text, so that no broken page loses words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_MARKUP: Final = re.compile(r"<(?=[a-zA-Z/!?])")
_NAME: Final = re.compile(r"/?([a-zA-Z][^\t\n\f\r />\x00]*+)")
# Attributes as in the standard; every quantifier is possessive, so that no character is read twice. A quotation mark
# that has no partner is a character like any other.
_REST_OF_TAG: Final = re.compile(
    r"""(?:
        [\t\n\f\r ]++ | /(?!>)
        | =?+[^\t\n\f\r />=]++ (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"[^"]*+"|'[^']*+'|(?!["'>])[^\t\n\f\r >]++))?+
        | =
    )*+(/?)>""",
    re.VERBOSE,
)
# The content of these elements is text alone, up to their own end tag; in the second kind references count.
_RAW: Final = ("script", "style")
_TEXT_ONLY: Final = ("title", "textarea")
_END_OF: Final = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in (*_RAW, *_TEXT_ONLY)}
# Python refuses to read such a number; no character has it.
_ENDLESS_REFERENCE: Final = re.compile(r"&#[0-9]{1000,};?")


class Tag(NamedTuple):
    """`name` is in lower case. `<br/>` is a start and an end."""

    name: str
    is_start: bool


def tokens(source: str) -> Iterator[Tag | str]:
    """Tags and the text between them, character references replaced; comments and attributes are left out.

    A comment, a tag or a title without an end is text, but a script without one goes on to the end of the page.
    """
    return _Tokenizer(source).run()


class _Tokenizer:
    """Keeps in mind what the rest of the page does not hold, so that it is searched for in vain once, not each time."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._absent: set[str] = set()
        self._quotes_count = True

    def run(self) -> Iterator[Tag | str]:
        """Every step goes forward: behind a piece of markup, or behind a `<` that begins none."""
        source, text_start = self._source, 0
        for_markup = 0
        while (markup := _MARKUP.search(source, for_markup)) is not None:
            start = markup.start()
            found = self._markup(start)
            if found is None:
                if ">" in self._absent:  # nothing ends any more
                    break
                for_markup = start + 1
                continue
            if text_start < start:
                yield _without_references(source[text_start:start])
            yield from found
            text_start = for_markup = self._position
            if found and found[-1].is_start and found[-1].name in _END_OF:
                text = self._content_of(found[-1].name)
                if text:
                    yield text if found[-1].name in _RAW else _without_references(text)
                text_start = for_markup = self._position
        if text_start < len(source):
            yield _without_references(source[text_start:])

    def _markup(self, start: int) -> tuple[Tag, ...] | None:
        """The tags that begin at `start`, none of them for a comment; None when it is text."""
        source = self._source
        name = _NAME.match(source, start + 1)
        if name is not None:
            return self._tag(name)
        if source.startswith("</>", start):
            self._position = start + 3
            return ()
        if source.startswith("<!--", start):
            return self._comment(start)
        if source.startswith("<![CDATA[", start):
            return () if self._skip_behind("]]>", start) else None
        return () if self._skip_behind(">", start) else None

    def _comment(self, start: int) -> tuple[Tag, ...] | None:
        for empty in ("<!-->", "<!--->"):
            if self._source.startswith(empty, start):
                self._position = start + len(empty)
                return ()
        return () if self._skip_behind("-->", start) else None

    def _skip_behind(self, end: str, start: int) -> bool:
        found = -1 if end in self._absent else self._source.find(end, start)
        if found < 0:
            self._absent.add(end)
            return False
        self._position = found + len(end)
        return True

    def _tag(self, name: re.Match[str]) -> tuple[Tag, ...] | None:
        """An end without a start of its own is left to the caller, as is a start without an end."""
        rest = _REST_OF_TAG.match(self._source, name.end()) if self._quotes_count else None
        if rest is not None:
            self._position = rest.end()
            closes_itself = bool(rest[1])
        else:
            # Quotation marks reach to the end of the page and would be followed there from every tag to come.
            self._quotes_count = False
            if not self._skip_behind(">", name.end()):
                return None
            closes_itself = self._source.endswith("/>", name.end(), self._position)
        word = name[1].lower()
        if name[0].startswith("/"):
            return (Tag(word, is_start=False),)
        start = Tag(word, is_start=True)
        return (start, Tag(word, is_start=False)) if closes_itself else (start,)

    def _content_of(self, name: str) -> str:
        """The text of an element that holds nothing else; empty where its end is missing and its content is markup."""
        start = self._position
        if name not in self._absent:
            end = _END_OF[name].search(self._source, start)
            if end is not None:
                self._position = end.start()
                return self._source[start : end.start()]
            self._absent.add(name)
        if name in _RAW:
            self._position = len(self._source)
        return self._source[start : self._position]


def _without_references(text: str) -> str:
    if "&" not in text:
        return text
    return html.unescape(_ENDLESS_REFERENCE.sub("\ufffd", text))

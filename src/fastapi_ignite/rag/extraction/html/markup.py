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
_ATTRIBUTES: Final = r"""(?:
        [\t\n\f\r ]++ | /(?!>)
        | =?+[^\t\n\f\r />=]++ (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"[^"]*+"|'[^']*+'|(?!["'>])[^\t\n\f\r >]++))?+
        | =
    )*+"""
_TAG: Final = re.compile(rf"<(/?)([a-zA-Z][^\t\n\f\r />\x00]*+)({_ATTRIBUTES})(/?)>", re.VERBOSE)
# The same attributes once more, one at a time.
_ATTRIBUTE: Final = re.compile(
    r"""(=?+[^\t\n\f\r />=]++)
        (?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"([^"]*+)"|'([^']*+)'|((?!["'>])[^\t\n\f\r >]++)))?+""",
    re.VERBOSE,
)
# The content of these elements is text alone, up to their own end tag; in the second kind references count.
_RAW: Final = ("script", "style")
_TEXT_ONLY: Final = ("title", "textarea")
_END_OF: Final = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE) for name in (*_RAW, *_TEXT_ONLY)}
# Python refuses to read such a number; no character has it.
_ENDLESS_REFERENCE: Final = re.compile(r"&#[0-9]{1000,};?")


class Tag(NamedTuple):
    """`name` is in lower case. `<br/>` is a start and an end. `attributes` is the source that `attributes_of` reads."""

    name: str
    is_start: bool
    attributes: str = ""


def attributes_of(tag: Tag) -> dict[str, str]:
    """Return the attributes of a tag, names in lower case, character references in values replaced.

    Of an attribute that is given twice the first one counts, as in a browser.
    """
    found: dict[str, str] = {}
    for attribute in _ATTRIBUTE.finditer(tag.attributes):
        name = attribute[1].lower()
        if name not in found:
            found[name] = _without_references(attribute[2] or attribute[3] or attribute[4] or "")
    return found


def tokens(source: str) -> Iterator[Tag | str]:
    """Tags and the text between them, character references replaced; comments are left out.

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
        # tags without attributes are most of all, and few kinds of them
        self._plain_tags: dict[tuple[str, str, str], tuple[Tag, ...]] = {}

    def run(self) -> Iterator[Tag | str]:
        """Every step goes forward: behind a piece of markup, or behind a `<` that begins none."""
        source, text_start = self._source, 0
        for_markup = 0
        while (markup := _MARKUP.search(source, for_markup)) is not None:
            start = markup.start()
            whole = _TAG.match(source, start) if self._quotes_count else None
            if whole is not None:
                found = self._whole_tag(whole)
            else:
                broken = self._markup(start)
                if broken is None:
                    if ">" in self._absent:  # nothing ends any more
                        break
                    for_markup = start + 1
                    continue
                found = broken
            if text_start < start:
                yield _without_references(source[text_start:start])
            yield from found
            text_start = for_markup = self._position
            if found and found[-1].name in _END_OF and found[-1].is_start:
                text = self._content_of(found[-1].name)
                if text:
                    yield text if found[-1].name in _RAW else _without_references(text)
                text_start = for_markup = self._position
        if text_start < len(source):
            yield _without_references(source[text_start:])

    def _whole_tag(self, match: re.Match[str]) -> tuple[Tag, ...]:
        """An end without a start of its own is left to the caller, as is a start without an end."""
        self._position = match.end()
        slash, name, attributes, closes_itself = match.groups()
        if attributes and not slash:
            start = Tag(name.lower(), True, attributes)
            return (start, Tag(start.name, is_start=False)) if closes_itself else (start,)
        kind = (name, slash, closes_itself)
        found = self._plain_tags.get(kind)
        if found is None:
            start, end = Tag(name.lower(), is_start=True), Tag(name.lower(), is_start=False)
            found = (end,) if slash else (start, end) if closes_itself else (start,)
            self._plain_tags[kind] = found
        return found

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
        """Cut a tag whose quotation marks have no partners at the next `>`."""
        # They reach to the end of the page and would be followed there from every tag to come.
        self._quotes_count = False
        if not self._skip_behind(">", name.end()):
            return None
        word = name[1].lower()
        if name[0].startswith("/"):
            return (Tag(word, is_start=False),)
        start = Tag(word, True, self._source[name.end() : self._position - 1])
        closes_itself = self._source.endswith("/>", name.end(), self._position)
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

"""Every text of a Word file is extracted once and in order, or is on the list of what is left out.

The file is also read by the standard library's XML parser, independently of our reader.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction.child import extract_text
from support.word_files import cell, field, item, level, make_word_file, numbering, p, row, run, table, text_box

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# The list: deleted or moved text, instructions of fields, phonetic readings, repeated text, and hidden runs.
_LEFT_OUT = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}rt", _FALLBACK}
_WORD = "W"  # each occurrence is replaced by a unique word
_MATH = f"<m:r><m:t>{_WORD}</m:t></m:r>"
# The text of a box comes after the paragraph that contains it.
_ELSEWHERE = {f"{_W}txbxContent"}


_TEXTS = st.sampled_from(
    [
        run(_WORD),
        run(_WORD, "<w:b/><w:caps/>"),
        run(_WORD, "<w:vanish/>"),
        f"<w:r><w:t>{_WORD}</w:t><w:tab/><w:t>{_WORD}</w:t><w:br/><w:t>{_WORD}</w:t></w:r>",
        f"<w:del><w:r><w:delText>{_WORD}</w:delText></w:r></w:del>",
        f"<m:oMath><m:sSup><m:e>{_MATH}</m:e><m:sup>{_MATH}</m:sup></m:sSup><m:d><m:e>{_MATH}</m:e></m:d></m:oMath>",
        f'<w:fldSimple w:instr="DATE">{run(_WORD)}</w:fldSimple>',
        field(_WORD, run(_WORD)),
        f"<w:r><w:ruby><w:rt>{run(_WORD)}</w:rt><w:rubyBase>{run(_WORD)}</w:rubyBase></w:ruby></w:r>",
        '<w:r><w:footnoteReference w:id="1"/></w:r>',
    ]
)


def _inside(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    containers = st.sampled_from(["w:hyperlink", "w:ins", "w:moveTo", "w:moveFrom", "w:smartTag", "w:customXml", "sdt"])
    wrapped = st.tuples(containers, st.lists(inner, max_size=3)).map(lambda drawn: _wrap(drawn[0], "".join(drawn[1])))
    boxes = st.lists(inner, min_size=1, max_size=2).map(lambda drawn: text_box("".join(map(p, drawn))))
    return wrapped | boxes


def _wrap(name: str, content: str) -> str:
    if name == "sdt":
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{content}</w:sdtContent></w:sdt>"
    return f"<{name}>{content}</{name}>"


_INLINE = st.recursive(_TEXTS, _inside, max_leaves=4)
_PARAGRAPHS = st.tuples(st.lists(_INLINE, max_size=4), st.booleans()).map(
    lambda drawn: item(_WORD) if drawn[1] else p("".join(drawn[0]))
)


def _holding(blocks: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    cells = st.lists(blocks, min_size=1, max_size=2).map(lambda drawn: cell("".join(drawn)))
    rows = st.lists(cells, min_size=1, max_size=3).map(lambda drawn: row(*drawn))
    tables = st.lists(rows, min_size=1, max_size=3).map(lambda drawn: table(*drawn))
    wrapped = st.tuples(st.sampled_from(["sdt", "w:customXml", "w:ins"]), blocks).map(lambda drawn: _wrap(*drawn))
    return tables | wrapped


_BODIES = st.lists(st.recursive(_PARAGRAPHS, _holding, max_leaves=5), min_size=1, max_size=5).map("".join)


@settings(max_examples=40)
@given(body=_BODIES)
def test_nothing_is_lost_doubled_or_moved(body: str) -> None:
    numbers = itertools.count()
    body = re.sub(rf"(?<=>){_WORD}(?=<)", lambda _: f"q{next(numbers)}z", body)
    data = make_word_file(
        p("qfirstz") + body,
        numbering=numbering(level(0, "decimal", "%1.")),
        footnotes=f'<w:footnote w:id="1">{p("qnotez")}</w:footnote>',
        headers=[p("qheadz")],
    )
    found = re.findall(r"q\w+?z", extract_text(data, ".docx").text)
    expected = list(_words(_body(data)))
    assert sorted(found) == sorted(word for word, _ in expected)
    in_order = [word for word, is_in_order in expected if is_in_order]
    assert [word for word in found if word in set(in_order)] == in_order


def _body(data: bytes) -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return ET.fromstring(package.read("word/document.xml"))  # noqa: S314 - it is ours


def _words(document: ET.Element) -> Iterator[tuple[str, bool]]:
    """Yield each word that must be found, and whether it must be found in the order of the file."""
    yield from _below(document, is_in_order=True)
    yield "qheadz", False
    if any(child.tag == f"{_W}footnoteReference" for child in _shown(document)):
        yield "qnotez", False


def _below(element: ET.Element, *, is_in_order: bool) -> Iterator[tuple[str, bool]]:
    for child in element:
        if child.tag in {f"{_W}t", f"{_M}t"}:
            yield child.text or "", is_in_order
        elif not _is_left_out(child):
            yield from _below(child, is_in_order=is_in_order and child.tag not in _ELSEWHERE)


def _shown(element: ET.Element) -> Iterator[ET.Element]:
    for child in element:
        if not _is_left_out(child):
            yield child
            yield from _shown(child)


def _is_left_out(element: ET.Element) -> bool:
    return element.tag in _LEFT_OUT or element.find(f"{_W}rPr/{_W}vanish") is not None

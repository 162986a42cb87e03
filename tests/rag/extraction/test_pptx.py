"""PowerPoint presentations: each text is on the page of its slide, and no text is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, SpanKind
from fastapi_ignite.rag.extraction.formats import MediaType
from fastapi_ignite.rag.extraction.pptx import read as read_pptx
from support import presentation_files as deck
from support.presentation_files import Slide, box, make_deck, paragraph, shape, title
from support.sample_files import make_zip

Read = Callable[..., Awaitable[ExtractedText]]


def read(data: bytes) -> ExtractedText:
    return read_pptx(data, MediaType.PPTX)


def pages(found: ExtractedText) -> list[str]:
    starts = found.page_starts or ()
    return [
        found.text[start:end].strip("\n") for start, end in zip(starts, (*starts[1:], len(found.text)), strict=True)
    ]


def spans(found: ExtractedText, kind: SpanKind) -> list[str]:
    return [found.text[span.start : span.end] for span in found.spans if span.kind is kind]


def page(shapes: str, **more: Any) -> str:
    return pages(read(make_deck([Slide(shapes)], **more)))[0]


class TestSlides:
    async def test_a_deck_is_read_in_the_sealed_process(self, read: Read) -> None:
        found = await read(make_deck([Slide(title("Plan") + box("All of it"))]), "deck.pptx")
        assert (found.text, found.page_starts) == ("Plan\n\nAll of it", (0,))

    def test_pages_come_in_the_order_of_the_show(self) -> None:
        data = make_deck([Slide(box("stored first")), Slide(box("stored second")), Slide()], order=[1, 2, 0])
        assert pages(read(data)) == ["stored second", "", "stored first"]

    def test_slides_that_left_the_show_are_left_out(self) -> None:
        assert pages(read(make_deck([Slide(box("in the show")), Slide(box("deleted"))], order=[0]))) == ["in the show"]

    def test_a_note_stands_on_the_page_of_its_slide(self) -> None:
        found = read(make_deck([Slide(box("One")), Slide(box("Two"), notes="Said on two."), Slide(box("Three"))]))
        assert pages(found) == ["One", "Two\n\nNotes:\n\nSaid on two.", "Three"]

    def test_hidden_slides_are_marked(self) -> None:
        found = read(make_deck([Slide(title("A"), hidden=True), Slide(box("b"), hidden=True), Slide(hidden=True)]))
        assert pages(found) == ["A (hidden slide)", "(hidden slide)\n\nb", ""]

    def test_the_title_is_a_heading_and_stands_first(self) -> None:
        found = read(make_deck([Slide(box("behind") + title("The title"))]))
        assert found.text == "The title\n\nbehind"
        assert spans(found, SpanKind.HEADING) == ["The title"]

    @pytest.mark.parametrize("kind", ["slideshow.main+xml", "template.main+xml"])
    async def test_shows_and_templates(self, read: Read, kind: str) -> None:
        assert (await read(make_deck([Slide(box("text"))], kind=kind))).media_type == MediaType.PPTX

    def test_strict_files(self) -> None:
        slide = Slide(title("Strict") + box("text"), notes="note")
        assert pages(read(make_deck([slide], strict=True))) == ["Strict\n\ntext\n\nNotes:\n\nnote"]

    def test_a_slide_that_is_missing_is_damage(self) -> None:
        with pytest.raises(ExtractionError, match=ErrorCode.CORRUPT_FILE):
            read(make_deck([Slide(box("text"))], order=[0, 7]))

    def test_comments_name_their_authors(self) -> None:
        authors = f'<p:cmAuthorLst {deck.NAMESPACES}><p:cmAuthor id="3" name="Ada"/></p:cmAuthorLst>'
        comments = f'<p:cmLst {deck.NAMESPACES}><p:cm authorId="3"><p:text>Check this.</p:text></p:cm></p:cmLst>'
        found = read(
            make_deck(
                [Slide(box("text"), relations=[("c", "comments", "../comments/comment1.xml")])],
                parts={"ppt/commentAuthors.xml": authors, "ppt/comments/comment1.xml": comments},
                relations=[("authors", "commentAuthors", "commentAuthors.xml")],
            )
        )
        assert found.text == "text\n\nComment by Ada: Check this."


class TestShapes:
    def test_groups_at_any_depth(self) -> None:
        nested = box("deep")
        for _ in range(40):
            nested = deck.group(nested)
        assert page(box("before") + nested + box("behind")) == "before\n\ndeep\n\nbehind"

    def test_of_alternatives_one_is_read(self) -> None:
        assert page(deck.alternatives(box("new"), box("old"))) == "new"

    def test_line_breaks_and_fields(self) -> None:
        runs = (
            "<a:p><a:r><a:t>one</a:t></a:r><a:br/><a:r><a:t>two, slide </a:t></a:r>"
            '<a:fld type="slidenum"><a:t>#</a:t></a:fld><a:r><a:t> of </a:t></a:r>'
            '<a:fld type="datetime1"><a:t>14 March</a:t></a:fld></a:p>'
        )
        assert page(shape(runs)) == "one\ntwo, slide 1 of 14 March"

    @pytest.mark.parametrize(
        ("properties", "text", "shown"),
        [
            ('<a:rPr baseline="30000"/>', "6", "⁶"),
            ('<a:rPr baseline="30000"/>', "th", "th"),
            ('<a:rPr baseline="-25000"/>', "2", "2"),
            ('<a:rPr><a:latin typeface="Symbol"/></a:rPr>', "m", "µ"),
            ('<a:rPr><a:sym typeface="Wingdings"/></a:rPr>', "à", "→"),
            ('<a:rPr><a:sym typeface="Wingdings"/></a:rPr>', " Next steps", " Next steps"),
        ],
    )
    def test_runs_are_read_as_their_format_shows_them(self, properties: str, text: str, shown: str) -> None:
        runs = f"<a:r><a:t>10</a:t></a:r><a:r>{properties}<a:t>{text}</a:t></a:r>"
        assert page(shape(f"<a:p>{runs}</a:p>")) == f"10{shown}"

    def test_shapes_that_are_switched_off_are_left_out(self) -> None:
        old = box("old price").replace('name="Box"', 'name="Box" hidden="1"')
        group = deck.group(box("old offer")).replace('name="Group"', 'name="Group" hidden="1"')
        assert page(old + group + box("new price")) == "new price"

    def test_the_number_of_a_slide_is_left_out_and_its_footer_kept(self) -> None:
        number = shape(paragraph("7"), placeholder='type="sldNum" idx="12"')
        footer = shape(paragraph("Confidential"), placeholder='type="ftr" idx="11"')
        assert page(box("text") + number + footer) == "text\n\nConfidential"

    def test_a_table_is_rows_and_a_merged_cell_is_repeated_in_them(self) -> None:
        rows = [["Region", "Depot"], ["North", "Alta"], ["^", "Kirkenes"]]
        found = read(make_deck([Slide(deck.table(rows))]))
        assert found.text == "Region\tDepot\nNorth\tAlta\nNorth\tKirkenes"
        assert [(span.level, span.separator) for span in found.spans] == [(1, "\t")]

    def test_lists_keep_their_levels_and_numbers(self) -> None:
        bullet = '<a:pPr{}><a:buChar char="§"/></a:pPr>'
        numbered = '<a:pPr><a:buAutoNum type="arabicPeriod" startAt="3"/></a:pPr>'
        found = read(
            make_deck(
                [
                    Slide(
                        shape(
                            paragraph("item", bullet.format("")),
                            paragraph("sub-item", bullet.format(' lvl="1"')),
                            paragraph("third step", numbered),
                            paragraph("fourth step", numbered),
                            paragraph("no item"),
                        )
                    )
                ]
            )
        )
        assert found.text == "• item\n  • sub-item\n3. third step\n4. fourth step\n\nno item"
        assert len(spans(found, SpanKind.LIST_ITEM)) == 4

    def test_bullets_are_inherited_from_layout_and_master(self) -> None:
        styles = '<p:txStyles><p:bodyStyle><a:lvl1pPr><a:buChar char="•"/></a:lvl1pPr></p:bodyStyle></p:txStyles>'
        plain = shape(
            paragraph("Click"), placeholder='type="subTitle" idx="1"', style="<a:lvl1pPr><a:buNone/></a:lvl1pPr>"
        )
        parts = {
            "ppt/slideLayouts/slideLayout1.xml": deck.sheet("sldLayout", plain),
            "ppt/slideLayouts/_rels/slideLayout1.xml.rels": deck.relations(
                [("m", "slideMaster", "../slideMasters/slideMaster1.xml")]
            ),
            "ppt/slideMasters/slideMaster1.xml": deck.sheet("sldMaster", "", styles),
        }
        layout = [("l", "slideLayout", "../slideLayouts/slideLayout1.xml")]
        shapes = shape(paragraph("an item"), placeholder='idx="4"') + shape(
            paragraph("a subtitle"), placeholder='type="subTitle" idx="1"'
        )
        found = read(make_deck([Slide(shapes, relations=layout)], parts=parts))
        assert found.text == "• an item\n\na subtitle"

    def test_formulas_stand_in_their_sentence(self) -> None:
        fraction = "<m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>"
        runs = f"<a:r><a:t>mean </a:t></a:r><a14:m><m:oMath>{fraction}</m:oMath></a14:m><a:r><a:t> of two</a:t></a:r>"
        assert page(shape(f"<a:p>{runs}</a:p>")) == "mean (a+b)/2 of two"

    def test_a_chart_is_its_title_and_a_table(self) -> None:
        chart = (
            f"<c:chartSpace {deck.NAMESPACES}><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Sales</a:t></a:r></a:p>"
            "</c:rich></c:tx></c:title><c:plotArea><c:barChart>"
            '<c:ser><c:tx><c:strRef><c:strCache><c:pt idx="0"><c:v>Share</c:v></c:pt></c:strCache></c:strRef></c:tx>'
            '<c:cat><c:strRef><c:strCache><c:pt idx="0"><c:v>North</c:v></c:pt><c:pt idx="2"><c:v>South</c:v></c:pt>'
            "</c:strCache></c:strRef></c:cat><c:val><c:numRef><c:numCache><c:formatCode>0%</c:formatCode>"
            '<c:pt idx="0"><c:v>0.25</c:v></c:pt><c:pt idx="2"><c:v>0.75</c:v></c:pt></c:numCache></c:numRef></c:val>'
            "</c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
        )
        slide = Slide(deck.graphic('<c:chart r:id="ch"/>'), relations=[("ch", "chart", "../charts/chart1.xml")])
        found = read(make_deck([slide], parts={"ppt/charts/chart1.xml": chart}))
        assert found.text == "Sales\n\n\tShare\nNorth\t25%\nSouth\t75%"

    def test_a_diagram_is_a_list(self) -> None:
        def point(name: str, text: str) -> str:
            return f'<dgm:pt modelId="{name}"><dgm:t>{paragraph(text) if text else ""}</dgm:t></dgm:pt>'

        def link(source: str, target: str, order: int) -> str:
            return f'<dgm:cxn srcId="{source}" destId="{target}" srcOrd="{order}"/>'

        data = (
            f"<dgm:dataModel {deck.NAMESPACES}><dgm:ptLst>{point('d', '')}{point('3', 'Ship')}{point('1', 'Plan')}"
            f"{point('2', 'Draw')}</dgm:ptLst><dgm:cxnLst>{link('d', '3', 1)}{link('d', '1', 0)}{link('1', '2', 0)}"
            f"{link('2', '1', 0)}</dgm:cxnLst></dgm:dataModel>"
        )
        slide = Slide(deck.graphic('<dgm:relIds r:dm="d"/>'), relations=[("d", "diagramData", "../diagrams/data1.xml")])
        assert read(make_deck([slide], parts={"ppt/diagrams/data1.xml": data})).text == "• Plan\n  • Draw\n• Ship"


class TestHostileFiles:
    def refused(self, data: bytes) -> str:
        with pytest.raises(ExtractionError) as caught:
            read(data)
        return caught.value.code

    def test_entities_are_not_declared(self) -> None:
        bomb = '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'
        slide = deck.sheet("sld", box("&b;")).split("?>", 1)[1]
        assert (
            self.refused(make_deck([Slide()], parts={"ppt/slides/slide1.xml": bomb + slide})) == ErrorCode.CORRUPT_FILE
        )

    def test_nesting_without_end(self) -> None:
        nested = box("deep")
        for _ in range(2000):
            nested = deck.group(nested)
        assert self.refused(make_deck([Slide(nested)])) == ErrorCode.CORRUPT_FILE

    def test_a_cut_slide(self) -> None:
        cut = deck.sheet("sld", box("text"))[:-30]
        assert self.refused(make_deck([Slide()], parts={"ppt/slides/slide1.xml": cut})) == ErrorCode.CORRUPT_FILE

    def test_a_slide_that_is_shown_a_thousand_times(self) -> None:
        """Reading a large slide a thousand times would take hours."""
        assert self.refused(make_deck([Slide(box("x" * 1000))], order=[0] * 1000)) == ErrorCode.CORRUPT_FILE

    def test_a_chart_that_is_shown_a_thousand_times(self) -> None:
        words = paragraph("w") * 1000
        chart = (
            f"<c:chartSpace {deck.NAMESPACES}><c:title><c:tx><c:rich>{words}</c:rich></c:tx></c:title></c:chartSpace>"
        )
        slide = Slide(deck.graphic('<c:chart r:id="c"/>') * 1000, relations=[("c", "chart", "../charts/chart1.xml")])
        assert self.refused(make_deck([slide], parts={"ppt/charts/chart1.xml": chart})) == ErrorCode.CORRUPT_FILE

    def test_a_package_without_presentation(self) -> None:
        assert self.refused(make_zip({"[Content_Types].xml": "<Types/>"})) == ErrorCode.CORRUPT_FILE


WORDS = st.text(st.sampled_from("abzÄéßжя年<&>\"'-+.()"), min_size=1, max_size=8)
BOXES = st.lists(WORDS, min_size=1, max_size=3).map(lambda words: box(*words))
TABLES = st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=3).map(deck.table)
SHAPES = st.recursive(
    BOXES | TABLES | WORDS.map(title),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda shapes: deck.group(*shapes))
        | inner.map(lambda chosen: deck.alternatives(chosen, box("FALLBACK")))
    ),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.lists(SHAPES, max_size=4), WORDS | st.just("")), min_size=1, max_size=4), st.randoms())
def test_every_text_of_a_slide_is_on_its_page(contents: list[tuple[list[str], str]], random: Any) -> None:
    """Each text occurs on its page as often as lxml finds it in the slide, fallbacks excluded."""
    order = list(range(len(contents)))
    random.shuffle(order)
    slides = [Slide("".join(shapes), notes=notes) for shapes, notes in contents]
    found = pages(read(make_deck(slides, order=order)))
    for text, place in zip(found, order, strict=True):
        shapes, notes = contents[place]
        tree = etree.fromstring(deck.sheet("sld", "".join(shapes)).encode())
        nodes = [node.text or "" for node in tree.iter("{*}t") if next(node.iterancestors("{*}Fallback"), None) is None]
        expected = Counter(" ".join([*nodes, *(["Notes:", notes] if notes else [])]).split())
        assert Counter(text.split()) == expected

"""Word files: the text that a reader sees is extracted once and in order, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ExtractedText, ExtractionError, SpanKind
from fastapi_ignite.rag.extraction.child import extract_text
from support.sample_files import make_docx
from support.word_files import (
    cell,
    field,
    in_list,
    item,
    level,
    list_instance,
    make_word_file,
    numbering,
    p,
    part,
    row,
    run,
    style,
    table,
    text_box,
)

SYMBOL = '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>'
COURIER = '<w:rPr><w:rFonts w:ascii="Courier New" w:hAnsi="Courier New"/></w:rPr>'


def read_here(data: bytes) -> ExtractedText:
    return extract_text(data, ".docx")


Read = Callable[[bytes], Awaitable[ExtractedText]]


def text_of(body: str, **parts: str) -> str:
    return read_here(make_word_file(body, **parts)).text  # type: ignore[arg-type]  # these tests pass only strings


def spans_of(found: ExtractedText) -> list[tuple[SpanKind, int, str]]:
    return [(span.kind, span.level, found.text[span.start : span.end]) for span in found.spans]


class TestRuns:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("<w:r><w:t>Invoice number</w:t><w:tab/><w:t>4711</w:t></w:r>", "Invoice number\t4711"),
            ("<w:r><w:t>left</w:t><w:ptab w:alignment='right'/><w:t>right</w:t></w:r>", "left\tright"),
            ("<w:r><w:t>one</w:t><w:cr/><w:t>two</w:t><w:br w:type='page'/><w:t>three</w:t></w:r>", "one\ntwo\nthree"),
            (
                "<w:r><w:t>at </w:t><w:noBreakHyphen/><w:t>40, VX</w:t><w:noBreakHyphen/><w:t>4471</w:t></w:r>",
                "at -40, VX-4471",
            ),
            ("<w:r><w:t>quarter</w:t><w:softHyphen/><w:t>master</w:t></w:r>", "quartermaster"),
            ("<w:r><w:t>\n   indented\n   for people\n</w:t></w:r>", "indented    for people"),
            (run("SHOUT", "<w:caps/>") + run(" whisper", "<w:smallCaps/>"), "SHOUT whisper"),
            (run("R&amp;D &lt;b&gt; &#x2014; &#8364;"), "R&D <b> — €"),
            (run("shown ") + run("hidden", "<w:vanish/>") + run("again", '<w:vanish w:val="0"/>'), "shown again"),
            (run("10") + run("-6", '<w:vertAlign w:val="superscript"/>') + run(" m"), "10⁻⁶ m"),
            (run("H") + run("2", '<w:vertAlign w:val="subscript"/>') + run("O"), "H2O"),
            (run("4") + run("th", '<w:vertAlign w:val="superscript"/>'), "4th"),
        ],
    )
    def test_each_element_of_a_run_is_what_the_reader_sees(self, content: str, expected: str) -> None:
        assert text_of(p(content)) == expected

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ('<w:r><w:sym w:font="Symbol" w:char="F06D"/><w:t>g</w:t></w:r>', "µg"),
            ('<w:r><w:sym w:font="Symbol" w:char="006D"/><w:t>g</w:t></w:r>', "µg"),
            ('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>', "✓"),
            ('<w:r><w:sym w:font="Wingdings" w:char="F0E0"/></w:r>', "→"),
            ('<w:r><w:sym w:font="Wingdings 2" w:char="F052"/></w:r>', "☑"),
            ('<w:r><w:sym w:font="MS Gothic" w:char="2612"/></w:r>', "☒"),
            ('<w:r><w:sym w:font="House Signs" w:char="F06D"/></w:r>', "\uf06d"),
            (run("\uf06d\uf0b3", SYMBOL), "µ≥"),
            (run("m", SYMBOL) + run("m"), "µm"),
            (run("Größe", SYMBOL.replace("Symbol", "Arial")), "Größe"),
            (field(r'SYMBOL 109 \f "Symbol" \s 10') + run("g"), "µg"),
        ],
    )
    def test_symbol_fonts_show_signs_and_not_letters(self, content: str, expected: str) -> None:
        assert text_of(p(run("5 ") + content)) == f"5 {expected}"

    def test_the_font_of_a_style_counts_too(self) -> None:
        styles = style("Greek", runs=SYMBOL, kind="character")
        assert text_of(p(run("5 ") + run("m", '<w:rStyle w:val="Greek"/>') + run("g")), styles=styles) == "5 µg"

    def test_hidden_by_a_style(self) -> None:
        styles = style("Note", runs="<w:vanish/>") + style("Deep", base="Note")
        assert text_of(p("secret", '<w:pStyle w:val="Deep"/>') + p("open"), styles=styles) == "open"

    def test_readings_of_words_are_left_out(self) -> None:
        def ruby(base: str, reading: str) -> str:
            parts = f"<w:rt>{run(reading)}</w:rt><w:rubyBase>{run(base)}</w:rubyBase>"
            return f"<w:r><w:ruby><w:rubyPr/>{parts}</w:ruby></w:r>"

        assert text_of(p(ruby("東", "とう") + ruby("京", "きょう") + run("へ"))) == "東京へ"

    def test_containers_are_read_through(self) -> None:
        inside = (
            f'<w:hyperlink r:id="rId9">{run("link")}</w:hyperlink>'
            f"<w:smartTag><w:smartTag>{run(' tag')}</w:smartTag></w:smartTag>"
            f'<w:sdt><w:sdtPr><w:alias w:val="x"/></w:sdtPr><w:sdtContent>{run(" control")}</w:sdtContent></w:sdt>'
            f'<w:fldSimple w:instr="DATE">{run(" today")}</w:fldSimple><w:bdo>{run(" turned")}</w:bdo>'
        )
        assert text_of(p(inside)) == "link tag control today turned"


class TestChanges:
    def test_the_text_is_read_as_if_all_changes_were_accepted(self) -> None:
        deleted = "<w:del><w:r><w:delText>ten</w:delText></w:r></w:del>"
        body = p(run("They pay ") + deleted + f"<w:ins>{run('six')}</w:ins>" + run(" crowns."))
        moved = p(f"<w:moveFrom>{run('Moved once.')}</w:moveFrom>", "<w:rPr><w:moveFrom/></w:rPr>")
        here = p(f"<w:moveTo>{run('Moved once.')}</w:moveTo>")
        assert text_of(body + moved + p("Between.") + here) == "They pay six crowns.\n\nBetween.\n\nMoved once."

    def test_a_deleted_mark_joins_paragraphs(self) -> None:
        assert text_of(p("Hello ", "<w:rPr><w:del/></w:rPr>") + p("world")) == "Hello world"
        assert text_of(p("last", "<w:rPr><w:del/></w:rPr>")) == "last"

    def test_deleted_rows_and_cells(self) -> None:
        rows = (
            row("Plan", "Price"),
            row("Old", "1", properties="<w:del/>"),
            row("Plus", cell("40"), cell("x", "<w:cellDel/>")),
        )
        assert text_of(table(*rows)) == "Plan\tPrice\nPlus\t40"

    def test_old_properties_are_not_in_force(self) -> None:
        old = '<w:pPrChange><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:pPrChange>'
        assert text_of(p(run("plain"), old), numbering=numbering(level(0, "decimal", "%1."))) == "plain"


class TestFields:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (field("HYPERLINK &quot;https://example.com&quot;", run("here")), "here"),
            (field(f"IF {field('MERGEFIELD x', run('inner'))} = 1", run("outer")), "outer"),
            (field("MACROBUTTON NoMacro [Enter a name]"), "[Enter a name]"),
            (field(r"EQ \* jc2 \* hps10 \o\ad(\s\up 9(とう),東)"), "とう 東"),
            (field("XE &quot;index entry&quot;") + run("text"), "text"),
            (run("price ") + field("PAGE", run("7")), "price 7"),
        ],
    )
    def test_the_result_is_shown_and_the_instruction_is_not(self, content: str, expected: str) -> None:
        assert text_of(p(content)) == expected

    def test_form_fields_show_their_value(self) -> None:
        def form(data: str) -> str:
            return (
                f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{data}</w:ffData></w:fldChar></w:r>'
                '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
            )

        choices = '<w:listEntry w:val="north"/><w:listEntry w:val="south"/>'
        body = (
            p(form('<w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox>') + run(" insured"))
            + p(form('<w:checkBox><w:default w:val="0"/></w:checkBox>') + run(" express"))
            + p(run("Gate: ") + form(f'<w:ddList><w:result w:val="1"/>{choices}</w:ddList>'))
        )
        assert text_of(body) == "☒ insured\n\n☐ express\n\nGate: south"

    def test_a_field_over_several_paragraphs(self) -> None:
        begin, end = field("TOC", run("One")).rsplit("<w:r>", 1)
        assert text_of(p(begin) + p("Two") + p("<w:r>" + end + run("Body"))) == "One\n\nTwo\n\nBody"

    def test_a_field_that_never_ends_hides_nothing_below_it(self) -> None:
        body = p(run("a") + '<w:r><w:fldChar w:fldCharType="begin"/></w:r>' + run("lost")) + p("kept")
        assert text_of(body) == "a\n\nkept"


class TestEquations:
    def test_an_equation_stands_in_its_sentence(self) -> None:
        body = p(run("The factor ") + "<m:oMath><m:r><m:t>k=3.5</m:t></m:r></m:oMath>" + run(" applies."))
        assert text_of(body) == "The factor k=3.5 applies."

    @pytest.mark.parametrize(
        ("equation", "expected"),
        [
            ("<m:f><m:num>{a+b}</m:num><m:den>{2}</m:den></m:f>", "(a+b)/2"),
            ("<m:sSup><m:e>{x}</m:e><m:sup>{2}</m:sup></m:sSup>", "x^2"),
            ("<m:sSubSup><m:e>{x}</m:e><m:sub>{i}</m:sub><m:sup>{n+1}</m:sup></m:sSubSup>", "x_i^(n+1)"),
            ("<m:rad><m:deg/><m:e>{b}</m:e></m:rad>", "√(b)"),
            ("<m:rad><m:deg>{3}</m:deg><m:e>{b}</m:e></m:rad>", "∛(b)"),
            ("<m:nary><m:sub>{i=1}</m:sub><m:sup>{n}</m:sup><m:e>{i}</m:e></m:nary>", "∫_(i=1)^n i"),
            ("{a}<m:func><m:fName>{cos}</m:fName><m:e>{x}</m:e></m:func>", "a cos x"),
            ('<m:d><m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr><m:e>{x}</m:e></m:d>', "[x]"),
            (
                "<m:m><m:mr><m:e>{1}</m:e><m:e>{0}</m:e></m:mr><m:mr><m:e>{0}</m:e><m:e>{1}</m:e></m:mr></m:m>",
                "[1, 0; 0, 1]",
            ),
            ("<m:eqArr><m:e>{x&amp;=1}</m:e><m:e>{y&amp;=2}</m:e></m:eqArr>", "x=1; y=2"),
            (
                '{A}<m:groupChr><m:groupChrPr><m:chr m:val="→"/></m:groupChrPr><m:e>{heat}</m:e></m:groupChr>',
                "A→(heat)",
            ),
            ("<m:groupChr><m:e>{n}</m:e></m:groupChr>", "n"),
            ('<m:phant><m:phantPr><m:show m:val="0"/></m:phantPr><m:e>{unseen}</m:e></m:phant>{seen}', "seen"),
            ("<w:del>{gone}</w:del>{kept}", "kept"),
        ],
    )
    def test_an_equation_is_one_readable_line(self, equation: str, expected: str) -> None:
        runs = equation.replace("{", "<m:r><m:t>").replace("}", "</m:t></m:r>")
        assert text_of(p(f"<m:oMath>{runs}</m:oMath>")) == expected

    def test_a_displayed_equation_has_its_own_line(self) -> None:
        equation = "<m:oMathPara><m:oMath><m:r><m:t>E=mc</m:t></m:r></m:oMath></m:oMathPara>"
        assert text_of(p(run("so") + equation + run("holds"))) == "so\nE=mc\nholds"


class TestLists:
    def test_numbers_of_all_levels(self) -> None:
        lists = numbering(
            level(0, "decimal", "%1."), level(1, "lowerLetter", "%2)"), level(2, "upperRoman", "%1.%2.%3")
        )
        body = item("a") + item("b", level=1) + item("c", level=2) + item("d", level=1) + item("e") + item("f", level=1)
        found = read_here(make_word_file(body, numbering=lists))
        assert found.text == "1. a\na) b\n1.a.I c\nb) d\n2. e\na) f"
        assert {kind for kind, _, _ in spans_of(found)} == {SpanKind.LIST_ITEM}

    def test_a_list_goes_on_behind_a_paragraph_and_restarts_by_its_override(self) -> None:
        restart = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
        instances = list_instance(1, 0) + list_instance(2, 0, restart)
        lists = numbering(level(0, "decimal", "%1."), instances=instances)
        body = item("a") + item("b") + p("between") + item("c") + item("d", 2) + item("e", 2) + p("") + item("f")
        assert text_of(body, numbering=lists) == "1. a\n2. b\n\nbetween\n\n3. c\n5. d\n6. e\n7. f"

    def test_legal_numbers_and_levels_that_never_restart(self) -> None:
        lists = numbering(
            level(0, "upperRoman", "%1."),
            level(1, "decimal", "%1.%2", '<w:isLgl/><w:lvlRestart w:val="0"/>'),
            level(2, "decimal", "%3"),
        )
        body = item("a") + item("b", level=1) + item("c") + item("d", level=1)
        assert text_of(body, numbering=lists) == "I. a\n1.1 b\nII. c\n2.2 d"

    @pytest.mark.parametrize(
        ("number_format", "start", "expected"),
        [
            *(("lowerLetter", 27, "aa"), ("upperLetter", 2, "B"), ("lowerRoman", 4, "iv"), ("decimalZero", 3, "03")),
            *(("ordinal", 12, "12th"), ("ordinalText", 21, "Twenty-first"), ("cardinalText", 40, "Forty")),
            *(("russianLower", 3, "в"), ("hebrew1", 16, "טז"), ("decimalEnclosedCircle", 3, "③")),
            *(
                ("japaneseCounting", 21, "二十一"),
                ("unknownFormat", 3, "3"),
                ("lowerLetter", 200_000_000, "200000000"),
            ),
        ],
    )
    def test_formats(self, number_format: str, start: int, expected: str) -> None:
        lists = numbering(level(0, number_format, "%1", start=start))
        assert text_of(item("x"), numbering=lists) == f"{expected} x"

    @pytest.mark.parametrize(
        ("sign", "fonts", "expected"),
        [
            ("\uf0b7", f"<w:rPr>{SYMBOL}</w:rPr>", "•"),
            ("\uf0a7", f"<w:rPr>{SYMBOL.replace('Symbol', 'Wingdings')}</w:rPr>", "▪"),
            ("o", COURIER, "◦"),
            ("\uf0b7", "", "•"),
            ("\u2013", "", "\u2013"),
        ],
    )
    def test_bullets(self, sign: str, fonts: str, expected: str) -> None:
        assert text_of(item("x"), numbering=numbering(level(0, "bullet", sign, fonts))) == f"{expected} x"

    def test_lists_by_style_and_lists_switched_off(self) -> None:
        styles = style("Step", paragraph=in_list(1)) + style("Sub", base="Step")
        lists = numbering(
            level(0, "decimal", "%1.", '<w:pStyle w:val="Step"/>'),
            level(1, "decimal", "%1.%2", '<w:pStyle w:val="Sub"/>'),
        )
        step, sub = '<w:pStyle w:val="Step"/>', '<w:pStyle w:val="Sub"/>'
        body = p("a", step) + p("b", sub) + p("none", step + in_list(0)) + p("c", step)
        assert text_of(body, styles=styles, numbering=lists) == "1. a\n1.1 b\n\nnone\n\n2. c"

    def test_a_list_whose_definition_stands_with_a_style(self) -> None:
        lists = (
            '<w:abstractNum w:abstractNumId="0"><w:numStyleLink w:val="Legal"/></w:abstractNum>'
            f'<w:abstractNum w:abstractNumId="1">{level(0, "decimal", "§ %1")}</w:abstractNum>'
            f"{list_instance(1, 0)}{list_instance(2, 1)}"
        )
        styles = style("Legal", paragraph=in_list(2), kind="numbering")
        assert text_of(item("x"), styles=styles, numbering=lists) == "§ 1 x"

    def test_a_list_without_numbers_is_text(self) -> None:
        found = read_here(make_word_file(item("x"), numbering=numbering(level(0, "none", ""))))
        assert (found.text, found.spans) == ("x", ())


class TestHeadings:
    def test_headings_are_known_by_name_outline_and_base(self) -> None:
        styles = (
            style("berschrift1", "heading 1")
            + style("House", base="berschrift1")
            + style("Titel", "Title")
            + style("Outline", paragraph='<w:outlineLvl w:val="2"/>')
        )
        names = ["Titel", "berschrift1", "House", "Outline", "Heading4", "TOC1"]
        body = "".join(p(name, f'<w:pStyle w:val="{name}"/>') for name in names)
        body += p("direct", '<w:outlineLvl w:val="1"/>') + p(
            "not", '<w:pStyle w:val="House"/><w:outlineLvl w:val="9"/>'
        )
        headings = [(text, level) for kind, level, text in spans_of(read_here(make_word_file(body, styles=styles)))]
        assert headings == [
            ("Titel", 1),
            ("berschrift1", 1),
            ("House", 1),
            ("Outline", 3),
            ("Heading4", 4),
            ("direct", 2),
        ]

    def test_a_heading_has_its_number(self) -> None:
        styles = style("H2", "heading 2", paragraph=in_list(1, 1))
        found = read_here(
            make_word_file(
                p("Scope", '<w:pStyle w:val="H2"/>'),
                styles=styles,
                numbering=numbering(level(0, "decimal", "%1"), level(1, "decimal", "%1.%2")),
            )
        )
        assert spans_of(found) == [(SpanKind.HEADING, 2, "1.1 Scope")]

    def test_code_is_one_block(self) -> None:
        styles = style("C", "Source Code")
        code = '<w:pStyle w:val="C"/>'
        found = read_here(
            make_word_file(p("run it:") + p("def f():", code) + p("    return 1", code) + p("done"), styles=styles)
        )
        assert spans_of(found) == [(SpanKind.CODE, 0, "def f():\n    return 1")]
        assert found.text == "run it:\n\ndef f():\n    return 1\n\ndone"

    def test_a_large_first_letter_belongs_to_its_word(self) -> None:
        assert text_of(p("T", '<w:framePr w:dropCap="drop"/>') + p("he old house")) == "The old house"


class TestTables:
    def test_rows_are_lines_and_marked_rows_the_header(self) -> None:
        header = "<w:tblHeader/>"
        found = read_here(
            make_word_file(
                table(
                    row("Plan", "Price", properties=header), row("per", "month", properties=header), row("Plus", "40")
                )
            )
        )
        assert spans_of(found) == [(SpanKind.TABLE, 2, "Plan\tPrice\nper\tmonth\nPlus\t40")]
        assert found.spans[0].separator == "\t"

    @pytest.mark.parametrize(
        ("rows", "header_rows"),
        [
            ((row("Plan", "Price"), row("Plus", "40"), row("Team", "90")), 1),
            ((row(p(run("Land", "<w:b/>")), p(run("Capital", "<w:b/>"))), row("France", "Paris")), 1),
            ((row("Name", "Ada"), row("Role", "Engineer")), 0),
            ((row("Invoice", "4711"), row("Total", "980")), 0),
            ((row("Plan", ""), row("Plus", "40")), 0),
        ],
    )
    def test_which_first_row_names_the_columns(self, rows: tuple[str, ...], header_rows: int) -> None:
        (span,) = read_here(make_word_file(table(*rows))).spans
        assert span.level == header_rows

    def test_merged_cells(self) -> None:
        wide, merged, again = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
        rows = (
            row("Region", cell("Sales", wide), "Year"),
            row(cell("North", merged), "1", "2", "2025"),
            row(cell("<w:p/>", again), "3", "4", "2026"),
            row("late", properties='<w:gridBefore w:val="1"/>'),
        )
        assert text_of(table(*rows)) == "Region\tSales\t\tYear\nNorth\t1\t2\t2025\nNorth\t3\t4\t2026\n\tlate"

    def test_a_cell_of_several_lines_is_part_of_one_row(self) -> None:
        assert text_of(table(row(p("a") + p("b"), "c"), row("d", "e"))) == "a b\tc\nd\te"

    def test_controls_and_changes_around_rows_and_cells(self) -> None:
        def control(content: str) -> str:
            return f"<w:sdt><w:sdtPr/><w:sdtContent>{content}</w:sdtContent></w:sdt>"

        inside = (
            f"<w:tr>{control(cell('a'))}{cell('b')}</w:tr>" + control(row("c", "d")) + f"<w:ins>{row('e', 'f')}</w:ins>"
        )
        assert text_of(control(table(inside))) == "a\tb\nc\td\ne\tf"

    def test_a_table_that_only_arranges_the_page_is_text(self) -> None:
        inner = table(row("Plan", "Price"), row("Plus", "40"))
        found = read_here(make_word_file(table(row(p("left") + p("more"), cell(inner + p("below"))))))
        assert found.text == "left\n\nmore\n\nPlan\tPrice\nPlus\t40\n\nbelow"
        assert [text for _, _, text in spans_of(found)] == ["Plan\tPrice\nPlus\t40"]
        assert text_of(table(row("one"), row("column"))) == "one\n\ncolumn"
        long = "word " * 500
        assert text_of(table(row(long, "short"))) == f"{long.strip()}\n\nshort"


class TestBesideTheBody:
    NOTES = (
        '<w:{0} w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:{0}>'
        '<w:{0} w:id="2"><w:p><w:r><w:{0}Ref/></w:r><w:r><w:t xml:space="preserve"> A fee applies.</w:t></w:r></w:p>'
        "<w:p><w:r><w:t>Always.</w:t></w:r></w:p></w:{0}>"
    )

    def test_footnotes_stand_below_their_paragraph_and_endnotes_at_the_end(self) -> None:
        body = p(run("Refunded") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + run(" in full.")) + p(
            run("Not insured") + '<w:r><w:endnoteReference w:id="2"/></w:r>' + run(".")
        )
        found = text_of(
            body + p("The end."), footnotes=self.NOTES.format("footnote"), endnotes=self.NOTES.format("endnote")
        )
        assert found == (
            "Refunded[1] in full.\n\n[1] A fee applies.\n\nAlways.\n\nNot insured[i].\n\nThe end.\n\n"
            "[i] A fee applies.\n\nAlways."
        )

    def test_a_footnote_waits_for_the_end_of_its_list(self) -> None:
        reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
        lists = numbering(level(0, "bullet", "-"))
        body = item("a").replace("</w:p>", f"{reference}</w:p>") + item("b") + p("c")
        found = text_of(body, numbering=lists, footnotes=self.NOTES.format("footnote"))
        assert found == "- a[1]\n- b\n\n[1] A fee applies.\n\nAlways.\n\nc"

    def test_marks_that_the_author_chose(self) -> None:
        body = p(run("free") + '<w:r><w:footnoteReference w:customMarkFollows="1" w:id="2"/><w:t>*</w:t></w:r>')
        notes = '<w:footnote w:id="2"><w:p><w:r><w:t>* not on Sundays</w:t></w:r></w:p></w:footnote>'
        assert text_of(body, footnotes=notes) == "free[*]\n\n* not on Sundays"

    def test_a_note_that_refers_to_itself_ends(self) -> None:
        reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
        notes = f'<w:footnote w:id="2"><w:p>{run("again")}{reference}</w:p></w:footnote>'
        assert text_of(p(run("a") + reference), footnotes=notes) == "a[1]\n\n[1] again[1]"

    def test_comments_stand_at_the_end_with_their_author(self) -> None:
        comments = f'<w:comment w:id="0" w:author="Reviewer">{p("Is this so?")}</w:comment>'
        body = p(run("Dogs travel free.") + '<w:r><w:commentReference w:id="0"/></w:r>') + p("Cats pay.")
        assert text_of(body, comments=comments) == "Dogs travel free.\n\nCats pay.\n\nComment by Reviewer: Is this so?"

    def test_headers_and_footers_stand_once_behind_the_text(self) -> None:
        page = p(run("Page ") + field("PAGE", run("3")))
        data = make_word_file(
            p("body"),
            headers=[p("Document FX-7781"), p("Document FX-7781") + p("Chapter 2"), p("")],
            footers=[p("Approved"), page, p(run("- ") + field("PAGE", run("2")) + run(" -"))],
        )
        assert read_here(data).text == "body\n\nDocument FX-7781\n\nChapter 2\n\nApproved\n\nPage 3"

    def test_text_boxes_stand_once_behind_their_paragraph(self) -> None:
        box = text_box(p("boxed") + table(row("a", "b"), row("c", "d")))
        assert text_of(p(run("around") + box) + p("after")) == "around\n\nboxed\n\na\tb\nc\td\n\nafter"
        old = f"<v:shape><v:textbox><w:txbxContent>{p('old')}</w:txbxContent></v:textbox></v:shape>"
        assert text_of(p(f"<w:r><w:pict>{old}</w:pict></w:r>")) == "old"

    def test_an_alternative_that_shows_nothing_gives_way(self) -> None:
        def alternatives(new: str, old: str) -> str:
            choice = f'<mc:Choice Requires="w16se">{new}</mc:Choice>'
            return f"<mc:AlternateContent>{choice}<mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>"

        assert text_of(p(f"<w:r>{alternatives('', '<w:t>✓</w:t>')}</w:r>")) == "✓"
        assert text_of(alternatives(p("new"), p("old"))) == "new"

    def test_charts_and_diagrams(self) -> None:
        def points(name: str, *values: str) -> str:
            inside = "".join(f'<c:pt idx="{n}"><c:v>{value}</c:v></c:pt>' for n, value in enumerate(values))
            return f"<c:{name}><c:strRef><c:strCache>{inside}</c:strCache></c:strRef></c:{name}>"

        shares = "<c:formatCode>0%</c:formatCode>" + "".join(
            f'<c:pt idx="{n}"><c:v>{value}</c:v></c:pt>' for n, value in enumerate((0.3, 0.5))
        )
        values = f"<c:val><c:numRef><c:numCache>{shares}</c:numCache></c:numRef></c:val>"
        series = f"<c:ser>{points('tx', 'Share')}{points('cat', 'North', 'South')}{values}</c:ser>"
        title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>Sales by region</a:t></a:r></a:p></c:rich></c:tx></c:title>"
        point = "<dgm:ptLst><dgm:pt><dgm:t><a:p><a:r><a:t>First step</a:t></a:r></a:p></dgm:t></dgm:pt></dgm:ptLst>"

        def graphic(reference: str) -> str:
            inside = f"<a:graphic><a:graphicData>{reference}</a:graphicData></a:graphic>"
            return p(f"<w:r><w:drawing>{inside}</w:drawing></w:r>")

        chart, diagram = graphic('<c:chart r:id="rId1"/>'), graphic('<dgm:relIds r:dm="rId2"/>')
        data = make_word_file(
            chart + diagram + chart,
            related=[("rId1", "chart", "charts/chart1.xml"), ("rId2", "diagramData", "diagrams/data1.xml")],
            others={
                "word/charts/chart1.xml": part("c:chartSpace", title + series),
                "word/diagrams/data1.xml": part("dgm:dataModel", point),
            },
        )
        assert read_here(data).text == "Sales by region\n\n\tShare\nNorth\t30%\nSouth\t50%\n\nFirst step"

    def test_charts_of_new_kinds(self) -> None:
        def points(*values: str) -> str:
            return "".join(f'<cx:pt idx="{n}">{value}</cx:pt>' for n, value in enumerate(values))

        categories = f"<cx:lvl>{points('North', 'South')}</cx:lvl>"
        values = f'<cx:lvl formatCode="0%">{points("0.3", "0.5")}</cx:lvl>'
        chart = (
            '<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex"><cx:chartData>'
            f'<cx:data id="0"><cx:strDim type="cat">{categories}</cx:strDim>'
            f'<cx:numDim type="val">{values}</cx:numDim></cx:data></cx:chartData><cx:chart><cx:plotArea>'
            '<cx:plotAreaRegion><cx:series layoutId="waterfall"><cx:tx><cx:txData><cx:v>Share</cx:v></cx:txData>'
            '</cx:tx><cx:dataId val="0"/></cx:series></cx:plotAreaRegion></cx:plotArea></cx:chart></cx:chartSpace>'
        )
        reference = '<cx:chart xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex" r:id="rId1"/>'
        data = make_word_file(
            p(f"<w:r><w:drawing><a:graphic><a:graphicData>{reference}</a:graphicData></a:graphic></w:drawing></w:r>"),
            related=[("rId1", "chartEx", "charts/chartEx1.xml")],
            others={"word/charts/chartEx1.xml": chart.encode()},
        )
        assert read_here(data).text == "\tShare\nNorth\t30%\nSouth\t50%"


class TestPackages:
    BODY = p("Some text") + item("first") + p(field("DATE", run("today")))
    TEXT = "Some text\n\n1. first\n\ntoday"
    NUMBERING = numbering(level(0, "decimal", "%1."))

    @pytest.mark.parametrize(
        ("main", "main_target"),
        [
            ("word/document.xml", "/word/document.xml"),
            ("word/document2.xml", ""),
            ("main/dok ument.xml", "main/dok%20ument.xml"),
            ("word/dok%20ument.xml", "word/dok ument.xml"),
            ("Word/Document.xml", "word/document.xml"),
            ("word\\document.xml", "word/document.xml"),
            ("a/b/c.xml", "x/../a/b/c.xml"),
        ],
    )
    def test_parts_are_found_by_their_relationships(self, main: str, main_target: str) -> None:
        data = make_word_file(p("Some text"), main=main, main_target=main_target)
        assert read_here(data).text == "Some text"

    def test_strict_documents(self) -> None:
        assert read_here(make_word_file(self.BODY, numbering=self.NUMBERING, strict=True)).text == self.TEXT

    @pytest.mark.parametrize("encoding", ["UTF-16", "windows-1251", "ISO-8859-1"])
    async def test_encodings_of_the_main_part(self, encoding: str, read: Read) -> None:
        word = "Größe" if encoding == "ISO-8859-1" else "Отдел"
        assert (await read(make_word_file(p(word), encoding=encoding))).text == word

    @pytest.mark.parametrize(
        "main_type",
        [
            "application/vnd.ms-word.document.macroEnabled.main+xml",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
            "application/vnd.ms-word.template.macroEnabledTemplate.main+xml",
        ],
    )
    def test_templates_and_files_with_macros(self, main_type: str) -> None:
        assert read_here(make_word_file(p("x"), main="word/doc.xml", main_type=main_type)).text == "x"

    async def test_parts_of_other_formats(self, read: Read) -> None:
        page = b"<html><body><h1>Inserted</h1><p>A page &amp; more</p></body></html>"
        mail = b'MIME-Version: 1.0\nContent-Type: text/html; charset="koi8-r"\n\n<p>' + "дни".encode("koi8-r") + b"</p>"
        data = make_word_file(
            p("before") + "".join(f'<w:altChunk r:id="rId{n}"/>' for n in (1, 2, 3)) + p("after"),
            related=[("rId1", "aFChunk", "afchunk1.html"), ("rId2", "aFChunk", "a.mht"), ("rId3", "aFChunk", "a.docx")],
            others={"word/afchunk1.html": page, "word/a.mht": mail, "word/a.docx": make_docx(["a document"])},
        )
        found = await read(data)
        assert found.text == "before\n\nInserted\n\nA page & more\n\nдни\n\na document\n\nafter"

    async def test_the_process_that_reads_is_sealed(self, read: Read) -> None:
        found = await read(make_word_file(self.BODY, numbering=self.NUMBERING))
        assert (found.text, found.media_type.rpartition(".")[2]) == (self.TEXT, "document")
        assert found.page_starts is None


class TestDamage:
    @pytest.mark.parametrize(
        "data",
        [
            make_word_file("<w:p>"),
            make_word_file(p("x"), main="a/b.xml", main_target="gone.xml"),
            make_word_file(p("x"), related=[("rId1", "header", "gone.xml")]),
            make_word_file(p("x"), others={"word/document.xml": b""}),
            make_word_file("<w:p>" * 300 + "</w:p>" * 300),
            make_word_file(p("x"), others={"word/_rels/document.xml.rels": b"<Relationships"}),
        ],
        ids=["cut", "no-main", "no-header", "empty", "deep", "relationships"],
    )
    def test_a_damaged_file_is_not_half_read(self, data: bytes) -> None:
        with pytest.raises(ExtractionError) as caught:
            read_here(data)
        assert caught.value.code == "corrupt_file"

    def test_a_part_of_an_unknown_format_is_said(self) -> None:
        data = make_word_file(
            p("x") + '<w:altChunk r:id="rId1"/>',
            related=[("rId1", "aFChunk", "a.rtf")],
            others={"word/a.rtf": rb"{\rtf1 lost}"},
        )
        with pytest.raises(ExtractionError) as caught:
            read_here(data)
        assert caught.value.code == "unsupported_type"


class TestHostileFiles:
    def test_definitions_that_lead_in_a_circle(self) -> None:
        styles = (
            style("a", base="b", runs='<w:rStyle w:val="a"/>')
            + style("b", base="a")
            + style("L", paragraph=in_list(2), kind="numbering")
            + style("M", paragraph=in_list(1), kind="numbering")
        )
        lists = (
            '<w:abstractNum w:abstractNumId="0"><w:numStyleLink w:val="L"/></w:abstractNum>'
            '<w:abstractNum w:abstractNumId="1"><w:numStyleLink w:val="M"/></w:abstractNum>'
            f"{list_instance(1, 0)}{list_instance(2, 1)}"
        )
        body = p(run("x", '<w:rStyle w:val="a"/>'), '<w:pStyle w:val="a"/>') + item("y")
        assert text_of(body, styles=styles, numbering=lists) == "x\n\ny"

    def test_counts_that_the_file_only_claims(self) -> None:
        wide = '<w:gridSpan w:val="999999999"/>'
        rows = [row(cell("a", wide), cell("b", wide), properties='<w:gridBefore w:val="999999999"/>')] * 100
        assert len(text_of(table(*rows))) == 399
        lists = numbering(level(0, "lowerLetter", "%1" * 50_000, start=32_767), level(999_999, "decimal", "%1"))
        assert len(text_of(item("x") * 10 + item("y", level=999_999), numbering=lists)) < 10_000

    def test_text_that_is_referred_to_often_is_read_once(self) -> None:
        series = "".join(f'<c:pt idx="{n}"><c:v>1</c:v></c:pt>' for n in range(1000))
        chart = p('<w:r><w:drawing><c:chart r:id="rId1"/></w:drawing></w:r>')
        data = make_word_file(
            chart * 1000,
            related=[("rId1", "chart", "c.xml"), *((f"x{n}", "comments", "comments.xml") for n in range(1000))],
            comments=f'<w:comment w:author="Ada">{p("once")}</w:comment>',
            others={
                "word/c.xml": part("c:chartSpace", f"<c:ser><c:val><c:numCache>{series}</c:numCache></c:val></c:ser>")
            },
        )
        assert read_here(data).text.count("1") == 1000
        assert read_here(data).text.count("once") == 1

    @pytest.mark.parametrize(
        ("opening", "closing", "depth"),
        [
            ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>", 80),
            ("<w:p><w:r><w:pict><w:txbxContent>", "</w:txbxContent></w:pict></w:r></w:p>", 60),
            ("<mc:AlternateContent><mc:Choice/><mc:Fallback>", "</mc:Fallback></mc:AlternateContent>", 120),
            ("<w:sdt><w:sdtContent>", "</w:sdtContent></w:sdt>", 120),
        ],
    )
    def test_depth_within_the_limit_of_the_parser_is_read(self, opening: str, closing: str, depth: int) -> None:
        assert text_of(opening * depth + p("x") + closing * depth) == "x"

    def test_fields_and_notes_without_end(self) -> None:
        marks = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>' * 20_000
        assert text_of(p(marks) + p("kept")) == "kept"
        reference = '<w:r><w:footnoteReference w:id="{0}"/></w:r>'
        notes = "".join(
            f'<w:footnote w:id="{n}">{p(run("n") + reference.format(n + 1))}</w:footnote>' for n in range(2000)
        )
        assert text_of(p(reference.format(0)), footnotes=notes).endswith("[2000] n[2001]")

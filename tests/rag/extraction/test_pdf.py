"""PDF files: text is extracted in the order in which a person reads it, and hostile files end in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, ExtractionLimits, page_at, pdf
from fastapi_ignite.rag.extraction.formats import MediaType
from support import sample_files, sample_pdfs
from support.sample_pdfs import PdfFile, glyphs_of, lines

Read = Callable[..., Awaitable[ExtractedText]]
Refusal = Callable[..., Awaitable[ExtractionError]]


def text_of(file: PdfFile) -> str:
    return pdf.read(file.to_bytes(), MediaType.PDF).text


def one_page(content: bytes, *, annotations: Sequence[bytes] = (), form: bool = False) -> PdfFile:
    file = PdfFile()
    numbers = [file.add(b"<</Type/Annot/F 4%s>>" % annotation) for annotation in annotations]
    file.add_page(content, annotations=numbers)
    if form:
        file.set_catalog(b"/AcroForm<</Fields[%s]>>" % b" ".join(b"%d 0 R" % number for number in numbers))
    return file


def text_field(name: bytes, value: bytes, box: bytes, entries: bytes = b"") -> bytes:
    return b"/Subtype/Widget/FT/Tx/T(%s)/V(%s)/Rect[%s]%s" % (name, value, box, entries)


def tick(name: bytes, box: bytes, *, ticked: bool) -> bytes:
    state = b"/V/Yes/AS/Yes" if ticked else b"/V/Off/AS/Off"
    return b"/Subtype/Widget/FT/Btn/T(%s)/Rect[%s]/AP<</N<</Yes null/Off null>>>>%s" % (name, box, state)


class TestLines:
    def test_a_hyphen_at_a_line_end_stays_as_printed(self) -> None:
        assert text_of(one_page(lines("each suspen-\nsion cable, 12-\n13"))) == "each suspen-\nsion cable, 12-\n13"

    def test_a_soft_hyphen_of_the_font_stays_one(self) -> None:
        text = "main\u00adtenance win\u00ad"
        file = PdfFile()
        file.add_font("F2", "".join(dict.fromkeys(text)))
        file.add_page(
            b"BT /F2 12 Tf 50 740 Td %s Tj ET\n" % glyphs_of(text, "".join(dict.fromkeys(text))) + lines("dow", top=720)
        )
        assert text_of(file) == "main\u00adtenance win-\ndow"

    def test_single_characters_in_lines_and_cells_stay_apart(self) -> None:
        assert text_of(one_page(lines("1\n2\n3"))) == "1\n2\n3"
        table = [("Name", "Price"), ("Widget", "5"), ("Gadget", "7")]
        content = b"".join(
            lines(cell, left=50 + 150 * column, top=740 - 20 * row)
            for row, cells in enumerate(table)
            for column, cell in enumerate(cells)
        )
        assert text_of(one_page(content)) == "Name Price\nWidget 5\nGadget 7"

    def test_columns_of_ideographs_are_read_downwards(self) -> None:
        column = "東京都千代田区丸の内"
        file = PdfFile()
        file.add_font("F2", column + "ab")
        cells = (
            b"BT /F2 12 Tf 300 %d Td %s Tj ET\n" % (700 - 14 * place, glyphs_of(sign + "ab", column + "ab"))
            for place, sign in enumerate(column)
        )
        file.add_page(b"".join(cells))
        assert text_of(file).replace("\n", "").replace("ab", "") == column

    def test_two_columns_are_not_interleaved(self) -> None:
        left = "\n".join(f"left line {number} of a paper" for number in range(20))
        right = "\n".join(f"right line {number} of a paper" for number in range(20))
        assert text_of(one_page(lines(left) + lines(right, left=320))) == f"{left}\n{right}"

    def test_rotated_text_and_a_rotated_page(self) -> None:
        content = b"BT /F1 11 Tf 0 1 -1 0 300 100 Tm (runs upwards) Tj ET " + lines("stands upright")
        assert text_of(one_page(content)) == "runs upwards\nstands upright"
        file = PdfFile()
        turned = b"BT /F1 11 Tf 14 TL 0 1 -1 0 100 50 Tm (first) Tj T* (second) Tj ET "
        file.add_page(turned, entries=b"/Rotate 90")
        assert text_of(file) == "first\nsecond"

    def test_what_is_drawn_twice_to_be_bold_is_read_once(self) -> None:
        assert text_of(one_page(lines("Bold text") + lines("Bold text", left=50.3))) == "Bold text"

    def test_what_lies_outside_of_the_page_is_left_out(self) -> None:
        file = PdfFile()
        file.add_page(lines("inside") + lines("outside", left=400), entries=b"/CropBox[0 0 300 792]")
        assert text_of(file) == "inside"

    def test_letters_of_ligatures_and_of_private_use(self) -> None:
        file = PdfFile()
        text = "\uf0b7 of\ufb01ce\x07 \ufb02ow"
        characters = "".join(dict.fromkeys(text))
        file.add_font("F2", characters)
        file.add_page(b"BT /F2 12 Tf 50 740 Td %s Tj ET" % glyphs_of(text, characters))
        assert text_of(file) == "• office flow"

    def test_the_line_that_steers_pdfium_is_not_in_the_text(self) -> None:
        assert text_of(one_page(lines("at the foot", top=3))) == "at the foot"
        assert text_of(one_page(lines("5 \u2030\u2030 of it"))) == "5 \u2030\u2030 of it"


class TestRightToLeft:
    """The lines are given in visual order from the left, which is how programs write them into a PDF."""

    @pytest.mark.parametrize(
        ("seen", "read"),
        [
            (".ינופצה רעשב ,רמושה לצא אצמנ חתפמה", "המפתח נמצא אצל השומר, בשער הצפוני."),
            ('שדוחל ח"ש 12,500.50 אוה ריחמה', 'המחיר הוא 12,500.50 ש"ח לחודש'),
            ("םלשוה :7 ןוקית ,2.10 הסרג", "גרסה 2.10, תיקון 7: הושלם"),
            ("דבלב (עונמ) VX-4471-ב שמתשה", "השתמש ב-VX-4471 (מנוע) בלבד"),
            ("חתפנ 14.3.2026-ב", "ב-14.3.2026 נפתח"),
            ("החנה 50% :ריחמ", "מחיר: 50% הנחה"),
            ("םיטרפל https://example.org/a האר", "ראה https://example.org/a לפרטים"),
            ("ارهش 12 ةدمل دقعلا", "العقد لمدة 12 شهرا"),
            ("The word םולש means peace", "The word שלום means peace"),
        ],
    )
    def test_a_line_is_read_from_the_right(self, seen: str, read: str) -> None:
        characters = "".join(dict.fromkeys(seen))
        file = PdfFile()
        file.add_font("F2", characters)
        file.add_page(b"BT /F2 12 Tf 50 740 Td %s Tj ET" % glyphs_of(seen, characters))
        assert text_of(file) == read


class TestForms:
    def test_values_stand_where_they_are_written(self) -> None:
        page = lines("Applicant:\n\nRequested grant:\n\nSigned at the town hall.")
        fields = [
            text_field(b"name", b"Philippa Grondahl", b"150 735 400 750"),
            text_field(b"amount", b"seven thousand", b"150 706 400 721"),
        ]
        assert text_of(one_page(page, annotations=fields, form=True)) == (
            "Applicant: Philippa Grondahl\nRequested grant: seven thousand\nSigned at the town hall."
        )

    def test_two_fields_in_one_line(self) -> None:
        page = lines("Name:") + lines("Born:", left=300)
        fields = [
            text_field(b"a", b"Ada", b"100 735 200 750"),
            text_field(b"b", b"1815", b"340 735 400 750"),
        ]
        assert text_of(one_page(page, annotations=fields, form=True)) == "Name: Ada Born: 1815"

    def test_a_field_below_its_caption_and_one_without(self) -> None:
        fields = [
            text_field(b"x1", b"Ada", b"50 712 200 727", b"/TU(Full name)"),
            text_field(b"form1[0].city[0]", b"Oslo", b"50 300 200 315"),
        ]
        page = lines("Full name") + lines("Thank you.", top=600)
        assert text_of(one_page(page, annotations=fields, form=True)) == (
            "Full name\nFull name: Ada\nThank you.\ncity: Oslo"
        )

    def test_boxes_choices_and_what_is_hidden(self) -> None:
        page = lines("Plan:\n     I agree\n     Send news\nKey:\nSecret:")
        options = b"/Opt[[(1)(Basic)][(2)(Plus)]]/V(2)"
        fields = [
            b"/Subtype/Widget/FT/Ch/Ff 131072/T(plan)/Rect[100 735 200 750]" + options,
            tick(b"agree", b"50 724 60 734", ticked=True),
            tick(b"news", b"50 710 60 720", ticked=False),
            b"/Subtype/Widget/FT/Btn/T(c)/Rect[400 724 410 734]/V/On",
            text_field(b"key", b"hidden value", b"100 693 200 706", b"/F 2"),
            text_field(b"password", b"hunter2", b"100 679 200 692", b"/Ff 8192"),
        ]
        assert text_of(one_page(page, annotations=fields, form=True)) == (
            "Plan: Plus\n[x] I agree [x]\n[ ] Send news\nKey:\nSecret:"
        )

    def test_text_boxes_and_comments_follow_their_page(self) -> None:
        notes = [
            b"/Subtype/FreeText/Contents(Paid on 3 May)/Rect[50 600 200 620]",
            b"/Subtype/Highlight/Contents(Is this right?)/T(Ada)/Rect[50 600 200 620]",
            b"/Subtype/Popup/Contents(Is this right?)/Rect[50 600 200 620]",
        ]
        assert text_of(one_page(lines("The invoice"), annotations=notes)) == (
            "The invoice\n\nPaid on 3 May\n\nComment by Ada: Is this right?"
        )

    def test_a_dynamic_form_gives_its_values(self) -> None:
        file = PdfFile()
        file.add_page(lines("Please wait..."))
        template = file.add_stream(
            b'<template xmlns="http://www.xfa.org/schema/xfa-template/3.3/"><subform><field name="who"><caption><value>'
            b"<text>Applicant:</text></value></caption></field></subform></template>"
        )
        data = file.add_stream(
            b'<xfa:datasets xmlns:xfa="http://www.xfa.org/schema/xfa-data/1.0/"><xfa:data><form><who>Ada</who><sum>7'
            b"</sum><none/></form></xfa:data></xfa:datasets>"
        )
        file.set_catalog(
            b"/NeedsRendering true/AcroForm<</Fields[]/XFA[(template)%d 0 R(datasets)%d 0 R]>>" % (template, data)
        )
        assert text_of(file) == "Please wait...\nApplicant: Ada\nsum: 7"


class TestPages:
    async def test_a_sentence_goes_on_over_an_empty_line_between_pages(self, read: Read) -> None:
        found = await read(sample_files.make_pdf(["the crane may ever lift is", "fourteen tonnes"]))
        assert found.text == "the crane may ever lift is\n\nfourteen tonnes"
        assert found.page_starts == (0, 28)

    def test_comments_belong_to_their_page(self) -> None:
        file = PdfFile()
        note = file.add(b"<</Type/Annot/Subtype/Text/Contents(a note)/Rect[0 0 9 9]>>")
        file.add_page(lines("words"), annotations=[note])
        file.add_page(lines("words"))
        found = pdf.read(file.to_bytes(), MediaType.PDF)
        assert page_at(found.page_starts, found.text.index("a note")) == 1
        assert page_at(found.page_starts, found.text.rindex("words")) == 2

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.lists(
                st.lists(
                    st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789äöüß€(),.;:!?%&'", min_size=1, max_size=12),
                    min_size=1,
                    max_size=8,
                ).map(" ".join),
                max_size=12,
            ).map("\n".join),
            min_size=1,
            max_size=4,
        )
    )
    def test_every_word_of_every_page_is_read(self, pages: list[str]) -> None:
        found = pdf.read(sample_files.make_pdf(pages), MediaType.PDF)
        assert found.page_starts is not None
        ends = [*found.page_starts[1:], len(found.text)]
        read = [found.text[start:end].split() for start, end in zip(found.page_starts, ends, strict=True)]
        assert read == [page.split() for page in pages]


class TestSuperscripts:
    def page(self, *parts: tuple[str, float]) -> bytes:
        """Return a line of parts, each raised by so many points and smaller then; lowered ones are smaller, too."""
        shown = "".join(f"/F1 {8 if rise else 12} Tf {rise} Ts ({text}) Tj " for text, rise in parts)
        return f"BT 50 700 Td {shown}ET".encode()

    def text(self, content: bytes, **more: object) -> str:
        file = PdfFile()
        file.add_page(content, **more)  # type: ignore[arg-type]  # of add_page
        return pdf.read(file.to_bytes(), MediaType.PDF).text

    def test_raised_digits_are_told_from_the_number_before_them(self) -> None:
        parts = [("It has 10", 0), ("6", 4), (" parts on 40 m", 0), ("2", 4), (", 10", 0), ("-3", 4), (" of 106, H", 0)]
        content = self.page(*parts, ("2", -3), ("O and the 1", 0), ("st", 4), (" rent of 85.", 0), ("2,13", 4))
        expected = "It has 10⁶ parts on 40 m², 10⁻³ of 106, H2O and the 1st rent of 85.²,¹³"
        assert " ".join(self.text(content).split()) == expected

    def test_beside_form_fields_and_in_lines_from_the_right(self) -> None:
        file = PdfFile()
        file.add_font("F2", "שבת10")
        glyphs = glyphs_of("תבש", "שבת10").decode()
        line = f"BT 50 700 Td /F2 12 Tf {glyphs} Tj ET BT 100 700 Td /F1 12 Tf (10) Tj /F1 8 Tf 4 Ts (6) Tj ET"
        file.add_page(line.encode())
        assert "10⁶" in pdf.read(file.to_bytes(), MediaType.PDF).text

    def test_pages_with_text_outside_are_read_as_before(self) -> None:
        content = self.page(("It has 10", 0), ("6", 4)) + b" BT /F1 12 Tf 50 -90 Td (outside) Tj ET"
        assert self.text(content) == "It has 106"


class TestUnreadable:
    async def test_glyphs_without_characters_are_no_text(self, refusal: Refusal) -> None:
        text = "secret words of a font without names"
        characters = "".join(dict.fromkeys(text))
        file = PdfFile()
        file.add_font("F2", characters, unicode_map=False)
        file.add_page(b"BT /F2 12 Tf 50 740 Td %s Tj ET" % glyphs_of(text, characters))
        assert (await refusal(file.to_bytes())).code == ErrorCode.NO_TEXT

    async def test_damaged_pages_count_as_empty_while_half_can_be_read(self, read: Read, refusal: Refusal) -> None:
        file = PdfFile()
        first = file.add_page(lines("first"))
        third = file.add_page(lines("third"))
        file.set_pages(b"<</Type/Pages/Count 3/Kids[%d 0 R 999 0 R %d 0 R]>>" % (first, third))
        found = await read(file.to_bytes())
        assert page_at(found.page_starts, found.text.index("third")) == 3
        file.set_pages(b"<</Type/Pages/Count 3/Kids[998 0 R 999 0 R %d 0 R]>>" % third)
        assert (await refusal(file.to_bytes())).code == ErrorCode.CORRUPT_FILE

    @pytest.mark.parametrize("keep", [40, 300])
    async def test_a_file_cut_in_its_first_page_is_damaged(self, refusal: Refusal, keep: int) -> None:
        data = sample_files.make_pdf(["some words"] * 3)
        assert (await refusal(data[:keep])).code == ErrorCode.CORRUPT_FILE

    async def test_a_file_without_its_last_bytes_is_read(self, read: Read) -> None:
        data = sample_files.make_pdf(["some words"] * 3)
        assert (await read(data[:-8])).text.count("some words") == 3


class TestHostile:
    limits = ExtractionLimits(cpu_seconds=10, wall_seconds=60)

    async def test_a_page_tree_that_holds_itself(self, read: Read) -> None:
        file = PdfFile()
        page = file.add_page(lines("words"))
        file.set_pages(b"<</Type/Pages/Count 1000000000/Kids[2 0 R %d 0 R 2 0 R]>>" % page)
        assert (await read(file.to_bytes(), "a.pdf", self.limits)).text == "words"

    @pytest.mark.parametrize("box", [b"0 0 0 0", b"0 0 %s 792" % (b"9" * 400), b"612 792 0 0", b"-5 -5 1 1", b"0 0 x"])
    async def test_a_page_of_an_impossible_size(self, read: Read, box: bytes) -> None:
        file = PdfFile()
        file.add_page(lines("words"))
        file.add_page(lines("strange"), entries=b"/CropBox[%s]" % box)
        assert (await read(file.to_bytes(), "a.pdf", self.limits)).text.startswith("words")

    async def test_forms_inside_forms_without_end(self, refusal: Refusal) -> None:
        error = await refusal(sample_pdfs.endless_forms(), "a.pdf", ExtractionLimits(cpu_seconds=1, wall_seconds=60))
        assert error.code in {ErrorCode.EXTRACTION_TIMEOUT, ErrorCode.TOO_LARGE, ErrorCode.NO_TEXT}

    async def test_one_value_shown_by_ten_thousand_fields(self, refusal: Refusal) -> None:
        file = PdfFile()
        parent = file.add(b"<</FT/Tx/T(a)/V(%s)>>" % (b"x" * 10_000))
        kids = [file.add(b"<</Type/Annot/Subtype/Widget/Parent %d 0 R/Rect[0 0 9 9]>>" % parent) for _ in range(2_500)]
        file.add_page(lines("words"), annotations=kids)
        file.set_catalog(b"/AcroForm<</Fields[%s]>>" % b" ".join(b"%d 0 R" % kid for kid in kids))
        error = await refusal(file.to_bytes(), "a.pdf", self.limits)
        assert error.code in {ErrorCode.TOO_MANY_CHARACTERS, ErrorCode.TOO_LARGE}

    async def test_a_picture_of_a_thousand_megapixels_is_not_decoded(self, refusal: Refusal) -> None:
        file = sample_pdfs.scan(b"\x00" * 100, width=32_000, height=32_000)
        error = await refusal(file.to_bytes(), "a.pdf", self.limits)
        assert error.code in {ErrorCode.NO_TEXT, ErrorCode.TOO_LARGE}

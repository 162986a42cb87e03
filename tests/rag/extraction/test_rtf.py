"""RTF as Word, LibreOffice, WordPad and TextEdit write it, and invalid RTF."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, SpanKind
from fastapi_ignite.rag.extraction import rtf as rtf_reader
from fastapi_ignite.rag.extraction.formats import MediaType

FONTS = (
    r"{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset128 MS Mincho;}"
    r"{\f3\froman\fcharset2{\*\panose 05050102010706020507}Symbol;}{\f4\fcharset134 SimSun;}{\f5\fcharset129 Batang;}"
    r"{\f6\fcharset136 MingLiU;}{\f7\fnil Times New Roman CE{\*\falt Times;};}{\f8\fcharset1\cpg1253 Greek;}"
    r"{\f9\fcharset161 Arial Greek;}{\f10\fnil\fcharset2 Wingdings;}{\f11\fcharset177 David;}}"
)


def found_in(body: str | bytes, *, head: str = r"\ansi\ansicpg1252\deff0") -> ExtractedText:
    body = body.encode("latin-1") if isinstance(body, str) else body
    data = rf"{{\rtf1{head}{FONTS}".encode() + b"\n" + body + b"}"
    return rtf_reader.read(data, MediaType.RTF)


def text_of(body: str | bytes, **head: str) -> str:
    return found_in(body, **head).text


def codes(text: str, codec: str) -> str:
    return "".join(f"\\'{byte:02x}" for byte in text.encode(codec))


class TestCharacters:
    @pytest.mark.parametrize(
        ("font", "codec", "text"),
        [
            (0, "cp1252", "Größe 15 €"),
            (1, "cp1251", "Договор действует"),
            (2, "cp932", "日本語の表"),
            (4, "gbk", "合同期限为七年"),
            (5, "cp949", "계약 기간"),
            (6, "cp950", "合約期限許功蓋"),
            (7, "cp1250", "Příliš žluťoučký"),
            (8, "cp1253", "Σύμβαση"),
            (9, "cp1253", "Σύμβαση"),
            (11, "cp1255", "חוזה"),
        ],
    )
    def test_the_font_of_a_run_names_its_character_set(self, font: int, codec: str, text: str) -> None:
        assert text_of(rf"a {{\f{font} {codes(text, codec)}}} b\par") == f"a {text} b"

    def test_raw_bytes_are_in_the_character_set_too(self) -> None:
        assert text_of(rb"{\f1 " + "Договор".encode("cp1251") + b"}") == "Договор"

    def test_a_trail_byte_may_be_a_letter_or_an_escaped_brace(self) -> None:
        raw = b"".join(
            b"\\'%02x" % byte if byte >= 0x80 else b"\\" + bytes([byte]) if byte in b"\\{}" else bytes([byte])
            for byte in "ソース能力表示ボ".encode("cp932")
        )
        assert text_of(b"{\\f2 " + raw + b"}") == "ソース能力表示ボ"
        assert text_of(b"{\\f2 \\'83\n\\'5c}") == "ソ"

    @pytest.mark.parametrize(
        ("head", "codec", "text"),
        [
            (r"\ansi\ansicpg1251\deff12", "cp1251", "Договор"),
            (r"\mac\deff12", "mac_roman", "Größe"),
            (r"\pc\deff12", "cp437", "Größe"),
            (r"\pca\deff12", "cp850", "Größe"),
            (r"\ansi\ansicpg932\deff12", "cp932", "日本語"),
            (r"\ansi\ansicpg65001\deff12", "utf-8", "Größe 日本語"),
            (r"\ansi\ansicpg99999\deff12", "cp1252", "Größe"),
        ],
    )
    def test_the_file_names_what_holds_for_a_font_without_one(self, head: str, codec: str, text: str) -> None:
        assert text_of(codes(text, codec), head=head) == text

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (r"\u8364?", "€"),
            (r"\u8364\'80x", "€x"),
            (r"\uc0\u8364x", "€x"),
            (r"{\uc2\u26085\'93\'fa}x", "日x"),
            (r"\u-10179?\u-8704?", "😀"),
            (r"{\u-10179?}{\u-8704?}", "😀"),
            (r"\u-10179?x", "\ufffdx"),
            (r"\u8217\rquote s", "’s"),  # noqa: RUF001 - Word writes this
            (r"\u8217{}s", "’s"),  # noqa: RUF001
            (r"a\u8239 {\b b}", "a\u202fb"),
            (r"{\upr{Caf\'e9}{\*\ud{Caf\u8805 ?}}}", "Caf≥"),
            (r"{\f3 m}{\f3 \'b7}{\f3\u-3987?} {\f10 \'fc}", "µ•µ ✓"),
            (r"a\~b\_c\-d", "a\xa0b-cd"),
            (r"\ldblquote x\rdblquote\emdash y\bullet\endash", "“x”—y•\u2013"),
            (r"\{a\}\\b", r"{a}\b"),
            ("one\r\n two\\tab three\\line four", "one two\tthree\nfour"),
            (r"10{\super 6}, H{\sub 2}O, m\super 2\nosupersub , x\up6 2\up0 , 4{\super th}", "10⁶, H2O, m², x², 4th"),
            (r"{\rtlch\fcs1\af11 \ltrch\fcs0\f0 a}{\ltrch\fcs0\f0 \rtlch\fcs1\af11 \'f9\'ec}", "aשל"),
        ],
    )
    def test_characters(self, body: str, text: str) -> None:
        assert text_of(body + r"\par") == text


class TestGroups:
    @pytest.mark.parametrize(
        "group",
        [
            r"{\info{\title Secret}{\author X}}",
            r"{\pict\pngblip 89504e470d0a{\*\picprop x}00}",
            r"{\*\shppict{\pict 00}}{\nonshppict{\pict 00}}",
            r"{\*\themedata 504b}{\*\unknown{\x y}z}",
            r"{\*\bkmkstart here}{\*\bkmkend here}",
            r"{\xe word}{\tc entry}",
            r"{\v hidden}",
            r"{\deleted gone}",
            r"{\mvf moved away}",
            r"{\stylesheet{\s0 Normal;}{\*\cs10 Default;}}",
            r"{\*\listtable{\list{\listlevel{\leveltext\'02\'00.;}}}}",
            r"{\*\pn\pnlvlblt{\pntxtb\'b7}}",
            r"{\sp{\sn gtextUNICODE}{\sv DRAFT}}",
            r"{\*\atrfstart 1}{\*\atrfend 1}",
        ],
    )
    def test_left_out(self, group: str) -> None:
        assert text_of(rf"before {group}after") == "before after"

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (r'{\field{\*\fldinst HYPERLINK "x"}{\fldrslt the {\ul tariff}}}.', "the tariff."),
            (r"{\object\objemb{\*\objclass Word}{\*\objdata 01}{\result shown}}", "shown"),
            (r"{\field{\*\fldinst FORMCHECKBOX{\*\formfield{\fftype1\ffres1}}}{\fldrslt }} Pets", "[x] Pets"),
            (r"{\field{\*\fldinst FORMCHECKBOX{\*\formfield{\ffres25\ffdefres0}}}{\fldrslt }} Cats", "[ ] Cats"),
            (r"{\mmath{\*\moMath{\mr E=mc}}{\mmathPict{\pict 00}}}", "E=mc"),
        ],
    )
    def test_kept(self, body: str, text: str) -> None:
        assert text_of(body + r"\par") == text

    def test_binary_data_is_skipped_by_its_length(self) -> None:
        assert text_of(b"a {\\pict\\bin7 }}{{\\x}b} c\\bin3 {{{d") == "a  cd"

    def test_notes_comments_and_boxes_follow_their_paragraph(self) -> None:
        body = (
            r"Rent{\super\chftn{\footnote\pard\plain{\super\chftn} Net of tax.}} is due"
            r"{\*\atnid AB}{\*\atnauthor Ada}\chatn{\*\annotation{\*\atnref 1}\pard Check.}."
            r"{\shp{\*\shpinst{\shptxt In a box.\par}}{\shprslt{\*\do\dptxbx{\dptxbxtext In a box.\par}}}}\par"
            r" Next.\par"
        )
        assert text_of(body) == "Rent[1] is due.\n\n[1] Net of tax.\n\nComment by Ada: Check.\n\nIn a box.\n\nNext."

    def test_headers_and_footers_stand_once(self) -> None:
        margins = (
            r"{\header ACME GmbH\par}{\headerl ACME GmbH\par}"
            r"{\footer Page {\field{\*\fldinst PAGE}{\fldrslt 3}} of \chpgn\par Confidential\par}"
        )
        found = found_in(margins + r"{\outlinelevel0 body\par}")
        assert found.text == "body\n\nACME GmbH\n\nConfidential"
        assert [found.text[span.start : span.end] for span in found.spans] == ["body"]


class TestStructure:
    def test_headings_by_level_and_by_name(self) -> None:
        styles = r"{\stylesheet{\s1\outlinelevel0 \'dcberschrift;}{\s2 heading 2;}{\s3\sbasedon0 Title;}}"
        body = (
            styles
            + r"\pard\s3 Lease\par\pard\s1 Scope\par\pard\s2 Fees\par\pard\outlinelevel2 Rent\par\pard Text\par\s1\par"
        )
        found = found_in(body)
        assert found.text == "Lease\n\nScope\n\nFees\n\nRent\n\nText"
        assert [(span.level, found.text[span.start : span.end]) for span in found.spans] == [
            *((1, "Lease"), (1, "Scope"), (2, "Fees"), (3, "Rent")),
        ]

    def test_lists(self) -> None:
        body = (
            r"\pard{\listtext\pard\plain\f3 \'b7\tab}\ls1 dot\par{\listtext\tab 2.\tab}two\par"
            r"\pard{\pntext\f10\'a7\tab}{\*\pn\pnlvlblt}old\par\pard Text\par"
        )
        found = found_in(body)
        assert found.text == "• dot\n2. two\n▪ old\n\nText"
        assert [span.kind for span in found.spans] == [SpanKind.LIST_ITEM] * 3

    def test_tables(self) -> None:
        row = r"\trowd{}\cellx100\cellx200\pard\intbl {}\cell {}\cell\row"
        marked = row.format(r"\trhdr", "Plan", "For") + "\n" + row.format("", r"Plus\par plus", "teams")
        guessed = row.format("", "Plan", "Price") + row.format("", "Plus", "40 EUR")
        found = found_in(rf"before\par {marked}\pard between\par {guessed}\pard after\par")
        assert found.text == ("before\n\nPlan\tFor\nPlus plus\tteams\n\nbetween\n\nPlan\tPrice\nPlus\t40 EUR\n\nafter")
        assert [(span.kind, span.level) for span in found.spans] == [(SpanKind.TABLE, 1)] * 2

    def test_a_table_inside_a_cell(self) -> None:
        body = (
            r"\trowd\cellx9\pard\intbl\itap1 Report\par\pard\intbl\itap2 Artery\nestcell Score\nestcell"
            r"{\*\nesttableprops\trowd\nestrow}{\nonesttables\par}RCA\nestcell 0\nestcell{\*\nesttableprops\nestrow}"
            r"\pard\intbl\itap1 Done\cell\row\pard\itap0 after\par"
        )
        assert text_of(body) == "Report\n\nArtery\tScore\nRCA\t0\n\nDone\n\nafter"

    def test_cells_of_a_row_that_never_ends_are_kept(self) -> None:
        assert text_of(r"\pard\intbl a\cell b\cell\pard c\par") == "a\tb\n\nc"
        assert text_of(r"\pard\intbl a\cell b") == "a\tb"


class TestDamage:
    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (rb"{\rtf1 no last brace\par", "no last brace"),
            (rb"{\rtf1{\b bold\par}", "bold"),
            (rb"{\rtf1{\b{\i two are missing\par}", "two are missing"),
            (rb"{\rtf1 one too many}\par behind}\par", "one too many\n\nbehind"),
            (b"{\\rtf1 end\\par}\n\x00\x00", "end"),
            (rb"{\rtf1 a\'zzb\'}", "azzb"),
        ],
    )
    def test_what_is_read_all_the_same(self, data: bytes, text: str) -> None:
        assert rtf_reader.read(data, MediaType.RTF).text == text

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (rb"{\rtf1 a{\b cut", ErrorCode.CORRUPT_FILE),
            (rb"{\rtf1 a{\fonttbl{\f0 Ari", ErrorCode.CORRUPT_FILE),
            (rb"{\rtf1 a{\pict 0011", ErrorCode.CORRUPT_FILE),
            (rb"{\rtf1 a\bin999999999 b}", ErrorCode.CORRUPT_FILE),
            (rb"{\rtf1" + b"{" * 20_000 + b"}" * 20_000, ErrorCode.TOO_LARGE),
            (rb"{\rtf1" + rb"{\footnote a" * 100 + b"}" * 100, ErrorCode.TOO_LARGE),
        ],
    )
    def test_what_is_refused(self, data: bytes, code: ErrorCode) -> None:
        with pytest.raises(ExtractionError) as caught:
            rtf_reader.read(data, MediaType.RTF)
        assert caught.value.code == code


async def test_in_the_process_that_is_sealed(read: Callable[..., Awaitable[ExtractedText]]) -> None:
    body = rf"{{\f2 {codes('日本語', 'cp932')}}} {{\f5 {codes('계약', 'cp949')}}} {{\f7 {codes('Příliš', 'cp1250')}}}"
    data = rf"{{\rtf1\ansi\ansicpg1252{FONTS}{body}\par}}".encode("ascii")
    assert (await read(data)).text == "日本語 계약 Příliš"


WRITTEN_BY_CODES = {0: "cp1252", 1: "cp1251", 2: "cp932", 4: "gbk", 5: "cp949", 9: "cp1253"}
_WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="\x7f"), min_size=1, max_size=12
)


def written(text: str, choose: random.Random) -> str:
    """Write a text as RTF; each piece is encoded in one of the ways that programs use."""
    pieces = []
    while text:
        length = choose.randint(1, 4)
        piece, text = text[:length], text[length:]
        font, codec = choose.choice(list(WRITTEN_BY_CODES.items()))
        try:
            as_codes = rf"{{\f{font}\b {codes(piece, codec)}}}" if piece.encode(codec).decode(codec) == piece else ""
        except UnicodeEncodeError:
            as_codes = ""
        if as_codes and choose.random() < 0.5:
            pieces.append(as_codes)
        elif piece.isascii() and piece.isalnum():
            pieces.append(rf"{{\i {piece}}}")
        else:
            units = piece.encode("utf-16-le")
            fallback = choose.randint(0, 3)
            coded = "".join(
                rf"\u{int.from_bytes(units[at : at + 2], 'little', signed=True)} {'?' * fallback}"
                for at in range(0, len(units), 2)
            )
            pieces.append(rf"{{\uc{fallback}{coded}}}")
    return "".join(pieces)


@settings(max_examples=25, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=4), st.integers(0, 10**6))
def test_every_character_is_read_however_it_is_written(words: list[str], seed: int) -> None:
    choose = random.Random(seed)
    body = "".join(rf"\pard {written(word, choose)}\par" for word in words)
    assert text_of(body) == "\n\n".join(words)

"""Tests of splitting a text into pieces that can be quoted."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_ignite.rag.extraction import Span, SpanKind
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from fastapi_ignite.rag.text.sentences import LONGEST, split_sentences

words = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
    st.sampled_from(["U.S.", "Mr.", "# ", "| a | b |", "- ", "1.", "(a)", "。", "!", "?", '."', "\u2026", "Yes."]),
)
texts = st.lists(st.tuples(words, st.sampled_from(["", " ", "\n", "\n\n", ". ", "\t"]), st.integers(1, 40))).map(
    lambda parts: "".join((word + end) * times for word, end, times in parts)
)


def split(text: str) -> list[str]:
    return [text[sentence.start : sentence.end] for sentence in split_sentences(text)]


@given(texts)
@example("x" * 1200)
@example("A" + "." * 600 + " B")
def test_sentences_are_slices_in_order_that_do_not_overlap(text: str) -> None:
    end = 0
    for sentence in split_sentences(text):
        piece = text[sentence.start : sentence.end]
        assert end <= sentence.start
        assert len(piece) <= LONGEST
        assert piece == piece.strip()
        assert any(letter.isalnum() for letter in piece)
        end = sentence.end


@given(st.lists(st.sampled_from(["The pump runs.", "Is it warm?", "Stop it now!", "He said “go on now.”"]), min_size=1))
def test_plain_sentences_are_found_whole(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith met Dr. Jones at Acme Inc. Tuesday morning.",
        "The U.S. Government owns it.",
        "J. R. R. Tolkien wrote about it.",
        "It grew by 3.5 percent in version 1.2.3 of the plan.",
        "See Fig. 3 and Sec. 2 of the report.",
        "They asked “why?” and left the room.",
        "It works, e.g. on Monday, i.e. always.",
    ],
)
def test_a_point_that_ends_no_sentence(text: str) -> None:
    assert split(text) == [text]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The first one ends here. The second one follows.", ["The first one ends here.", "The second one follows."]),
        ("“Is it open?” He did not know.", ["“Is it open?”", "He did not know."]),
        (
            "ポンプの保証期間は二年です。修理はその後から有料です。",
            ["ポンプの保証期間は二年です。", "修理はその後から有料です。"],
        ),
        ("यह पहला वाक्य है। यह दूसरा वाक्य है।", ["यह पहला वाक्य है।", "यह दूसरा वाक्य है।"]),
        ("Ponad połowa. Żaden nie wrócił do domu.", ["Ponad połowa.", "Żaden nie wrócił do domu."]),
        ("Do you agree? Yes. We go on from here.", ["Do you agree? Yes.", "We go on from here."]),
    ],
)
def test_ends_of_sentences(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


def test_lines_broken_by_the_page_read_on_and_short_ones_stand_alone() -> None:
    text = (
        "The warranty of the pump begins on the day on which it was\n"
        "delivered and ends after two years. It does not cover wear.\n"
        "\n"
        "Contact us\n"
        "By telephone 030 1234567\n"
    )
    assert split(text) == [
        "The warranty of the pump begins on the day on which it was\ndelivered and ends after two years.",
        "It does not cover wear.",
        "Contact us",
        "By telephone 030 1234567",
    ]


def test_a_word_that_a_line_divides_joins_it_with_the_next() -> None:
    text = "They test the lift and each suspen-\nsion cable and cer-\ntify it."
    assert split(text) == [text]
    assert split("Tools - \nhammer") == ["Tools -", "hammer"]


def test_items_rows_and_headings() -> None:
    text = (
        "# Employee handbook\n"
        "- Holidays are thirty days a year\n"
        "- Sick notes are due on the third day\n"
        "2) Overtime is paid in the next month\n"
        "| Plan | Price of the plan |\n"
        "|------|------|\n"
        "| Basic | 10 euros |\n"
    )
    assert split(text) == [
        "# Employee handbook",
        "- Holidays are thirty days a year",
        "- Sick notes are due on the third day",
        "2) Overtime is paid in the next month",
        "| Plan | Price of the plan |",
        "| Basic | 10 euros |",
    ]


def test_an_endless_sentence_is_cut_where_a_reader_would_pause() -> None:
    text = "The list has " + ", ".join(f"item number {number}" for number in range(80)) + "."
    pieces = split(text)
    assert len(pieces) > 2
    assert all(piece.endswith((",", ".")) for piece in pieces)
    assert " ".join(pieces) == text


class TestAbbreviations:
    @pytest.mark.parametrize(
        "text",
        [
            "Nach § 5 Abs. 2 Nr. 3 und Art. 7 gilt z. B. Folgendes bzw. Ähnliches.",
            "Die Frist endet am 31. Dezember 2026 um Mitternacht.",
            "Le responsable, p. ex. M. Dupont ou Mme. Durand, signe au chap. 4.",
            "La Sra. García de EE. UU. firmó el núm. 12 en la pág. 4.",
            "It takes approx. Twenty litres, see no. 4 and Fig. B.",
            "The Ph.D. Programme of Prof. Dr. Weber begins at 9 a.m. Monday.",
            "Read https://example.com/a.b?c=d. e.g. on Monday.",
            "Wait for it... and go on. ещё раз",
            "ร้านเปิดเวลา 9.00 น. ถึง 17.00 น.",
        ],
    )
    def test_a_point_of_an_abbreviation_ends_no_sentence(self, text: str) -> None:
        assert split(text) == [text]

    def test_an_article_may_stand_before_an_abbreviation(self) -> None:
        text = "Le loyer est d'env. 800 euros, cf. l'art. 4 du bail."
        assert split(text) == [text]

    def test_points_that_lead_to_a_value_end_nothing(self) -> None:
        assert split("Name ........ Petra Novak") == ["Name ........ Petra Novak"]
        assert split("They waited... Then they left.") == ["They waited...", "Then they left."]

    def test_a_word_that_only_looks_like_one_ends_a_sentence(self) -> None:
        assert split("We asked and they said no. Nobody else was asked.") == [
            "We asked and they said no.",
            "Nobody else was asked.",
        ]
        assert split("He works with Max. They like it.") == ["He works with Max.", "They like it."]

    @pytest.mark.parametrize(
        ("text", "first"),
        [
            ("„Es ist offen.“ Das sagte er.", "„Es ist offen.“"),
            ("«C'est ouvert. » Il est parti.", "«C'est ouvert. »"),
            ("¿Está abierto? ¡Sí, desde las nueve!", "¿Está abierto?"),
            ("(It is open from nine.) Then it closes.", "(It is open from nine.)"),
            ("これは本です。」次の文です。", "これは本です。」"),
        ],
    )
    def test_marks_around_a_sentence(self, text: str, first: str) -> None:
        assert split(text)[0] == first


class TestShortPieces:
    @pytest.mark.parametrize("text", ["PIN: 4711", "Ada 42", "年假二十天。", "VAT: 19 %", "Fee: 5 €", "OK", "日"])
    def test_a_short_line_can_be_quoted(self, text: str) -> None:
        assert split(f"Rates of today\n\n{text}\n") == ["Rates of today", text]

    @pytest.mark.parametrize("text", ["", "-", "---", "* * *", "7", "a", "|---|---|"])
    def test_what_says_nothing_cannot(self, text: str) -> None:
        assert split(f"Rates of today\n\n{text}\n") == ["Rates of today"]

    def test_lines_of_ideographs_stand_alone(self) -> None:
        assert split("员工手册\n\n年假为二十天。\n病假需要证明。班车七点发车。\n") == [
            "员工手册",
            "年假为二十天。",
            "病假需要证明。",
            "班车七点发车。",
        ]

    def test_a_comment_is_a_line_of_its_own(self) -> None:
        text = "# Backups are kept for thirty-five days by order of the auditor.\nretention: 35\n# The pager is red.\n"
        assert split(text) == text.splitlines()


class TestStructure:
    @staticmethod
    def pieces(builder: TextBuilder) -> list[tuple[str, SpanKind | None]]:
        return [
            (builder.text[piece.start : piece.end], piece.kind)
            for piece in split_sentences(builder.text, builder.spans, builder.page_starts or ())
        ]

    def test_headings_rows_items_and_lines_of_code(self) -> None:
        builder = TextBuilder()
        builder.heading("# Office hours. From nine to five", 1)
        builder.paragraph("The desk is on the left. Ring the bell.")
        builder.list_item("- Bring a card. It is scanned.")
        builder.table([["Plan", "Price"], ["Solo", "9"]], header_rows=1)
        builder.code("# the report goes to cinnabar\nretention: 35")
        assert self.pieces(builder) == [
            ("Office hours. From nine to five", SpanKind.HEADING),
            ("The desk is on the left.", None),
            ("Ring the bell.", None),
            ("- Bring a card.", SpanKind.LIST_ITEM),
            ("It is scanned.", SpanKind.LIST_ITEM),
            ("Plan\tPrice", SpanKind.TABLE),
            ("Solo\t9", SpanKind.TABLE),
            ("# the report goes to cinnabar", SpanKind.CODE),
            ("retention: 35", SpanKind.CODE),
        ]
        assert [piece.is_header for piece in split_sentences(builder.text, builder.spans)].count(True) == 1

    def test_rows_of_csv_do_not_run_together(self) -> None:
        text = "order;customer;street;remark\n" + "\n".join(
            f"A-{number};Abelard and Sons;{number} Harbour Street by the old quay;signed by the porter"
            for number in range(4)
        )
        rows = split_sentences(text, [Span(SpanKind.TABLE, 0, len(text), 1, ";")])
        assert [text[row.start : row.end] for row in rows] == text.splitlines()

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("The fee is due on the first day of the month and is", "paid by the tenant."),
            ("The fee is due at the end of the year. It is paid to the bank of", "Hamburg by the tenant."),
        ],
    )
    def test_a_page_break_ends_no_sentence(self, before: str, after: str) -> None:
        assert (before.rpartition(". ")[2] + "\n\n" + after, None) in self.pieces(self.two_pages(before, after))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("The fee is due on the first day.", "It is paid by the tenant."),
            ("Page 4 of 9", "The fee is due."),
        ],
    )
    def test_a_page_break_joins_nothing_else(self, before: str, after: str) -> None:
        assert self.pieces(self.two_pages(before, after)) == [(before, None), (after, None)]

    @staticmethod
    def two_pages(before: str, after: str) -> TextBuilder:
        builder = TextBuilder()
        for page in (before, after):
            builder.page()
            builder.paragraph(page)
        return builder

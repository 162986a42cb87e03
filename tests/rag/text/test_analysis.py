"""Terms of texts in any script; documents and questions are analyzed in the same way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_ignite.rag.text.analysis import analyze, question_terms

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=200)
# characters of English documents, in the combinations for which there are rules
ascii_texts = st.lists(
    st.one_of(
        st.text(alphabet="abcdeXYZ", min_size=1, max_size=8),
        st.text(alphabet="0123456789", min_size=1, max_size=5),
        st.sampled_from([".", ",", "-", "'", "'s", " ", "  ", "\n", "_", "U.S.", "10-K", "1,577", "2.50", "FY2022"]),
    ),
    max_size=30,
).map("".join)


class TestOneWayOfReading:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("running", "runs"),
            ("Companies", "COMPANY"),
            ("café", "CAFE"),
            ("cafe\u0301", "café"),
            ("Zürich", "zurich"),
            ("Αθήνα", "ΑΘΗΝΑ"),
            ("ёлка", "Елка"),
            ("Straße", "STRASSE"),
            ("ﬁnance", "finance"),
            ("\uff21\uff22\uff23\uff11\uff12\uff13", "abc123"),
            ("İstanbul", "istanbul"),
            ("the company's profit", "company profit"),
            ("the company\u2019s profit", "company profit"),
            ("1,577", "1577"),
            ("1,234,567.80", "1234567.8"),
            ("2.00", "2"),
            ("3.0", "3"),
            ("U.S.", "US"),
            ("N.A.T.O.", "nato"),
            ("a_b", "a b"),
            ("Zonda\u2122", "zonda"),
            ("\u21165", "5"),
            ("work\u00adshop", "workshop"),
            ("quarter\u00ad\nmaster", "quartermaster"),
            ("data\u200bbase\ufeff", "database"),
            ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
            ("\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u0645\u062d\u0640\u0645\u062f"),
            ("VX\u20114471", "VX-4471"),
            ("Z\\u00fcrich", "zurich"),
            ("\\ud83e\\udd86 pond", "pond"),
            ("12'500", "12500"),
            ("12\u202f500", "12500"),
            ("5\u339e", "5 km"),
            ("m\u00b2", "m2"),
            ("pump\u00b9", "pump 1"),
            ("10\u00b2", "10 2"),
            ("\u2460valve", "1 valve"),
        ],
    )
    def test_spellings_of_one_thing_are_one_term(self, one: str, other: str) -> None:
        assert analyze(one) == analyze(other) != []

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Wrocław", "Wroclaw"),  # ł is a letter, not an l with an accent
            ("1.10", "1.1.0"),
            ("2.10", "2.1"),
            ("2021", "2022"),
            ("universe", "universal things"),
        ],
    )
    def test_different_things_stay_apart(self, one: str, other: str) -> None:
        assert set(analyze(one)) != set(analyze(other))

    @pytest.mark.parametrize(
        ("text", "terms"),
        [
            ("2021,2022", ["2021", "2022"]),
            ("version 3.10.0", ["version", "3.10.0"]),
            ("5% of $1,000", ["5", "1000"]),
            ("12.500", ["12500", "12.500"]),
            ("12,500", ["12500"]),
            ("1.234.567,80", ["1234567.8"]),
            ("3,5", ["3", "5", "3.5"]),
            ("0.125", ["0.125"]),
            ("VX-4471", ["vx", "4471", "vx4471"]),
            ("VX4471", ["vx4471"]),
            ("main-\ntenance", ["main", "tenanc", "mainten"]),
            ("main-\n\ntenance", ["main", "tenanc", "mainten"]),
            ("e-mail", ["e", "mail", "email"]),
            ("10-K", ["10", "k", "10k"]),
            ("COVID-19", ["covid", "19", "covid19"]),
            ("FY2022", ["fy2022", "2022"]),
            ("state-of-the-art", ["state", "art"]),
            ("東京", ["東京", "東", "京"]),
            ("日", ["日"]),
            ("한국어", ["한국", "국어"]),
            ("ไทย", ["ไท", "ทย"]),
            ("AI模型2024", ["ai", "模型", "模", "型", "2024"]),
            ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
            ("Привет, мир", ["привет", "мир"]),
            ("the and of", []),
            ("... --- !!!", []),
            ("", []),
        ],
    )
    def test_terms_in_order_with_repetitions(self, text: str, terms: list[str]) -> None:
        assert analyze(text) == terms
        assert Counter(analyze(f"{text} {text}")) == Counter(terms * 2)

    @given(ascii_texts)
    @example("3.5mm U.S.A. it's 10-K, F-16s")
    def test_a_foreign_word_in_a_document_changes_no_other_term(self, text: str) -> None:
        terms = Counter(analyze(text))
        assert Counter(analyze(f"{text} żółw")) - Counter(analyze("żółw")) == terms
        assert Counter(analyze(f"{text} 東京")) - Counter(analyze("東京")) == terms


class TestNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("IT is the department on the fourth floor.", "it"),
            ("Ask IT, or the desk.", "it"),
            ("IT", "it"),
            ("Vitamin A is stored in the blue cabinet.", "a"),
            ("Will Turner manages the bakery.", "will"),
            ("The bakery is managed by Will.", "will"),
        ],
    )
    def test_a_stop_word_that_is_a_name_is_a_term(self, text: str, name: str) -> None:
        assert name in analyze(text)

    @pytest.mark.parametrize(
        "text",
        [
            "It is here. Will it stay? A pump, as it is.",
            "THIS IS HOW IT WILL BE DONE IN A HURRY",
        ],
    )
    def test_elsewhere_it_is_none(self, text: str) -> None:
        assert not {"it", "a", "will", "is", "in"} & set(analyze(text))

    @pytest.mark.parametrize(
        ("question", "terms"),
        [
            ("What is IT?", ["it"]),
            ("what is it about?", ["what", "about"]),
            ("Who is on call in May?", ["call", "may"]),
            ("who is on call in may", ["call", "may"]),
            ("May I call on Monday?", ["call", "monday"]),
            ("May 2026 revenue", ["2026", "revenu", "may"]),
            ("What does the WHO recommend?", ["recommend", "who"]),
            ("What Are The Costs Of How We Do It", ["cost"]),
            ("Where is vitamin A kept?", ["vitamin", "kept", "a"]),
            ("Who delivers order A-102?", ["deliv", "order", "102", "a102"]),
            ("Does Will Turner bake?", ["turner", "bake", "will"]),
            ("Will the bakery open?", ["bakeri", "open"]),
        ],
    )
    def test_questions(self, question: str, terms: list[str]) -> None:
        assert question_terms(question) == terms


class TestQuestions:
    @given(texts)
    def test_a_question_is_read_as_a_document_is(self, text: str) -> None:
        terms = question_terms(text)
        assert len(set(terms)) == len(terms)
        assert set(terms) <= set(analyze(text))
        assert bool(terms) == bool(analyze(text))

    @pytest.mark.parametrize(
        ("question", "terms"),
        [
            ("What is the warranty period?", ["warranti", "period"]),
            ("How much did Revenue grow, and how much did revenue fall?", ["revenu", "grow", "fall"]),
            ("Quelle est la garantie ?", ["la", "garanti"]),
            ("\u5e74\u5047\u591a\u5c11\u5929\uff1f", ["\u5e74\u5047", "\u5e74", "\u5047", "\u5929"]),
            ("¿Cuántos empleados hay?", ["empleado", "hay"]),
            ("Wie hoch war der Umsatz?", ["hoch", "war", "der", "umsatz"]),
            ("Who are The Who?", ["who"]),
            ("Сколько стоит обед?", ["стоит", "обед"]),
            ("Πού είναι το κλειδί;", ["ειναι", "το", "κλειδι"]),
            ("איפה המפתח?", ["המפתח"]),
            ("أين المفتاح؟", ["المفتاح"]),
            ("वेतन कितना है?", ["वेतन"]),
            ("会議室はどこですか", ["会議", "議室", "室は", "会", "議", "室"]),
            ("书桌的价格是多少", ["书桌", "书", "桌", "价格", "价", "格"]),
            ("目的是什么", ["目的", "目", "的"]),
            ("ใครมา", ["มา"]),
            ("회의실은 어디입니까?", ["회의", "의실", "실은"]),
            ("???", []),
        ],
    )
    def test_words_that_ask_are_left_out_unless_there_is_nothing_else(self, question: str, terms: list[str]) -> None:
        assert question_terms(question) == terms

    def test_a_question_of_8000_ideographs_is_read_whole(self) -> None:
        question = "".join(chr(0x20000 + number) for number in range(8_000))
        assert len(question_terms(question)) == 8_000 + 7_999

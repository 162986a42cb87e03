"""Text files are stored as their authors wrote them, whatever the encoding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fastapi_ignite.rag.extraction import ExtractedText

Read = Callable[..., Awaitable[ExtractedText]]


class TestAsWritten:
    @pytest.mark.parametrize(
        ("name", "media_type", "text"),
        [
            ("a.txt", "text/plain", "  leading, trailing blanks   \n\n\n\ttab\f\n"),
            ("a.md", "text/markdown", "# Title\n\n*bold* [link](http://example.com)  \n"),
            ("a.csv", "text/csv", 'name;"age, years"\n"Ann";7\n\n'),
            ("a.json", "application/json", '{"a": [1, 2,\n  "b"]}'),
            ("a.py", "text/x-source-code", "def f() -> None:\n\treturn None  # ✓\n"),
            ("a.xml", "application/xml", '<?xml version="1.0"?>\n<a>1 &amp; 2</a>\n'),
            ("a.yaml", "application/yaml", "a:\n  - b\n"),
            ("noname", "text/plain", "just words 🦆\n"),
        ],
    )
    async def test_nothing_is_changed(self, read: Read, name: str, media_type: str, text: str) -> None:
        found = await read(text.encode(), name)
        assert (found.text, found.media_type, found.page_starts) == (text, media_type, None)

    async def test_every_line_end_becomes_a_newline(self, read: Read) -> None:
        assert (await read(b"one\r\ntwo\rthree\n\r\nfour")).text == "one\ntwo\nthree\n\nfour"

    async def test_a_quote_is_found_in_a_large_file(self, read: Read) -> None:
        text = "".join(f"Line {number}: naïve façade, 日本 🦆\n" for number in range(40_000))
        assert (await read(text.encode(), "big.txt")).text == text


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
    async def test_unicode(self, read: Read, encoding: str) -> None:
        text = "Größe: 15 € — naïve words here 🦆\nand a second line\n"
        assert (await read(text.encode(encoding), "a.txt")).text == text

    @pytest.mark.parametrize(
        ("encoding", "text"),
        [
            ("shift_jis", "名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n"),
            ("euc_jp", "これは日本語の文章です。契約は有効です。\n"),
            ("iso2022_jp", "これは日本語の文章です。\n"),
            ("gb18030", "本合同自双方签字之日起生效。甲方应当支付款项。\n"),
            ("big5", "本合約自雙方簽字之日起生效。甲方應當支付款項。\n"),
            ("cp949", "이 계약은 서명일로부터 효력이 발생합니다.\n"),
            ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy.\n"),
            ("cp1250", "Zażółć gęślą jaźń, łódź i świt.\n"),
            ("cp1251", "Договор аренды. Арендатор обязан вносить плату.\n"),
            ("cp1252", "Les élèves ont mangé des crêpes à la fête, 15 €.\n"),
            ("cp1252", "Die schöne Frau aß Würstchen in München.\n"),
            ("cp1252", "El niño comió paella. ¡Qué rico!\n"),
            ("cp1253", "Η συμφωνία τίθεται σε ισχύ την πρώτη Ιανουαρίου.\n"),  # noqa: RUF001 - it is Greek
            ("cp1254", "İstanbul şehrinde güneşli bir gün geçirdik, çok güzeldi.\n"),
            ("cp1256", "هذا العقد ملزم للطرفين من تاريخ التوقيع\n"),
        ],
    )
    async def test_legacy(self, read: Read, encoding: str, text: str) -> None:
        assert (await read(text.encode(encoding), "a.csv")).text == text

    async def test_one_broken_byte_does_not_spoil_a_text(self, read: Read) -> None:
        data = ("Größe über alles 日本\n" * 100).encode() + b"\xff end"
        assert (await read(data, "a.log")).text == "Größe über alles 日本\n" * 100 + "\ufffd end"

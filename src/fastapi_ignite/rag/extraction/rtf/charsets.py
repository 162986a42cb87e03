"""Names the codec of each character set that an RTF file can choose: for the file, for a font, by a code page."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

from fastapi_ignite.rag.extraction.conventions.symbol_characters import is_symbol_font, symbol_text

WINDOWS_LATIN: Final = "cp1252"
_SYMBOL_CHARSET: Final = 2
_DEFAULT_CHARSET: Final = 1
_PRIVATE: Final = 0xF000
# fmt: off
# by \fcharset; those from 77 on belong to the Macintosh, 255 is what DOS had
_CHARSETS: Final = {
    0: "cp1252", 77: "mac_roman", 78: "cp932", 79: "cp949", 80: "gbk", 81: "cp950", 83: "cp1255", 84: "mac_arabic",
    85: "mac_greek", 86: "mac_turkish", 87: "cp874", 88: "mac_latin2", 89: "mac_cyrillic", 128: "cp932", 129: "cp949",
    130: "johab", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256",
    179: "cp1256", 180: "cp1256", 181: "cp1255", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
    254: "cp437", 255: "cp850",
}
# by \ansicpg and \cpg, where the codec is not called `cp` and the number
_CODE_PAGES: Final = {
    0: "cp1252", 708: "iso8859_6", 819: "latin_1", 936: "gbk", 1361: "johab", 10000: "mac_roman", 10001: "cp932",
    10004: "mac_arabic", 10006: "mac_greek", 10007: "mac_cyrillic", 10029: "mac_latin2", 10081: "mac_turkish",
    20127: "cp1252", 20866: "koi8_r", 21866: "koi8_u", 28591: "cp1252", 28592: "iso8859_2", 28595: "iso8859_5",
    28597: "iso8859_7", 28599: "iso8859_9", 28605: "iso8859_15", 51932: "euc_jp", 51949: "euc_kr", 54936: "gb18030",
    65001: "utf_8",
}
# how Windows names the variants of its fonts, for files that name no character set
_SUFFIXES: Final = {
    " cyr": "cp1251", " ce": "cp1250", " greek": "cp1253", " tur": "cp1254", " (hebrew)": "cp1255",
    " (arabic)": "cp1256", " baltic": "cp1257", " (vietnamese)": "cp1258",
}
# fmt: on
_MULTIBYTE: Final = frozenset({"cp932", "cp949", "gbk", "cp950", "johab", "gb18030", "euc_jp", "euc_kr", "utf_8"})


@dataclass(frozen=True, slots=True)
class Charset:
    """Decodes the bytes of a run; `symbol_font` has signs at the places of letters."""

    codec: str
    symbol_font: str = ""

    @property
    def is_multibyte(self) -> bool:
        return self.codec in _MULTIBYTE

    def decode(self, data: bytes) -> str:
        """Return the text. What is not in the character set becomes U+FFFD."""
        if self.symbol_font:
            # in a font that is not known, too, no place is the letter that other fonts have there
            return symbol_text("".join(chr(_PRIVATE + place) for place in data), self.symbol_font)
        return data.decode(self.codec, "replace")


@dataclass(slots=True)
class Font:
    """An entry of the table of fonts, as its control words describe it."""

    charset_number: int | None = None
    code_page: int | None = None
    name: str = ""

    def charset(self, default: Charset) -> Charset:
        if self.charset_number == _SYMBOL_CHARSET or is_symbol_font(self.name):
            return Charset(WINDOWS_LATIN, self.name or "Symbol")
        if self.code_page is not None:
            return of_code_page(self.code_page, default)
        if self.charset_number is not None and self.charset_number != _DEFAULT_CHARSET:
            return Charset(_CHARSETS.get(self.charset_number, default.codec))
        ending = next((ending for ending in _SUFFIXES if self.name.lower().endswith(ending)), None)
        return Charset(_SUFFIXES[ending]) if ending else default


def of_code_page(number: int, default: Charset) -> Charset:
    name = _CODE_PAGES.get(number, f"cp{number}")
    return Charset(name) if _is_codec(name) else default


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True

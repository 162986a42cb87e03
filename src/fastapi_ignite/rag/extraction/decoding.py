"""Bytes of a text file to the characters its author wrote: only the byte order mark and line ends are changed."""

from __future__ import annotations

import codecs
import re
from typing import Final

from fastapi_ignite.rag.extraction.errors import ErrorCode, ExtractionError
from fastapi_ignite.rag.extraction.formats import refuse_control_characters

# UTF-32 before UTF-16: its little-endian mark begins with the other's.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NOT_LATIN: Final = (
    *("cp1251", "koi8_r", "koi8_u", "cp866", "cp1253", "cp1255", "cp1256", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252"),
)
# The letters beyond ASCII of each language, most used encoding first: the first of equals wins.
_LATIN_LETTERS: Final = {
    "cp1252": (
        "àâæçéèêëîïôœùûüÿ",
        "äöüß",
        "áéíóúñüªº",
        "áàâãçéêíóôõúªº",
        "àèéìíòóùú",
        "åäöéæø",
        "ëïéèöüáó",
        "áðéíóúýþæö",
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "cp1254": ("çğıiöşüâîû",),  # noqa: RUF001 - Turkish has a dotless i
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
}
# Encodings that are declared while a superset of them is used.
_SUPERSETS: Final = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "latin-1", "us-ascii", "ascii"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk", "x-gbk", "euc-cn"), "gb18030"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis"), "cp932"),
    **dict.fromkeys(("ks_c_5601-1987", "euc-kr"), "cp949"),
    "big5": "cp950",
    "iso-8859-9": "cp1254",
    "iso-8859-8-i": "iso-8859-8",
    "tis-620": "cp874",
}
_ONE_BYTE: Final = ("iso-8859", "iso8859", "windows-125", "cp125", "koi8")
# Python knows them by name, but no text is written in them.
_NO_CHARSETS: Final = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape"})
_ISO_2022_JP: Final = re.compile(rb"\x1b\$[@B]")
# Western text is the rule, and may mix languages; the others need more evidence than a stray letter.
_WESTERN_BONUS: Final = 0.15
_DECLARATION: Final = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?\s*([a-z][\w.:-]{1,30})""", re.IGNORECASE)
_DECLARATION_BYTES: Final = 2048
_SAMPLE_BYTES: Final = 512 * 1024
_NUL_SHARE: Final = 3
# One broken sequence in a hundred is a damaged UTF-8 file; more is another encoding.
_DAMAGED_SHARE: Final = 100


def decode(data: bytes, *, declared: bool = False) -> str:
    """The text in `data`; with `declared`, an encoding named in its first lines (HTML, XML) is believed if it fits.

    Raises:
        ExtractionError: the bytes are no text in any encoding.
    """
    text = _decode(data, declared=declared)
    if "\x00" in text:
        raise ExtractionError(ErrorCode.UNSUPPORTED_TYPE, "The text holds NUL characters: it is data, not text.")
    return unix_newlines(text)


def decode_as(data: bytes, charset: str | None, *, declared: bool = False) -> str:
    """Return the text of a part of a message. A charset that is unknown, wrong or missing is common: the bytes decide.

    What calls itself a Western or another one-byte encoding and is UTF-8 is read as that, because hardly any text in
    such an encoding could be UTF-8 by accident.
    """
    name = (charset or "").lower()
    text = None
    if data.isascii() and not name.startswith(("utf-7", "utf7", "utf-16", "utf-32", "iso-2022", "iso2022", "hz")):
        text = data.decode("ascii")
    elif not name or name.startswith(_ONE_BYTE) or name in _SUPERSETS:
        text = _fitting(data, "utf-8")
    if text is None and name:
        text = _fitting(data, _SUPERSETS.get(name, name))
    if text is None:
        text = _decode_any(data, declared=declared)
    return unix_newlines(text).replace("\x00", "").removeprefix("\ufeff")


def _decode_any(data: bytes, *, declared: bool) -> str:
    try:
        return _decode(data, declared=declared)
    except ExtractionError:
        return data.decode("utf-8", errors="replace")


def unix_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decode(data: bytes, *, declared: bool) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data[len(mark) :], encoding)
    wide = _unmarked_wide_encoding(data)
    if wide:
        return _strict(data, wide)
    refuse_control_characters(data)
    if _ISO_2022_JP.search(data):
        text = _fitting(data, "iso2022_jp")
        if text is not None:
            return text
    text = _fitting(data, "utf-8")
    if text is None and declared:
        text = _declared(data)
    if text is None:
        text = _damaged_utf8(data)
    return _legacy(data) if text is None else text


def _strict(data: bytes, encoding: str) -> str:
    text = _fitting(data, encoding)
    if text is None:
        raise ExtractionError(ErrorCode.CORRUPT_FILE, f"The file is marked as {encoding} text but is not.")
    return text


def _fitting(data: bytes, encoding: str) -> str | None:
    if encoding.replace("-", "_").lower() in _NO_CHARSETS:
        return None
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError, ValueError):
        return None


def _unmarked_wide_encoding(data: bytes) -> str | None:
    """UTF-16 and UTF-32 without their mark: in ordinary text every second byte, or three of four, is NUL."""
    sample = data[:_SAMPLE_BYTES]
    quarter = max(1, len(sample) // 4)
    nuls = [sample[position::4].count(0) for position in range(4)]
    many = [count * _NUL_SHARE > quarter for count in nuls]
    return {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }.get((many[0], many[1], many[2], many[3]))


def _declared(data: bytes) -> str | None:
    declaration = _DECLARATION.search(data[:_DECLARATION_BYTES])
    if declaration is None:
        return None
    name = declaration[1].decode("ascii").lower()
    # What calls itself Latin-1 on the web is its Windows extension; HTML requires reading it so.
    return _fitting(data, "cp1252" if name in {"iso-8859-1", "latin1", "us-ascii", "ascii"} else name)


def _damaged_utf8(data: bytes) -> str | None:
    text = data.decode("utf-8", errors="replace")
    beyond_ascii = len(text) - len(text.encode("ascii", errors="ignore"))
    return text if text.count("�") * _DAMAGED_SHARE < beyond_ascii else None


def _legacy(data: bytes) -> str:
    # Imported here, as nearly every file is UTF-8 and need not wait for it.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    guess = from_bytes(data[:_SAMPLE_BYTES], cp_isolation=list(_NOT_LATIN)).best()
    if guess is not None and guess.encoding != "cp1252":
        text = _fitting(data, guess.encoding)
        if text is not None:
            return text
    fitting = [(encoding, text) for encoding in _LATIN_LETTERS if (text := _fitting(data, encoding)) is not None]
    if not fitting:
        raise ExtractionError(ErrorCode.CORRUPT_FILE, "The encoding of the text is unknown; save it as UTF-8.")
    return max(fitting, key=lambda candidate: _latin_score(*candidate))[1]


def _latin_score(encoding: str, text: str) -> float:
    """Return the share of non-ASCII characters that are letters of one language written in this encoding."""
    letters = [character for character in text[:_SAMPLE_BYTES].lower() if not character.isascii()]
    letters = [character for character in letters if character.isalnum()]
    if not letters:
        return 1.0
    share = max(sum(letter in alphabet for letter in letters) for alphabet in _LATIN_LETTERS[encoding]) / len(letters)
    return share + _WESTERN_BONUS * (encoding == "cp1252")

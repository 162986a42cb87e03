"""Keeps `&`, `<`, `>` and character references of Word files, which kreuzberg 4.10 leaves out of their text.

Before parsing, each is replaced by a noncharacter that no text holds; afterwards it is put back.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Final

_NAMED: Final = {b"amp": "&", b"lt": "<", b"gt": ">", b"quot": '"', b"apos": "'"}
# U+FDD0 and its neighbours: allowed in XML, reserved by Unicode for use inside a program.
_STAND_INS: Final = {character: chr(0xFDD0 + number) for number, character in enumerate(_NAMED.values())}
_RESTORE: Final = str.maketrans({stand_in: character for character, stand_in in _STAND_INS.items()})
_REFERENCE: Final = re.compile(rb"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));")
_LAST_CODE_POINT: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


def without_references(package: bytes) -> bytes:
    """The same Word file with stand-ins; a file without references is returned as it is."""
    with zipfile.ZipFile(io.BytesIO(package)) as source:
        parts = {entry.filename: source.read(entry) for entry in source.infolist() if not entry.is_dir()}
    texts = {name: content for name, content in parts.items() if _is_text_part(name) and b"&" in content}
    if not texts:
        return package
    parts |= {name: _REFERENCE.sub(_stand_in, content) for name, content in texts.items()}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return result.getvalue()


def restored(text: str) -> str:
    return text.translate(_RESTORE)


def _is_text_part(name: str) -> bool:
    return name.startswith("word/") and name.endswith(".xml")


def _stand_in(reference: re.Match[bytes]) -> bytes:
    named, decimal, hexadecimal = reference.groups()
    if named:
        character = _NAMED[named]
    else:
        code_point = int(decimal) if decimal else int(hexadecimal, 16)
        if not ord(" ") <= code_point <= _LAST_CODE_POINT or code_point in _SURROGATES:
            return b" "
        character = chr(code_point)
    return _STAND_INS.get(character, character).encode()

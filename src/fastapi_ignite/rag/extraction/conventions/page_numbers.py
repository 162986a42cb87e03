"""Tells headers and footers that only number a page from those that say something."""

from __future__ import annotations

import re
from typing import Final

# fmt: off
_PAGE_WORDS: Final = frozenset({
    "page", "pages", "of", "seite", "seiten", "von", "pag", "pág", "página", "páginas", "de", "di", "pagina",
    "pagine", "su", "sida", "av", "side", "af", "sivu", "strona", "z", "страница", "стр", "из", "oldal", "stránka",
    "strana", "sayfa", "p", "s",
})
# fmt: on
_WORD: Final = re.compile(r"\w+")


def is_only_page_number(text: str) -> bool:
    """Tell whether a line without its fields says no more than `Page of`."""
    return set(_WORD.findall(text.lower())) <= _PAGE_WORDS

"""Defines a row of a worksheet as its readers give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi_ignite.rag.extraction.xlsx.cell_values import CellKind


@dataclass(slots=True)
class SheetRow:
    """A row with text. `columns` are the places of its cells, 0 for column A; empty cells are left out."""

    number: int
    hidden: bool
    columns: Sequence[int]
    texts: Sequence[str]
    kinds: Sequence[CellKind]

    def without_empty_cells(self) -> SheetRow:
        if "" not in self.texts:
            return self
        filled = [place for place, text in enumerate(self.texts) if text]
        return SheetRow(
            self.number,
            self.hidden,
            [self.columns[place] for place in filled],
            [self.texts[place] for place in filled],
            [self.kinds[place] for place in filled],
        )


def column_number(letters: str) -> int:
    """Return the place of a column: 0 for `A`, 26 for `AA`."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1

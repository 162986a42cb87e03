"""The structure of a document in stored, found and quoted passages."""

from __future__ import annotations

import pytest

from fastapi_ignite.rag.answers.passage import Passage
from fastapi_ignite.rag.documents import repository
from fastapi_ignite.rag.extraction import SpanKind
from fastapi_ignite.rag.extraction.structure import spans_to_json
from fastapi_ignite.rag.extraction.text_builder import TextBuilder
from support.rag_projects import RagProject, RagProjectFactory


def price_list(title: str) -> TextBuilder:
    """Return a document with a heading and a table that is split into many passages."""
    builder = TextBuilder()
    builder.heading(title, 1)
    rows = [["Article", "Deposit"], *([f"Barrel {number}", f"{number * 3} florins"] for number in range(200))]
    builder.table(rows, header_rows=1)
    builder.paragraph("Prices are valid until the end of the harvest.")
    return builder


async def add(project: RagProject, builder: TextBuilder) -> None:
    await project.add(builder.text, builder.page_starts, builder.spans)


async def passages(project: RagProject, question: str) -> list[Passage]:
    found = await project.engine._retriever.retrieve(project.tenant_id, project.project_id, question, limit=3)
    return found.passages if found else []


async def test_a_row_far_below_its_header_knows_its_columns_and_heading(rag_project: RagProjectFactory) -> None:
    project, builder = await rag_project(), price_list("Cooperage")
    await add(project, builder)
    best, *_ = await passages(project, "Which deposit for barrel 187?")
    row = next(piece for piece in best.pieces() if best.between(piece.start, piece.end) == "Barrel 187\t561 florins")
    assert (row.kind, row.is_header) == (SpanKind.TABLE, False)
    assert best.column_names(row.start) == ("Article", "Deposit")
    assert best.headings == best.headings_at(row.start) == ("Cooperage",)
    table = best.table_at(row.start)
    assert table is not None
    cells = {best.between(each.start, each.end): each.cells for each in best.rows(table)}["Barrel 187\t561 florins"]
    assert [best.between(*cell) for cell in cells] == ["Barrel 187", "561 florins"]
    assert not any(piece.is_header for piece in best.pieces())


async def test_words_of_the_header_and_the_heading_find_rows_and_are_never_part_of_them(
    rag_project: RagProjectFactory,
) -> None:
    project, builder = await rag_project(), price_list("Cooperage")
    await add(project, builder)
    stored = await project.rows("SELECT text, context, char_start, char_end FROM chunks ORDER BY ordinal")
    assert {context for _, context, _, _ in stored[1:]} == {"Cooperage\nArticle | Deposit"}
    assert all(text == builder.text[start:end] for text, _, start, end in stored)
    assert len(await project.candidates("cooperage deposit")) == len(stored)
    assert all("Cooperage" not in each.text for each in (await passages(project, "Barrel 150"))[:1])


async def test_the_document_keeps_its_spans_and_one_without_has_none(rag_project: RagProjectFactory) -> None:
    project, builder = await rag_project(), price_list("Cooperage")
    await add(project, builder)
    await project.add("Nothing but prose is in this text.")
    rows = await project.rows("SELECT spans FROM documents WHERE project_id = :project ORDER BY char_count DESC")
    assert [row[0] for row in rows] == [spans_to_json(builder.spans), None]


async def test_a_list_of_endless_items_stores_the_headings_above_all(
    rag_project: RagProjectFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MOST_SPANS", 5)
    project, builder = await rag_project(), TextBuilder()
    builder.heading("Items", 1)
    for number in range(9):
        builder.list_item(f"- {number}")
    await add(project, builder)
    ((spans,),) = await project.rows("SELECT spans FROM documents WHERE project_id = :project")
    assert spans == spans_to_json(builder.spans[:1])


async def test_passages_stored_without_structure_work_as_before(rag_project: RagProjectFactory) -> None:
    """Documents that an earlier version has indexed have such passages."""
    project = await rag_project()
    await add(project, price_list("Cooperage"))
    await project.rows("UPDATE chunks SET surroundings = NULL, context = NULL")
    best, *_ = await passages(project, "Barrel 187")
    assert (best.spans, best.headings, best.column_names(best.char_start)) == ((), (), ())
    assert "Barrel 187\t561 florins" in [best.between(start, end) for start, end in best.sentences()]


async def test_equal_rows_below_different_headings_are_not_embedded_as_one(rag_project: RagProjectFactory) -> None:
    """The vector of a passage also depends on its context."""
    project = await rag_project()
    for title in ("Cooperage", "Brewery", "Cooperage "):
        builder = price_list(title)
        builder.paragraph(f"This is list {title!r}.")
        await add(project, builder)
    rows = await project.rows("SELECT text_sha256 FROM chunks WHERE project_id = :project AND ordinal = 2")
    assert len(rows) == 3
    assert len(set(rows)) == 2

"""Measures how fast documents of each format are read, and how much memory that takes.

    python -m bench.reading [--repeat 5] [--only NAME ...] [--against FOLDER PYTHON]

The documents are made here. Each is read in a process of its own, as often as `--repeat` says; the best time counts, in
seconds of the processor, because other work disturbs it least. The memory is the most that the process ever held.
`--against` reads the same documents with another checkout in `FOLDER` and its interpreter, and prints its time and the
ratio of the two: below 1 this checkout is faster.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from support import ole_files, open_documents, presentation_files, sample_files, word_files, workbook_files

TEXT: Final = "the tenant pays rent in advance on the first day of each month unless both sides agree otherwise"
OPEN_MANIFEST: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><manifest:manifest '
    'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
)
# It runs in either checkout, so it knows only what both have. As in the parser's process, nothing collects garbage.
MEASURE: Final = """
import gc, json, sys, time
from pathlib import Path
from fastapi_ignite.rag.extraction import child
path, repeat = Path(sys.argv[1]), int(sys.argv[2])
data = path.read_bytes()
best = float("inf")
for _ in range(repeat):
    gc.collect()
    gc.disable()
    started = time.process_time()
    found = child.extract_text(data, path.suffix)
    best = min(best, time.process_time() - started)
    characters = len(found.text)
    del found
    gc.enable()
memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"seconds": best, "characters": characters, "kilobytes": int(memory.split()[1])}))
"""

random_source: Final = random.Random(1)


def sentence(words: int = 15) -> str:
    return " ".join(random_source.choices(TEXT.split(), k=words)).capitalize() + "."


def sentences(count: int) -> list[str]:
    return [sentence() for _ in range(count)]


def pdf() -> bytes:
    return sample_files.make_pdf(["\n".join(sentences(45)) for _ in range(200)])


def docx() -> bytes:
    rows = [word_files.row(*(word_files.cell(word_files.p(sentence(2))) for _ in range(4))) for _ in range(500)]
    body = "".join(word_files.p(f"{sentence()} {sentence()}") for _ in range(8_000))
    return word_files.make_word_file(body + word_files.table(*rows))


def xlsx() -> bytes:
    """500,000 cells, half of them numbers and half of them texts."""
    cells = (f"item {number}" if number % 2 else float(number) for number in range(500_000))
    return workbook_files.make_workbook(
        [workbook_files.Sheet(workbook_files.rows(list(zip(*[cells] * 10, strict=True))))]
    )


def xlsx_formats() -> bytes:
    """50,000 cells: shared strings, amounts, percentages and dates."""
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="s"><v>{n % 500}</v></c><c r="B{n}" s="1"><v>{n * 1.37:.6g}</v></c>'
        f'<c r="C{n}" s="2"><v>{46_000 + n % 700}</v></c><c r="D{n}" s="3"><v>{n / 10_000}</v></c>'
        f'<c r="E{n}" s="4"><v>{n * 12.5}</v></c></row>'
        for n in range(1, 10_001)
    )
    formats = ["#,##0.00", "dd.mm.yyyy", "0.0%", '#,##0.00 "€"']
    strings = [f"<t>{sentence(3)}</t>" for _ in range(500)]
    return workbook_files.make_workbook([workbook_files.Sheet(rows)], formats=formats, strings=strings)


def pptx() -> bytes:
    return presentation_files.make_deck(
        [
            presentation_files.Slide(
                presentation_files.title(f"Slide {number}")
                + "".join(map(presentation_files.box, sentences(8)))
                + presentation_files.table([["Plan", "Price", "Seats"]] * 6),
                notes=sentence(),
            )
            for number in range(200)
        ]
    )


def ppt() -> bytes:
    return ole_files.make_ppt(
        [ole_files.OldSlide([(0, f"Slide {number}"), (1, "\r".join(sentences(8)))]) for number in range(200)]
    )


def odt() -> bytes:
    body = "".join(
        f"<text:p>{sentence()} <text:span>{sentence(5)}</text:span> {sentence()}</text:p>" for _ in range(8_000)
    )
    return open_document("text", body)


def ods() -> bytes:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>item {row}</text:p></table:table-cell>'
            f'<table:table-cell office:value-type="float" office:value="{row}"><text:p>{row}</text:p>'
            "</table:table-cell>"
            for _ in range(5)
        )
        + "</table:table-row>"
        for row in range(10_000)
    )
    return open_document("spreadsheet", f'<table:table table:name="Items">{rows}</table:table>')


def odp() -> bytes:
    slides = "".join(
        f'<draw:page draw:name="p{number}"><draw:frame presentation:class="title"><draw:text-box>'
        f"<text:p>Slide {number}</text:p></draw:text-box></draw:frame><draw:frame><draw:text-box>"
        + "".join(f"<text:p>{text}</text:p>" for text in sentences(8))
        + "</draw:text-box></draw:frame></draw:page>"
        for number in range(200)
    )
    return open_document("presentation", slides)


def open_document(kind: str, body: str) -> bytes:
    return open_documents.make_open_document(kind, body, parts={"META-INF/manifest.xml": OPEN_MANIFEST})


def epub() -> bytes:
    return open_documents.make_book({f"c{number}.xhtml": chapter(number) for number in range(30)})


def chapter(number: int) -> str:
    paragraphs = "".join(f"<p>{sentence()} <i>{sentence(4)}</i> {sentence()}</p>" for _ in range(300))
    return open_documents.chapter(f"<h1>Chapter {number}</h1>{paragraphs}")


def html() -> bytes:
    rows = "".join(f"<tr><td>{sentence(2)}</td><td class=x>{number}</td></tr>" for number in range(10_000))
    return f"<!doctype html><html>{chapter(1) * 10}<table><tr><th>Plan<th>Price</tr>{rows}</table></html>".encode()


def eml() -> bytes:
    page = "".join(f"<p>{text}</p>" for text in sentences(4_000))
    return sample_files.make_eml("Rent", "\n".join(sentences(4_000)), html=page)


def msg() -> bytes:
    return ole_files.make_msg(ole_files.OutlookMessage(body="\r\n".join(sentences(8_000))))


def rtf() -> bytes:
    return sample_files.make_rtf([f"{sentence()} {sentence()}" for _ in range(8_000)])


def csv() -> bytes:
    return ("plan,price,seats\n" + "".join(f"Team {n},{n},10\n" for n in range(200_000))).encode()


def markdown() -> bytes:
    part = "## {0}\n\n{1}\n{2}\n\n- {3}\n- {4}\n\n| Plan | Price |\n|---|---|\n| Team | 49 |\n\n```\ncode\n```\n\n"
    return "".join(part.format(*sentences(5)) for _ in range(4_000)).encode()


def plain_text() -> bytes:
    return "\n".join(sentences(40_000)).encode()


DOCUMENTS: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "PDF, 200 pages": (".pdf", pdf),
    "DOCX": (".docx", docx),
    "XLSX, 500,000 cells": (".xlsx", xlsx),
    "XLSX, 50,000 formatted cells": (".xlsx", xlsx_formats),
    "PPTX, 200 slides": (".pptx", pptx),
    "PPT, 200 slides": (".ppt", ppt),
    "ODT": (".odt", odt),
    "ODS, 100,000 cells": (".ods", ods),
    "ODP, 200 slides": (".odp", odp),
    "EPUB": (".epub", epub),
    "HTML": (".html", html),
    "mail": (".eml", eml),
    "Outlook": (".msg", msg),
    "RTF": (".rtf", rtf),
    "CSV": (".csv", csv),
    "Markdown": (".md", markdown),
    "plain text": (".txt", plain_text),
}


def measured(file: Path, repeat: int, folder: Path, python: str) -> dict[str, float] | None:
    """Return what reading the file takes in a checkout; None where it cannot read it."""
    command = [python, "-c", MEASURE, str(file), str(repeat)]
    environment = {"PYTHONPATH": str(folder / "src")}
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  # ours
    return None if ran.returncode else dict(json.loads(ran.stdout.splitlines()[-1]))


def line(name: str, size: int, here: dict[str, float], other: dict[str, float] | None, *, compares: bool) -> str:
    shown = (
        f"{name:<30} {size / 1e6:7.2f} {here['characters'] / 1e6:7.2f} {here['seconds']:8.3f} "
        f"{here['characters'] / here['seconds'] / 1e6:9.1f} {here['kilobytes'] / 1024:7.0f}"
    )
    if not compares:
        return shown
    if other is None:
        return f"{shown}   not read"
    return f"{shown} {other['seconds']:8.3f} {other['kilobytes'] / 1024:7.0f} {here['seconds'] / other['seconds']:6.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="how often each document is read (5)")
    parser.add_argument("--only", nargs="+", default=[""], help="documents whose names begin so, such as XLSX")
    parser.add_argument("--against", nargs=2, metavar=("FOLDER", "PYTHON"), help="another checkout, its interpreter")
    options = parser.parse_args(arguments)
    titles = f"{'':<30} {'MB':>7} {'M chars':>7} {'CPU s':>8} {'M chars/s':>9} {'MB held':>7}"
    print(titles + (f" {'CPU s':>8} {'MB held':>7} {'ratio':>6}" if options.against else ""))
    with tempfile.TemporaryDirectory(prefix="ignite-bench-") as name:
        for document, (suffix, make) in DOCUMENTS.items():
            if not document.startswith(tuple(options.only)):
                continue
            file = Path(name) / f"document{suffix}"
            file.write_bytes(make())
            here = measured(file, options.repeat, Path(__file__).resolve().parents[1], sys.executable)
            other = None
            if options.against:
                other = measured(file, options.repeat, Path(options.against[0]), options.against[1])
            if here is None:
                sys.exit(f"{document} cannot be read")
            print(line(document, file.stat().st_size, here, other, compares=bool(options.against)), flush=True)


if __name__ == "__main__":
    main()

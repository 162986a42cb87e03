"""A machine that cannot load the PDF library must not call its users' files damaged."""

from __future__ import annotations

from fastapi_ignite.rag.extraction import documents

# what kreuzberg says where the folder for temporary files is mounted noexec
UNLOADABLE = (
    "ParsingError: Metadata extraction failed: Pdfium initialization failed (initialize Pdfium): Failed to bind to "
    'Pdfium library: LoadLibraryError(DlOpen { source: "libpdfium.so: failed to map segment from shared object" })'
)


def test_a_library_that_cannot_be_loaded_is_no_damaged_file() -> None:
    assert documents._translated(UNLOADABLE).code == "extraction_crashed"
    assert documents._translated("Invalid PDF: PdfiumLibraryInternalError: FormatError").code == "corrupt_file"

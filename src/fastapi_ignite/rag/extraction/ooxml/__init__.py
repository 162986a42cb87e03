"""Reads the things that DOCX, PPTX and XLSX files share: parts, drawings, and formats of numbers and dates."""

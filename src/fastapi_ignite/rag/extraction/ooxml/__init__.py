"""What DOCX, PPTX and XLSX files share: their parts, their drawings and the way they write numbers and dates."""

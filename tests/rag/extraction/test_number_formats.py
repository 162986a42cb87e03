"""Numbers must look as in a spreadsheet program; the expected values are those that Excel shows."""

from __future__ import annotations

import pytest

from fastapi_ignite.rag.extraction.ooxml.number_formats import general_text, number_format


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (0.475, "0.00%", "47.50%"),
        (1234.5, "#,##0.00", "1,234.50"),
        (1234567.891, "#,##0", "1,234,568"),
        (12, "#,##0", "12"),
        (-81, "#,##0_);(#,##0)", "(81)"),
        (-81, "#,##0", "-81"),
        (-5, "0;[Red]-0", "-5"),
        (0, '0;-0;"none"', "none"),
        (4711, "00000", "04711"),
        (123456789, "000-00-0000", "123-45-6789"),
        (5551234567, "(###) ###-####", "(555) 123-4567"),
        (0.5, "#.##", ".5"),
        (1.005, "0.00", "1.01"),
        (2.5, "0", "3"),
        (-2.5, "0", "-3"),
        (1234.5, "[$€-407]#,##0.00", "€1,234.50"),
        (1234.5, '#,##0.00\\ "€"', "1,234.50 €"),
        (-1234.5, '_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-', "-1,234.50 €"),
        (0, '_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"\\ "€"_-', "- €"),
        (1234567, '#,##0.0,,"M"', "1.2M"),
        (1234567, "#,##0,", "1,235"),
        (12, '0" kg"', "12 kg"),
        (1234567, "0.00E+00", "1.23E+06"),
        (0.00012, "0.0E+0", "1.2E-4"),
        (12345, "##0.0E+0", "12.3E+3"),
        (999999, "0.0E+0", "1.0E+6"),
        (1.5, "# ?/?", "1 1/2"),
        (0.25, "# ??/??", "1/4"),
        (3, "# ?/?", "3"),
        (1.125, "?/?", "9/8"),
        (2.3, "# ?/8", "2 2/8"),
        (3.7, '[>3]"big";"small"', "big"),
        (42, "@", "42"),
        (42, ";;;", "42"),
        (46095, "dd.mm.yyyy", "14.03.2026"),
        (46095, "[$-407]d. mmmm yyyy", "14. März 2026"),
        (46095, "[$-407]ddd d. mmm", "Sa 14. Mär"),
        (46095, "[$-40C]d mmm yyyy", "14 mars 2026"),
        (46218, "[$-40C]ddd d mmm yyyy", "mer. 15 juil. 2026"),
        (46188, "[$-40C]d mmm", "15 juin"),
        (46095, "[$-C0A]dddd, d mmmm", "sábado, 14 marzo"),
        (46095, "[$-410]ddd d mmm", "sab 14 mar"),
        (46095, "[$-816]d mmmm yyyy", "14 março 2026"),
        (46095, "[$-413]ddd d mmm yyyy", "za 14 mrt 2026"),
        (46095, "[$-415]dddd, d mmmm yyyy", "sobota, 14 marca 2026"),
        (46095, "[$-415]mmmm yyyy", "marzec 2026"),
        (46095, "[$-41D]d mmmm", "14 mars"),
        (46095, "mmmmm", "M"),
        (46095, "[$-411]d mmmm yyyy", "2026-03-14"),
        (46095, "dddd, mmmm d, yyyy", "Saturday, March 14, 2026"),
        (46095.75, "m/d/yy h:mm AM/PM", "3/14/26 6:00 PM"),
        (46095.5, 'yyyy"-"mm"-"dd" at "hh:mm', "2026-03-14 at 12:00"),
        (0.999994, "h:mm:ss", "23:59:59"),
        (1.5, "[h]:mm", "36:00"),
        (0.0423611, "mm:ss", "01:00"),
        (0.5000005787, "ss.00", "00.05"),
        (60, "yyyy-mm-dd", "1900-02-29"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (-3, "yyyy-mm-dd", "-3"),
    ],
)
def test_numbers_are_shown_under_their_format(value: float, code: str, shown: str) -> None:
    assert number_format(code).number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (12.0, "12"),
        (-0.0, "0"),
        (123456789012345, "123456789012345"),
        (1 / 3, "0.333333333333333"),
        (0.00001234, "0.00001234"),
        (1e21, "1E+21"),
        (1.5e-12, "1.5E-12"),
        (float("inf"), "#NUM!"),
    ],
)
def test_numbers_without_a_format(value: float, shown: str) -> None:
    assert general_text(value) == shown


def test_the_epoch_of_1904() -> None:
    assert number_format("yyyy-mm-dd").number(46095 - 1462, epoch_1904=True) == "2026-03-14"


@pytest.mark.parametrize(
    "code", ["0" * 300, "[" * 200, '"', "\\", "0." + "0" * 200, "?/" + "?" * 200, "y" * 200, ";;;;;;", "[>1e9]0"]
)
@pytest.mark.parametrize("value", [0.0, 1e300, -1e-300, 123.456])
def test_any_code_shows_something(code: str, value: float) -> None:
    assert number_format(code).number(value)

"""Tests of how `cli.py ingest` finds files, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastapi_ignite.cli.found_files import find_files
from fastapi_ignite.core.errors import InvalidInputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files in three levels, hidden ones among them."""
    for name in ("a.txt", "b.md", "deep/c.txt", "deep/er/d.txt", ".git/config", "deep/.secret", "[x]/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(*paths: Path | str) -> list[str]:
    return [file.name for file in find_files([str(path) for path in paths]).files]


def test_a_folder_is_read_to_its_depth_in_the_order_of_the_paths(folder: Path) -> None:
    assert names(folder) == ["[x]/e.txt", "a.txt", "b.md", "deep/c.txt", "deep/er/d.txt"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("*/*.txt", ["[x]/e.txt", "deep/c.txt"]),
        ("**/*.txt", ["[x]/e.txt", "a.txt", "deep/c.txt", "deep/er/d.txt"]),
        ("**", ["[x]/e.txt", "a.txt", "b.md", "deep/c.txt", "deep/er/d.txt"]),
        ("deep/**/d.txt", ["er/d.txt"]),
        ("[ab].*", ["a.txt", "b.md"]),
        ("deep/?.txt", ["c.txt"]),
    ],
)
def test_patterns(folder: Path, pattern: str, found: list[str]) -> None:
    assert names(folder / pattern) == found


def test_a_file_is_called_by_its_own_name(folder: Path) -> None:
    assert names(folder / "deep" / "er" / "d.txt") == ["d.txt"]


def test_a_name_with_signs_of_patterns_is_a_file_if_there_is_one(folder: Path) -> None:
    assert names(folder / "[x]" / "e.txt") == ["e.txt"]


def test_what_is_named_twice_is_found_once(folder: Path) -> None:
    assert names(folder / "deep", folder / "deep" / "c.txt", folder / "deep" / "*.txt") == ["c.txt", "er/d.txt"]


def test_a_link_to_a_folder_above_ends(folder: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder)
    assert names(folder) == ["[x]/e.txt", "a.txt", "b.md", "deep/c.txt", "deep/er/d.txt"]


def test_a_hidden_file_that_is_named_is_sent(folder: Path) -> None:
    assert names(folder / ".git" / "config") == ["config"]


@pytest.mark.parametrize("path", ["missing", "missing/*.txt", "deep/*.pdf", "*/missing/*"])
def test_a_path_without_a_match_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(InvalidInputError, match="no such file or folder"):
        names(folder / path)


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert names(tmp_path) == []


def test_a_file_that_is_too_long_in_the_name_is_named_as_unusable(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 200) / ("f" * 60)
    path.parent.mkdir()
    path.write_text("x")
    found = find_files([str(tmp_path)])
    assert [(each.path, each.code) for each in found.unusable] == [(path, "invalid_filename")]

"""The language lint finds each kind of breach, and leaves alone what looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.style import (
    WIDTH,
    Breach,
    breaches,
    dead_links,
    docstring_starts,
    judge,
    long_lines,
    unnamed_numbers,
)

VAGUE = "so " + "many"  # in two parts, since the lint reads this file, too
LONG = "word " * (WIDTH // 5 + 1)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""What it is."""\n', [1]),
        ('class A:\n    """Who comes."""\n', [2]),
        ('def f():\n    """\n    Be quick.\n    """\n', [2]),
        ('async def f():\n    """Let it go."""\n', [2]),
        ('A = 1\n"""Where it is."""\n', [2]),
        ('class A:\n    b: int = 1\n    """When it ends."""\n', [3]),
        ('"""Whatsoever, Beware, Letters."""\n', []),
        ('def f():\n    """Return what is there."""\n    g()\n    """Who: no docstring."""\n', []),
        ('A = "What"\nB = f"Who"\n', []),
        ("", []),
    ],
)
def test_a_docstring_begins_with_a_verb_or_a_noun(source: str, lines: list[int]) -> None:
    assert [line for line, _ in docstring_starts(source)] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"after {VAGUE} seconds", [1]),
        (f"x\nS{VAGUE[1:]}.", [2]),
        ("after so" + "\n    # many seconds", [1]),
        ('"after so' + '\\n",\n   "many seconds"', [1]),
        ("also many, so manyfold, so very many", []),
    ],
)
def test_a_number_has_a_name(text: str, lines: list[int]) -> None:
    assert [line for line, _ in unnamed_numbers(text)] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{LONG}\n\n{'x' * WIDTH}\n", [1]),
        (f"  | {LONG} |\n", []),
        (f"```py\n{LONG}\n```\n{LONG}", [4]),
        (f"````md\n```\n{LONG}\n```\n{LONG}\n````\n- {LONG}", [7]),
        (f"<!-- bench herd -->\n{LONG}\n<!-- bench herd -->\n{LONG}", [4]),
    ],
    ids=["text", "table", "code", "code within code", "written by a program"],
)
def test_a_line_of_markdown_is_short(text: str, lines: list[int]) -> None:
    assert [line for line, _ in long_lines(text)] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x\n[a](b.md)", [2]),
        ("![a](b.png#c)", [1]),
        ('<img src="b.png">', [1]),
        ("[a](a.md) [b](a.md#x) [c](#x) [d](https://x.example/y) [e](mailto:a@x.example)", []),
        ("`[a](b.md)` ``[a](`b.md)``\n```\n[a](b.md)\n```", []),
    ],
)
def test_a_link_leads_to_a_file(text: str, lines: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.md").touch()
    assert [line for line, _ in dead_links(text, tmp_path)] == lines


def test_each_file_gets_the_rules_of_its_kind(tmp_path: Path) -> None:
    for name, text in {
        "a.py": f'"""What {VAGUE}."""\n# {LONG}',
        "a.md": f"{LONG}\n\n[a](b.md)\n\nWhat it is: {VAGUE}.",
        "a.toml": f"# {VAGUE}",
        "docs/reference/a.md": LONG,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    names = ["a.py", "a.md", "a.toml", "docs/reference/a.md", "a.png", "removed.md"]
    found = [(file, line) for file, line, _ in breaches(names, tmp_path)]
    assert found == [("a.py", 1), ("a.py", 1), ("a.md", 5), ("a.md", 3), ("a.md", 1), ("a.toml", 1)]


def test_an_unread_folder_is_passed_over_until_it_is_clean() -> None:
    found = [Breach("a/b/c.py", 1, "x"), Breach("a/bc.py", 2, "y")]
    assert judge(found, ()) == ["a/b/c.py:1: x", "a/bc.py:2: y"]
    assert judge(found, ("a/b",)) == ["a/bc.py:2: y"]
    assert judge(found, ("a", "d")) == ["d keeps the rules: take it out of UNREAD"]

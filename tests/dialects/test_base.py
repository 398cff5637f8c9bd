"""Unreadable frames are quoted: printable, and bounded (A02, A75)."""

from __future__ import annotations

import pytest

from chatlab.dialects.base import EXCERPT, REASON, unreadable


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ("hi", "hi"),
        ("", ""),
        ("é😀", "é😀"),
        ("a\r\nb\x1b[31m\0", "a\\r\\nb\\x1b[31m\\x00"),
        ("\ud800\u202e", "\\ud800\\u202e"),
        (b"ok\n", "ok\\n"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("é".encode(), "é"),
        ("a" * EXCERPT, "a" * EXCERPT),
        ("a" * (EXCERPT + 1), "a" * EXCERPT + "…"),
        (b"a" * 1_000_000, "a" * EXCERPT + "…"),
    ],
)
def test_excerpt(frame: str | bytes, shown: str) -> None:
    assert unreadable("why", frame).excerpt == shown


def test_reason_is_bounded_and_printable_too() -> None:
    assert unreadable("why", "").reason == "why"
    assert unreadable("Invalid value '\n\x1b'", "").reason == "Invalid value '\\n\\x1b'"
    assert unreadable("a" * 100_000, "").reason == "a" * REASON + "…"

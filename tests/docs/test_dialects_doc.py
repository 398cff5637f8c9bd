"""The page on dialects: its code runs unchanged, and prints the page's output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


PROVED = """
(reply,) = GuardedDialect().decode('{"challenge": "abc"}')
signed = GuardedDialect().credentials({"password": "pw"}).sign
assert json.loads(signed(reply.frame)) == {"proof": hmac.new(b"pw", b"abc", "sha256").hexdigest()}
assert json.loads(signed('{"say": "hi"}')) == {"say": "hi"}
assert GuardedDialect().decode('{"welcome": true}') == (Welcome(),)
assert GuardedDialect().decode('{"denied": "no"}') == (Refused("no", 401),)
assert GuardedDialect().decode("hm") == ()
"""


@pytest.mark.slow
def test_the_pages_program_prints_what_the_page_says() -> None:
    blocks = BLOCK.findall(PAGE)
    program = "\n".join(code for language, code in blocks if language == "python") + PROVED
    (promised,) = [text for language, text in blocks if language == "text"]
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    printed, settings = ended.stdout.splitlines()[:-1], ended.stdout.splitlines()[-1]
    assert printed == promised.splitlines()
    assert "dialect='board'" in settings
    assert "sesame" not in settings
    assert not ended.stderr


def test_the_page_names_every_dialect() -> None:
    from chatlab.dialects import DIALECTS

    rows = re.findall(r"^\| `([\w.-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(DIALECTS)

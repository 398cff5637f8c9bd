"""README's badges launch the latest release at the repository's address, on pages that are there."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.docs import badges
from tests.docs.blocks import PAGES, ROOT

LAUNCHES = re.compile(r"https://mybinder\.org/v2/[^)\s]*")


def of(home: str, version: str = "1.2.3") -> str:
    return badges.badges(home, version)


def test_the_readme_has_the_badges_of_now() -> None:
    text = badges.PAGE.read_text(encoding="utf-8")
    assert text == badges.with_badges(text), f"run `{badges.WRITE}`"
    assert len(LAUNCHES.findall(text)) == len(badges.BADGES) == 2


def test_no_other_page_says_where_the_repository_is() -> None:
    home = re.compile(r"mybinder\.org/v2/gh/|" + re.escape(badges.address()))
    others = [page for page in PAGES if page != badges.PAGE]
    assert [page.name for page in others if home.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("launch", LAUNCHES.findall(of(badges.UNNAMED)))
def test_a_badge_opens_a_page_that_is_there(launch: str) -> None:
    (page,) = parse_qs(urlsplit(launch).query)["urlpath"]
    file = re.fullmatch(r"(?:lab/tree|voila/render)/(.+\.ipynb)", page)
    assert file
    assert (ROOT / file[1]).is_file()


def test_the_badges_follow_address_and_version() -> None:
    launches = LAUNCHES.findall(of("https://github.com/ada/talk.git", "2.0.0"))
    assert launches == [
        "https://mybinder.org/v2/gh/ada/talk/v2.0.0?urlpath=lab%2Ftree%2Fnotebooks%2F00_start.ipynb",
        "https://mybinder.org/v2/gh/ada/talk/v2.0.0?urlpath=voila%2Frender%2Fnotebooks%2Fpages%2Fstart.ipynb",
    ]
    (elsewhere, _) = LAUNCHES.findall(of("https://code.example/ada/talk"))
    assert elsewhere.startswith("https://mybinder.org/v2/git/https%3A%2F%2Fcode.example%2Fada%2Ftalk/v1.2.3?")


def test_they_say_that_they_lead_nowhere_until_it_is_published() -> None:
    assert badges.NOT_YET in of(badges.UNNAMED)
    assert badges.NOT_YET not in of("https://github.com/ada/chatlab")


def test_a_tagged_commit_is_the_latest_release_of_the_changelog() -> None:
    command = ["git", "tag", "--points-at", "HEAD", "--list", "v*"]
    tags = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split()
    assert [tag for tag in tags if tag != f"v{badges.released()}"] == []


def test_releases_of_the_changelog_descend() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [tuple(map(int, version.split("."))) for version in badges.RELEASE.findall(text)]
    assert versions == sorted(set(versions), reverse=True)
    assert text.count("\n## [") == 1 + len(versions)
    assert text.index("\n## [Unreleased]\n") < text.index(f"\n## [{badges.released()}]")

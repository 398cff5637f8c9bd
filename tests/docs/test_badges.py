"""README's badges launch what `pyproject.toml` names, on pages that are there."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.docs import badges
from tests.docs.blocks import PAGES, ROOT

LAUNCHES = re.compile(r"https://mybinder\.org/v2/[^)\s]*")


def of(home: str, version: str = "1.2.3") -> str:
    return badges.badges({"version": version, "urls": {"Repository": home}})


def test_the_readme_has_the_badges_of_now() -> None:
    text = badges.PAGE.read_text(encoding="utf-8")
    assert text == badges.with_badges(text), f"run `{badges.WRITE}`"
    assert len(LAUNCHES.findall(text)) == len(badges.BADGES) == 2


def test_no_other_page_says_where_the_repository_is() -> None:
    home = re.compile(r"mybinder\.org/v2/gh/|" + re.escape(badges.project()["urls"]["Repository"]))
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
        "https://mybinder.org/v2/gh/ada/talk/v2.0.0?urlpath=voila%2Frender%2Fnotebooks%2F00_start.ipynb",
    ]
    (elsewhere, _) = LAUNCHES.findall(of("https://code.example/ada/talk"))
    assert elsewhere.startswith("https://mybinder.org/v2/git/https%3A%2F%2Fcode.example%2Fada%2Ftalk/v1.2.3?")


def test_they_say_that_they_lead_nowhere_until_it_is_published() -> None:
    assert badges.NOT_YET in of(badges.UNNAMED)
    assert badges.NOT_YET not in of("https://github.com/ada/chatlab")

"""Accessibility checks with axe."""

from typing import Any

from playwright.sync_api import Page

from tests import node


def violations(page: Page, selector: str) -> list[str]:
    """Return the rules that axe finds violated in the first element of a selector, with the places."""
    node.install()
    page.add_script_tag(path=node.MODULES / "axe-core" / "axe.min.js")
    found: list[dict[str, Any]] = page.evaluate(
        "async selector => (await axe.run(selector, { resultTypes: ['violations'] })).violations", selector
    )
    return [f"{rule['id']}: {place['html'][:200]}" for rule in found for place in rule["nodes"]]

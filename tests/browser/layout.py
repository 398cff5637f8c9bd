"""Whether what is shown stays within its place."""

from playwright.sync_api import Locator


def sticking_out(place: Locator) -> list[str]:
    """The elements that reach beyond the right edge of a place, but for what scrolls or is cut in itself."""
    found: list[str] = place.evaluate(
        """place => {
          const right = place.getBoundingClientRect().right + 1;
          return [...place.querySelectorAll("*")].filter(node => node.getClientRects().length
            && node.getBoundingClientRect().right > right && !node.closest(".cl-sr, .cl-paper > *, pre, svg"))
            .map(node => node.outerHTML.slice(0, 120));
        }"""
    )
    return found

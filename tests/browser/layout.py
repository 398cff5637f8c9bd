"""Checks that elements stay within their container, and aren't clipped."""

from playwright.sync_api import Locator


def sticking_out(place: Locator) -> list[str]:
    """Return the elements that extend beyond a container's right edge, except scrolling and clipped ones."""
    found: list[str] = place.evaluate(
        """place => {
          const right = place.getBoundingClientRect().right + 1;
          return [...place.querySelectorAll("*")].filter(node => node.getClientRects().length
            && node.getBoundingClientRect().right > right && !node.closest(".cl-sr, .cl-paper > *, pre, svg"))
            .map(node => node.outerHTML.slice(0, 120));
        }"""
    )
    return found


def cut_rings(place: Locator) -> list[str]:
    """Return the focusable elements in our views whose focus ring is clipped at the left or right."""
    found: list[str] = place.evaluate(
        """place => {
          const ring = 3;
          const cuts = (node, box) => {
            for (let above = node.parentElement; above !== place.parentElement; above = above.parentElement) {
              const { left, right } = above.getBoundingClientRect();
              const cut = box.left - ring < left || box.right + ring > right;
              if (cut && getComputedStyle(above).overflowX !== "visible") return true;
            }
            return false;
          };
          return [...place.querySelectorAll(".chatlab :is(button, input, select, textarea, [tabindex])")]
            .filter(node => node.getClientRects().length && !node.closest(".cl-scroll > *")
              && cuts(node, node.getBoundingClientRect()))
            .map(node => node.outerHTML.slice(0, 120));
        }"""
    )
    return found

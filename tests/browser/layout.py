"""Whether what is shown stays within its place, and is seen whole."""

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


def cut_rings(place: Locator) -> list[str]:
    """What the keyboard reaches in our views, and whose ring of focus is cut off at the left or right."""
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

"""Words of which an answer is made."""

from __future__ import annotations

from collections.abc import Sequence


def share(part: int, whole: int, who: str = "") -> str:
    """Return a part of all people, as the subject of a sentence."""
    if part == whole:
        return f"The only person{who}" if whole == 1 else f"All {whole:,} people{who}"
    return f"{part:,} of {whole:,} people{who}" if part else f"Nobody{who and ' of those'}{who}"


def is_or_are(count: int) -> str:
    """Return the verb of that many people."""
    return "is" if count <= 1 else "are"


def was_or_were(count: int) -> str:
    """Return the verb of that many deliveries."""
    return "was" if count == 1 else "were"


def seconds(value: float) -> str:
    """Return a time with three digits."""
    if 0 < value < 0.9995:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 99.95 else f"{value:,.0f} s"


def number(value: float) -> str:
    """Return a mean count with two digits, or a whole number."""
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def joined(parts: Sequence[str]) -> str:
    """Return clauses as one: "a", "a, and b", "a, b, and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def sentence(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."

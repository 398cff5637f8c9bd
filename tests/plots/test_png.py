"""PNG files, compared with those of Pillow and matplotlib."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from chatlab.plots import plot_backoff
from chatlab.plots.png import encode, png
from chatlab.plots.style import figure_of
from chatlab.settings import ReconnectConfig


def opened(file: bytes) -> Image.Image:
    with Image.open(BytesIO(file)) as image:
        image.verify()  # every chunk's checksum
    with Image.open(BytesIO(file)) as image:
        image.load()
    return image


def pixels(file: bytes) -> NDArray[np.uint8]:
    return np.asarray(opened(file))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_the_file_has_the_same_pixels(height: int, width: int, seed: int, flat: bool) -> None:
    image = np.random.default_rng(seed).integers(0, 2 if flat else 256, (height, width, 4), dtype=np.uint8)
    assert (pixels(encode(image, 200.0)) == image).all()


@pytest.mark.parametrize("dpi", [72.0, 96.0, 200.0])
def test_the_file_says_how_large_it_is(dpi: float) -> None:
    image = opened(encode(np.zeros((3, 5, 4), dtype=np.uint8), dpi))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (5, 3))
    assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("bbox", [None, "tight"])
def test_a_figure_has_the_pixels_and_the_size_that_savefig_gives_it(bbox: Literal["tight"] | None) -> None:
    figure = figure_of(plot_backoff(ReconnectConfig()))
    expected = BytesIO()
    figure.savefig(expected, format="png")
    with mpl.rc_context({"savefig.bbox": bbox, "savefig.dpi": "figure" if bbox is None else 50}):
        found = png(figure)
    assert (pixels(found) == pixels(expected.getvalue())).all()
    assert opened(found).info["dpi"] == opened(expected.getvalue()).info["dpi"]


def test_a_figure_is_drawn_anew_each_time_and_can_be_saved_as_something_else_after() -> None:
    figure = Figure((1, 1), dpi=20, facecolor="white")
    before = png(figure)
    figure.set_facecolor("#0072b2")
    after = png(figure)
    assert (pixels(before) == 255).all()
    assert (pixels(after) == (0x00, 0x72, 0xB2, 255)).all()
    drawing = BytesIO()
    figure.savefig(drawing, format="svg")
    assert b"<svg" in drawing.getvalue()

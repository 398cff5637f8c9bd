"""Widgets for a notebook: the chat panel, its views, and the explorers."""

import ipywidgets

if int(ipywidgets.__version__.partition(".")[0]) < 8:
    # Colab has 7.7.1, which lacks methods that the panel needs.
    raise ImportError(
        f"chatlab's widgets need ipywidgets 8, and this is {ipywidgets.__version__}; "
        "run pip install 'ipywidgets>=8.1.5', and restart the kernel"
    )

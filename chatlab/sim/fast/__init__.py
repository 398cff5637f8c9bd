"""Two short cuts for large crowds: silent clients, and the fast-forward of heartbeats. They change no figure.

Both are built on the plain classes of `chatlab.sim`, which don't know of them. `Model` does without them,
`FastModel` takes both. This folder can be deleted: `find_model` then returns `Model`.
"""

from chatlab.sim.fast.model import FastModel

__all__ = ["FastModel"]

"""The fallback transport: the best of several that works, over one outbox and one cursor."""

from __future__ import annotations

from chatlab.live.transport import ChatTransport
from chatlab.settings import FallbackConfig


class FallbackTransport(ChatTransport):
    """Chat over the first transport of a list that works; it returns to a better one once that works
    again."""

    config: FallbackConfig

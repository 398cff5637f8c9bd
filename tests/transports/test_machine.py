"""The text of a failure."""

from __future__ import annotations

import pytest

from chatlab.transports.machine import Failure


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure("close", 1001, "deploy"), "closed 1001: deploy"),
        (Failure("close", 1006), "closed 1006"),
        (Failure("http", 503, "busy", 2.0), "HTTP 503: busy"),
        (Failure("refused"), "refused"),
        (Failure("dns", reason="no such host"), "dns: no such host"),
    ],
)
def test_failures_read_well(failure: Failure, text: str) -> None:
    assert str(failure) == text
